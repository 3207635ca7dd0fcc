from datetime import timedelta

import pytest
from django.db import connections, router
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.dashboard.task.runs import HEIGHT, MOST, find_runs
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import Record, get_rows
from tests.project.models import NameOnlyRecord

pytestmark = pytest.mark.django_db

NOW = timezone.now()
FUNC = "shop.tasks.load"


def make(number, *, seconds=10, status="success", func=FUNC, **values):
    """Make a run, the newer the higher its number."""
    started = NOW - timedelta(hours=100) + timedelta(minutes=number)
    ended = started + timedelta(seconds=seconds)
    given = {"completed_at": ended} if status == "success" else {"failed_at": ended}
    return AsyncTaskRecord.objects.create(
        task_name=f"run-{number}",
        func=func,
        status=status,
        created_at=started,
        **{"started_at": started, **given, **values},
    )


def find(row):
    return find_runs(Record(row, get_record_map(get_config())), get_rows(), now=NOW)


class TestWhich:
    def test_they_are_the_newest_of_the_function_the_oldest_first(self):
        rows = [make(number) for number in range(MOST + 5)]
        make(200, func="shop.tasks.other")

        runs = find(rows[-1])

        assert [run.task_name for run in runs.bars] == [row.task_name for row in rows[-MOST:]]

    def test_a_function_that_ran_only_this_once_has_no_chart(self):
        assert find(make(1)) is None

    def test_without_a_function_there_is_no_chart(self):
        rows = [make(number, func="") for number in range(2)]

        assert find(rows[0]) is None

    def test_a_table_without_it_has_none(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        row = NameOnlyRecord.objects.create(task_name="a")

        assert find(row) is None

    def test_it_is_one_query_however_many_there_are(self, django_assert_num_queries):
        rows = [make(number) for number in range(MOST + 5)]

        connection = connections[router.db_for_read(AsyncTaskRecord)]
        with django_assert_num_queries(1, connection=connection):
            find(rows[0])

    def test_rows_that_the_person_may_not_see_are_left_out(self):
        rows = [make(number, launched_by_id=str(number % 2)) for number in range(6)]
        record = Record(rows[0], get_record_map(get_config()))
        seen = get_rows().filter(launched_by_id="0")

        assert [run.task_name for run in find_runs(record, seen).bars] == [
            "run-0",
            "run-2",
            "run-4",
        ]


class TestBars:
    def test_the_height_is_the_time_it_took(self):
        rows = [make(1, seconds=20), make(2, seconds=10)]

        runs = find(rows[0])

        assert [bar.height for bar in runs.bars] == [HEIGHT, HEIGHT / 2]
        assert [bar.y for bar in runs.bars] == [0, HEIGHT / 2]
        assert runs.longest == timedelta(seconds=20)

    def test_one_outlier_leaves_the_others_to_be_seen(self):
        rows = [make(number, seconds=10) for number in range(9)]
        make(10, seconds=10_000)

        runs = find(rows[0])

        assert (runs.top, runs.longest) == (timedelta(seconds=40), timedelta(seconds=10_000))
        assert [bar.is_cut for bar in runs.bars] == [False] * 9 + [True]
        assert {bar.height for bar in runs.bars} == {25, HEIGHT}

    def test_this_one_is_marked(self):
        rows = [make(number) for number in range(3)]

        assert [bar.is_this for bar in find(rows[1]).bars] == [False, True, False]

    def test_one_that_is_older_than_these_is_a_line(self):
        rows = [make(number, seconds=20) for number in range(MOST + 1)]
        AsyncTaskRecord.objects.filter(pk=rows[0].pk).update(
            completed_at=rows[0].started_at + timedelta(seconds=10)
        )
        rows[0].refresh_from_db()

        runs = find(rows[0])

        assert runs.reference == HEIGHT / 2
        assert find(rows[5]).reference is None

    def test_an_open_one_has_run_until_now(self):
        started = NOW - timedelta(seconds=30)
        make(1, seconds=60)
        row = make(2, status="in_progress", started_at=started, failed_at=None)

        assert find(row).bars[1].duration == timedelta(seconds=30)

    def test_one_that_has_not_begun_has_no_time_and_a_bar_to_click(self):
        make(1)
        row = make(2, status="pending", started_at=None, failed_at=None)

        bar = find(row).bars[1]

        assert bar.duration is None
        assert bar.height > 0

    def test_it_is_told_in_words_too(self):
        rows = [make(1, seconds=1), make(2, seconds=3), make(3, seconds=99, status="failed")]
        make(4, seconds=99, status="lost")

        runs = find(rows[0])

        assert (runs.succeeded, runs.failed) == (2, 2)
        assert runs.median == timedelta(seconds=2)
        assert runs.newest_first[0].task_name == "run-4"
