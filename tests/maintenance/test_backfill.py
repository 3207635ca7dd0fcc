"""The backfill from django-q2's results and from an old table of a project."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, router
from django.test.utils import CaptureQueriesContext
from django_q.models import Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import backfill as module
from powercrud_tracking.maintenance.backfill import RESULTS
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.signals import task_recorded
from powercrud_tracking.upkeep import backfill
from tests.project.models import BespokeRecord, InheritedRecord, NestedRecord, OldLog

pytestmark = pytest.mark.django_db

NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
OTHER = "5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de"
AT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC if django_settings.USE_TZ else None)
LATER = AT + timedelta(minutes=5)
HOOK = "powercrud.async_hooks.task_completion_hook"
OLD_MAP = {
    "task_name": "name",
    "status": "outcome",
    "user": "who",
    "objects": "what",
    "kwargs": "arguments",
    "result": "answer",
    "message": "note",
    "progress": "said",
    "created_at": "began",
    "completed_at": "ended",
    "failed_at": "ended",
}
WORDS = {"done": "success", "broken": "failed", "waiting": "pending"}
BROKEN = (
    "bad price : Traceback (most recent call last):\n"
    '  File "x.py", line 1, in <module>\n'
    "ValueError: bad price\n"
)


def make_result(name=NAME, **values):
    given = {
        "id": f"{Task.objects.count():032}",
        "func": "shop.tasks.add",
        "hook": HOOK,
        "args": (1, 2),
        "kwargs": {"task_key": name},
        "result": 3,
        "started": AT,
        "stopped": LATER,
        "success": True,
        "attempt_count": 1,
    }
    return Task.objects.create(name=name, **given | values)


def make_old(name=NAME, outcome="done", *, began=AT, **values):
    row = OldLog.objects.create(name=name, outcome=outcome, **{"ended": LATER, **values})
    OldLog.objects.filter(pk=row.pk).update(began=began)
    return row


def backfill_old(**options):
    return backfill(source=OldLog, field_map=OLD_MAP, statuses=WORDS, **options)


def get_row(name=NAME):
    return AsyncTaskRecord.objects.get(task_name=name)


class TestResults:
    def test_a_successful_result_gives_a_row_with_all_its_values(self):
        make_result(group="night", attempt_count=2, kwargs={"task_key": NAME, "depth": 3})

        report = backfill()

        row = get_row()
        assert report.added == {RESULTS: 1}
        assert row.status == Status.SUCCESS
        assert (row.func, row.task_group, row.queue_id) == ("shop.tasks.add", "night", "0" * 32)
        assert (row.task_args, row.task_kwargs, row.result_payload) == ([1, 2], {"depth": 3}, 3)
        assert (row.message, row.attempts) == ("Task completed successfully", 2)
        assert row.cleaned_up is True

    def test_a_row_from_a_result_has_the_times_of_queueing_and_of_the_end(self):
        make_result()

        backfill()

        row = get_row()
        assert (row.created_at, row.completed_at, row.updated_at) == (AT, LATER, LATER)
        assert (row.started_at, row.failed_at) == (None, None)

    def test_a_row_from_a_failed_result_has_reason_and_traceback(self):
        make_result(success=False, result=BROKEN, attempt_count=3)

        backfill()

        row = get_row()
        assert row.status == Status.FAILED
        assert (row.message, row.result_payload) == ("ValueError: bad price", BROKEN)
        assert (row.failed_at, row.completed_at, row.attempts) == (LATER, None, 3)

    def test_a_bulk_update_that_returned_false_is_a_failure(self):
        make_result(func="powercrud.tasks.bulk_update_task", args=(), result=False)

        backfill()

        assert get_row().status == Status.FAILED
        assert get_row().message == "The task returned False."
        assert get_row().completed_at is None

    def test_failed_result_of_the_setting_decides_about_a_past_result(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FAILED_RESULT": "tests.project.tracking.is_failed"}
        make_result(result="no")

        backfill()

        assert get_row().status == Status.FAILED

    def test_a_row_from_a_bulk_task_names_user_and_objects(self, user):
        make_result(
            func="powercrud.tasks.bulk_delete_task",
            args=("project.Widget", ["1", "2", "3"], user.pk),
            result=True,
        )

        backfill()

        row = get_row()
        assert (row.user_label, row.launched_by_id) == (user.get_username(), str(user.pk))
        assert row.affected_objects == "3 widgets"

    @pytest.mark.parametrize(
        "args",
        [
            pytest.param(("gone.Model", ["1"], 7), id="model-is-gone"),
            pytest.param(("project.Widget", None, "x"), id="no-keys"),
            pytest.param(("project.Widget", ["1"], object), id="no-key-of-a-user"),
            pytest.param(("project.Widget",), id="too-few"),
            pytest.param((3, 4, 5), id="numbers"),
        ],
    )
    def test_unexpected_arguments_of_a_past_bulk_task_are_ignored(self, args):
        make_result(func="powercrud.tasks.bulk_delete_task", args=args, result=True)

        backfill()

        assert get_row().user_label == ""

    def test_a_result_without_a_user_gives_a_row_without_a_user(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FORMAT_USER": "tests.project.tracking.format_user"}
        make_result()

        backfill()

        assert (get_row().user_label, get_row().launched_by_id) == ("", "")

    def test_the_backfill_stores_neither_secrets_nor_internal_arguments(self):
        make_result(kwargs={"task_key": NAME, "manager_class": "a.B", "password": "hunter2"})

        backfill()

        assert get_row().task_kwargs == {"password": "********"}

    def test_long_payloads_are_cut_to_their_limit(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 128}
        make_result(result="x" * 5000, args=(["y" * 5000],))

        backfill()

        row = get_row()
        assert len(json.dumps(row.result_payload, ensure_ascii=True)) <= 128
        assert len(json.dumps(row.task_args, ensure_ascii=True)) <= 128

    @pytest.mark.parametrize("name", ["nine", "fanta-mirror-kansas-may", "x" * 100])
    def test_the_backfill_keeps_any_task_name(self, name):
        make_result(name)

        backfill()

        assert get_row(name).status == Status.SUCCESS

    def test_a_result_that_powercrud_did_not_launch_gives_a_row_too(self):
        make_result("nine", hook=None, kwargs={}, attempt_count=0)

        backfill()

        assert (get_row("nine").cleaned_up, get_row("nine").attempts) == (False, 1)

    @pytest.mark.parametrize(
        "success", [pytest.param((True, False), id="first"), pytest.param((False, True), id="last")]
    )
    def test_of_two_results_with_one_name_the_success_is_used(self, success):
        for number, each in enumerate(success):
            make_result(
                success=each,
                result=3 if each else BROKEN,
                stopped=LATER + timedelta(hours=number),
            )

        report = backfill()

        assert get_row().status == Status.SUCCESS
        assert (report.added.total(), report.existing) == (1, 0)

    def test_of_two_failures_with_one_name_the_last_is_used(self):
        for number in range(3):
            make_result(success=False, result=f"{number}", stopped=LATER + timedelta(hours=number))

        backfill()

        assert get_row().message == "2"


class TestUnreadableResults:
    """Values that django-q2 cannot unpickle."""

    @pytest.fixture(params=["args", "kwargs", "result"])
    def column(self, request):
        make_result(result={"a": 1})
        # The pickle of an instance of a class that is gone: protocol 2, "cgone.module\nThing\n".
        pickle = "gAJjZ29uZS5tb2R1bGUKVGhpbmcKcQApgXEBLg=="
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE django_q_task SET {request.param} = %s", [pickle])
        return request.param

    def test_a_result_that_cannot_be_unpickled_gives_a_row_that_says_so(self, column):
        report = backfill()

        field = {"args": "task_args", "kwargs": "task_kwargs", "result": "result_payload"}[column]
        assert report.added == {RESULTS: 1}
        assert getattr(get_row(), field) == "<cannot be unpickled any more>"

    def test_text_that_begins_like_a_pickle_is_text(self):
        make_result(result="gAMES", args=("gAJjZ29uZQ==",))

        backfill()

        assert get_row().result_payload == "gAMES"
        assert get_row().task_args == ["gAJjZ29uZQ=="]


class TestOldTable:
    def test_the_names_of_powercruds_sample_model_are_the_default(self, settings):
        InheritedRecord.objects.create(
            task_name=NAME,
            tenant="north",
            status="success",
            message="Task completed successfully",
            user_label="ada",
            affected_objects="3 books",
            task_args=[1],
            result_payload={"n": 3},
            cleaned_up=True,
            completed_at=LATER,
        )
        InheritedRecord.objects.update(created_at=AT, updated_at=LATER)

        report = backfill(source=InheritedRecord)

        row = get_row()
        assert report.added == {"project.InheritedRecord": 1}
        assert (row.status, row.user_label, row.affected_objects) == ("success", "ada", "3 books")
        assert (row.task_args, row.result_payload, row.cleaned_up) == ([1], {"n": 3}, True)
        assert (row.created_at, row.completed_at, row.updated_at) == (AT, LATER, LATER)

    def test_an_old_table_is_read_through_its_field_map(self, user):
        make_old(
            who=user,
            what="3 books",
            arguments='{"depth": 2, "password": "hunter2"}',
            answer='{"n": 3}',
            note="all well",
            said="3/3",
        )

        backfill_old()

        row = get_row()
        assert (row.status, row.message, row.progress_payload) == ("success", "all well", "3/3")
        assert (row.user_label, row.launched_by_id) == (user.get_username(), str(user.pk))
        assert row.affected_objects == "3 books"
        assert row.task_kwargs == {"depth": 2, "password": "********"}
        assert row.result_payload == {"n": 3}
        assert (row.created_at, row.completed_at, row.failed_at) == (AT, LATER, None)

    def test_secrets_in_other_text_are_masked(self):
        make_old(arguments="{'password': 'hunter2', 'depth': (1, 2)}", answer="key: api_key=abc")

        backfill_old()

        assert get_row().task_kwargs == "{'password': '********', 'depth': (1, 2)}"
        assert get_row().result_payload == "key: api_key=********"

    @pytest.mark.parametrize("text", ["{broken", "[" * 3000, "(lambda: 1)", "plain"])
    def test_text_that_is_not_json_stays_text(self, text):
        make_old(answer=text)

        backfill_old()

        assert get_row().result_payload == text

    def test_the_reason_of_a_failure_is_one_line(self):
        make_old(outcome="broken", note=BROKEN, answer=BROKEN)

        backfill_old()

        row = get_row()
        assert (row.status, row.message) == ("failed", "ValueError: bad price")
        assert (row.failed_at, row.completed_at) == (LATER, None)

    def test_a_row_of_a_deleted_user_keeps_the_primary_key(self):
        user = get_user_model().objects.create_user("gone")
        row = make_old(who=user)
        OldLog.objects.filter(pk=row.pk).update(who_id=user.pk)
        key = str(user.pk)
        user.delete()

        report = backfill_old()

        assert report.added == {"project.OldLog": 1}
        assert (get_row().user_label, get_row().launched_by_id) == ("", key)

    def test_statuses_of_an_old_table_are_read_in_any_case(self):
        make_old(outcome="SUCCESS")
        make_old(OTHER, outcome="Done")

        backfill_old()

        assert {row.status for row in AsyncTaskRecord.objects.all()} == {"success"}

    def test_rows_with_an_unknown_status_are_counted_and_left_out(self):
        make_old(outcome="odd")
        make_old(OTHER, outcome="odd")

        report = backfill_old()

        assert report.left_out == {"the status 'odd' is unknown (--statuses gives a meaning)": 2}
        assert not AsyncTaskRecord.objects.exists()

    def test_rows_with_a_translated_status_are_added(self, user):
        make_old(outcome="odd", who=user)
        backfill_old()

        report = backfill(source=OldLog, field_map=OLD_MAP, statuses={**WORDS, "odd": "failed"})

        assert report.added == {"project.OldLog": 1}
        assert (get_row().status, get_row().user_label) == ("failed", user.get_username())

    def test_a_row_without_a_name_and_one_too_long_are_reported(self):
        make_old("")
        make_old(None)
        make_old("x" * 256)

        report = backfill_old()

        assert report.left_out == {
            "there is no task name": 2,
            "the task name is longer than 255 characters": 1,
        }

    def test_of_two_rows_with_one_name_the_newest_is_used(self):
        make_old(note="first")
        make_old(note="second")

        report = backfill_old()

        assert get_row().message == "second"
        assert (report.added.total(), report.existing) == (1, 0)

    def test_a_row_without_times_has_the_time_of_now(self, settings):
        BespokeRecord.objects.create(key=NAME, state="success", note="done")

        backfill(
            source=BespokeRecord,
            field_map={"task_name": "key", "status": "state", "message": "note"},
        )

        assert get_row().message == "done"
        assert get_row().created_at == get_row().updated_at


class TestBoth:
    """A row of an old table, and django-q2's result of the same task."""

    def test_the_result_fills_what_the_row_lacks(self, user):
        make_old(who=user, answer="4", note="all well")
        make_result(group="night")

        report = backfill_old()

        row = get_row()
        assert (report.added, report.existing) == ({"project.OldLog": 1}, 0)
        assert (row.user_label, row.func, row.task_group) == (
            user.get_username(),
            "shop.tasks.add",
            "night",
        )

    def test_a_row_that_is_open_takes_the_end_that_django_q2_knows(self):
        make_old(outcome="waiting", ended=None, note="Task queued")
        make_result()

        backfill_old()

        row = get_row()
        assert (row.status, row.completed_at, row.result_payload) == ("success", LATER, 3)
        assert row.message == "Task completed successfully"

    def test_a_row_that_is_open_without_a_result_stays_open(self):
        make_old(outcome="waiting", ended=None)

        backfill_old()

        assert (get_row().status, get_row().updated_at) == ("pending", AT)

    def test_a_failure_that_was_run_again_is_the_success_that_django_q2_knows(self):
        make_old(outcome="broken", note=BROKEN)
        make_result(attempt_count=2)

        backfill_old()

        row = get_row()
        assert (row.status, row.attempts, row.failed_at) == ("success", 2, None)

    def test_a_success_that_failed_result_rejects_is_failed_with_the_last_progress(self):
        make_old(said="failed update: out of print")
        make_result(func="powercrud.tasks.bulk_update_task", args=(), result=False)

        backfill_old()

        row = get_row()
        assert (row.status, row.message) == ("failed", "out of print. Nothing was changed.")
        assert (row.failed_at, row.completed_at) == (LATER, None)

    def test_a_row_with_an_unknown_status_takes_the_end_of_its_result(self, user):
        make_old(outcome="odd", who=user)
        make_result()

        report = backfill_old()

        assert not report.left_out
        assert (get_row().status, get_row().user_label) == ("success", user.get_username())


