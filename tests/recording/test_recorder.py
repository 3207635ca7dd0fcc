from contextlib import nullcontext
from datetime import date, timedelta

import pytest
from django.db import IntegrityError, connections, router, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import TABLE, Event, Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.recorder import (
    RecordedEvent,
    TaskStillOpenError,
    get_recorder,
)
from powercrud_tracking.recording.savepoints import find_open_transactions, savepoints
from tests.project.models import (
    BespokeRecord,
    DefaultedRecord,
    InheritedRecord,
    NameOnlyRecord,
    Widget,
)
from tests.support.rows import AT, NAME, OTHER

pytestmark = pytest.mark.django_db

BESPOKE = {
    "record_model": "project.BespokeRecord",
    "field_map": {"task_name": "key", "status": "state", "message": "note", "result": "payload"},
}
EVENTS = ("start", "progress", "complete", "fail", "cleanup")


def get_connection(model=AsyncTaskRecord):
    return connections[router.db_for_write(model)]


def get_row(task_name=NAME):
    return AsyncTaskRecord.objects.get(task_name=task_name)


@pytest.fixture
def recorder():
    return get_recorder(DashboardConfig())


def record(recorder, event, task_name, values, defaults=None):
    """Write an event as the manager does: a launch inserts, any other event updates first."""
    recorded = RecordedEvent(event, task_name, values)
    if event is Event.CREATE and "created_at" in values:
        return recorder.insert(recorded, defaults or {}) or recorder.update(recorded)
    written = recorder.update(recorded)
    if written is None and TABLE[event].inserts:
        written = recorder.insert(recorded, defaults or {})
    return written


def capture(model=AsyncTaskRecord):
    return CaptureQueriesContext(get_connection(model))


def get_verbs(captured):
    """Return the first word of each statement that was no savepoint."""
    words = [query["sql"].split()[0] for query in captured]
    return [word for word in words if word not in {"SAVEPOINT", "RELEASE"}]


class TestOneStatement:
    def test_a_launch_is_one_insert(self, recorder):
        with capture() as captured:
            record(recorder, Event.CREATE, NAME, {"created_at": AT, "user": "ada"})

        assert get_verbs(captured) == ["INSERT"]

    @pytest.mark.parametrize("event", [*EVENTS, "create"])
    def test_every_other_event_is_one_update(self, recorder, event):
        record(recorder, Event.CREATE, NAME, {"created_at": AT})

        with capture() as captured:
            record(recorder, Event(event), NAME, {"message": "text", "queue_id": "4c1b"})

        assert get_verbs(captured) == ["UPDATE"]

    @pytest.mark.parametrize("event", ["start", "progress", "complete", "cleanup"])
    def test_each_event_of_a_manager_is_one_statement(self, manager, event):
        manager.async_task_lifecycle("create", NAME)

        with capture() as captured:
            manager.async_task_lifecycle(event, NAME, message="text")

        assert get_verbs(captured) == ["UPDATE"]

    def test_an_event_on_an_unknown_row_is_an_update_and_an_insert(self, recorder):
        with capture() as captured:
            record(recorder, Event.PROGRESS, NAME, {"progress": "1/2"})

        assert get_verbs(captured) == ["UPDATE", "UPDATE", "INSERT"]
        assert (get_row().status, get_row().progress_payload) == ("in_progress", "1/2")

    def test_a_create_on_an_existing_row_fills_its_empty_fields(self, recorder):
        record(recorder, Event.CREATE, NAME, {"created_at": AT, "user": "ada"})

        written = record(
            recorder,
            Event.CREATE,
            NAME,
            {"created_at": AT, "user": "eve", "func": "shop.tasks.sort"},
        )

        assert written is not None
        assert (get_row().user_label, get_row().func) == ("ada", "shop.tasks.sort")

    @pytest.mark.django_db(transaction=True)
    def test_outside_a_transaction_no_savepoint_is_made(self, recorder):
        with capture() as captured:
            record(recorder, Event.CREATE, NAME, {"created_at": AT})
            record(recorder, Event.START, NAME, {"started_at": AT})

        assert [query["sql"].split()[0] for query in captured] == ["INSERT", "UPDATE"]


