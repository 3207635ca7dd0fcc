import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import BaseCommand, CommandError, call_command
from django.utils import timezone

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import backfill, queue
from powercrud_tracking.management.commands.backfill_async_dashboard import Command
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord
from tests.support.maintenance import GONE, HERE, get_status, make_result, make_row

pytestmark = pytest.mark.django_db


def call(*args, **options):
    out = StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue().splitlines()


class TestReconcile:
    @pytest.fixture(autouse=True)
    def three_silent_tasks(self, monkeypatch):
        monkeypatch.setattr(queue, "PAUSE", 0)
        make_row("ended", worker=GONE)
        make_result("ended")
        make_row("dead", worker=GONE)
        make_row("alive", worker=HERE)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("-1", "older_than must be 0 or more seconds, got -1.0."),
            ("nan", "older_than must be 0 or more seconds, got nan."),
            ("soon", "argument --older-than: invalid float value: 'soon'"),
        ],
    )
    def test_reconciling_with_an_invalid_number_of_seconds_is_an_error(self, value, message):
        with pytest.raises(CommandError, match=re.escape(message)):
            call("reconcile_async_dashboard", "--older-than", value)

    def test_reconciling_with_invalid_settings_is_an_error(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"LOST_AFTER": 0}

        with pytest.raises(CommandError, match="LOST_AFTER"):
            call("reconcile_async_dashboard")

    def test_reconciling_prints_the_number_of_ended_lost_and_open_tasks(self):
        lines = call("reconcile_async_dashboard")

        assert lines == [
            "Found 3 open tasks without activity: 1 ended, 1 lost, 0 cancelled, 1 left open.",
            "Why a task is left open is printed with --verbosity 2.",
        ]
        assert get_status("dead") == Status.LOST

    @pytest.mark.parametrize(
        ("option", "end", "status"),
        [
            ("--verbosity=2", "", Status.LOST),
            ("--dry-run", " Nothing was written.", Status.IN_PROGRESS),
        ],
    )
    def test_reconciling_names_each_task_if_verbose_and_in_a_dry_run(self, option, end, status):
        lines = call("reconcile_async_dashboard", option)

        assert lines == [
            "ended: ended, django-q2 has the result",
            "dead: lost",
            "alive: left open, its worker is alive",
            f"Found 3 open tasks without activity: 1 ended, 1 lost, 0 cancelled, 1 left open.{end}",
        ]
        assert get_status("dead") == status

    def test_a_task_that_was_asked_to_stop_and_is_gone_is_cancelled(self):
        AsyncTaskRecord.objects.filter(task_name="dead").update(cancel_requested_at=timezone.now())

        lines = call("reconcile_async_dashboard", "--verbosity=2")

        assert "dead: cancelled, it was asked to stop" in lines
        assert lines[-1] == (
            "Found 3 open tasks without activity: 1 ended, 0 lost, 1 cancelled, 1 left open."
        )
        assert get_status("dead") == Status.CANCELLED

    def test_older_than_replaces_lost_after_of_the_setting(self):
        AsyncTaskRecord.objects.update(updated_at=timezone.now() - timedelta(seconds=20))

        assert call("reconcile_async_dashboard") == [
            "Found 0 open tasks without activity: 0 ended, 0 lost, 0 cancelled, 0 left open."
        ]
        assert call("reconcile_async_dashboard", "--older-than", "10")[0] == (
            "Found 3 open tasks without activity: 1 ended, 1 lost, 0 cancelled, 1 left open."
        )
        assert call("reconcile_async_dashboard", "--older-than", "1e300")[0] == (
            "Found 0 open tasks without activity: 0 ended, 0 lost, 0 cancelled, 0 left open."
        )