class TestRepeating:
    def test_a_second_run_adds_nothing_and_changes_nothing(self):
        make_old()
        make_result(OTHER)
        backfill_old()
        before = list(AsyncTaskRecord.objects.values())

        report = backfill_old()

        assert (report.added.total(), report.existing) == (0, 2)
        assert list(AsyncTaskRecord.objects.values()) == before

    def test_a_task_that_has_a_row_is_left_untouched(self):
        get_manager().async_task_lifecycle("create", NAME, message="queued")
        before = list(AsyncTaskRecord.objects.values())
        make_old()
        make_result(result=4)

        report = backfill_old()

        assert (report.added.total(), report.existing) == (0, 1)
        assert list(AsyncTaskRecord.objects.values()) == before

    def test_a_dry_run_reports_the_same_and_writes_nothing(self, monkeypatch):
        monkeypatch.setattr(module, "BATCH", 2)
        for number in range(5):
            make_old(f"task-{number}", note="old")
            make_result(f"task-{number + 2}")
        make_old("task-0")
        make_old("task-9", outcome="odd")

        dry = backfill_old(dry_run=True)
        nothing = AsyncTaskRecord.objects.count()
        done = backfill_old()

        assert nothing == 0
        assert dry == done
        assert AsyncTaskRecord.objects.count() == done.added.total() == 7

    def test_the_backfill_sends_no_signal_and_makes_no_attempt(self):
        sent = []
        task_recorded.connect(
            lambda **kwargs: sent.append(kwargs), weak=False, dispatch_uid="backfill"
        )
        make_result(success=False, result=BROKEN)
        try:
            backfill()
        finally:
            task_recorded.disconnect(dispatch_uid="backfill")

        assert sent == []
        assert not AsyncTaskAttempt.objects.exists()


