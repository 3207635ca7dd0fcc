"""Tasks that run inside their launch (`sync=True`)."""

import time

import pytest
from django_q.exceptions import TimeoutException

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt
from tests.project.tasks import add, fail
from tests.support.rows import NAME, get_row

pytestmark = pytest.mark.django_db


def sleep(task_key):
    time.sleep(5)


class TestSyncTask:
    def test_a_successful_sync_task_is_recorded_when_its_launch_returns(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, sync=True)

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.result_payload == 3
        assert row.message == "Task completed successfully"
        assert row.attempts == 1
        assert row.started_at is not None
        assert row.completed_at is not None
        assert row.failed_at is None
        assert row.cleaned_up is True

    def test_a_failed_sync_task_records_what_it_raised(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue async task: the price is"):
            manager.launch_async_task(fail, task_key=NAME, sync=True)

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "ValueError: the price is wrong"
        assert row.result_payload.startswith("the price is\nwrong : Traceback (most recent call")
        assert row.result_payload.endswith("ValueError: the price is\nwrong\n")
        assert row.attempts == 1

    def test_a_sync_task_that_times_out_fails_and_releases_its_locks(self, manager):
        locks = {"project.widget": {1}}

        with pytest.raises(TimeoutException):
            manager.launch_async_task(
                sleep, task_key=NAME, sync=True, timeout=1, conflict_ids=locks
            )

        row = get_row()
        assert manager.check_conflict(locks) == set()
        assert row.status == Status.FAILED
        assert row.message == (
            "django_q.exceptions.TimeoutException: Task exceeded maximum timeout value (1 seconds)"
        )

    def test_the_failed_attempt_of_a_sync_task_is_kept(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(fail, task_key=NAME, sync=True)

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.task_name, attempt.number, attempt.outcome) == (NAME, 1, Status.FAILED)
        assert attempt.exception_class == "ValueError"
        assert attempt.message == "ValueError: the price is wrong"
