"""Tasks from their launch to their end, by a real worker and monitor in this process."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ, Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import NameOnlyRecord, Widget
from tests.project.tasks import add, fail
from tests.project.tracking import ShoutingManager
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, RECORDS, get_row

pytestmark = pytest.mark.django_db


def add_and_tell(a, b, task_key):
    get_manager().update_progress(task_key, "adding: 1/2")
    return a + b


def fail_once(task_key):
    if not Task.objects.filter(name=task_key).exists():
        raise ValueError("not yet")
    return "at last"


def save_widget(task_key):
    manager = get_manager()
    with transaction.atomic(using=RECORDS):
        Widget.objects.create(name="Bolt")
        manager.update_progress(task_key, "saving: 1/2")
        inside = get_row(task_key).progress_payload
    after = get_row(task_key).progress_payload
    transaction.on_commit(lambda: manager.update_progress(task_key, "saving: 2/2"))
    return [inside, after]


def save_nothing(task_key):
    with transaction.atomic(), transaction.atomic(using=RECORDS):
        Widget.objects.create(name="Bolt")
        get_manager().update_progress(task_key, "saving: 1/2")
        raise ValueError("no room")


def get_statuses(task_key):
    return AsyncTaskRecord.objects.get(task_name=task_key).status


@uses_worker
class TestQueuedTask:
    def test_a_queued_task_is_recorded_from_its_launch_to_its_end(self, manager):
        manager.launch_async_task(add_and_tell, 1, 2, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.result_payload == 3
        assert row.message == "Task completed successfully"
        assert row.progress_payload == "adding: 1/2"
        assert row.task_args == [1, 2]
        assert row.cleaned_up is True
        assert OrmQ.objects.count() == 0
        assert manager.get_progress(NAME) is None
        assert manager.get_active_tasks() == set()

    def test_the_status_is_in_progress_while_the_function_runs(self, manager):
        manager.launch_async_task(get_statuses, task_key=NAME)

        run_queued_task()

        assert get_row().result_payload == "in_progress"

    def test_a_failure_is_recorded_with_reason_and_traceback(self, manager):
        manager.launch_async_task(fail, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "ValueError: the price is wrong"
        assert row.result_payload.startswith("the price is\nwrong : Traceback (most recent call")
        assert row.failed_at is not None
        assert row.completed_at is None
        assert row.cleaned_up is True

    def test_a_second_attempt_that_succeeds_clears_the_failure(self, manager):
        manager.launch_async_task(fail_once, task_key=NAME)
        run_queued_task()
        OrmQ.objects.update(lock=timezone.now() - timedelta(days=1))

        run_queued_task()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.attempts == 2
        assert row.result_payload == "at last"
        assert row.failed_at is None
        assert row.cleaned_up is True
        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.number, attempt.message) == (1, "ValueError: not yet")

    @pytest.mark.parametrize("option", [{"save": False}, {"cached": 60}], ids=str)
    def test_a_task_without_a_completion_hook_is_recorded_to_its_end(self, manager, option):
        manager.launch_async_task(add, 1, 2, task_key=NAME, **option)

        run_queued_task()

        row = get_row()
        assert not Task.objects.exists()
        assert (row.status, row.result_payload, row.cleaned_up) == (Status.SUCCESS, 3, True)

    def test_the_worker_uses_the_manager_class_of_the_launch(self):
        ShoutingManager().launch_async_task(add, 1, 2, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert (row.user_label, row.affected_objects) == ("WHO", "WHAT")
        assert row.result_payload == {"shown": "3"}

    def test_the_worker_uses_the_overrides_of_the_launch(self):
        get_manager(record_model="project.NameOnlyRecord").launch_async_task(
            add, 1, 2, task_key=NAME
        )

        run_queued_task()

        assert NameOnlyRecord.objects.get().task_name == NAME
        assert not AsyncTaskRecord.objects.exists()

    def test_progress_inside_a_transaction_of_the_task_reaches_the_row_at_its_commit(self, manager):
        manager.launch_async_task(save_widget, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert row.result_payload == ["", "saving: 1/2"]
        assert row.progress_payload == "saving: 2/2"
        assert Widget.objects.count() == 1

    def test_progress_inside_a_transaction_that_is_rolled_back_reaches_the_row(self, manager):
        manager.launch_async_task(save_nothing, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert (row.status, row.progress_payload) == (Status.FAILED, "saving: 1/2")
        assert not Widget.objects.exists()

    def test_locks_are_held_until_the_task_ends(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        held = manager.check_conflict(locks)

        run_queued_task()

        assert held == {1}
        assert manager.check_conflict(locks) == set()


@uses_worker
class TestBulkTask:
    def launch(self, manager, *, price):
        widgets = [Widget.objects.create(name=name) for name in ("Bolt", "Nut")]
        Widget.objects.filter(name="Nut").update(broken=True)
        ids = [str(widget.pk) for widget in widgets]
        info = {"price": price}
        field_data = [{"field": "price", "value": str(price), "info": info}]
        manager.launch_async_task(
            "powercrud.tasks.bulk_update_task",
            "project.Widget",
            ids,
            None,
            ["price"],
            ["price"],
            field_data,
            NAME,
            manager_class="powercrud_tracking.factory.DashboardManager",
            manager_config=None,
        )

    def test_a_bulk_update_that_returned_false_is_recorded_as_failed_with_its_reason(self, manager):
        self.launch(manager, price=7)

        run_queued_task()

        row = get_row()
        assert Task.objects.get().success is True
        assert row.status == Status.FAILED
        assert "Nut is broken and cannot be sold." in row.message
        assert row.progress_payload.startswith("failed update: [")
        assert row.message.endswith("Nothing was changed.")
        assert row.result_payload is False
        assert row.completed_at is None
        assert row.failed_at is not None
        assert row.cleaned_up is True
        assert Widget.objects.filter(price=7).count() == 0

    def test_a_bulk_deletion_that_works_is_recorded_as_a_success(self, manager):
        widget = Widget.objects.create(name="Bolt")
        manager.launch_async_task(
            "powercrud.tasks.bulk_delete_task",
            "project.Widget",
            [str(widget.pk)],
            None,
            NAME,
            manager_class="powercrud_tracking.factory.DashboardManager",
            manager_config=None,
        )

        run_queued_task()

        row = get_row()
        assert (row.status, row.result_payload) == (Status.SUCCESS, True)
        assert row.progress_payload == "completed delete: 1 processed"
        assert not Widget.objects.exists()