class TestBatches:
    def test_every_row_is_read_once_with_any_batch_size(self, monkeypatch):
        monkeypatch.setattr(module, "BATCH", 3)
        for number in range(11):
            # Several that stopped at the same time, so that the time alone is no position.
            make_result(f"task-{number}", stopped=LATER, success=number % 2 == 0)
            make_old(f"old-{number}")

        report = backfill_old()

        assert report.added == {"project.OldLog": 11, RESULTS: 11}

    def test_at_most_one_batch_is_read_at_once(self, monkeypatch):
        monkeypatch.setattr(module, "BATCH", 2)
        for number in range(6):
            make_result(f"task-{number}")
        alias = router.db_for_read(Task)

        with CaptureQueriesContext(connections[alias]) as captured:
            backfill()

        queries = [query["sql"].replace("`", '"') for query in captured]
        reads = [sql for sql in queries if 'FROM "django_q_task"' in sql]
        assert len(reads) == 7
        assert all("LIMIT 2" in sql or " IN (" in sql for sql in reads)

    def test_a_row_costs_one_insert_and_a_batch_a_fixed_number_of_queries(self):
        for number in range(20):
            make_result(f"task-{number}", kwargs={})
        alias = router.db_for_write(AsyncTaskRecord)

        with CaptureQueriesContext(connections[alias]) as captured:
            backfill()

        words = [query["sql"].split()[0] for query in captured]
        assert words.count("INSERT") == 20
        assert words.count("UPDATE") == 0
        assert words.count("SELECT") <= 4