class TestPrune:
    @pytest.fixture(autouse=True)
    def an_old_success(self):
        at = timezone.now() - timedelta(days=40)
        make_row("old", Status.SUCCESS, completed_at=at)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("-1", "days must be 0 or more, got -1."),
            ("some", "argument --days: invalid int value: 'some'"),
        ],
    )
    def test_pruning_with_an_invalid_number_of_days_is_an_error(self, value, message):
        with pytest.raises(CommandError, match=re.escape(message)):
            call("prune_async_dashboard", "--days", value)

    def test_pruning_with_invalid_settings_is_an_error(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": -1}

        with pytest.raises(CommandError, match="RETENTION_DAYS"):
            call("prune_async_dashboard")

        assert AsyncTaskRecord.objects.exists()

    def test_pruning_prints_the_number_of_removed_tasks(self):
        assert call("prune_async_dashboard") == ["Removed 1 task."]
        assert call("prune_async_dashboard") == ["Removed 0 tasks."]

    def test_a_dry_run_of_pruning_removes_nothing(self):
        assert call("prune_async_dashboard", "--dry-run") == ["Would remove 1 task."]
        assert AsyncTaskRecord.objects.exists()

    def test_days_replace_the_retention_of_the_setting(self):
        assert call("prune_async_dashboard", "--days", "999999") == ["Removed 0 tasks."]
        assert call("prune_async_dashboard", "--days", "50") == ["Removed 0 tasks."]
        assert call("prune_async_dashboard", "--days", "39") == ["Removed 1 task."]


class TestBackfill:
    MAP = ("--from", "project.BespokeRecord", "--field-map")
    FULL_MAP = (*MAP, '{"task_name": "key", "status": "state", "message": "note"}')

    @pytest.fixture(autouse=True)
    def past_tasks(self):
        make_result("known")
        make_row("there", Status.SUCCESS)
        make_result("there")
        make_result("old")
        for key, state in {"old": "success", "new": "SUCCESS", "odd": "weird"}.items():
            BespokeRecord.objects.create(key=key, state=state, note="from the old table")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--from", "nowhere"], "names 'nowhere', which is no installed model. Add its app"),
            (["--from", "project.Bespoke"], "Did you mean 'project.BespokeRecord'?"),
            (["--field-map", '{"status": "state"}'], "describe an old table: add --from."),
            (["--statuses", '{"done": "success"}'], "describe an old table: add --from."),
            ([*MAP, "status=state"], "argument --field-map: this is not JSON (Expecting value"),
            ([*MAP, '["status"]'], "argument --field-map: this is not a JSON object of strings: ["),
            ([*MAP, '{"task_name": 3}'], "this is not a JSON object of strings: {"),
            ([*MAP, '{"task_name": "ky"}'], "has no such field. Did you mean 'key'?"),
            ([*MAP, '{"task_name": "key"}'], "Say in the field map which of its fields holds it:"),
            (
                [*FULL_MAP, "--statuses", '{"weird": "sucess"}'],
                "'weird' cannot mean 'sucess'. Did you mean 'success'?",
            ),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_invalid_options_of_the_backfill_are_an_error(self, arguments, message):
        with pytest.raises(CommandError) as raised:
            call("backfill_async_dashboard", *arguments)

        assert message in str(raised.value)
        assert AsyncTaskRecord.objects.count() == 1

    def test_without_an_old_table_the_backfill_adds_the_results_of_django_q2(self):
        lines = call("backfill_async_dashboard")

        assert lines == ["Added 2 tasks (2 from django-q2's results). 1 task had a row already."]
        assert get_status("known") == Status.SUCCESS

    def test_a_backfill_of_an_empty_table_mentions_no_existing_rows(self):
        AsyncTaskRecord.objects.all().delete()

        lines = call("backfill_async_dashboard", *self.FULL_MAP)

        assert lines == [
            "Added 4 tasks (2 from project.BespokeRecord and 2 from django-q2's results).",
            "Left out 1 task: the status 'weird' is unknown (--statuses gives a meaning).",
        ]

    @pytest.mark.parametrize(
        ("options", "verb", "number"), [((), "Added", 3), (("--dry-run",), "Would add", 0)]
    )
    def test_the_backfill_prints_the_number_of_added_tasks(self, options, verb, number):
        lines = call("backfill_async_dashboard", *self.FULL_MAP, *options)

        assert lines == [
            f"{verb} 3 tasks (2 from project.BespokeRecord and 1 from django-q2's results). "
            "1 task had a row already.",
            "Left out 1 task: the status 'weird' is unknown (--statuses gives a meaning).",
        ]
        assert AsyncTaskRecord.objects.filter(message="from the old table").count() == min(
            number, 2
        )
        assert AsyncTaskRecord.objects.count() == 1 + number

    def test_a_field_that_is_null_in_the_field_map_is_not_read(self):
        call(
            "backfill_async_dashboard",
            *self.MAP,
            '{"task_name": "key", "status": "state", "message": null}',
            "--statuses",
            '{"weird": "lost"}',
        )

        assert get_status("odd") == Status.LOST

    def test_a_repeated_backfill_adds_nothing(self):
        call("backfill_async_dashboard", *self.FULL_MAP)

        lines = call(
            "backfill_async_dashboard", *self.FULL_MAP, "--statuses", '{"weird": "failed"}'
        )

        assert lines == ["Added 1 task (1 from project.BespokeRecord). 4 tasks had a row already."]

    def test_a_row_that_the_database_rejects_is_left_out_with_the_reason(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": {"tenant": None},
        }

        first, *others = call("backfill_async_dashboard")

        assert first == "Added 0 tasks."
        assert sum(int(line.split()[2]) for line in others) == 3
        assert all("the database refused it: " in line for line in others)
        assert not InheritedRecord.objects.exists()

    def test_an_unavailable_database_is_an_error_of_the_backfill(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.UnmigratedRecord"}

        with pytest.raises(CommandError, match=r"^The database reports: .*nobody_has_made_it"):
            call("backfill_async_dashboard")

    def test_a_backfill_with_invalid_settings_is_an_error(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1}

        with pytest.raises(CommandError, match="PAYLOAD_LIMIT"):
            call("backfill_async_dashboard")

    def test_the_documentation_names_the_options_of_the_backfill(self):
        page = (Path(__file__).parents[2] / "docs" / "backfill.md").read_text(encoding="utf-8")
        parser = Command().create_parser("manage.py", "backfill_async_dashboard")
        general = {*BaseCommand().create_parser("manage.py", "x")._option_string_actions}

        options = set(parser._option_string_actions) - general

        assert set(re.findall(r"^\| `(--[a-z-]+)", page, flags=re.M)) == options
        assert f"Each batch of {backfill.BATCH} rows" in page
