"""Results that mean failure although nothing was raised."""

import pytest
from django.test import override_settings
from django.utils import timezone
from django_q.models import Task
from powercrud.tasks import bulk_delete_task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.tasks import return_no
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, get_row

pytestmark = pytest.mark.django_db


def is_text(func, result):
    return func == "tests.project.tasks.return_no" and isinstance(result, str)


class TestFailedResult:
    @uses_worker
    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FAILED_RESULT": "tests.project.tracking.is_failed"}
    )
    def test_failed_result_of_the_setting_decides_about_failure(self):
        manager = get_manager()
        manager.launch_async_task(return_no, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "The task returned no."
        assert row.result_payload == "no"
        assert row.completed_at is None

    @uses_worker
    def test_without_failed_result_the_same_result_is_a_success(self, manager):
        manager.launch_async_task(return_no, task_key=NAME)

        run_queued_task()

        assert get_row().status == Status.SUCCESS

    @uses_worker
    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"FAILED_RESULT": "tests.project.tracking.broken"})
    def test_a_failed_result_that_raises_is_logged_and_replaced_by_the_built_in_one(self, caplog):
        get_manager().launch_async_task(return_no, task_key=NAME)

        run_queued_task()

        assert get_row().status == Status.SUCCESS
        assert "the built-in one is used instead" in caplog.text

    @uses_worker
    @pytest.mark.parametrize("option", [{}, {"save": False}], ids=["saved", "not saved"])
    def test_failed_result_gets_the_path_of_a_function_that_was_launched_as_an_object(self, option):
        manager = get_manager(failed_result="tests.managers.test_failed_result.is_text")

        manager.launch_async_task(return_no, task_key=NAME, **option)
        run_queued_task()

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "The task returned no.")

    @uses_worker
    def test_a_bulk_task_that_was_launched_as_an_object_is_recognised(self, manager):
        manager.launch_async_task(bulk_delete_task, "project.Nothing", ["1"], None, save=False)

        run_queued_task()

        row = AsyncTaskRecord.objects.get()
        assert row.status == Status.FAILED
        assert row.message.endswith("Nothing was changed.")

    def test_the_message_of_a_failed_result_is_the_last_progress(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed update: no stock")

        manager.async_task_lifecycle(
            "complete", NAME, func="powercrud.tasks.bulk_update_task", result=False
        )

        assert get_row().message == "no stock. Nothing was changed."

    def test_the_message_of_a_failed_result_is_the_progress_of_the_row_where_the_cache_is_empty(
        self, manager
    ):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed update: no stock")
        manager.remove_progress_key(NAME)

        manager.async_task_lifecycle(
            "complete", NAME, func="powercrud.tasks.bulk_update_task", result=False
        )

        assert get_row().message == "no stock. Nothing was changed."

    def test_failed_result_decides_about_a_cleanup_with_success(self, manager):
        manager.async_task_lifecycle("create", NAME)

        manager.async_task_lifecycle(
            "cleanup",
            NAME,
            status="success",
            func="powercrud.tasks.bulk_update_task",
            result=False,
        )

        row = get_row()
        assert (row.status, row.cleaned_up) == (Status.FAILED, True)
        assert (row.completed_at, row.failed_at is None) == (None, False)


def test_a_bulk_task_with_a_backend_of_the_project_does_not_claim_that_nothing_changed(manager):
    kwargs = {"bulk_update_persistence_backend_path": "shop.bulk.Backend"}
    task = Task(
        id="1",
        name=NAME,
        func="powercrud.tasks.bulk_update_task",
        kwargs=kwargs,
        success=True,
        result=False,
        stopped=timezone.now(),
    )
    manager.async_task_lifecycle("create", NAME)
    manager.update_progress(NAME, "failed update: [('price', ['Too low.'])]")

    manager.handle_task_completion(task, NAME)

    assert get_row().message == "price: Too low."
