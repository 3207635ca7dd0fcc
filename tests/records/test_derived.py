from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.records.derived import (
    NextAttempt,
    find_end,
    find_queue_time,
    find_redelivery,
    find_run_time,
    split_attempts,
)

NOW = datetime(2026, 5, 4, 12)
RETRIES = {"orm": "default", "retry": 60, "max_attempts": 3}


def ago(minutes):
    return None if minutes is None else NOW - timedelta(minutes=minutes)


def minutes(number):
    return None if number is None else timedelta(minutes=number)


class TestFindEnd:
    @pytest.mark.parametrize("status", ["pending", "in_progress"])
    def test_an_open_task_has_no_end(self, status):
        assert find_end(status, None, NOW, None) is None

    @pytest.mark.parametrize(
        "times",
        [(NOW, None, None), (None, NOW, None), (None, None, NOW)],
        ids=["completed", "failed", "cancelled"],
    )
    @pytest.mark.parametrize("status", ["success", "failed", "lost", "cancelled", None])
    def test_a_finished_task_ended_when_it_completed_failed_or_was_cancelled(self, status, times):
        assert find_end(status, *times) == NOW


class TestFindQueueTime:
    @pytest.mark.parametrize(
        ("status", "created", "started", "attempts", "expected"),
        [
            ("success", 9, 4, 1, 5),
            ("success", 9, 4, None, 5),
            ("pending", 9, None, 0, 9),
            ("success", 9, 4, 2, None),
            ("in_progress", 9, None, None, None),
            ("lost", 9, None, 0, None),
            ("success", None, 4, 1, None),
            ("success", 4, 9, 1, 0),
        ],
        ids=[
            "started",
            "attempts are not stored",
            "still queued",
            "run again: the start of the first attempt is not in the row",
            "running since an unknown time",
            "never started",
            "unknown time of queueing",
            "clocks differ",
        ],
    )
    def test_the_queue_time_ends_with_the_first_attempt(
        self, status, created, started, attempts, expected
    ):
        found = find_queue_time(status, ago(created), ago(started), attempts, now=NOW)

        assert found == minutes(expected)


class TestFindRunTime:
    @pytest.mark.parametrize(
        ("status", "started", "ended", "expected"),
        [
            ("success", 9, 4, 5),
            ("failed", 9, 4, 5),
            (None, 9, 4, 5),
            ("in_progress", 9, None, 9),
            ("lost", 9, 4, None),
            ("failed", None, 4, None),
            ("success", 9, None, None),
            ("success", 4, 9, 0),
            ("in_progress", -1, None, 0),
        ],
        ids=[
            "success",
            "failed",
            "status is not stored",
            "still running",
            "lost: nobody knows when its worker died",
            "never started",
            "unknown end",
            "clocks differ",
            "clocks differ while it runs",
        ],
    )
    def test_an_unknown_run_time_is_none(self, status, started, ended, expected):
        assert find_run_time(status, ago(started), ago(ended), now=NOW) == minutes(expected)


def make_record(status="failed", *, started=None, attempts=1):
    return SimpleNamespace(
        status=Status(status),
        started_at=ago(started),
        attempts=attempts,
        cancel_requested_at=None,
    )


def make_attempt(number=1, *, started=None, ended=0, outcome="failed", exception="ValueError"):
    return SimpleNamespace(
        number=number,
        started_at=ago(started),
        ended_at=ago(ended),
        outcome=outcome,
        exception_class=exception,
    )


class TestSplitAttempts:
    @pytest.mark.parametrize(
        ("record", "is_current"),
        [
            (make_record(attempts=2), True),
            (make_record(attempts=3), False),
            (make_record(attempts=None, started=5), True),
            (make_record(attempts=None, started=1), False),
            (make_record(attempts=None), True),
            (make_record("in_progress", attempts=None), False),
        ],
        ids=[
            "its number is the row's",
            "its number is less",
            "it started when the row says",
            "it started at another time",
            "the row has no number and no start, and has ended",
            "the same, while the task runs again",
        ],
    )
    def test_the_newest_attempt_is_the_current_one_if_the_row_describes_it(
        self, record, is_current
    ):
        newest, older = make_attempt(2, started=5), make_attempt(1, started=9)

        current, earlier = split_attempts(record, [newest, older])

        assert current is (newest if is_current else None)
        assert list(earlier) == ([older] if is_current else [newest, older])

    def test_without_stored_attempts_there_is_no_current_attempt(self):
        assert split_attempts(make_record(), []) == (None, [])


def find(attempts, queue, *, record=None):
    """Ask for a task whose stored attempts are given oldest first."""
    record = record or make_record(attempts=len(attempts))
    return find_redelivery(record, attempts[::-1], queue, now=NOW)


class TestFindRedelivery:
    def test_a_task_that_must_not_run_again_does_not(self):
        record = make_record()
        record.cancel_requested_at = NOW

        found = find([make_attempt()], RETRIES, record=record)

        assert found.next_attempt is NextAttempt.REFUSED

    @pytest.mark.parametrize(("made", "left"), [(1, 2), (2, 1)])
    def test_redelivery_is_limited_by_max_attempts(self, made, left):
        attempts = [make_attempt(number + 1) for number in range(made)]

        assert find(attempts, RETRIES) == (NextAttempt.LIMITED, left)

    @pytest.mark.parametrize(
        ("attempts", "queue", "expected"),
        [
            ([make_attempt(n) for n in (1, 2, 3)], RETRIES, NextAttempt.LIMIT_REACHED),
            ([make_attempt()], {"orm": "default"}, NextAttempt.UNLIMITED),
            ([make_attempt()], {"orm": "default", "retry": 1e15}, NextAttempt.UNLIMITED),
            ([make_attempt()], RETRIES | {"ack_failures": True}, NextAttempt.NOT_RETRIED),
            ([make_attempt(ended=60)], RETRIES, NextAttempt.OVERDUE),
            ([make_attempt()], {"redis": {}}, NextAttempt.UNKNOWN),
            ([make_attempt()], RETRIES | {"sync": True}, NextAttempt.UNKNOWN),
            ([make_attempt()], RETRIES | {"sqs": {"aws_region": "x"}}, NextAttempt.UNKNOWN),
            ([make_attempt()], {}, NextAttempt.UNKNOWN),
            ([make_attempt()], RETRIES | {"retry": "soon"}, NextAttempt.UNKNOWN),
            ([make_attempt(exception="")], RETRIES, NextAttempt.UNKNOWN),
            ([make_attempt(outcome="lost")], RETRIES, NextAttempt.UNKNOWN),
            ([], RETRIES, NextAttempt.UNKNOWN),
        ],
        ids=[
            "all attempts were made",
            "no limit",
            "retry never",
            "failures are acknowledged",
            "an hour after it was due",
            "redis",
            "sync",
            "sqs",
            "no settings",
            "settings that nobody can read",
            "a task that raised nothing is a success to django-q2",
            "lost",
            "no attempt is stored",
        ],
    )
    def test_an_uncertain_redelivery_is_unknown(self, attempts, queue, expected):
        assert find(attempts, queue) == (expected, 0)

    def test_an_attempt_without_a_result_makes_redelivery_unknown(self):
        record = make_record(attempts=2)

        assert find([make_attempt(2)], RETRIES, record=record) == (NextAttempt.UNKNOWN, 0)

    @pytest.mark.parametrize("status", ["pending", "in_progress", "success", "lost"])
    def test_only_a_failed_task_is_retried(self, status):
        record = make_record(status)

        assert find([make_attempt()], RETRIES, record=record) == (NextAttempt.UNKNOWN, 0)