class TestRecord:
    def test_lost_without_a_row_creates_none(self, recorder):
        written = record(recorder, Event.LOST, NAME, {"message": "no activity"})

        assert written is None
        assert not AsyncTaskRecord.objects.exists()

    def test_an_event_on_one_task_leaves_the_others_alone(self, recorder):
        for name in (NAME, OTHER):
            record(recorder, Event.CREATE, name, {"created_at": AT})

        record(recorder, Event.COMPLETE, NAME, {"message": "done"})

        assert (get_row(NAME).status, get_row(OTHER).status) == ("success", "pending")

    def test_a_launch_under_an_open_name_is_refused(self, recorder):
        record(recorder, Event.CREATE, NAME, {"created_at": AT})

        with pytest.raises(TaskStillOpenError, match=f"The task {NAME} has not ended yet."):
            recorder.start_over(RecordedEvent(Event.CREATE, NAME, {"user": "eve"}), {})

        assert get_row().user_label == ""

    def test_each_start_increments_attempts(self, recorder):
        for _ in range(3):
            record(recorder, Event.START, NAME, {"started_at": AT})

        assert get_row().attempts == 3

    def test_each_event_moves_updated_at(self, recorder):
        record(recorder, Event.CREATE, NAME, {"created_at": AT})

        for event in EVENTS:
            AsyncTaskRecord.objects.update(updated_at=AT)
            record(recorder, Event(event), NAME, {"message": "text"})
            assert timezone.now() - get_row().updated_at < timedelta(seconds=10), event

    def test_a_task_name_as_long_as_its_field_is_stored(self, recorder):
        record(recorder, Event.CREATE, "n" * 255, {"created_at": AT})

        assert get_row("n" * 255).task_name == "n" * 255

    def test_a_task_name_longer_than_its_field_is_refused(self, recorder):
        with pytest.raises(ValueError, match=r"has 256 characters, its field 255\."):
            record(recorder, Event.CREATE, "n" * 256, {"created_at": AT})

        assert not AsyncTaskRecord.objects.exists()

    def test_task_names_are_parameters_of_the_statement(self, recorder):
        name = "'; DROP TABLE x; -- %s %(a)s \\"

        record(recorder, Event.CREATE, name, {"created_at": AT, "message": "it's 100 %s"})
        record(recorder, Event.FAIL, name, {"message": 'a "b" %s \\'})

        assert (get_row(name).status, get_row(name).message) == ("failed", 'a "b" %s \\')

    def test_a_refused_insert_is_raised_and_leaves_no_row(self):
        recorder = get_recorder(DashboardConfig(record_model="project.InheritedRecord"))

        with pytest.raises(IntegrityError), savepoints(find_open_transactions()):
            record(recorder, Event.CREATE, NAME, {"created_at": AT}, defaults={"tenant": None})

        assert not InheritedRecord.objects.exists()

    def test_json_values_are_read_back_unchanged(self, recorder):
        value = {"a": [1, None, True, "ä", {"b": 1.5}]}

        record(recorder, Event.CREATE, NAME, {"created_at": AT, "args": value})
        record(recorder, Event.COMPLETE, NAME, {"result": value})

        assert (get_row().task_args, get_row().result_payload) == (value, value)

    def test_an_empty_json_value_is_stored_as_null(self, recorder):
        record(recorder, Event.CREATE, NAME, {"created_at": AT, "args": None})
        record(recorder, Event.COMPLETE, NAME, {"result": None})

        assert AsyncTaskRecord.objects.filter(
            task_args__isnull=True, result_payload__isnull=True
        ).exists()

    def test_a_nul_character_in_any_text_is_replaced(self, manager):
        text = "a\x00b"

        manager.async_task_lifecycle(
            "create",
            NAME,
            user=text,
            affected_objects=text,
            task_args=[text],
            task_kwargs={text: text},
            func=text,
            group=text,
            extra={"key": text},
            message=text,
        )
        manager.async_task_lifecycle("start", NAME, worker=text)
        manager.async_task_lifecycle("progress", NAME, progress_payload=text)
        manager.async_task_lifecycle("fail", NAME, message=text, result=text)

        row = get_row()
        assert row.status == Status.FAILED
        assert (row.user_label, row.affected_objects) == ("a b", "a\ufffdb")
        assert (row.func, row.task_group, row.worker) == ("a\ufffdb",) * 3
        assert (row.task_kwargs, row.extra) == ({"a\ufffdb": "a\ufffdb"}, {"key": "a\ufffdb"})
        assert (row.progress_payload, row.task_args) == ("a\ufffdb", ["a\ufffdb"])
        assert (row.message, row.result_payload) == ("a b", "a\ufffdb")


def make_lost(task_name, at):
    return RecordedEvent(
        Event.LOST,
        task_name,
        {"message": "no activity", "failed_at": at},
        silent_since=at - timedelta(hours=1),
    )


class TestLost:
    def test_only_open_and_silent_tasks_are_lost(self, recorder):
        now = timezone.now()
        for name, status in {"open": "in_progress", "spoke": "pending", "done": "success"}.items():
            AsyncTaskRecord.objects.create(task_name=name, status=status)
        AsyncTaskRecord.objects.exclude(task_name="spoke").update(updated_at=AT)

        written = recorder.update_many(make_lost(name, now) for name in ("open", "spoke", "done"))

        assert [event.task_name for event in written] == ["open"]
        assert [get_row(name).status for name in ("open", "spoke", "done")] == [
            "lost",
            "pending",
            "success",
        ]
        assert (get_row("open").message, get_row("open").failed_at) == ("no activity", now)


