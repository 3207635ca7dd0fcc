from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from powercrud_tracking.dashboard.task.advice import PATIENCE, get_advice
from powercrud_tracking.lifecycle import Status

NOW = timezone.now()
RETRIES = {"orm": "default", "retry": 60, "max_attempts": 3}


def make_record(status, *, created=NOW, attempts=1, func="shop.tasks.load"):
    return SimpleNamespace(
        status=Status(status),
        created_at=created,
        started_at=None,
        attempts=attempts,
        func=func,
        cancel_requested_at=None,
    )


def make_attempt(
    number=1,
    *,
    exception_class="ValueError",
    message="ValueError: bad",
    ended_at=NOW,
    outcome="failed",
):
    return SimpleNamespace(
        number=number,
        started_at=None,
        exception_class=exception_class,
        message=message,
        ended_at=ended_at,
        outcome=outcome,
    )


def advise(record, *attempts):
    """Return the sentences; attempts are given oldest first."""
    return [text for text, code in get_advice(record, attempts[::-1], now=NOW)]


class TestQueued:
    def test_a_task_that_is_queued_for_a_minute_asks_for_a_cluster(self):
        record = make_record("pending", created=NOW - PATIENCE)

        ((text, code),) = get_advice(record, [], now=NOW)

        assert text.startswith("Queued for more than a minute. Is a cluster running")
        assert code == "python manage.py qcluster"

    @pytest.mark.parametrize("created", [NOW, None], ids=["new", "of unknown age"])
    def test_a_task_that_is_queued_for_less_than_a_minute_has_no_advice(self, created):
        assert advise(make_record("pending", created=created)) == []


class TestNoAdvice:
    @pytest.mark.parametrize("status", ["in_progress", "success"])
    def test_a_task_that_runs_or_succeeded_needs_none(self, status):
        assert advise(make_record(status), make_attempt()) == []

    def test_a_table_without_status_gets_none(self):
        record = SimpleNamespace(status=None, created_at=None, attempts=None, func=None)

        assert advise(record) == []


class TestLost:
    def test_a_task_that_started_may_have_done_its_work(self):
        (text,) = advise(make_record("lost"), make_attempt(outcome="lost"))

        assert text.startswith("No worker reports this task.")
        assert "Check whether its work was done" in text

    def test_a_task_that_never_started_is_queued_again(self):
        (text,) = advise(make_record("lost", attempts=0))

        assert text == "It left the queue without being started. Queue it again."


class TestCause:
    @pytest.fixture(autouse=True)
    def queue(self, settings):
        settings.Q_CLUSTER = {"redis": {}}

    def test_a_timeout_names_the_setting(self):
        attempt = make_attempt(exception_class="django_q.exceptions.TimeoutException")

        ((_, code),) = get_advice(make_record("failed"), [attempt], now=NOW)

        assert code == 'Q_CLUSTER["timeout"], Q_CLUSTER["retry"]'

    def test_a_function_that_cannot_be_imported_asks_for_a_restart(self):
        attempt = make_attempt(message="ValueError: Function shop.tasks.load is not defined")

        (text,) = advise(make_record("failed"), attempt)

        assert text.startswith("The cluster cannot import this function.")

    @pytest.mark.parametrize(
        "attempt",
        [
            make_attempt(),
            make_attempt(exception_class="shop.TimeoutException"),
            make_attempt(message="ValueError: Function other is not defined"),
            make_attempt(exception_class="", message="Task exceeded maximum timeout value"),
        ],
        ids=["any", "another timeout", "another function", "no exception"],
    )
    def test_an_uncertain_cause_is_not_guessed(self, attempt):
        assert advise(make_record("failed"), attempt) == []

    def test_an_earlier_failure_says_nothing_about_the_last_one(self):
        attempt = make_attempt(exception_class="django_q.exceptions.TimeoutException")

        assert advise(make_record("failed", attempts=2), attempt) == []

    def test_a_launch_that_failed_has_no_attempt_and_no_advice(self):
        assert advise(make_record("failed", attempts=0)) == []


class TestRetry:
    @pytest.mark.parametrize(
        ("queue", "numbers", "expected"),
        [
            (RETRIES, [1], "django-q2 will retry it: 2 attempts are left."),
            (RETRIES, [1, 2], "django-q2 will retry it: 1 attempt is left."),
            (RETRIES, [1, 2, 3], "django-q2 has made all attempts."),
            ({"orm": "default"}, [1], "django-q2 will retry it without a limit"),
            (RETRIES | {"ack_failures": True}, [1], "django-q2 does not retry failed tasks."),
        ],
        ids=["two left", "one left", "none left", "no limit", "acknowledged"],
    )
    def test_it_says_whether_django_q2_retries_the_task(self, settings, queue, numbers, expected):
        settings.Q_CLUSTER = queue
        attempts = [make_attempt(number) for number in numbers]

        (text,) = advise(make_record("failed", attempts=len(numbers)), *attempts)

        assert text.startswith(expected)

    def test_a_retry_that_is_overdue_is_not_promised(self, settings):
        settings.Q_CLUSTER = RETRIES
        attempt = make_attempt(ended_at=NOW - timedelta(hours=1))

        (text,) = advise(make_record("failed"), attempt)

        assert text.startswith("django-q2 has not retried it in time.")

    def test_what_another_broker_does_is_not_guessed(self, settings):
        settings.Q_CLUSTER = {"redis": {}}

        assert advise(make_record("failed"), make_attempt()) == []
