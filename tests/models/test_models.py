from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, connections, router, transaction
from django.utils import timezone

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records.reading import get_rows
from tests.project.models import InheritedRecord, NameOnlyRecord
from tests.support.rows import NAME, make_row

pytestmark = pytest.mark.django_db

STATUSES = ("pending", "in_progress", "success", "failed", "lost")


def get_names(rows):
    return set(rows.get_task_names())


class TestStatuses:
    @pytest.fixture(autouse=True)
    def rows(self):
        for status in STATUSES:
            make_row(status, status=status)

    def test_open_are_those_that_have_not_ended(self):
        assert get_names(AsyncTaskRecord.objects.open()) == {"pending", "in_progress"}

    def test_finished_are_those_that_have(self):
        assert get_names(AsyncTaskRecord.objects.finished()) == {"success", "failed", "lost"}

    @pytest.mark.parametrize("status", STATUSES)
    def test_one_status_can_be_asked_for(self, status):
        assert get_names(AsyncTaskRecord.objects.with_status([status])) == {status}

    def test_reads_chain(self):
        rows = AsyncTaskRecord.objects.finished().named_tasks(["pending", "lost"])

        assert get_names(rows) == {"lost"}

    def test_a_sentence_of_reads_is_one_query(self, django_assert_num_queries):
        connection = connections[router.db_for_read(AsyncTaskRecord)]

        with django_assert_num_queries(1, connection=connection):
            list(
                AsyncTaskRecord.objects.open()
                .silent_since(timezone.now())
                .of_func("shop.tasks.sort")
                .newest_first()
            )


class TestReads:
    def test_a_task_is_found_by_its_name(self):
        make_row(NAME)
        make_row("another")

        assert get_names(AsyncTaskRecord.objects.named_task(NAME)) == {NAME}

    def test_runs_of_one_function(self):
        make_row("sorted", func="shop.tasks.sort")
        make_row("counted", func="shop.tasks.count")

        assert get_names(AsyncTaskRecord.objects.of_func("shop.tasks.sort")) == {"sorted"}

    def test_the_latest_runs_come_as_values_by_our_names(self):
        now = timezone.now()
        for number in range(3):
            make_row(f"run {number}", func="sort", created_at=now + timedelta(seconds=number))
        make_row("another", func="count")

        runs = AsyncTaskRecord.objects.all().get_latest_runs("sort", 2)

        assert [run["task_name"] for run in runs] == ["run 2", "run 1"]
        assert set(runs[0]) == {
            "task_name",
            "status",
            "created_at",
            "started_at",
            "completed_at",
            "failed_at",
            "cancelled_at",
        }

    def test_tasks_of_one_user(self, user):
        make_row("mine", launched_by_id=str(user.pk))
        make_row("nobody's")

        assert get_names(AsyncTaskRecord.objects.launched_by(user)) == {"mine"}

    @pytest.mark.parametrize("user", [None, SimpleNamespace(pk=None)], ids=["none", "anonymous"])
    def test_somebody_without_a_key_launched_nothing(self, user):
        make_row("nobody's", launched_by_id="")

        assert get_names(AsyncTaskRecord.objects.launched_by(user)) == set()

    def test_silent_are_those_that_have_not_been_updated_since(self):
        now = timezone.now()
        for name, minutes in {"silent": 10, "speaking": 1}.items():
            make_row(name)
            AsyncTaskRecord.objects.filter(task_name=name).update(
                updated_at=now - timedelta(minutes=minutes)
            )

        rows = AsyncTaskRecord.objects.silent_since(now - timedelta(minutes=5))

        assert get_names(rows) == {"silent"}

    def test_the_end_is_that_of_the_success_or_the_failure(self):
        now = timezone.now()
        old, new = now - timedelta(days=9), now - timedelta(days=1)
        make_row("old success", status="success", completed_at=old)
        make_row("old failure", status="failed", failed_at=old)
        make_row("new success", status="success", completed_at=new)
        make_row("new failure", status="failed", failed_at=new)

        rows = AsyncTaskRecord.objects.ended_before(now - timedelta(days=5))

        assert get_names(rows) == {"old success", "old failure"}

    def test_queued_since_begins_with_its_moment_and_before_ends_ahead_of_it(self):
        now = timezone.now()
        make_row("at once", created_at=now)
        make_row("before", created_at=now - timedelta(microseconds=1))

        rows = AsyncTaskRecord.objects

        assert get_names(rows.queued_since(now)) == {"at once"}
        assert get_names(rows.queued_before(now)) == {"before"}

    def test_the_latest_are_the_newest_by_the_time_of_queueing(self):
        now = timezone.now()
        for number in range(3):
            make_row(str(number), created_at=now - timedelta(days=number))

        rows = AsyncTaskRecord.objects.by_time_of_queueing()[:2]

        assert [row.task_name for row in rows] == ["0", "1"]

    def test_the_first_of_each_status_keep_their_order(self):
        now = timezone.now()
        for number, status in enumerate(["failed", "lost", "failed", "failed", "success"]):
            make_row(str(number), status=status, created_at=now - timedelta(days=number))

        rows = AsyncTaskRecord.objects.newest_first().first_of_each(["failed", "lost"], 2)

        assert rows.get_task_names() == ["0", "1", "2"]

    def test_the_first_of_each_status_are_one_query(self, django_assert_num_queries):
        now = timezone.now()
        for status in STATUSES:
            for number in range(3):
                at = now - timedelta(days=number)
                make_row(f"{status} {number}", status=status, created_at=at)
        rows = AsyncTaskRecord.objects.queued_since(now - timedelta(days=1))

        with django_assert_num_queries(1, connection=connections[rows.db]):
            names = get_names(rows.newest_first().first_of_each(["failed", "lost"], 5))

        assert names == {"failed 0", "failed 1", "lost 0", "lost 1"}

    def test_the_first_of_rows_that_were_made_distinct(self):
        make_row(status="failed")

        rows = (
            AsyncTaskRecord.objects.distinct().newest_first().first_of_each(["failed", "lost"], 5)
        )

        assert get_names(rows) == {NAME}

    def test_the_first_of_no_row_are_none(self):
        make_row(status="failed")

        assert get_names(AsyncTaskRecord.objects.none().first_of_each(["failed"], 5)) == set()

    def test_rows_are_walked_by_their_keys_whatever_their_times(self):
        now = timezone.now()
        rows = [make_row(str(n), created_at=now - timedelta(days=n)) for n in range(4)]

        beyond = AsyncTaskRecord.objects.beyond_key(rows[1].pk)

        assert beyond.get_task_names() == ["2", "3"]

    def test_values_are_asked_for_by_logical_names(self, django_assert_num_queries):
        make_row("sorted", affected_objects="books", status="failed")
        rows = AsyncTaskRecord.objects.all()

        with django_assert_num_queries(1, connection=connections[rows.db]):
            values = rows.get_values("status", "objects")

        assert values == [("failed", "books")]

    def test_failures_of_one_moment(self):
        now = timezone.now()
        make_row("now", failed_at=now)
        make_row("before", failed_at=now - timedelta(microseconds=1))

        assert get_names(AsyncTaskRecord.objects.failed_at(now)) == {"now"}

    def test_the_newest_come_first(self):
        now = timezone.now()
        make_row("old", created_at=now - timedelta(days=1))
        make_row("first of two", created_at=now)
        make_row("second of two", created_at=now)

        names = AsyncTaskRecord.objects.newest_first().get_task_names()

        assert names == ["second of two", "first of two", "old"]


