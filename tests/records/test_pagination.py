from datetime import timedelta

import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from powercrud_tracking.lifecycle import OPEN
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.pagination import SIZE, get_page
from powercrud_tracking.records.reading import get_rows
from tests.project.models import NameOnlyRecord

pytestmark = pytest.mark.django_db


def make(number, *, at=None):
    at = at or timezone.now()
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"{n:04}", created_at=at) for n in range(number)
    )


def get_names(page):
    return [record.task_name for record in page.records]


@pytest.mark.parametrize(
    "position",
    [
        *("", "@", "1", "1@", "x@2026-01-02T03:04:05", "1@yesterday", "1@2026-13-01T00:00:00"),
        *("@2026", f"{10**20}@2026-01-02T03:04:05", f"{10**20}@"),
        *("1@0001-01-01T00:00:00+14:00", "1@9999-12-31T23:59:59-14:00"),
    ],
)
def test_an_invalid_position_shows_the_first_page(position):
    make(2)

    assert get_names(get_page(get_rows(), older=position)) == ["0001", "0000"]
    assert get_names(get_page(get_rows(), newer=position)) == ["0001", "0000"]


def test_rows_with_the_same_time_are_ordered_by_primary_key():
    make(SIZE + 3)

    first = get_page(get_rows())
    second = get_page(get_rows(), older=first.older)

    assert [*get_names(first), *get_names(second)] == [f"{n:04}" for n in reversed(range(SIZE + 3))]


def test_a_position_is_valid_after_its_row_was_deleted():
    make(SIZE + 3)
    first = get_page(get_rows())
    AsyncTaskRecord.objects.filter(task_name=get_names(first)[-1]).delete()

    second = get_page(get_rows(), older=first.older)

    assert get_names(second) == ["0002", "0001", "0000"]


def test_new_rows_do_not_shift_pages():
    make(SIZE + 3)
    first = get_page(get_rows())
    AsyncTaskRecord.objects.create(
        task_name="new", created_at=timezone.now() + timedelta(seconds=1)
    )

    second = get_page(get_rows(), older=first.older)

    assert get_names(second) == ["0002", "0001", "0000"]


def test_the_newer_link_goes_back_one_page():
    make(3 * SIZE)
    first = get_page(get_rows())
    second = get_page(get_rows(), older=first.older)
    third = get_page(get_rows(), older=second.older)

    back = get_page(get_rows(), newer=third.newer)
    home = get_page(get_rows(), newer=back.newer)

    assert get_names(back) == get_names(second)
    assert get_names(home) == get_names(first)
    assert home.newer == ""
    assert third.older == ""


def test_a_position_without_further_rows_shows_the_first_page():
    make(SIZE + 1)
    first = get_page(get_rows())
    AsyncTaskRecord.objects.filter(task_name="0000").delete()

    assert get_names(get_page(get_rows(), older=first.older)) == get_names(first)


def test_a_page_costs_one_query(django_assert_num_queries):
    make(2 * SIZE)
    rows = get_rows()
    first = get_page(rows)

    with django_assert_num_queries(1, using=rows.db):
        get_page(rows, older=first.older)


def test_rows_without_a_time_come_last_and_each_is_reached_once(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {
        "FIELD_MAP": {"created_at": "started_at", "started_at": None}
    }
    at = timezone.now()
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"{n:04}", started_at=at if n % 2 else None)
        for n in range(3 * SIZE)
    )

    forth = [get_page(get_rows())]
    while forth[-1].older:
        forth.append(get_page(get_rows(), older=forth[-1].older))
    back = [forth[-1]]
    while back[-1].newer:
        back.append(get_page(get_rows(), newer=back[-1].newer))

    odd, even = ([f"{n:04}" for n in reversed(range(first, 3 * SIZE, 2))] for first in (1, 0))
    assert [name for page in forth for name in get_names(page)] == odd + even
    assert [get_names(page) for page in back] == [get_names(page) for page in reversed(forth)]


def test_a_table_without_times_is_paged_by_its_keys(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
    NameOnlyRecord.objects.bulk_create(NameOnlyRecord(task_name=f"{n:04}") for n in range(SIZE + 1))

    second = get_page(get_rows(), older=get_page(get_rows()).older)

    assert get_names(second) == ["0000"]


class TestStatuses:
    @pytest.fixture(autouse=True)
    def rows(self):
        at = timezone.now()
        statuses = ("pending", "in_progress", "success")
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(
                task_name=f"{n:04}", status=statuses[n % 3], created_at=at + timedelta(seconds=n)
            )
            for n in range(3 * SIZE)
        )

    def test_pages_of_two_statuses_hold_each_row_once_in_order(self):
        first = get_page(get_rows(), statuses=OPEN)
        second = get_page(get_rows(), statuses=OPEN, older=first.older)
        back = get_page(get_rows(), statuses=OPEN, newer=second.newer)

        names = [f"{n:04}" for n in reversed(range(3 * SIZE)) if n % 3 != 2]
        assert [*get_names(first), *get_names(second)] == names
        assert second.older == ""
        assert get_names(back) == names[:SIZE]

    def test_each_status_is_read_with_the_limit_of_a_page(self):
        connection = connections[router.db_for_read(AsyncTaskRecord)]

        with CaptureQueriesContext(connection) as queries:
            get_page(get_rows(), statuses=OPEN)

        assert len(queries) == 1
        assert queries[0]["sql"].count(f"LIMIT {SIZE + 1}") == 3