class TestOwnTables:
    def test_a_table_that_inherits_takes_create_defaults(self):
        manager = get_manager(
            record_model="project.InheritedRecord", create_defaults={"tenant": "north"}
        )

        for event in ("create", *EVENTS):
            manager.async_task_lifecycle(event, NAME, message=event)

        row = InheritedRecord.objects.get()
        assert (row.tenant, row.status, row.message) == ("north", "success", "complete")

    def test_a_table_with_other_field_names_is_written_by_its_field_map(self):
        manager = get_manager(**BESPOKE)

        manager.async_task_lifecycle("create", NAME, message="Task queued")
        manager.async_task_lifecycle("complete", NAME, message="done", result={"sorted": 2})

        row = BespokeRecord.objects.get()
        assert (row.key, row.state, row.note) == (NAME, "success", "done")
        assert row.payload == '{"sorted": 2}'

    @pytest.mark.parametrize("event", EVENTS)
    def test_each_event_moves_the_auto_now_fields_of_a_table(self, event):
        manager = get_manager(**BESPOKE)
        manager.async_task_lifecycle("create", NAME)
        BespokeRecord.objects.update(touched=AT, touched_on=AT.date())

        manager.async_task_lifecycle(event, NAME, message="text")

        row = BespokeRecord.objects.get()
        assert timezone.now() - row.touched < timedelta(seconds=10)
        assert abs(row.touched_on - date.today()) <= timedelta(days=1)

    def test_a_value_without_a_field_is_left_out(self):
        manager = get_manager(
            record_model="project.BespokeRecord",
            field_map={"task_name": "key", "status": "state", "message": None},
        )

        manager.async_task_lifecycle("fail", NAME, message="no stock")

        assert (BespokeRecord.objects.get().state, BespokeRecord.objects.get().note) == (
            "failed",
            "",
        )

    def test_a_table_with_a_task_name_only_takes_every_event(self):
        manager = get_manager(record_model="project.NameOnlyRecord")

        for event in ("create", *EVENTS, "create"):
            manager.async_task_lifecycle(event, NAME, message="text")

        assert NameOnlyRecord.objects.values_list("task_name", flat=True).get() == NAME

    def test_a_table_with_a_task_name_only_costs_one_statement_an_event(self):
        recorder = get_recorder(DashboardConfig(record_model="project.NameOnlyRecord"))

        with capture(NameOnlyRecord) as captured:
            record(recorder, Event.CREATE, NAME, {"created_at": AT})
            record(recorder, Event.PROGRESS, NAME, {"progress": "1/2"})

        assert get_verbs(captured) == ["INSERT", "UPDATE"]


@pytest.mark.django_db(transaction=True)
class TestCallersTransaction:
    """A real database refuses what we write; what the caller wrote must be there afterwards."""

    def test_a_new_row_that_is_refused_leaves_the_caller_s_rows_committed(self, caplog):
        manager = get_manager(
            record_model="project.InheritedRecord", create_defaults={"tenant": None}
        )

        with transaction.atomic():
            Widget.objects.create(name="before")
            manager.async_task_lifecycle("create", NAME)
            manager.async_task_lifecycle("progress", NAME, message="1/2")
            Widget.objects.create(name="after")

        assert set(Widget.objects.values_list("name", flat=True)) == {"before", "after"}
        assert not InheritedRecord.objects.exists()
        assert f"Could not record create for task {NAME}." in caplog.text
        assert "IntegrityError" in caplog.text

    def test_an_update_that_is_refused_leaves_the_caller_s_rows_committed(self):
        recorder = get_recorder(DashboardConfig())
        record(recorder, Event.CREATE, NAME, {"created_at": AT})

        with transaction.atomic():
            Widget.objects.create(name="before")
            with pytest.raises(IntegrityError), savepoints(find_open_transactions()):
                record(recorder, Event.COMPLETE, NAME, {"message": None})
            Widget.objects.create(name="after")

        assert set(Widget.objects.values_list("name", flat=True)) == {"before", "after"}
        assert get_row().status == Status.PENDING

    def test_a_launch_under_a_known_name_leaves_the_caller_s_rows_committed(self, manager):
        manager.async_task_lifecycle("create", NAME, user="ada")

        with transaction.atomic():
            Widget.objects.create(name="before")
            manager.async_task_lifecycle("create", NAME, user="eve")
            Widget.objects.create(name="after")

        assert set(Widget.objects.values_list("name", flat=True)) == {"before", "after"}
        assert get_row().user_label == "ada"

    def test_a_recorded_event_is_rolled_back_with_the_caller_s_transaction(self, manager):
        alias = get_connection().alias

        with transaction.atomic(using=alias):
            manager.async_task_lifecycle("create", NAME)
            transaction.set_rollback(True, using=alias)

        assert not AsyncTaskRecord.objects.exists()

    def test_recording_in_a_broken_transaction_is_logged_and_not_raised(self, manager, caplog):
        alias = get_connection().alias

        with transaction.atomic(using=alias):
            transaction.set_rollback(True, using=alias)
            manager.async_task_lifecycle("create", NAME)

        assert f"Could not record create for task {NAME}." in caplog.text
        assert not AsyncTaskRecord.objects.exists()


