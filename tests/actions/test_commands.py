import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from powercrud_tracking.management import action_command
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskRecord
from tests.project.models import BespokeRecord
from tests.project.tasks import add, fail
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import AT, NAME, get_row, make_row

pytestmark = pytest.mark.django_db

IMPORT = "shop.tasks.import_books"
BOTH = pytest.mark.parametrize("command", ["cancel_async_tasks", "retry_async_tasks"])


def call(*args):
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue().splitlines()


@BOTH
class TestWhichTasks:
    def test_without_a_name_or_a_filter_the_command_says_what_to_type(self, command):
        make_row("a", status="pending")

        with pytest.raises(CommandError) as raised:
            call(command)

        assert "Give their names, or at least one filter: --search, --func, --user" in str(
            raised.value
        )
        assert not AsyncTaskAction.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a", "--func", IMPORT], "Give names of tasks or filters, not both."),
            (["--queued-from", "soon"], "--queued-from: Enter a valid date/time."),
            (["--status", "failing"], "argument --status: invalid choice: 'failing'"),
        ],
        ids=["names and filters", "no time", "no status"],
    )
    def test_invalid_options_are_an_error(self, command, arguments, message):
        with pytest.raises(CommandError, match=re.escape(message)):
            call(command, *arguments)

    def test_invalid_settings_are_an_error(self, command, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1}

        with pytest.raises(CommandError, match="PAYLOAD_LIMIT"):
            call(command, "a")

    def test_a_table_without_the_fields_of_the_action_is_an_error(self, command, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}

        with pytest.raises(CommandError, match="The record table has no field for: status"):
            call(command, "a")

    def test_an_unknown_name_is_counted(self, command):
        assert call(command, "nobody") == ["1 task: There is no task of this name."]

    def test_filters_that_match_nothing_say_so(self, command):
        assert call(command, "--func", IMPORT) == ["No task matches."]


def test_a_filter_whose_field_the_table_lacks_is_an_error(settings, monkeypatch):
    settings.POWERCRUD_ASYNC_DASHBOARD = {
        "RECORD_MODEL": "project.BespokeRecord",
        "FIELD_MAP": {"task_name": "key", "status": "state"},
    }
    monkeypatch.setattr(action_command.availability, "find_missing", lambda action: [])
    BespokeRecord.objects.create(key="a")

    with pytest.raises(CommandError, match="The record table has no field for --queued-from"):
        call("cancel_async_tasks", "--queued-from", "2026-01-01")


class TestCancel:
    @pytest.fixture(autouse=True)
    def tasks(self):
        owned = {"func": IMPORT, "launched_by_id": "7", "affected_objects": "prices.csv"}
        make_row("queued", status="pending", **owned)
        make_row("running", status="in_progress", func=IMPORT, message="reading")
        make_row("ended", status="success", **owned)
        make_row("lost", status="lost", func=IMPORT, created_at=AT)
        make_row("other", status="pending", func="shop.tasks.export", created_at=AT)

    def test_all_open_tasks_that_match_are_cancelled(self):
        lines = call("cancel_async_tasks", "--func", IMPORT, "--reason", "wrong file")

        assert lines == ["1 task cancelled. 1 task asked to stop."]
        assert get_row("queued").message == "Cancelled by manage.py: wrong file"
        assert get_row("running").cancel_requested_at
        assert (get_row("lost").status, get_row("other").status) == ("lost", "pending")
        assert AsyncTaskAction.objects.filter(by_label="manage.py", by_id="").count() == 2

    @pytest.mark.parametrize(
        ("options", "cancelled"),
        [
            (["--user", "7"], {"queued"}),
            (["--object", "prices"], {"queued"}),
            (["--search", "prices"], {"queued"}),
            (["--queued-to", "2026-01-03"], {"other"}),
            (["--queued-from", "2026-01-03 00:00"], {"queued"}),
            (["--status", "lost"], {"lost"}),
            (["--status", "lost", "--status", "pending"], {"lost", "queued", "other"}),
            (["--user", "8"], set()),
        ],
        ids=lambda value: " ".join(value),
    )
    def test_each_filter_narrows_the_tasks(self, options, cancelled):
        call("cancel_async_tasks", *options)

        rows = AsyncTaskRecord.objects.filter(status="cancelled")
        assert set(rows.values_list("task_name", flat=True)) == cancelled

    def test_named_tasks_of_any_status_are_tried_once_each(self):
        lines = call("cancel_async_tasks", "lost", "ended", "lost", "--by", "night shift")

        assert lines == ["1 task cancelled. 1 task: It has ended already."]
        assert get_row("lost").message == "Cancelled by night shift."

    def test_a_dry_run_says_what_would_become_of_each_task_and_does_nothing(self):
        lines = call("cancel_async_tasks", "queued", "ended", "nobody", "--dry-run")

        assert lines == [
            "queued: It will not be run.",
            "ended: It has ended already.",
            "nobody: There is no task of this name.",
            "Would cancel 1 task. 1 task: It has ended already. 1 task: There is no task of this "
            "name. Nothing was written.",
        ]
        assert get_row("queued").status == "pending"
        assert not AsyncTaskAction.objects.exists()

    def test_a_dry_run_of_filters_counts_the_tasks(self):
        lines = call("cancel_async_tasks", "--func", IMPORT, "--dry-run")

        assert lines[-1] == "Would cancel 2 tasks. Nothing was written."

    def test_verbosity_names_each_task(self):
        lines = call("cancel_async_tasks", "queued", "--verbosity", "2")

        assert lines == ["queued: Cancelled.", "1 task cancelled."]

    def test_a_database_that_refuses_halfway_is_an_error_with_the_numbers_so_far(self, monkeypatch):
        real = action_command.act

        def act(action, task_name, **options):
            if task_name == "other":
                raise DatabaseError("the disk is full")
            return real(action, task_name, **options)

        monkeypatch.setattr(action_command, "act", act)

        with pytest.raises(
            CommandError, match=r"^1 task cancelled\. Then the database reported: the disk is full"
        ):
            call("cancel_async_tasks", "queued", "other")


@uses_worker
class TestRetry:
    def test_all_failed_tasks_that_match_are_queued_again(self, manager, user):
        manager.launch_async_task(fail, task_key=NAME, user=user)
        run_queued_task()

        lines = call("retry_async_tasks", "--func", "tests.project.tasks.fail")

        assert lines == ["1 task queued again."]
        new = get_row(get_row().retried_by)
        assert (new.status, new.retry_of, new.launched_by_id) == ("pending", NAME, str(user.pk))
        assert AsyncTaskAction.objects.get().by_label == "manage.py"

    def test_successes_are_queued_again_only_if_asked_for(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        run_queued_task()
        func = ("--func", "tests.project.tasks.add")

        without = call("retry_async_tasks", *func)
        lines = call("retry_async_tasks", *func, "--status", "success", "--verbosity", "2")

        assert without == ["No task matches."]
        new_name = get_row().retried_by
        assert lines == [
            f"{NAME}: Queued again as a new task. {new_name}",
            "1 task queued again.",
        ]

    def test_a_dry_run_queues_nothing(self, manager):
        manager.launch_async_task(fail, task_key=NAME)
        run_queued_task()

        lines = call("retry_async_tasks", "--status", "failed", "--dry-run")

        assert lines == [
            f"{NAME}: Queues a new task with the same function and arguments.",
            "Would retry 1 task. Nothing was written.",
        ]
        assert AsyncTaskRecord.objects.count() == 1
