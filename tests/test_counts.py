import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext

from powercrud_tracking import counts
from powercrud_tracking.counts import Count, get_counts
from powercrud_tracking.models import AsyncTaskRecord

pytestmark = pytest.mark.django_db


def make(number, **values):
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"{values}-{n}", **values) for n in range(number)
    )


def select():
    rows = AsyncTaskRecord.objects.all()
    return {"lost": rows.with_status(["lost"]), "open": rows.open(), "all": rows}


def test_an_empty_table_has_none():
    assert get_counts(select()) == {"lost": Count(), "open": Count(), "all": Count()}


def test_each_selection_has_its_own_number():
    make(3, status="lost")
    make(2, status="pending")

    found = get_counts(select())

    assert {name: count.number for name, count in found.items()} == {
        "lost": 3,
        "open": 2,
        "all": 5,
    }


def test_a_selection_of_nobody_has_none():
    make(1)

    assert get_counts({"none": AsyncTaskRecord.objects.none()})["none"] == Count()


def test_counting_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(counts, "LIMIT", 3)
    make(3, status="lost")
    make(2, status="pending")

    found = get_counts(select())

    assert (str(found["lost"]), str(found["open"]), str(found["all"])) == ("3", "2", "3+")


def test_the_database_stops_there_too(monkeypatch):
    monkeypatch.setattr(counts, "LIMIT", 3)

    with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
        get_counts(select())

    assert queries[0]["sql"].count("LIMIT 4") == 3


def test_all_of_them_are_one_query(django_assert_num_queries):
    make(3)
    connection = connections[router.db_for_read(AsyncTaskRecord)]

    with django_assert_num_queries(1, connection=connection):
        get_counts(select())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (Count(), "0"),
        (Count(number=9999), "9,999"),
        (Count(number=10_000, has_more=True), "10,000+"),
    ],
    ids=str,
)
def test_a_number_is_written_for_people(settings, count, text):
    settings.LANGUAGE_CODE = "en-us"

    assert str(count) == text
