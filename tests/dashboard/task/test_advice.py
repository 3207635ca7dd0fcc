from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from powercrud_tracking.dashboard.task.advice import PATIENCE, get_advice
from powercrud_tracking.lifecycle import Status

NOW = timezone.now()
RETRIES = {"orm": "default", "retry": 60, "max_attempts": 3}


def make_record(status, *, created=NOW, attempts=1, func="shop.tasks.load"):
    return SimpleNamespace(status=Status(status), created_at=created, attempts=attempts, func=func)


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
        exception_class=exception_class,
        message=message,
        ended_at=ended_at,
        outcome=outcome,
    )


def advise(record, *attempts):
    """Return the sentences; attempts are given oldest first."""
    return [advice.text for advice in get_advice(record, attempts[::-1], now=NOW)]


class TestQueued:
    def test_one_that_waits_for_long_asks_for_a_cluster(self):
        record = make_record("pending", created=NOW - PATIENCE)

        (advice,) = get_advice(record, [], now=NOW)

        assert advice.text.startswith("It has waited for more than a minute. Is a cluster running")
        assert advice.code == "python manage.py qcluster"

    @pytest.mark.parametrize("created", [NOW, None], ids=["new", "of unknown age"])
    def test_others_need_no_advice(self, created):
        assert advise(make_record("pending", created=created)) == []


class TestNoAdvice:
    @pytest.mark.parametrize("status", ["in_progress", "success"])
    def test_what_runs_or_succeeded_needs_none(self, status):
        assert advise(make_record(status), make_attempt()) == []

    def test_a_table_without_status_gets_none(self):
        record = SimpleNamespace(status=None, created_at=None, attempts=None, func=None)

        assert advise(record) == []


class TestLost:
    def test_it_is_queued_again_if_its_work_is_not_done(self):
        (text,) = advise(make_record("lost"), make_attempt(outcome="lost"))

        assert "queue it again if it is not" in text

    def test_one_that_never_started_is_queued_again(self):
        (text,) = advise(make_record("lost", attempts=0))

        assert "never started: queue it again" in text


class TestException:
    @pytest.fixture(autouse=True)
    def queue(self, settings):
        settings.Q_CLUSTER = {"redis": {}}

    def test_a_timeout_names_the_setting(self):
        attempt = make_attempt(exception_class="django_q.exceptions.TimeoutException")

        (advice,) = get_advice(make_record("failed"), [attempt], now=NOW)

        assert advice.code == 'Q_CLUSTER["timeout"], Q_CLUSTER["retry"]'

    def test_a_function_that_cannot_be_imported_asks_for_a_restart(self):
        attempt = make_attempt(message="ValueError: Function shop.tasks.load is not defined")

        (text,) = advise(make_record("failed"), attempt)

        assert text.startswith("The cluster cannot import the function.")

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
    def test_what_is_not_certain_is_not_said(self, attempt):
        assert advise(make_record("failed"), attempt) == []

    def test_an_earlier_failure_says_nothing_of_this_one(self):
        attempt = make_attempt(exception_class="django_q.exceptions.TimeoutException")

        assert advise(make_record("failed", attempts=2), attempt) == []

    def test_a_launch_that_failed_has_no_attempt_and_no_advice(self):
        assert advise(make_record("failed", attempts=0)) == []


class TestNextAttempt:
    def test_how_many_are_left(self, settings):
        settings.Q_CLUSTER = RETRIES

        one = advise(make_record("failed"), make_attempt())
        two = advise(make_record("failed", attempts=2), make_attempt(1), make_attempt(2))

        assert one == ["django-q2 will try it again: 2 attempts are left."]
        assert two == ["django-q2 will try it again: 1 attempt is left."]

    def test_none_is_left_after_the_last(self, settings):
        settings.Q_CLUSTER = RETRIES
        attempts = [make_attempt(number) for number in (1, 2, 3)]

        (text,) = advise(make_record("failed", attempts=3), *attempts)

        assert text.startswith("django-q2 gives up after 3 attempts.")

    def test_without_a_limit_it_goes_on_without_end(self, settings):
        settings.Q_CLUSTER = {"orm": "default", "retry": 60}

        (text,) = advise(make_record("failed"), make_attempt())

        assert text.startswith("django-q2 will try it again, without end")

    def test_failures_that_are_acknowledged_are_final(self, settings):
        settings.Q_CLUSTER = RETRIES | {"ack_failures": True}

        (text,) = advise(make_record("failed"), make_attempt())

        assert text.startswith("django-q2 does not try it again.")

    def test_long_after_the_time_for_it_nobody_waits_for_it(self, settings):
        settings.Q_CLUSTER = RETRIES
        attempt = make_attempt(ended_at=NOW - timedelta(hours=1))

        (text,) = advise(make_record("failed"), attempt)

        assert text.startswith("django-q2 has not tried it again since.")

    @pytest.mark.parametrize(
        "queue",
        [{"redis": {}}, RETRIES | {"sync": True}, RETRIES | {"sqs": {"aws_region": "x"}}, {}],
        ids=["redis", "sync", "sqs", "none"],
    )
    def test_what_another_broker_does_is_not_guessed(self, settings, queue):
        settings.Q_CLUSTER = queue

        assert advise(make_record("failed"), make_attempt()) == []

    def test_a_task_that_raised_nothing_is_a_success_to_django_q2(self, settings):
        settings.Q_CLUSTER = RETRIES

        assert advise(make_record("failed"), make_attempt(exception_class="")) == []

    def test_attempts_that_left_no_trace_make_the_count_uncertain(self, settings):
        settings.Q_CLUSTER = RETRIES

        assert advise(make_record("failed", attempts=2), make_attempt(2)) == []
