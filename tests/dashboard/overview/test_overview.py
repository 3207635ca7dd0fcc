from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.brokers import get_broker

from powercrud_tracking.dashboard.overview import overview
from powercrud_tracking.dashboard.overview.overview import (
    DEFAULT_WINDOW,
    WINDOWS,
    Overview,
    get_window,
    read_overview,
)
from powercrud_tracking.maintenance.queue import Cluster, Queue
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.counts import Count
from powercrud_tracking.records.reading import get_rows
from tests.project.models import BespokeRecord, NameOnlyRecord

BESPOKE = {
    "RECORD_MODEL": "project.BespokeRecord",
    "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
}
CLUSTER = Cluster(host="here", status="Idle", pids=(1, 2))


def make(name, *, ago=timedelta(), **values):
    return AsyncTaskRecord.objects.create(
        task_name=name, created_at=timezone.now() - ago, func="shop.tasks.sort", **values
    )


def make_run(name, *, ago, status="success"):
    at = timezone.now() - ago
    end = {"success": "completed_at"}.get(status, "failed_at")
    make(name, ago=ago, status=status, started_at=at, **{end: at + timedelta(seconds=1)})


class TestGetWindow:
    @pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
    def test_each_window_is_found_by_its_name(self, window):
        assert get_window(window.name) is window

    @pytest.mark.parametrize("name", ["", "nonsense", "24H"])
    def test_an_unknown_window_is_the_default_one(self, name):
        assert get_window(name) is DEFAULT_WINDOW


class TestIsStuck:
    @pytest.mark.parametrize(
        ("queue", "pending", "is_stuck"),
        [
            (Queue(clusters=(), length=Count(number=0)), 0, False),
            (Queue(clusters=None, length=Count(number=3)), 3, False),
            (Queue(clusters=(CLUSTER,), length=Count(number=3)), 3, False),
            (Queue(clusters=(), length=Count(number=3)), 0, True),
            (Queue(clusters=(), length=Count(number=0)), 3, True),
            (Queue(clusters=(), length=None), 3, True),
        ],
        ids=["empty", "unknown", "alive", "by the queue", "by the rows", "length unknown"],
    )
    def test_an_overview_is_stuck_if_tasks_are_queued_without_a_running_cluster(
        self, queue, pending, is_stuck
    ):
        now = timezone.now()
        found = Overview(queue=queue, since=now, open={"pending": Count(number=pending)})

        assert found.is_stuck is is_stuck
        assert not is_stuck or found.waiting == Count(number=3)

    def test_an_overview_without_statuses_uses_the_queue_length(self):
        assert Overview(
            queue=Queue(clusters=(), length=Count(number=1)), since=timezone.now()
        ).is_stuck


@pytest.mark.django_db
class TestReadOverview:
    def test_open_tasks_of_any_age_are_counted(self):
        make("old", ago=timedelta(days=90))
        make("new")
        make("running", status="in_progress")

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert found.open == {"pending": Count(number=2), "in_progress": Count(number=1)}
        assert timedelta(days=90) <= found.oldest_age < timedelta(days=91)

    def test_the_oldest_queued_task_is_not_a_running_one(self):
        make("running", status="in_progress", ago=timedelta(days=1))

        assert read_overview(get_rows(), DEFAULT_WINDOW).oldest_age is None

    @pytest.mark.parametrize(("name", "count"), [("1h", 1), ("24h", 2), ("7d", 3)])
    def test_the_window_limits_the_ended_tasks(self, name, count):
        for status in ("success", "failed"):
            for ago in (timedelta(minutes=30), timedelta(hours=20), timedelta(days=6)):
                make_run(f"{status} {ago}", ago=ago, status=status)

        found = read_overview(get_rows(), get_window(name))

        assert (found.ended["success"].number, found.ended["failed"].number) == (count, count)
        assert [timing.runs for timing in found.timings] == [2 * count]
        assert [group.count for group in found.errors] == [count]
        assert found.failure_rate == 0.5

    def test_cancelled_tasks_do_not_change_the_failure_rate(self):
        for number, status in enumerate(["success", "failed", "cancelled", "cancelled"]):
            make_run(f"task {number}", ago=timedelta(minutes=30), status=status)

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert found.ended["cancelled"].number == 2
        assert found.failure_rate == 0.5

    def test_the_overview_knows_whether_all_ended_tasks_were_read(self, monkeypatch):
        monkeypatch.setattr(overview, "LIMIT", 3)
        for number in range(2):
            make_run(f"ran {number}", ago=timedelta(minutes=number))
            make_run(f"failed {number}", ago=timedelta(minutes=number), status="failed")

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert (found.timings_are_cut, found.errors_are_cut) == (True, False)
        assert [timing.runs for timing in found.timings] == [3]

    def test_the_overview_of_an_empty_table_is_empty(self):
        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert {count.number for count in [*found.open.values(), *found.ended.values()]} == {0}
        assert (found.timings, found.errors, found.failure_rate) == ([], [], None)
        assert len(found.hours) == 24

    def test_the_overview_of_no_visible_rows_is_empty(self):
        make_run("another's", ago=timedelta(), status="failed")
        make("another's, open")

        found = read_overview(get_rows().none(), DEFAULT_WINDOW)

        assert {count.number for count in [*found.open.values(), *found.ended.values()]} == {0}
        assert (found.timings, found.errors, found.oldest_at) == ([], [], None)
        assert sum(hour.total.number for hour in found.hours) == 0

    def test_the_rows_of_a_distinct_queryset_are_counted(self):
        make_run("one", ago=timedelta(), status="failed")
        make("another")

        found = read_overview(get_rows().distinct(), DEFAULT_WINDOW)

        assert found.ended["failed"] == found.open["pending"] == Count(number=1)
        assert sum(hour.total.number for hour in found.hours) == 2
        assert [group.count for group in found.errors] == [1]

    def test_the_queue_length_is_read_only_if_asked_for(self):
        get_broker().enqueue("a package")

        found = [read_overview(get_rows(), DEFAULT_WINDOW, measure_queue=m) for m in (True, False)]

        assert [each.waiting.number for each in found] == [1, 0]


@pytest.mark.django_db
class TestTableWithoutColumns:
    def test_a_table_with_statuses_only_has_the_open_tasks(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE
        BespokeRecord.objects.create(key="one", state="pending")
        BespokeRecord.objects.create(key="two", state="failed")

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert found.open == {"pending": Count(number=1), "in_progress": Count()}
        assert (found.ended, found.hours, found.timings, found.errors) == (None,) * 4

    def test_a_table_without_statuses_has_the_queue_only(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name="one")

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert found.queue.clusters == ()
        assert (found.open, found.ended, found.hours) == (None, None, None)

    @pytest.mark.parametrize(
        ("column", "lacking"),
        [("started_at", "timings"), ("func", "timings"), ("message", "errors")],
    )
    def test_a_section_whose_column_is_missing_is_left_out(self, settings, column, lacking):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FIELD_MAP": {column: None}}
        make_run("one", ago=timedelta(), status="failed")

        found = read_overview(get_rows(), DEFAULT_WINDOW)

        assert getattr(found, lacking) is None
        assert found.hours is not None