class TestTableWithoutColumns:
    @pytest.fixture
    def rows(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        for name in ("first", "second"):
            NameOnlyRecord.objects.create(task_name=name)
        return get_rows()

    @pytest.mark.parametrize(
        "read",
        [
            lambda rows: rows.open(),
            lambda rows: rows.of_func("shop.tasks.sort"),
            lambda rows: rows.labelled("ada"),
            lambda rows: rows.launched_by(SimpleNamespace(pk=1)),
            lambda rows: rows.queued_since(timezone.now()),
            lambda rows: rows.failed_at(timezone.now()),
            lambda rows: rows.on_objects("book"),
            lambda rows: rows.silent_since(timezone.now()),
            lambda rows: rows.ended_before(timezone.now()),
        ],
        ids=[
            "status",
            "function",
            "label",
            "user",
            "queued since",
            "failed at",
            "objects",
            "silent since",
            "ended before",
        ],
    )
    def test_no_row_meets_a_condition_on_a_column_that_is_not_stored(self, rows, read):
        assert get_names(read(rows)) == set()

    def test_a_word_is_searched_in_the_columns_that_are_stored(self, rows):
        assert get_names(rows.mentioning("fir")) == {"first"}

    def test_the_time_of_the_newest_is_unknown(self, rows):
        assert rows.find_time_of_newest(2) is None

    def test_a_value_that_is_not_stored_is_none(self, rows):
        assert rows.order_by("pk").get_values("status", "task_name") == [
            (None, "first"),
            (None, "second"),
        ]

    def test_the_runs_of_a_function_are_unknown(self, rows):
        assert rows.get_latest_runs("sort", 2) == []

    def test_the_newest_come_first_by_their_keys(self, rows):
        assert rows.newest_first().get_task_names() == ["second", "first"]


class TestRow:
    def test_a_task_name_is_unique(self):
        make_row(NAME)

        with (
            pytest.raises(IntegrityError),
            transaction.atomic(using=router.db_for_write(AsyncTaskRecord)),
        ):
            make_row(NAME)

    def test_a_new_row_is_queued_and_empty(self):
        row = make_row(NAME)

        assert (row.status, row.attempts, row.cleaned_up, row.message) == ("pending", 0, False, "")
        assert (row.started_at, row.completed_at, row.failed_at) == (None, None, None)

    @pytest.mark.parametrize(
        ("func", "text"),
        [("shop.tasks.sort", f"shop.tasks.sort {NAME}"), ("", f"task {NAME}")],
        ids=["with a function", "without"],
    )
    def test_it_is_called_by_function_and_name(self, func, text):
        assert str(make_row(NAME, func=func)) == text

    def test_a_table_that_inherits_has_the_same_indexes(self):
        fields = [index.fields for index in AsyncTaskRecord._meta.indexes]

        assert [index.fields for index in InheritedRecord._meta.indexes] == fields
        assert fields == [
            ["-created_at"],
            ["status", "-created_at"],
            ["func", "-created_at"],
            ["launched_by_id", "-created_at"],
        ]


class TestAttempt:
    def make(self, number):
        return AsyncTaskAttempt.objects.create(
            task_name=NAME, number=number, outcome="failed", ended_at=timezone.now()
        )

    def test_it_is_called_by_name_and_number(self):
        assert str(self.make(2)) == f"{NAME} #2"

    def test_a_number_is_given_once_a_task(self):
        self.make(1)

        with (
            pytest.raises(IntegrityError),
            transaction.atomic(using=router.db_for_write(AsyncTaskAttempt)),
        ):
            self.make(1)
