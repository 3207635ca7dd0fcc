from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import connections, router

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.statements import Compiler
from powercrud_tracking.records.mapping import get_record_map
from tests.project.models import NameOnlyRecord

pytestmark = pytest.mark.django_db

NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC if settings.USE_TZ else None)
BESPOKE = DashboardConfig(
    record_model="project.BespokeRecord",
    field_map={"task_name": "key", "status": "state", "message": "note"},
)


@pytest.fixture
def connection():
    return connections[router.db_for_write(AsyncTaskRecord)]


@pytest.fixture
def build(connection):
    """Return a function that builds the UPDATE of an event for the default table."""
    compiler = Compiler(get_record_map(DashboardConfig()))

    def build(event, values, *, brought=None, task_name=NAME):
        return compiler.build_update(connection, event, task_name, values, brought)

    return build


def get_assigned(sql, connection):
    """Return the columns that an UPDATE assigns, in their order."""
    quote = connection.ops.quote_name
    assignments = sql.partition(" SET ")[2].rpartition(" WHERE ")[0]
    columns = {
        field.column: assignments.find(f"{quote(field.column)} = ")
        for field in AsyncTaskRecord._meta.concrete_fields
    }
    found = {column: place for column, place in columns.items() if place >= 0}
    return sorted(found, key=found.__getitem__)


class TestUpdate:
    def test_a_shape_is_compiled_once(self, build):
        first, _ = build(Event.FAIL, {"message": "no stock", "failed_at": AT})
        second, _ = build(Event.FAIL, {"message": "no room", "failed_at": AT}, task_name="another")

        assert first is second

    @pytest.mark.parametrize(
        ("event", "values", "brought"),
        [
            (Event.COMPLETE, {"message": ""}, None),
            (Event.FAIL, {"result": None}, None),
            (Event.CLEANUP, {"message": ""}, Status.FAILED),
        ],
        ids=["another event", "other values", "another status"],
    )
    def test_another_shape_is_another_statement(self, build, event, values, brought):
        sql, _ = build(Event.FAIL, {"message": ""})

        other, _ = build(event, values, brought=brought)

        assert other != sql

    @pytest.mark.parametrize("event", [event for event in Event if event is not Event.CREATE])
    def test_the_status_is_assigned_last(self, build, connection, event):
        # MySQL evaluates from left to right, and those before ask for the status as it was.
        values = {"message": "", "result": None, "failed_at": AT, "progress": "", "worker": ""}

        sql, _ = build(event, values, brought=Status.LOST if event is Event.CLEANUP else None)

        assert get_assigned(sql, connection)[-1] == "status"

    def test_an_event_that_moves_no_status_does_not_name_it(self, build, connection):
        sql, _ = build(Event.CREATE, {"user": "ada"})

        assert get_assigned(sql, connection) == ["updated_at", "user_label"]

    @pytest.mark.parametrize("event", Event)
    def test_a_value_is_a_parameter_and_never_text(self, build, event):
        values = dict.fromkeys(("message", "user", "progress", "result", "worker"), "Zebra")

        sql, parameters = build(event, values, task_name="Yak")

        assert "Zebra" not in sql
        assert "Yak" not in sql
        assert parameters[-1] == "Yak"
        assert sql.count("%s") == len(parameters)

    def test_a_name_that_the_event_does_not_write_is_left_out(self, build):
        sql, parameters = build(Event.PROGRESS, {"progress": "1/2", "message": "text"})

        assert "message" not in sql
        assert "text" not in parameters

    def test_a_row_with_nothing_to_write_is_still_looked_for(self, connection):
        compiler = Compiler(get_record_map(DashboardConfig(record_model="project.NameOnlyRecord")))
        quote = connections["default"].ops.quote_name

        sql, parameters = compiler.build_update(
            connections["default"], Event.COMPLETE, NAME, {}, None
        )

        assert sql == (
            f"UPDATE {quote('project_nameonlyrecord')} SET {quote('task_name')} = "
            f"{quote('task_name')} WHERE {quote('task_name')} = %s"
        )
        assert parameters == [NAME]

    def test_a_time_is_adapted_by_its_field(self, build, connection):
        field = AsyncTaskRecord._meta.get_field("failed_at")

        _, parameters = build(Event.FAIL, {"failed_at": AT})

        assert parameters[1] == field.get_db_prep_save(AT, connection)


class TestInsert:
    def test_the_key_is_left_to_the_database(self):
        connection = connections["default"]
        compiler = Compiler(get_record_map(DashboardConfig(record_model="project.NameOnlyRecord")))
        quote = connection.ops.quote_name

        sql, parameters = compiler.build_insert(connection, NameOnlyRecord(task_name=NAME))

        assert sql == (
            f"INSERT INTO {quote('project_nameonlyrecord')} ({quote('task_name')}) VALUES (%s)"
        )
        assert parameters == [NAME]

    def test_it_is_compiled_once(self, connection):
        compiler = Compiler(get_record_map(DashboardConfig()))

        first, _ = compiler.build_insert(connection, AsyncTaskRecord(task_name=NAME))
        second, _ = compiler.build_insert(connection, AsyncTaskRecord(task_name="another"))

        assert first is second

    def test_all_other_columns_are_given(self, connection):
        compiler = Compiler(get_record_map(DashboardConfig()))

        sql, parameters = compiler.build_insert(connection, AsyncTaskRecord(task_name=NAME))

        assert sql.count("%s") == len(parameters) == len(AsyncTaskRecord._meta.concrete_fields) - 1


class TestTimes:
    def test_auto_now_fields_are_those_that_move(self):
        times = Compiler(get_record_map(BESPOKE)).get_times()

        assert set(times) == {"touched", "touched_on"}

    def test_a_table_without_any_has_none(self):
        config = DashboardConfig(record_model="project.NameOnlyRecord")

        assert Compiler(get_record_map(config)).get_times() == {}

    def test_each_call_tells_the_time_anew(self):
        compiler = Compiler(get_record_map(DashboardConfig()))

        first = compiler.get_times()["updated_at"]

        assert compiler.get_times()["updated_at"] > first
