import time

import pytest
from django.core.cache.backends.filebased import FileBasedCache
from django.db import transaction
from django.test import override_settings
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from powercrud_tracking import actions, factory, progress
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt
from powercrud_tracking.recording.cancellation import REFUSED, set_flag
from tests.project.models import Widget
from tests.project.tasks import add, fail
from tests.support.marks import uses_worker
from tests.support.queue import deliver_again, run_queued_task
from tests.support.rows import NAME, OTHER, RECORDS, get_row, make_row

LOCKS = {"project.widget": {1, 2}}


def cancel_itself(task_key):
    actions.cancel(task_key, by="ada", reason="wrong file")
    wait_until_heard()
    progress.report(1, 2)
    raise AssertionError("not reached")


def hear_and_stop(task_key):
    """Be told to stop before the row is, as on SQLite while a transaction is open."""
    set_flag(factory.get_manager(), task_key, None, "Cancelled by ada.")
    wait_until_heard()
    progress.report(1, 2)


def ignore_the_request(task_key):
    actions.cancel(task_key)
    try:
        wait_until_heard()
        progress.check_cancelled()
    except progress.TaskCancelled:
        return "finished all the same"


def break_after_the_request(task_key):
    actions.cancel(task_key, by="ada")
    raise ValueError("no room")


def save_widgets(task_key):
    actions.cancel(task_key)
    with transaction.atomic():
        Widget.objects.create(name="Bolt")
        wait_until_heard()
        progress.check_cancelled()


def wait_until_heard():
    """The cache is asked at most every 0.2 seconds."""
    time.sleep(0.21)


def get_actions(task_name=NAME):
    found = AsyncTaskAction.objects.filter(task_name=task_name).order_by("pk")
    return list(found.values_list("action", "by_label", "reason", "outcome"))


