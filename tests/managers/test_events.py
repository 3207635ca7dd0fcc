"""Single events, sent to a manager by hand."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord, NameOnlyRecord, Widget
from tests.project.tasks import add
from tests.support.rows import AT, NAME, get_row, get_values

pytestmark = pytest.mark.django_db


class NameOnlyManager(ModelTrackingAsyncManager):
    record_model = "project.NameOnlyRecord"


class TestEvents:
    def test_an_unknown_event_is_logged_and_not_raised(self, manager, caplog):
        manager.async_task_lifecycle("explode", NAME)

        assert f"Could not record explode for task {NAME}." in caplog.text
        assert "Traceback" in caplog.text
        assert not AsyncTaskRecord.objects.exists()

    def test_a_task_name_that_is_too_long_is_logged_and_not_cut(self, manager, caplog):
        manager.async_task_lifecycle("create", "n" * 256)

        assert "The task name has 256 characters, its field 255." in caplog.text
        assert not AsyncTaskRecord.objects.exists()

    def test_a_circular_argument_is_recorded(self, manager):
        loop = []
        loop.append(loop)

        manager._emit_lifecycle("create", NAME, task_args=[loop])

        assert get_row().task_args == [["<circular>"]]

    def test_the_event_error_is_an_alias_of_fail(self, manager):
        manager.async_task_lifecycle("error", NAME, message="out of paper")

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "out of paper")

    def test_a_late_failure_does_not_undo_a_success(self, manager):
        manager.async_task_lifecycle("complete", NAME, result=3)
        before = get_values()

        manager.async_task_lifecycle("fail", NAME, message="late")

        after = get_values()
        assert {**after, "updated_at": None} == {**before, "updated_at": None}

    @pytest.mark.parametrize(
        ("event", "status"),
        [
            ("create", Status.PENDING),
            ("start", Status.IN_PROGRESS),
            ("progress", Status.IN_PROGRESS),
            ("complete", Status.SUCCESS),
            ("fail", Status.FAILED),
            ("cleanup", Status.PENDING),
        ],
    )
    def test_an_event_without_a_row_creates_the_row(self, manager, event, status):
        manager.async_task_lifecycle(event, NAME, message="text")

        assert get_row().status == status

    def test_progress_is_written_to_the_cache_and_the_row(self, manager):
        manager.async_task_lifecycle("create", NAME, message="Task queued")

        manager.update_progress(NAME, "reading: 1/2")

        row = get_row()
        assert manager.get_progress(NAME) == "reading: 1/2"
        assert (row.progress_payload, row.message) == ("reading: 1/2", "Task queued")
        assert row.status == Status.IN_PROGRESS

    def test_a_nul_character_in_progress_does_not_break_the_caller_s_transaction(self, manager):
        with transaction.atomic():
            Widget.objects.create(name="Bolt")
            manager.update_progress(NAME, "a\x00b")

        assert Widget.objects.count() == 1
        assert "\x00" not in get_row().progress_payload

    def test_a_database_error_does_not_break_the_caller_s_transaction(self, caplog):
        manager = ModelTrackingAsyncManager(
            record_model="project.InheritedRecord", create_defaults={"tenant": None}
        )

        with transaction.atomic():
            manager.async_task_lifecycle("create", NAME)
            Widget.objects.create(name="Bolt")

        assert Widget.objects.count() == 1
        assert not InheritedRecord.objects.exists()
        assert f"Could not record create for task {NAME}." in caplog.text

    def test_events_are_written_to_a_table_with_other_field_names(self):
        manager = ModelTrackingAsyncManager(
            record_model="project.BespokeRecord",
            field_map={"task_name": "key", "status": "state", "message": "note"},
        )

        manager.async_task_lifecycle("fail", NAME, message="x" * 41)

        row = BespokeRecord.objects.get()
        assert (row.key, row.state, row.note) == (NAME, "failed", "x" * 39 + "…")

    def test_events_are_written_to_a_table_with_a_task_name_only(self):
        NameOnlyManager().async_task_lifecycle("complete", NAME, result=1)

        assert NameOnlyRecord.objects.get().task_name == NAME


class TestLost:
    def test_a_task_with_recent_activity_is_not_marked_lost(self, manager):
        manager.async_task_lifecycle("create", NAME)

        lost = manager.record_lost({NAME: "Lost."}, silent_since=AT)

        assert lost == []
        assert get_row().status == Status.PENDING

    def test_a_task_marked_lost_releases_its_locks_and_keeps_its_attempt(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        manager.async_task_lifecycle("start", NAME)

        lost = manager.record_lost(
            {NAME: "Lost: nobody knows."}, silent_since=timezone.now() + timedelta(seconds=1)
        )

        row = get_row()
        assert lost == [NAME]
        assert (row.status, row.message) == (Status.LOST, "Lost: nobody knows.")
        assert row.failed_at is not None
        assert manager.check_conflict(locks) == set()
        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.outcome, attempt.message) == (Status.LOST, "Lost: nobody knows.")
