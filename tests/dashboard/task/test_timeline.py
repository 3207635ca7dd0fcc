from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from powercrud_tracking.dashboard.task.timeline import WIDTH, Kind, build_timeline
from powercrud_tracking.lifecycle import OPEN, Status

NOW = timezone.now()


def at(seconds):
    return None if seconds is None else NOW - timedelta(seconds=1000 - seconds)


def make_record(status, *, created=0, started=None, ended=None, attempts=None):
    return SimpleNamespace(
        status=Status(status),
        is_open=status in OPEN,
        created_at=at(created),
        started_at=at(started),
        ended_at=at(ended),
        attempts=attempts,
    )


def make_attempt(number, started, ended, outcome="failed"):
    return SimpleNamespace(
        number=number, started_at=at(started), ended_at=at(ended), outcome=outcome
    )


def tell(record, *attempts):
    """Return kind and seconds of each part; attempts are given oldest first."""
    timeline = build_timeline(record, attempts[::-1], now=NOW)
    return [
        (part.kind, None if part.duration is None else part.duration.total_seconds())
        for part in timeline.parts
    ]


class TestParts:
    def test_a_queued_task_has_waited_until_now(self):
        record = make_record("pending", attempts=0)

        timeline = build_timeline(record, [], now=NOW)

        (part,) = timeline.parts
        assert (part.kind, part.is_open, part.end) == (Kind.QUEUED, True, None)
        assert part.duration == timeline.total == timedelta(seconds=1000)

    def test_a_running_task_runs_until_now(self):
        record = make_record("in_progress", started=100, attempts=1)

        assert tell(record) == [("queued", 100), ("running", 900)]

    def test_a_success_at_once(self):
        record = make_record("success", started=2, ended=9, attempts=1)

        timeline = build_timeline(record, [], now=NOW)

        assert [part.label for part in timeline.parts] == ["Queued", "Ran"]
        assert tell(record) == [("queued", 2), ("success", 7)]
        assert timeline.notes == ()

    def test_a_failure_is_told_once_though_its_attempt_is_kept_too(self):
        record = make_record("failed", started=2, ended=9, attempts=1)

        assert tell(record, make_attempt(1, 2, 9)) == [("queued", 2), ("failed", 7)]

    def test_the_same_where_the_table_counts_no_attempts(self):
        record = make_record("failed", started=2, ended=9)

        assert tell(record, make_attempt(1, 2, 9)) == [("queued", 2), ("failed", 7)]

    def test_every_failed_attempt_and_the_pauses_between(self):
        record = make_record("success", started=90, ended=96, attempts=3)

        parts = tell(record, make_attempt(1, 2, 5), make_attempt(2, 45, 50))

        assert parts == [
            ("queued", 2),
            ("failed", 3),
            ("paused", 40),
            ("failed", 5),
            ("paused", 40),
            ("success", 6),
        ]

    def test_a_retry_that_runs(self):
        record = make_record("in_progress", started=900, attempts=2)

        timeline = build_timeline(record, [make_attempt(1, 2, 5)], now=NOW)

        assert [part.label for part in timeline.parts] == [
            "Queued",
            "Attempt 1: Failed",
            "Waited for the next attempt",
            "Attempt 2: Running",
        ]

    def test_a_task_that_was_lost_in_the_queue_never_started(self):
        record = make_record("lost", ended=400, attempts=0)

        timeline = build_timeline(record, [], now=NOW)

        assert [part.label for part in timeline.parts] == ["Queued; it never started"]
        assert tell(record) == [("lost", 400)]

    def test_one_that_was_judged_lost_and_then_succeeded_says_so(self):
        record = make_record("success", started=2, ended=900, attempts=1)

        timeline = build_timeline(record, [make_attempt(1, 2, 400, "lost")], now=NOW)

        assert [part.kind for part in timeline.parts] == ["queued", "success"]
        assert timeline.notes == ("It was judged lost for a while, and then gave a sign of life.",)


class TestHonesty:
    def test_attempts_of_which_nothing_is_left_are_counted(self):
        record = make_record("success", started=90, ended=96, attempts=4)

        timeline = build_timeline(record, [make_attempt(2, 45, 50)], now=NOW)

        assert [note[:12] for note in timeline.notes] == ["1 attempt is", "1 attempt is"]

    @pytest.mark.parametrize(
        "record",
        [
            make_record("success", created=10, started=2, ended=9, attempts=1),
            make_record("success", started=9, ended=2, attempts=1),
            make_record("in_progress", started=1010, attempts=1),
            make_record("pending", created=1010),
        ],
        ids=["began before it was queued", "ended before it began", "begins later", "queued later"],
    )
    def test_clocks_that_differ_make_no_part_negative(self, record):
        timeline = build_timeline(record, [], now=NOW)

        assert min(part.duration for part in timeline.parts) == timedelta()
        assert timeline.notes == (
            "Some times overlap: clocks of machines differ, or two attempts ran at once.",
        )

    def test_an_end_that_was_not_kept_is_not_known(self):
        record = make_record("success", started=2)

        timeline = build_timeline(record, [], now=NOW)

        assert tell(record) == [("queued", 2), ("success", None)]
        assert timeline.notes == ("When it ended was not kept.",)
        assert timeline.parts[1].width == 0

    def test_a_start_that_was_not_kept_is_said(self):
        record = make_record("success", ended=9)

        timeline = build_timeline(record, [], now=NOW)

        assert tell(record) == [("unknown", 9)]
        assert timeline.notes == ("When it began was not kept.",)

    def test_a_table_that_keeps_no_time_has_no_timeline(self):
        record = make_record("failed", created=None)

        assert build_timeline(record, [], now=NOW) is None

    def test_without_the_time_of_queueing_it_begins_with_the_start(self):
        record = make_record("success", created=None, started=2, ended=9)

        assert tell(record) == [("success", 7)]


class TestPicture:
    def test_shares_are_of_the_whole(self):
        record = make_record("success", started=25, ended=100, attempts=1)

        timeline = build_timeline(record, [], now=NOW)

        assert [part.percent for part in timeline.parts] == [25, 75]

    def test_a_short_part_stays_visible(self):
        record = make_record("success", started=0.001, ended=1000, attempts=1)

        timeline = build_timeline(record, [], now=NOW)

        assert timeline.parts[0].width >= 10

    def test_a_task_that_took_no_time_is_drawn_all_the_same(self):
        record = make_record("success", started=0, ended=0, attempts=1)

        timeline = build_timeline(record, [], now=NOW)

        assert all(part.width > 0 for part in timeline.parts)

    times = st.one_of(st.none(), st.integers(-2000, 2000))

    @given(
        status=st.sampled_from([*Status]),
        times=st.tuples(times, times, times),
        attempts=st.one_of(st.none(), st.integers(0, 30)),
        kept=st.lists(st.tuples(times, st.integers(-2000, 2000)), max_size=20),
    )
    def test_whatever_was_kept_parts_fit_in_the_picture(self, status, times, attempts, kept):
        created, started, ended = times
        record = make_record(
            status, created=created, started=started, ended=ended, attempts=attempts
        )
        runs = [make_attempt(number + 1, *times) for number, times in enumerate(kept)]

        timeline = build_timeline(record, runs[::-1], now=NOW)

        for part in timeline.parts if timeline else ():
            assert part.duration is None or part.duration >= timedelta()
            assert 0 <= part.x <= part.x + part.width <= WIDTH
            assert 0 <= part.share <= 1