class TestOwnTable:
    def test_the_rows_go_to_the_settings_table_through_its_map(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "updated_at": "touched"},
        }
        make_result()

        backfill()

        row = BespokeRecord.objects.get()
        assert (row.key, row.state) == (NAME, "success")
        assert row.touched == LATER

    def test_create_defaults_fill_further_columns(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": "tests.project.tracking.get_defaults",
        }
        make_result()

        backfill()

        assert InheritedRecord.objects.get().tenant == "north"


class TestRefusedRows:
    """One row that the database refuses keeps no other from its table."""

    @pytest.fixture
    def tenant_of_args(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": "tests.project.tracking.get_tenant_of_args",
        }

    def test_a_constraint_leaves_out_its_row_alone(self, tenant_of_args, caplog):
        for number, tenant in enumerate(["north", None, "south"]):
            make_result(f"task-{number}", args=(tenant,))

        report = backfill()

        assert sorted(InheritedRecord.objects.values_list("tenant", flat=True)) == [
            "north",
            "south",
        ]
        assert report.added == {RESULTS: 2}
        [reason] = report.left_out
        assert reason.startswith("the database refused it: ")
        assert "tenant" in reason
        assert "Could not add a row for task task-1: " in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_a_constraint_that_is_checked_at_the_commit_leaves_out_its_row_alone(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.NestedRecord",
            "CREATE_DEFAULTS": "tests.project.tracking.get_parent_of_args",
        }
        for number, key in enumerate([None, 4711, None]):
            make_result(f"task-{number}", args=(key,))

        report = backfill()

        names = sorted(NestedRecord.objects.values_list("task_name", flat=True))
        assert names == ["task-0", "task-2"]
        assert (report.added, report.left_out.total()) == ({RESULTS: 2}, 1)

    def test_a_project_function_that_raises_loses_only_its_own_values(self, settings, caplog):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "CREATE_DEFAULTS": "tests.project.tracking.get_tenant_of_args"
        }
        make_result(args=())

        report = backfill()

        assert report.added == {RESULTS: 1}
        assert "IndexError" in caplog.text


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"field_map": {"stauts": "outcome"}},
                "backfill from project.OldLog['FIELD_MAP'] has an unknown logical name 'stauts'. "
                "Did you mean 'status'?",
            ),
            (
                {"field_map": {"task_name": "nam"}},
                "backfill from project.OldLog['FIELD_MAP'] stores 'task_name' in 'nam', but "
                "project.OldLog has no such field. Did you mean 'name'?",
            ),
            (
                {"field_map": {"task_name": "name"}},
                "project.OldLog has no field 'status'. Say in the field map which of its fields "
                "holds it: id, name, outcome, who, what, arguments, answer, note, said, began, "
                "ended.",
            ),
            (
                {"field_map": {"status": "outcome"}},
                "project.OldLog has no field 'task_name'. Say in the field map which of its fields "
                "holds it: id, name, outcome, who, what, arguments, answer, note, said, began, "
                "ended.",
            ),
            (
                {"field_map": OLD_MAP, "statuses": {"done": "sucess"}},
                "'done' cannot mean 'sucess'. Did you mean 'success'?",
            ),
            (
                {"source": "project.OldLogs"},
                "backfill from project.OldLogs['RECORD_MODEL'] names 'project.OldLogs', which is "
                "no installed model. Did you mean 'project.OldLog'?",
            ),
        ],
        ids=["logical-name", "field", "no-status", "no-name", "status", "model"],
    )
    def test_invalid_input_is_an_error_with_a_hint(self, options, message):
        make_old()
        make_result()

        with pytest.raises(ImproperlyConfigured) as raised:
            backfill(**{"source": OldLog, **options})

        assert str(raised.value) == message
        assert not AsyncTaskRecord.objects.exists()
