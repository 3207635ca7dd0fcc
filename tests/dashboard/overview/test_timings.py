from datetime import datetime, timedelta

import pytest

from powercrud_tracking.dashboard.overview.finished_tasks import FinishedTask
from powercrud_tracking.dashboard.overview.timings import get_percentile, get_timings

START = datetime(2026, 5, 4, 12)


def seconds(number):
    return timedelta(seconds=number)


def make(func="shop.tasks.sort", *, waited=1, ran=1, status="success"):
    started = START + seconds(waited)
    at = "completed_at" if status == "success" else "failed_at"
    values = {"started_at": started, at: started + seconds(ran)}
    return FinishedTask(status=status, created_at=START, func=func, **values)


class TestGetPercentile:
    @pytest.mark.parametrize(
        ("count", "percent", "rank"),
        [(1, 50, 1), (1, 95, 1), (2, 50, 1), (2, 95, 2), (20, 95, 19), (21, 95, 20), (100, 50, 50)],
    )
    def test_a_percentile_is_the_nearest_rank(self, count, percent, rank):
        ordered = [seconds(number) for number in range(1, count + 1)]

        assert get_percentile(ordered, percent) == seconds(rank)


class TestGetTimings:
    def test_half_of_the_runs_took_no_longer_than_p50(self):
        ended = [make(waited=10 * n, ran=n) for n in (5, 1, 4, 2, 3)]

        (timing,) = get_timings(ended)

        assert (timing.runs, timing.total) == (5, seconds(15))
        assert (timing.run_time.p50, timing.run_time.p95) == (seconds(3), seconds(5))
        assert (timing.queue_time.p50, timing.queue_time.p95) == (seconds(30), seconds(50))

    def test_functions_with_the_longest_total_run_time_come_first(self):
        ended = [make("few.long", ran=100), make("many.short"), make("many.short"), make("a.short")]

        assert [timing.func for timing in get_timings(ended)] == [
            "few.long",
            "many.short",
            "a.short",
        ]

    def test_a_failed_run_is_measured(self):
        assert [timing.runs for timing in get_timings([make(status="failed")])] == [1]

    @pytest.mark.parametrize(
        "each",
        [
            make(status="lost"),
            FinishedTask(status="success", created_at=START, completed_at=START),
            FinishedTask(status="success", created_at=START, started_at=START),
        ],
        ids=["lost", "never started", "without an end"],
    )
    def test_a_run_of_unknown_length_is_not_measured(self, each):
        assert get_timings([each]) == []

    def test_different_clocks_cause_no_negative_times(self):
        (timing,) = get_timings([make(waited=-1, ran=-1)])

        assert (timing.queue_time.p50, timing.run_time.p50) == (timedelta(), timedelta())
