from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from powercrud_tracking.dashboard.task.timeline import build_timeline
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
        ended_at=None if status in OPEN else at(ended),
        attempts=attempts,
    )


def make_attempt(number, started, ended, outcome="failed"):
    return SimpleNamespace(
        number=number, started_at=at(started), ended_at=at(ended), outcome=outcome
    )


def build(record, *attempts):
    """Return the timeline; attempts are given oldest first."""
    return build_timeline(record, attempts[::-1], now=NOW)


def get_parts(record, *attempts):
    """Return kind and seconds of each part."""
    return [
        (part["kind"], part["duration"] and part["duration"].total_seconds())
        for part in build(record, *attempts)["parts"]
    ]


def get_labels(timeline):
    return [part["label"] for part in timeline["parts"]]


class TestParts:
    def test_a_queued_task_is_queued_until_now(self):
        timeline = build(make_record("pending", attempts=0))

        (part,) = timeline["parts"]
        assert (part["kind"], part["is_open"]) == ("pending", True)
        assert part["duration"] == timeline["total"] == timedelta(seconds=1000)

    def test_a_running_task_runs_until_now(self):
        record = make_record("in_progress", started=100, attempts=1)

        assert get_parts(record) == [("pending", 100), ("in_progress", 900)]

    def test_a_task_that_succeeds_at_once_has_two_parts(self):
        record = make_record("success", started=2, ended=9, attempts=1)

        timeline = build(record)

        assert get_labels(timeline) == ["Queued", "Attempt 1: Succeeded"]
        assert get_parts(record) == [("pending", 2), ("success", 7)]
        assert timeline["notes"] == []

    @pytest.mark.parametrize("attempts", [1, None], ids=["counted", "not counted"])
    def test_the_current_attempt_is_shown_once_though_it_is_stored_too(self, attempts):
        record = make_record("failed", started=2, ended=9, attempts=attempts)

        assert get_parts(record, make_attempt(1, 2, 9)) == [("pending", 2), ("failed", 7)]

    def test_every_failed_attempt_and_the_pauses_between_are_shown(self):
        record = make_record("success", started=90, ended=96, attempts=3)

        assert get_parts(record, make_attempt(1, 2, 5), make_attempt(2, 45, 50)) == [
            ("pending", 2),
            ("failed", 3),
            ("paused", 40),
            ("failed", 5),
            ("paused", 40),
            ("success", 6),
        ]

    def test_a_retry_that_is_running_comes_last(self):
        record = make_record("in_progress", started=900, attempts=2)

        timeline = build(record, make_attempt(1, 2, 5))

        assert get_labels(timeline) == [
            "Queued",
            "Attempt 1: Failed",
            "Waiting for the next attempt",
            "Attempt 2: Running",
        ]
        assert [part.get("is_open") for part in timeline["parts"]] == [None, None, None, True]

    def test_the_run_time_of_a_lost_attempt_is_unknown_but_drawn(self):
        record = make_record("lost", started=100, ended=400, attempts=1)

        part = build(record)["parts"][1]

        assert (part["kind"], part["duration"]) == ("lost", None)
        assert part["percent"] == 75

    def test_a_task_that_was_lost_in_the_queue_never_started(self):
        record = make_record("lost", ended=400, attempts=0)

        assert get_labels(build(record)) == ["Queued, never started"]

    def test_a_task_that_was_declared_lost_too_early_has_a_note(self):
        record = make_record("success", started=2, ended=900, attempts=1)

        timeline = build(record, make_attempt(1, 2, 400, "lost"))

        assert [part["kind"] for part in timeline["parts"]] == ["pending", "success"]
        assert timeline["notes"] == ["The task was declared lost, then a worker reported it again."]

    def test_the_stored_attempt_completes_a_row_that_stores_no_times(self):
        record = make_record("failed")

        assert get_parts(record, make_attempt(1, 2, 9)) == [("pending", 2), ("failed", 7)]


class TestUnknownTimes:
    def test_attempts_that_are_not_stored_are_counted(self):
        record = make_record("success", started=90, ended=96, attempts=4)

        timeline = build(record, make_attempt(2, 45, 50))

        assert [note[:19] for note in timeline["notes"]] == ["2 attempts are not "]
        assert get_labels(timeline)[0] == "Queued, and attempts that are not shown"

    @pytest.mark.parametrize(
        "record",
        [
            make_record("success", created=10, started=2, ended=9, attempts=1),
            make_record("success", started=9, ended=2, attempts=1),
            make_record("in_progress", started=1010, attempts=1),
            make_record("pending", created=1010),
        ],
        ids=[
            "started before it was queued",
            "ended before the start",
            "starts later",
            "queued later",
        ],
    )
    def test_clocks_that_differ_make_no_part_negative(self, record):
        timeline = build(record)

        assert min(part["duration"] for part in timeline["parts"]) == timedelta()
        assert timeline["notes"] == [
            "Some times overlap: clocks differ, or two attempts ran at the same time."
        ]

    def test_an_end_that_is_not_stored_is_unknown(self):
        record = make_record("success", started=2)

        timeline = build(record)

        assert get_parts(record) == [("pending", 2), ("success", None)]
        assert timeline["notes"] == ["The end time is unknown."]
        assert "width" not in timeline["parts"][1]

    @pytest.mark.parametrize(
        ("record", "seconds"),
        [(make_record("success", ended=9), 9), (make_record("in_progress"), 1000)],
        ids=["ended", "running"],
    )
    def test_a_start_that_is_not_stored_is_unknown(self, record, seconds):
        assert get_parts(record) == [("unknown", seconds)]
        assert build(record)["notes"] == ["The start time is unknown."]

    def test_a_table_that_stores_no_times_has_no_timeline(self):
        assert build(make_record("failed", created=None)) is None

    def test_without_the_time_of_queueing_it_begins_with_the_start(self):
        record = make_record("success", created=None, started=2, ended=9)

        assert get_parts(record) == [("success", 7)]


class TestPicture:
    def test_the_width_of_a_part_is_its_share_in_percent(self):
        record = make_record("success", started=25, ended=100, attempts=1)

        parts = build(record)["parts"]

        assert [part["percent"] for part in parts] == [25, 75]
        assert [part["width"] for part in parts] == [25, 75]

    def test_a_short_part_stays_visible(self):
        record = make_record("success", started=0.001, ended=1000, attempts=1)

        assert build(record)["parts"][0]["width"] >= 1

    def test_a_task_that_took_no_time_is_drawn(self):
        record = make_record("success", started=0, ended=0, attempts=1)

        assert [part["width"] for part in build(record)["parts"]] == [50, 50]

    times = st.one_of(st.none(), st.integers(-2000, 2000))

    @given(
        status=st.sampled_from([*Status]),
        times=st.tuples(times, times, times),
        attempts=st.one_of(st.none(), st.integers(0, 30)),
        stored=st.lists(st.tuples(times, st.integers(-2000, 2000)), max_size=20),
    )
    def test_parts_fit_in_the_picture_whatever_is_stored(self, status, times, attempts, stored):
        created, started, ended = times
        record = make_record(
            status, created=created, started=started, ended=ended, attempts=attempts
        )
        runs = [make_attempt(number + 1, *times) for number, times in enumerate(stored)]

        timeline = build(record, *runs)

        end = 0
        for part in timeline["parts"] if timeline else ():
            assert part["duration"] is None or part["duration"] >= timedelta()
            if "width" in part:
                assert end <= part["x"]
                assert 0 < part["width"] <= timeline["width"] - part["x"] + 0.01
                end = part["x"] + part["width"]