class ElsewhereRouter:
    """Sends the records to a database of their own."""

    def db_for_write(self, model, **hints):
        return "elsewhere" if model is AsyncTaskRecord else None

    db_for_read = db_for_write


@pytest.fixture
def elsewhere(db, tmp_path, settings):
    connections.settings["elsewhere"] = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "elsewhere.sqlite3"),
        "OPTIONS": {},
    }
    # Django's tests forbid databases that they have not prepared to connect by themselves.
    connections["elsewhere"].connect()
    with connections["elsewhere"].schema_editor() as editor:
        editor.create_model(AsyncTaskRecord)
    settings.DATABASE_ROUTERS = [ElsewhereRouter()]
    yield "elsewhere"
    connections["elsewhere"].close()
    del connections["elsewhere"]
    del connections.settings["elsewhere"]


class TestRouter:
    @pytest.mark.parametrize("event", ["create", *EVENTS])
    def test_events_are_written_to_the_database_of_the_router(self, manager, elsewhere, event):
        manager.async_task_lifecycle(event, NAME, message="text")
        manager.async_task_lifecycle("start", NAME)

        assert AsyncTaskRecord.objects.using("elsewhere").get().task_name == NAME

    def test_lost_tasks_are_written_to_the_database_of_the_router(self, recorder, elsewhere):
        record(recorder, Event.CREATE, NAME, {"created_at": AT})

        written = recorder.update_many([make_lost(NAME, timezone.now() + timedelta(hours=2))])

        assert [event.task_name for event in written] == [NAME]
        assert AsyncTaskRecord.objects.using("elsewhere").get().status == Status.LOST

    def test_the_savepoint_is_made_in_the_database_of_the_router(self, manager, elsewhere):
        with transaction.atomic(using="elsewhere"), capture() as captured:
            manager.async_task_lifecycle("create", NAME)

        assert [query["sql"].split()[0] for query in captured] == ["SAVEPOINT", "INSERT", "RELEASE"]


def test_a_column_with_a_database_default_takes_the_value_of_the_event(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {
        "RECORD_MODEL": "project.DefaultedRecord",
        "CREATE_DEFAULTS": {"tenant": "north"},
    }
    get_manager().async_task_lifecycle("complete", "task")

    assert DefaultedRecord.objects.values_list("task_name", "status", "tenant").get() == (
        "task",
        "success",
        "north",
    )


def return_none(task_name, payload):
    return None


def return_a_typo(task_name, payload):
    return {"tennant": "north", "message": "kept"}


@pytest.mark.parametrize(("function", "message"), [("return_none", ""), ("return_a_typo", "kept")])
def test_a_row_is_written_in_spite_of_wrong_create_defaults(settings, caplog, function, message):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"CREATE_DEFAULTS": f"{__name__}.{function}"}

    get_manager().async_task_lifecycle("start", "task")

    assert AsyncTaskRecord.objects.get().message == message
    assert function in caplog.text


@pytest.mark.django_db(transaction=True, databases="__all__")
@pytest.mark.parametrize("by_hand", [False, True], ids=["atomic", "by hand"])
def test_a_failing_read_does_not_break_the_caller_s_transaction(by_hand):
    using = connections[router.db_for_write(AsyncTaskRecord)]
    table = AsyncTaskRecord._meta.db_table
    manager = get_manager()
    with using.schema_editor() as editor:
        editor.alter_db_table(AsyncTaskRecord, table, "gone")

    try:
        if by_hand:
            using.set_autocommit(False)
        with nullcontext() if by_hand else transaction.atomic(using=using.alias):
            manager.async_task_lifecycle(
                "complete", "task", func="powercrud.tasks.bulk_update_task", result=False
            )
            with using.cursor() as cursor:
                cursor.execute("SELECT 1")
                answer = cursor.fetchone()
        if by_hand:
            using.commit()
    finally:
        if by_hand:
            using.rollback()
            using.set_autocommit(True)
        with using.schema_editor() as editor:
            editor.alter_db_table(AsyncTaskRecord, "gone", table)

    assert answer == (1,)
