"""What PowerCRUD's completion hook records."""

import pytest
from django_q.models import Task

from powercrud_tracking import receivers
from powercrud_tracking.lifecycle import Status
from tests.support.rows import AT, NAME, get_row

pytestmark = pytest.mark.django_db


class TestCompletionHook:
    def complete(self, **values):
        task = {
            "id": "0" * 32,
            "name": NAME,
            "func": "tests.project.tasks.add",
            "hook": receivers.HOOK,
            "args": (),
            "kwargs": {"manager_class": "powercrud_tracking.factory.DashboardManager"},
            "started": AT,
            "stopped": AT,
            "success": True,
            "result": 3,
        }
        return Task.objects.create(**{**task, **values})

    def test_the_hook_records_a_success_with_the_manager_in_the_arguments(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete()

        row = get_row()
        assert (row.status, row.result_payload) == (Status.SUCCESS, 3)
        assert row.cleaned_up is True

    def test_the_hook_records_a_failure_with_the_manager_in_the_arguments(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete(success=False, result="bad : ValueError: bad\n")

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "ValueError: bad")

    def test_the_hook_leaves_a_task_that_names_no_manager_to_the_signal(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete(kwargs={"task_key": NAME})

        assert get_row().status == Status.PENDING

    def test_the_hook_records_a_bulk_task_that_returned_false_as_failed(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed delete: in use")

        self.complete(func="powercrud.tasks.bulk_delete_task", result=False)

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "in use. Nothing was changed.")
