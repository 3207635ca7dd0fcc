from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from powercrud_tracking.dashboard.overview.throughput import (
    add,
    build_figures,
    get_edges,
    get_hours,
)
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.counts import Count, read_figures
from powercrud_tracking.records.reading import get_rows

STATUSES = ("pending", "in_progress", "success", "failed", "lost")


def read(now):
    edges = get_edges(now)
    return get_hours(read_figures(get_rows(), build_figures(get_rows(), edges)), edges)


class TestGetEdges:
    def test_the_edges_are_those_of_24_hours_up_to_the_current_one(self):
        now = timezone.now()

        edges = get_edges(now)

        assert len(edges) == 25
        assert edges[-2] <= now < edges[-1]

    def test_a_naive_time_has_naive_edges(self):
        edges = get_edges(datetime(2026, 5, 4, 12, 34))

        assert (edges[0], edges[-1]) == (datetime(2026, 5, 3, 13), datetime(2026, 5, 4, 13))

    def test_hours_begin_by_the_clock_of_the_active_time_zone(self):
        now = datetime(2026, 5, 4, 12, 34, tzinfo=UTC)

        with timezone.override(ZoneInfo("Asia/Kolkata")):
            edges = get_edges(now)

        assert edges[-1].isoformat() == "2026-05-04T19:00:00+05:30"

    @pytest.mark.parametrize("day", [(2026, 3, 29), (2026, 10, 25)], ids=["spring", "autumn"])
    def test_each_hour_is_an_hour_long_on_days_of_a_clock_change(self, day):
        with timezone.override(ZoneInfo("Europe/Berlin")):
            edges = get_edges(datetime(*day, 12, 30, tzinfo=UTC))

        instants = [edge.astimezone(UTC) for edge in edges]
        assert {b - a for a, b in pairwise(instants)} == {timedelta(hours=1)}

    @pytest.mark.parametrize("moment", [(2026, 4, 4, 15, 15), (2026, 10, 3, 15, 45)])
    def test_the_last_hour_is_the_current_one_if_clocks_change_by_half_an_hour(self, moment):
        now = datetime(*moment, tzinfo=UTC)

        with timezone.override(ZoneInfo("Australia/Lord_Howe")):
            edges = get_edges(now)

        assert edges[-2] <= now < edges[-1]


@pytest.mark.django_db
class TestGetHours:
    def test_each_hour_counts_its_tasks_by_outcome(self):
        now = timezone.now()
        for hours, statuses in {
            0: STATUSES,
            3: ("success", "success", "lost", "cancelled"),
            24: STATUSES,
        }.items():
            for number, status in enumerate(statuses):
                AsyncTaskRecord.objects.create(
                    task_name=f"{hours}-{number}",
                    status=status,
                    created_at=now - timedelta(hours=hours),
                )

        hours = read(now)

        counted = {n: hour.numbers for n, hour in enumerate(reversed(hours)) if hour.total.number}
        assert counted == {
            0: {"success": 1, "open": 2, "broken": 2, "cancelled": 0},
            3: {"success": 2, "open": 0, "broken": 1, "cancelled": 1},
        }

    def test_an_hour_includes_its_start_and_excludes_its_end(self):
        now = timezone.now()
        edges = get_edges(now)
        for number, at in enumerate([edges[-2], edges[-2] - timedelta(microseconds=1)]):
            AsyncTaskRecord.objects.create(task_name=f"task-{number}", created_at=at)

        assert [hour.total.number for hour in read(now)[-2:]] == [1, 1]

    def test_the_hours_of_an_empty_table_have_counts_of_zero(self):
        assert {hour.total for hour in read(timezone.now())} == {Count()}


def test_a_sum_with_a_capped_count_is_capped():
    total = add([Count(number=10_000, has_more=True), Count(number=3)])

    assert total == Count(number=10_003, has_more=True)
