from datetime import timedelta

import pytest
from django.db import connections, router
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS, DashboardConfig
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import Record, find_record, get_rows, read
from tests.project.models import BespokeRecord, InheritedRecord, NameOnlyRecord
from tests.support.rows import NAME

BESPOKE = DashboardConfig(
    record_model="project.BespokeRecord",
    field_map={"task_name": "key", "status": "state", "message": "note"},
)
NAME_ONLY = DashboardConfig(record_model="project.NameOnlyRecord")


def make(**values):
    return Record(AsyncTaskRecord(task_name=NAME, **values), get_record_map(DashboardConfig()))


class TestGetRecordMap:
    def test_the_built_in_table_stores_every_logical_name(self):
        record_map = get_record_map(DashboardConfig())

        assert record_map.model is AsyncTaskRecord
        assert record_map.names == dict(DEFAULT_FIELDS)

    def test_a_table_that_inherits_the_abstract_model_stores_every_logical_name(self):
        record_map = get_record_map(DashboardConfig(record_model="project.InheritedRecord"))

        assert record_map.model is InheritedRecord
        assert record_map.names == dict(DEFAULT_FIELDS)

    def test_a_default_field_that_the_table_lacks_is_left_out(self):
        assert get_record_map(BESPOKE).names == {
            "task_name": "key",
            "status": "state",
            "message": "note",
        }

    def test_a_logical_name_mapped_to_none_is_not_stored(self):
        record_map = get_record_map(DashboardConfig(field_map={"args": None}))

        assert record_map.names.keys() == DEFAULT_FIELDS.keys() - {"args"}

    def test_equal_configurations_share_one_record_map(self):
        assert get_record_map(DashboardConfig()) is get_record_map(DashboardConfig())

    def test_an_unknown_record_model_raises_lookup_error(self):
        with pytest.raises(LookupError, match="NoSuchRecord"):
            get_record_map(DashboardConfig(record_model="project.NoSuchRecord"))


@pytest.mark.django_db
class TestRead:
    def test_a_table_with_other_field_names_is_read_by_logical_names(self):
        BespokeRecord.objects.create(key=NAME, state="failed", note="no stock")

        record = find_record(NAME, BESPOKE)

        assert (record.task_name, record.status, record.message) == (
            NAME,
            Status.FAILED,
            "no stock",
        )

    def test_a_value_that_the_table_does_not_store_is_none(self):
        NameOnlyRecord.objects.create(task_name=NAME)

        record = find_record(NAME, NAME_ONLY)

        kept = {name for name in DEFAULT_FIELDS if getattr(record, name) is not None}
        assert kept == {"task_name"}

    def test_the_record_of_an_unknown_task_is_none(self):
        assert find_record(NAME) is None

    def test_finding_a_record_costs_one_query(self, django_assert_num_queries):
        AsyncTaskRecord.objects.create(task_name=NAME)

        with django_assert_num_queries(
            1, connection=connections[router.db_for_read(AsyncTaskRecord)]
        ):
            find_record(NAME)

    def test_the_queryset_methods_work_on_a_table_with_other_field_names(self):
        for state in ("pending", "failed"):
            BespokeRecord.objects.create(key=state, state=state)

        records = read(get_rows(BESPOKE).open().newest_first(), BESPOKE)

        assert [record.task_name for record in records] == ["pending"]

    def test_without_a_configuration_the_table_of_the_setting_is_read(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        assert [record.task_name for record in read(get_rows())] == [NAME]


class TestRecord:
    def test_an_unknown_logical_name_raises_attribute_error(self):
        with pytest.raises(AttributeError, match="tenant"):
            make().tenant  # noqa: B018

    def test_an_unknown_status_is_none(self):
        record = make(status="on hold")

        assert record.status is None
        assert record.is_open is False

    @pytest.mark.parametrize(
        ("status", "is_open"),
        [
            ("pending", True),
            ("in_progress", True),
            ("success", False),
            ("failed", False),
            ("lost", False),
        ],
    )
    def test_queued_and_running_tasks_are_open(self, status, is_open):
        assert make(status=status).is_open is is_open

    @pytest.mark.parametrize(
        ("func", "title"),
        [
            ("shop.tasks.bulk_update_task", "Bulk update task"),
            ("shop.tasks._sort_HTML", "Sort HTML"),
            ("sort", "Sort"),
            ("shop.tasks.__", NAME),
            ("", NAME),
        ],
    )
    def test_the_title_is_the_function_in_words(self, func, title):
        assert make(func=func).title == title

    def test_without_a_function_the_title_is_the_task_name(self):
        record = Record(NameOnlyRecord(task_name=NAME), get_record_map(NAME_ONLY))

        assert record.title == NAME


class TestTimes:
    @pytest.fixture
    def now(self):
        return timezone.now()

    def test_an_open_task_has_no_end(self, now):
        assert make(status="in_progress", failed_at=now).ended_at is None

    @pytest.mark.parametrize("field", ["completed_at", "failed_at"])
    def test_a_finished_task_ended_when_it_succeeded_or_failed(self, now, field):
        assert make(status="failed", **{field: now}).ended_at == now

    def test_a_record_has_queue_time_and_run_time(self, now):
        record = make(
            status="success",
            attempts=1,
            created_at=now - timedelta(minutes=5),
            started_at=now - timedelta(minutes=3),
            completed_at=now,
        )

        assert record.queue_time == timedelta(minutes=2)
        assert record.run_time == timedelta(minutes=3)


class TestProgress:
    def test_the_progress_text_is_that_of_the_row(self):
        assert make(progress_payload="1/2").progress_text == "1/2"

    def test_progress_from_the_cache_replaces_that_of_the_row(self):
        record = make(progress_payload="1/2")
        record.live_progress = "2/2"

        assert record.progress_text == "2/2"

    def test_without_progress_the_progress_text_is_empty(self):
        assert make().progress_text == ""
        assert make().measure is None

    def test_the_measure_is_read_from_the_progress_text(self):
        now = timezone.now()
        record = make(
            progress_payload="1/4",
            status="in_progress",
            started_at=now - timedelta(seconds=10),
            updated_at=now,
        )

        assert record.measure.percent == 25
