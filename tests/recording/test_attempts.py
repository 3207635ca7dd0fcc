from datetime import UTC, datetime, timedelta

import pytest

from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.recording.attempts import get_attempts, keep_attempts
from powercrud_tracking.recording.recorder import RecordedEvent
from powercrud_tracking.records import reading
from powercrud_tracking.serialization.failures import Failure

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILURE = Failure(
    reason="ValueError: bad", exception_class="ValueError", traceback="Traceback: ValueError: bad"
)


@pytest.fixture
def at(settings):
    """Stored times are naive where the project has it so."""
    return AT if settings.USE_TZ else AT.replace(tzinfo=None)


def make_rows(*task_names, attempts=1, status=Status.FAILED, **values):
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=name, status=status, attempts=attempts, **values)
        for name in task_names
    )


def keep(at, *, failure=FAILURE, outcome=Status.FAILED, limit=1000):
    found = reading.read(reading.get_rows())
    events = {
        record.task_name: RecordedEvent(
            Event.FAIL, record.task_name, {"failed_at": at}, failure=failure
        )
        for record in found
    }
    keep_attempts(found, events, outcome=outcome, limit=limit)


class TestRecordAttempts:
    def test_an_attempt_keeps_worker_times_and_the_reason(self, at):
        make_rows("task", attempts=2, worker="host:1", started_at=at - timedelta(seconds=5))

        keep(at)

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.task_name, attempt.number, attempt.worker) == ("task", 2, "host:1")
        assert (attempt.started_at, attempt.ended_at) == (at - timedelta(seconds=5), at)
        assert (attempt.outcome, attempt.exception_class) == (Status.FAILED, "ValueError")
        assert (attempt.message, attempt.traceback) == (FAILURE.reason, FAILURE.traceback)

    def test_an_attempt_keeps_no_secrets(self, at):
        make_rows("task")
        failure = Failure(
            reason="redis://ada:hunter2@host is away",
            traceback="  connect(password='hunter2')\nValueError: {'pin': 'hunter2'}\n",
        )

        keep(at, failure=failure)

        attempt = AsyncTaskAttempt.objects.get()
        assert attempt.message == "redis://ada:********@host is away"
        assert attempt.traceback == (
            "  connect(password='********')\nValueError: {'pin': '********'}\n"
        )

    def test_a_task_that_never_started_has_no_attempt(self, at):
        make_rows("task", attempts=0)

        keep(at)

        assert not AsyncTaskAttempt.objects.exists()

    @pytest.mark.parametrize("status", [Status.SUCCESS, Status.IN_PROGRESS, Status.LOST])
    def test_no_attempt_is_kept_where_the_status_has_changed_meanwhile(self, at, status):
        make_rows("task", status=status)

        keep(at)

        assert not AsyncTaskAttempt.objects.exists()

    def test_an_attempt_that_is_kept_already_is_not_overwritten(self, at):
        make_rows("task")
        keep(at)

        keep(at, failure=Failure(reason="KeyError: later"))

        assert [attempt.message for attempt in get_attempts(["task"])] == [FAILURE.reason]

    def test_each_failed_attempt_has_a_row_of_its_own(self, at):
        make_rows("task", attempts=1)
        keep(at)
        AsyncTaskRecord.objects.update(attempts=2)

        keep(at, failure=Failure(reason="KeyError: later"))

        found = [(attempt.number, attempt.message) for attempt in get_attempts(["task"])]
        assert found == [(2, "KeyError: later"), (1, FAILURE.reason)]

    def test_the_end_of_a_long_traceback_is_kept(self, at):
        make_rows("task")

        keep(at, failure=Failure(reason="reason", traceback="a" * 100 + "the end"), limit=10)

        assert AsyncTaskAttempt.objects.get().traceback == "…aathe end"

    def test_a_thousand_attempts_cost_as_many_statements_as_three(
        self, at, django_assert_max_num_queries
    ):
        make_rows(*(f"task-{n}" for n in range(1000)))

        # The rows, a savepoint and its end, and an INSERT that SQLite may want in parts.
        with django_assert_max_num_queries(3 + 12):
            keep(at)

        assert AsyncTaskAttempt.objects.count() == 1000

    def test_no_attempts_cost_no_statement(self, at, django_assert_num_queries):
        with django_assert_num_queries(0):
            keep_attempts([], {}, outcome=Status.FAILED, limit=10)


class TestUncountedAttempts:
    """A project's table need not count them."""

    @pytest.fixture(autouse=True)
    def no_count(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FIELD_MAP": {"attempts": None}}

    def test_attempts_of_a_table_without_a_counter_are_numbered_in_order(self, at):
        make_rows("task", "other")
        keep(at)

        keep(at)

        assert [attempt.number for attempt in get_attempts(["task"])] == [2, 1]
        assert [attempt.number for attempt in get_attempts(["other"])] == [2, 1]


def test_characters_that_a_database_refuses_are_replaced_in_a_traceback(manager):
    manager.async_task_lifecycle("start", "task")

    manager.async_task_lifecycle("fail", "task", result="bad\0\udc80 : Traceback of nothing")

    attempt = AsyncTaskAttempt.objects.get(task_name="task")
    assert "\0" not in attempt.message + attempt.traceback
