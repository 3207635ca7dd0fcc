from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from powercrud_tracking import evidence
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from tests.test_upkeep import GONE, HERE, get_status, make_result, make_row

pytestmark = pytest.mark.django_db


def call(*args, **options):
    out = StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue().splitlines()


class TestReconcile:
    @pytest.fixture(autouse=True)
    def three_silent_tasks(self, monkeypatch):
        monkeypatch.setattr(evidence, "PAUSE", 0)
        make_row("ended", worker=GONE)
        make_result("ended")
        make_row("dead", worker=GONE)
        make_row("alive", worker=HERE)

    @pytest.mark.parametrize("value", ["-1", "soon"])
    def test_a_bad_number_of_seconds_is_refused(self, value):
        with pytest.raises(CommandError, match="older-than"):
            call("reconcile_async_dashboard", "--older-than", value)

    def test_it_says_in_one_sentence_what_it_did(self):
        lines = call("reconcile_async_dashboard")

        assert lines == ["Recorded the end of 1, 1 lost, 1 left alone."]
        assert get_status("dead") == Status.LOST

    def test_a_rehearsal_names_each_task_and_changes_nothing(self):
        lines = call("reconcile_async_dashboard", "--dry-run")

        assert lines == [
            "ended: ended, django-q2 knows how",
            "dead: lost",
            "alive: left alone, its worker is alive",
            "Would record the end of 1, 1 lost, 1 left alone.",
        ]
        assert get_status("dead") == Status.IN_PROGRESS

    def test_younger_silence_is_judged_if_asked(self):
        AsyncTaskRecord.objects.update(updated_at=timezone.now() - timedelta(seconds=20))

        assert call("reconcile_async_dashboard") == ["Recorded the end of 0, 0 lost, 0 left alone."]
        assert call("reconcile_async_dashboard", "--older-than", "10") == [
            "Recorded the end of 1, 1 lost, 1 left alone."
        ]


class TestPrune:
    @pytest.fixture(autouse=True)
    def an_old_success(self):
        at = timezone.now() - timedelta(days=40)
        make_row("old", Status.SUCCESS, completed_at=at)

    @pytest.mark.parametrize("value", ["-1", "some"])
    def test_a_bad_number_of_days_is_refused(self, value):
        with pytest.raises(CommandError, match="days"):
            call("prune_async_dashboard", "--days", value)

    def test_it_says_in_one_sentence_what_it_did(self):
        assert call("prune_async_dashboard") == ["Removed 1 task."]
        assert call("prune_async_dashboard") == ["Removed 0 tasks."]

    def test_a_rehearsal_removes_nothing(self):
        lines = call("prune_async_dashboard", "--dry-run")

        assert lines == ["Would remove 1 task."]
        assert AsyncTaskRecord.objects.exists()

    def test_days_replace_what_the_setting_keeps(self):
        assert call("prune_async_dashboard", "--days", "50") == ["Removed 0 tasks."]
        assert call("prune_async_dashboard", "--days", "39") == ["Removed 1 task."]
