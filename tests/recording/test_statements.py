from datetime import timedelta, timezone

import pytest
from django.conf import settings
from django.db import connections, router

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.lifecycle import TABLE, Event, Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.statements import Compiler, get_adapter
from powercrud_tracking.records.mapping import get_record_map
from tests.project.models import NameOnlyRecord
from tests.support.rows import AT, NAME

pytestmark = pytest.mark.django_db

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

    def build(event, values, *, incoming=None, task_name=NAME, **conditions):
        statement = compiler.compile_update(connection, event, values, incoming, **conditions)
        return statement.sql, statement.get_parameters(task_name, values)

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
    @pytest.mark.parametrize(
        ("event", "values", "incoming"),
        [
            (Event.COMPLETE, {"message": ""}, None),
            (Event.FAIL, {"result": None}, None),
            (Event.CLEANUP, {"message": ""}, Status.FAILED),
        ],
        ids=["another event", "other values", "another status"],
    )
    def test_events_of_different_shapes_have_different_statements(
        self, build, event, values, incoming
    ):
        sql, _ = build(Event.FAIL, {"message": ""})

        other, _ = build(event, values, incoming=incoming)

        assert other != sql

    @pytest.mark.parametrize("event", [e for e in Event if TABLE[e].moves or e is Event.CLEANUP])
    def test_the_status_is_assigned_last(self, build, connection, event):
        # MySQL evaluates from left to right, and those before ask for the status as it was.
        values = {"message": "", "result": None, "failed_at": AT, "progress": "", "worker": ""}

        sql, _ = build(event, values, incoming=Status.LOST if event is Event.CLEANUP else None)

        assert get_assigned(sql, connection)[-1] == "status"

    def test_an_event_that_changes_no_status_does_not_assign_it(self, build, connection):
        sql, _ = build(Event.CREATE, {"user": "ada"})

        assert get_assigned(sql, connection) == ["updated_at", "user_label"]

    @pytest.mark.parametrize("event", Event)
    def test_values_are_parameters_and_not_text(self, build, event):
        values = dict.fromkeys(("message", "user", "progress", "result", "worker"), "Zebra")

        sql, parameters = build(event, values, task_name="Yak")

        assert "Zebra" not in sql
        assert "Yak" not in sql
        assert parameters[-1] == "Yak"
        assert sql.count("%s") == len(parameters)

    def test_names_that_the_event_does_not_write_are_left_out(self, build):
        sql, parameters = build(Event.PROGRESS, {"progress": "1/2", "message": "text"})

        assert "message" not in sql
        assert "text" not in parameters

    def test_an_event_with_nothing_to_write_still_looks_for_the_row(self, connection):
        compiler = Compiler(get_record_map(DashboardConfig(record_model="project.NameOnlyRecord")))
        quote = connections["default"].ops.quote_name

        statement = compiler.compile_update(connections["default"], Event.COMPLETE, ())
        sql, parameters = statement.sql, statement.get_parameters(NAME, {})

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
    def test_an_insert_leaves_the_primary_key_to_the_database(self):
        connection = connections["default"]
        compiler = Compiler(get_record_map(DashboardConfig(record_model="project.NameOnlyRecord")))
        quote = connection.ops.quote_name

        sql, parameters = compiler.build_insert(connection, NameOnlyRecord(task_name=NAME))

        insert = f"INSERT INTO {quote('project_nameonlyrecord')} ({quote('task_name')}) VALUES (%s)"
        assert sql.partition(" ON CONFLICT")[0] == insert
        assert parameters == [NAME]

    def test_an_insert_gives_all_other_columns(self, connection):
        compiler = Compiler(get_record_map(DashboardConfig()))

        sql, parameters = compiler.build_insert(connection, AsyncTaskRecord(task_name=NAME))

        assert sql.count("%s") == len(parameters) == len(AsyncTaskRecord._meta.concrete_fields) - 1

    @pytest.mark.parametrize("names", [(), ("user", "args", "created_at")], ids=str)
    def test_an_insert_without_an_instance_is_the_same_statement(self, connection, names):
        compiler = Compiler(get_record_map(DashboardConfig()))
        values = {"user": "ada", "args": [1, "ä"], "created_at": AT}
        given = {name: values[name] for name in names}
        attributes = {compiler.fields[name].attname: value for name, value in given.items()}

        statement = compiler.compile_insert(connection, names)
        sql, parameters = compiler.build_insert(
            connection, AsyncTaskRecord(task_name=NAME, **attributes)
        )

        assert compiler.is_plain
        assert statement.sql == sql
        fixed = [
            number
            for number, field in enumerate(compiler.inserted_fields)
            if field.name != "updated_at" and (field.name != "created_at" or "created_at" in names)
        ]
        plain = statement.get_parameters(NAME, given)
        assert [str(plain[n]) for n in fixed] == [str(parameters[n]) for n in fixed]

    @pytest.mark.parametrize(
        ("model", "is_plain"),
        [("project.BespokeRecord", True), ("project.DefaultedRecord", True)],
    )
    def test_only_plain_models_are_inserted_without_an_instance(self, model, is_plain):
        field_map = {"task_name": "key"} if model == "project.BespokeRecord" else {}
        config = DashboardConfig(record_model=model, field_map=field_map)

        assert Compiler(get_record_map(config)).is_plain is is_plain


@pytest.mark.parametrize("field", AsyncTaskRecord._meta.concrete_fields, ids=lambda f: f.name)
def test_values_are_adapted_as_by_their_field(connection, field):
    values = {
        "CharField": "ä",
        "TextField": "a\nb",
        "DateTimeField": AT,
        "JSONField": {"a": [1, None]},
        "BooleanField": True,
        "PositiveIntegerField": 3,
        "BigAutoField": 7,
    }
    value = values[field.get_internal_type()]

    adapt = get_adapter(field, connection)

    adapted = value if adapt is None else adapt(value)
    assert str(adapted) == str(field.get_db_prep_save(value, connection))


@pytest.mark.parametrize(
    "value",
    [AT, AT.replace(microsecond=7), None]
    + ([AT.astimezone(timezone(timedelta(hours=5, minutes=30)))] if settings.USE_TZ else []),
    ids=str,
)
def test_a_time_is_adapted_as_its_field_does(connection, value):
    field = AsyncTaskRecord._meta.get_field("started_at")

    adapted = get_adapter(field, connection)(value)

    assert adapted == field.get_db_prep_save(value, connection)
