from datetime import timedelta

import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from powercrud_tracking.lifecycle import ALL, OPEN, Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records import counts
from powercrud_tracking.records.counts import (
    Count,
    build_count,
    build_counts,
    build_oldest,
    count_among_newest,
    get_count,
    read_counts,
    read_figures,
)
from powercrud_tracking.records.reading import get_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    now = timezone.now()
    for number in range(5):
        AsyncTaskRecord.objects.create(
            task_name=f"task {number}%", func="a%s", created_at=now - timedelta(hours=number)
        )
    return now


def get_edges(now):
    return [now - timedelta(hours=hours, minutes=30) for hours in (3, 2, 1, 0, -1)]


class TestReadFigures:
    def test_all_figures_are_read_in_one_query(self, now, django_assert_num_queries):
        rows = get_rows()
        asked = dict(enumerate(build_counts(rows, get_edges(now))))
        asked |= {"all": build_count(rows), "oldest": build_oldest(rows)}

        with django_assert_num_queries(1, connection=connections[rows.db]):
            found = read_figures(rows, asked)

        assert found == {
            0: 1,
            1: 1,
            2: 1,
            3: 1,
            "all": 5,
            "oldest": now - timedelta(hours=4),
        }

    def test_the_figures_of_an_empty_table_are_none(self):
        assert read_figures(get_rows(), {"all": build_count(get_rows())}) == {"all": None}

    def test_the_count_of_an_impossible_condition_is_zero(self, now):
        rows = get_rows().none()
        asked = {"all": build_count(rows), "some": build_counts(rows, get_edges(now))[0]}

        assert read_figures(get_rows(), asked) == {"all": 0, "some": 0}

    def test_a_percent_sign_in_a_parameter_is_kept(self, now):
        rows = get_rows().of_func("a%s")

        found = read_figures(rows, dict(enumerate(build_counts(rows, get_edges(now)))))

        assert list(found.values()) == [1, 1, 1, 1]

    def test_a_figure_stops_counting_at_the_limit(self, now, monkeypatch):
        monkeypatch.setattr(counts, "LIMIT", 3)

        found = read_figures(get_rows(), {"all": build_count(get_rows())})

        assert get_count(found["all"]) == Count(number=3, has_more=True)

    def test_no_figures_cost_no_query(self, django_assert_num_queries):
        connection = connections[router.db_for_read(AsyncTaskRecord)]

        with django_assert_num_queries(0, connection=connection):
            assert read_figures(get_rows(), {}) == {}


def make(number, **values):
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"{values}-{n}", **values) for n in range(number)
    )


def select():
    rows = AsyncTaskRecord.objects.all()
    return {"lost": rows.with_status(["lost"]), "open": rows.open(), "all": rows}


class TestReadCounts:
    def test_the_counts_of_an_empty_table_are_zero(self):
        assert read_counts(select()) == {"lost": Count(), "open": Count(), "all": Count()}

    def test_each_selection_has_its_own_count(self):
        make(3, status="lost")
        make(2, status="pending")

        found = read_counts(select())

        assert {name: count.number for name, count in found.items()} == {
            "lost": 3,
            "open": 2,
            "all": 5,
        }

    def test_an_empty_selection_has_a_count_of_zero(self):
        make(1)

        assert read_counts({"none": AsyncTaskRecord.objects.none()})["none"] == Count()

    def test_a_count_stops_at_the_limit(self, monkeypatch):
        monkeypatch.setattr(counts, "LIMIT", 3)
        make(3, status="lost")
        make(2, status="pending")

        found = read_counts(select())

        assert (str(found["lost"]), str(found["open"]), str(found["all"])) == ("3", "2", "3+")

    def test_the_sql_of_a_count_has_the_limit(self, monkeypatch):
        monkeypatch.setattr(counts, "LIMIT", 3)

        with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
            read_counts(select())

        assert queries[0]["sql"].count("LIMIT 4") == 3

    def test_all_counts_are_read_in_one_query(self, django_assert_num_queries):
        make(3)
        connection = connections[router.db_for_read(AsyncTaskRecord)]

        with django_assert_num_queries(1, connection=connection):
            read_counts(select())


class TestCountAmongNewest:
    SELECTIONS = {"lost": {Status.LOST}, "open": OPEN, "all": ALL}

    def test_each_set_of_statuses_has_its_own_count(self):
        make(3, status="lost")
        make(2, status="pending")

        found = count_among_newest(get_rows(), self.SELECTIONS)

        assert {name: str(count) for name, count in found.items()} == {
            "lost": "3",
            "open": "2",
            "all": "5",
        }

    def test_with_rows_beyond_the_limit_each_count_has_more(self, monkeypatch):
        monkeypatch.setattr(counts, "LIMIT", 3)
        now = timezone.now()
        make(1, status="lost", created_at=now - timedelta(hours=1))
        make(3, status="pending", created_at=now)

        found = count_among_newest(get_rows(), self.SELECTIONS)

        assert [str(count) for count in found.values()] == ["0+", "3+", "3+"]

    def test_an_unknown_status_is_counted_among_all_only(self):
        make(1, status="paused")

        found = count_among_newest(get_rows(), self.SELECTIONS)

        assert [str(count) for count in found.values()] == ["0", "0", "1"]

    def test_counting_among_the_newest_is_one_query_with_a_limit(self, monkeypatch):
        monkeypatch.setattr(counts, "LIMIT", 3)

        with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
            count_among_newest(get_rows(), self.SELECTIONS)

        assert len(queries) == 1
        assert queries[0]["sql"].endswith("LIMIT 4")