@uses_worker
class TestQueuedTask:
    def test_it_is_cancelled_at_once_and_refused_at_its_delivery(self, manager, user):
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=LOCKS)

        result = actions.cancel(NAME, by=user, reason="wrong file")
        cancelled = get_row()
        run_queued_task()

        assert (result.outcome, result.task_name) == ("done", NAME)
        assert (cancelled.status, cancelled.cleaned_up) == ("cancelled", False)
        row = get_row()
        assert (row.status, row.message) == ("cancelled", "Cancelled by ada: wrong file")
        assert (row.attempts, row.started_at, row.result_payload) == (0, None, None)
        assert row.cleaned_up is True
        assert get_actions() == [("cancel", "ada", "wrong file", "done")]
        assert OrmQ.objects.count() == 0
        assert AsyncTaskAttempt.objects.count() == 0

    def test_its_locks_are_released_at_once(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=LOCKS)

        actions.cancel(NAME)

        assert manager.add_conflict_ids(OTHER, LOCKS)
        assert NAME not in manager.get_active_tasks()

    def test_django_q2s_row_keeps_its_arguments(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        actions.cancel(NAME)

        run_queued_task()

        task = Task.objects.get(name=NAME)
        assert (task.args, task.success, task.result) == ((1, 2), False, REFUSED)

    def test_the_next_task_of_its_chain_is_not_queued(self, manager):
        chain = [("math.floor", (1,))]
        manager.launch_async_task(add, 1, 2, task_key=NAME, chain=chain)
        actions.cancel(NAME)

        run_queued_task()

        assert OrmQ.objects.count() == 0

    def test_other_tasks_run_as_before(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        manager.launch_async_task(add, 1, 2, task_key=OTHER)
        actions.cancel(NAME)

        run_queued_task()
        run_queued_task()

        assert get_row(OTHER).status == "success"

    def test_its_name_is_not_used_again_while_it_is_in_the_queue(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        actions.cancel(NAME)

        with pytest.raises(Exception, match="still in the queue"):
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        run_queued_task()
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        run_queued_task()
        assert (get_row().status, get_row().cancelled_at) == ("success", None)

    def test_in_a_transaction_that_is_rolled_back_nothing_happens(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=LOCKS)

        with transaction.atomic(using=RECORDS):
            actions.cancel(NAME)
            transaction.set_rollback(True, using=RECORDS)

        assert (get_row().status, get_actions()) == ("pending", [])
        assert not manager.add_conflict_ids(OTHER, LOCKS)


@uses_worker
class TestRunningTask:
    def test_it_stops_at_its_next_report(self, manager):
        manager.launch_async_task(cancel_itself, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert (row.status, row.message) == ("cancelled", "Cancelled by ada: wrong file")
        assert (row.attempts, row.failed_at) == (1, None)
        assert row.cancelled_at is not None
        assert get_actions() == [("cancel", "ada", "wrong file", "requested")]
        assert AsyncTaskAttempt.objects.count() == 0

    def test_it_is_not_run_again(self, manager):
        manager.launch_async_task(cancel_itself, task_key=NAME)

        run_queued_task()

        assert OrmQ.objects.count() == 0

    def test_its_transaction_is_rolled_back(self, manager):
        manager.launch_async_task(save_widgets, task_key=NAME)

        run_queued_task()

        assert get_row().status == "cancelled"
        assert Widget.objects.count() == 0

    def test_its_worker_says_so_where_the_request_could_not_be_written(self, manager):
        manager.launch_async_task(hear_and_stop, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert (row.status, row.message) == ("cancelled", "Cancelled by ada.")
        assert (row.attempts, row.failed_at, row.cancel_requested_at) == (1, None, None)
        assert (AsyncTaskAttempt.objects.count(), OrmQ.objects.count()) == (0, 0)

    def test_one_that_finishes_all_the_same_is_a_success(self, manager):
        manager.launch_async_task(ignore_the_request, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert (row.status, row.result_payload) == ("success", "finished all the same")
        assert (row.cancelled_at, row.cancel_requested_at) == (None, None)

    def test_one_that_fails_before_it_has_noticed_is_cancelled(self, manager):
        manager.launch_async_task(break_after_the_request, task_key=NAME)

        run_queued_task()
        deliver_again()
        run_queued_task()

        row = get_row()
        assert (row.status, row.message, row.attempts) == ("cancelled", "Cancelled by ada.", 1)
        assert OrmQ.objects.count() == 0

    def test_a_cache_that_does_not_answer_is_named(self, manager, monkeypatch):
        make_row(status="in_progress")

        def refuse(*args, **kwargs):
            raise ConnectionError

        monkeypatch.setattr(FileBasedCache, "set", refuse)
        result = actions.cancel(NAME)

        assert result.outcome == "requested"
        assert "cache does not answer" in result.message
        assert get_row().cancel_requested_at is not None

    def test_it_is_asked_once(self):
        make_row(status="in_progress")
        actions.cancel(NAME)

        result = actions.cancel(NAME)

        assert (result.outcome, result.message) == (
            "refused",
            "It has been asked to stop already.",
        )

    def test_the_request_of_an_earlier_launch_does_not_stop_it(self, manager):
        make_row(status="in_progress", queue_id="of the earlier launch")
        actions.cancel(NAME)
        manager.async_task_lifecycle("complete", NAME)

        manager.launch_async_task(check_after_a_while, task_key=NAME)
        run_queued_task()

        assert get_row().status == "success"


def check_after_a_while(task_key):
    wait_until_heard()
    progress.check_cancelled()


@uses_worker
class TestFailedTask:
    def test_one_that_would_be_run_again_is_not(self, manager):
        manager.launch_async_task(fail, task_key=NAME)
        run_queued_task()

        result = actions.cancel(NAME)
        deliver_again()
        run_queued_task()

        assert (result.outcome, result.message) == ("done", "It will not be run again.")
        row = get_row()
        assert (row.status, row.attempts) == ("failed", 1)
        assert row.message == "ValueError: the price is wrong"
        assert OrmQ.objects.count() == 0

    def test_one_that_would_not_be_run_again_has_ended(self):
        make_row(status="failed")

        assert actions.cancel(NAME).message == "It has ended already."


@pytest.mark.django_db
class TestOtherTasks:
    def test_a_lost_task_is_cancelled(self):
        make_row(status="lost", message="Lost.")

        result = actions.cancel(NAME)

        assert result.outcome == "done"
        assert (get_row().status, get_row().failed_at) == ("cancelled", None)

    @pytest.mark.parametrize("status", ["success", "cancelled"])
    def test_an_ended_task_is_left_alone(self, status):
        make_row(status=status, message="as it was")

        assert actions.cancel(NAME).outcome == "refused"
        assert (get_row().status, get_row().message) == (status, "as it was")
        assert get_actions() == [("cancel", "", "", "refused")]

    def test_an_unknown_task_is_refused_and_not_logged(self):
        result = actions.cancel(NAME)

        assert (result.outcome, result.message) == ("refused", "There is no task of this name.")
        assert AsyncTaskAction.objects.count() == 0


@uses_worker
def test_releasing_locks_does_not_forget_that_a_task_is_still_in_the_queue(manager):
    manager.launch_async_task(add, 1, 2, task_key=NAME)
    actions.cancel(NAME)
    # As after a launch that went on while its task was cancelled.
    manager.add_active_task(NAME)

    manager.cleanup_completed_tasks()

    assert actions.delete(NAME).outcome == "refused"
    run_queued_task()
    assert actions.delete(NAME).outcome == "done"


@pytest.mark.django_db
def test_a_table_without_the_field_for_a_request_still_cancels_queued_tasks():
    make_row(status="pending")

    with override_settings(POWERCRUD_ASYNC_DASHBOARD={"FIELD_MAP": {"cancel_requested_at": None}}):
        done = actions.cancel(NAME)
        make_row(OTHER, status="in_progress")
        refused = actions.cancel(OTHER)

    assert (done.outcome, refused.outcome) == ("done", "refused")
    assert refused.message == "The record table has no field for: cancel_requested_at."


@uses_worker
class TestRedelivery:
    def test_a_task_whose_worker_died_is_cancelled_at_its_next_delivery(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        manager.async_task_lifecycle("start", NAME, worker="gone:1")

        actions.cancel(NAME, by="ada")
        run_queued_task()

        row = get_row()
        assert (row.status, row.attempts) == ("cancelled", 1)
        assert row.message == "Cancelled by ada."

    def test_a_raw_task_of_the_same_queue_is_not_concerned(self, manager):
        async_task("math.floor", 1.5)

        run_queued_task()

        assert Task.objects.get().success
