from datetime import timedelta

import pytest
from django.db import connections, router
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.dashboard.task.latest_runs import MOST_RUNS, find_latest_runs
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


def find(row, rows=None):
    record = Record(row, get_record_map(get_config()))
    return find_latest_runs(record, get_rows() if rows is None else rows, now=NOW)


def get_names(found):
    return [run["task_name"] for run in found["runs"]]


class TestWhich:
    def test_the_latest_runs_are_those_of_the_function_newest_first(self):
        rows = [make(number) for number in range(MOST_RUNS + 5)]
        make(200, func="shop.tasks.other")

        assert get_names(find(rows[-1])) == [row.task_name for row in rows[: -MOST_RUNS - 1 : -1]]

    def test_a_function_that_ran_only_this_once_has_no_chart(self):
        assert find(make(1)) is None

    def test_without_a_function_there_is_no_chart(self):
        rows = [make(number, func="") for number in range(2)]

        assert find(rows[0]) is None

    def test_a_table_that_stores_no_function_has_no_chart(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        row = NameOnlyRecord.objects.create(task_name="a")

        assert find(row) is None

    def test_any_number_of_latest_runs_is_read_in_one_query(self, django_assert_num_queries):
        rows = [make(number) for number in range(MOST_RUNS + 5)]

        connection = connections[router.db_for_read(AsyncTaskRecord)]
        with django_assert_num_queries(1, connection=connection):
            find(rows[0])

    def test_rows_that_the_person_may_not_see_are_left_out(self):
        rows = [make(number, launched_by_id=str(number % 2)) for number in range(6)]
        visible = get_rows().filter(launched_by_id="0")

        assert get_names(find(rows[0], visible)) == ["run-4", "run-2", "run-0"]


class TestRuns:
    def test_the_height_is_the_run_time_in_percent_of_the_longest(self):
        make(1, seconds=20)
        row = make(2, seconds=10)

        found = find(row)

        assert [run["height"] for run in found["runs"]] == [50, 100]
        assert found["longest"] == timedelta(seconds=20)

    def test_one_outlier_leaves_the_others_visible(self):
        rows = [make(number, seconds=10) for number in range(9)]
        make(10, seconds=10_000)

        found = find(rows[0])

        assert (found["top"], found["longest"]) == (
            timedelta(seconds=40),
            timedelta(seconds=10_000),
        )
        assert [run["is_cut"] for run in found["runs"]] == [True] + [False] * 9
        assert {run["height"] for run in found["runs"]} == {25, 100}

    def test_the_task_that_is_shown_is_marked(self):
        rows = [make(number) for number in range(3)]

        assert [run["is_shown"] for run in find(rows[1])["runs"]] == [False, True, False]

    def test_a_task_that_is_older_than_these_is_a_line(self):
        rows = [make(number, seconds=20) for number in range(MOST_RUNS + 1)]
        AsyncTaskRecord.objects.filter(pk=rows[0].pk).update(
            completed_at=rows[0].started_at + timedelta(seconds=10)
        )
        rows[0].refresh_from_db()

        assert find(rows[0])["reference"] == 50
        assert find(rows[5])["reference"] is None

    def test_a_running_task_has_run_until_now(self):
        started = NOW - timedelta(seconds=30)
        make(1, seconds=60)
        row = make(2, status="in_progress", started_at=started, failed_at=None)

        assert find(row)["runs"][0]["run_time"] == timedelta(seconds=30)

    @pytest.mark.parametrize(
        ("status", "values"),
        [("pending", {"started_at": None, "failed_at": None}), ("lost", {})],
        ids=["queued", "lost"],
    )
    def test_a_run_of_unknown_time_has_a_bar_to_click(self, status, values):
        make(1)
        row = make(2, status=status, **values)

        run = find(row)["runs"][0]

        assert run["run_time"] is None
        assert run["height"] > 0

    def test_without_a_known_run_time_there_is_no_longest_one(self):
        make(1, status="lost")
        row = make(2, status="lost")

        found = find(row)

        assert (found["longest"], found["median"]) == (None, None)

    def test_the_chart_has_a_summary_in_words(self):
        rows = [make(1, seconds=1), make(2, seconds=3), make(3, seconds=99, status="failed")]
        make(4, seconds=99, status="lost")

        found = find(rows[0])

        assert (found["succeeded"], found["failed"]) == (2, 2)
        assert found["median"] == timedelta(seconds=2)
