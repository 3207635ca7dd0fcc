import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from powercrud_tracking import upkeep
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.lifecycle import OPEN, Status
from powercrud_tracking.maintenance import prune as module
from powercrud_tracking.maintenance.prune import find_prune_time
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import NameOnlyRecord
from tests.support.maintenance import (
    TWO_HOURS,
    count_queries,
    get_status,
    make_row,
    make_rows,
    read_one,
)

pytestmark = pytest.mark.django_db

SHORT_WAIT = {
    "postgresql": "SET lock_timeout = '10s'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 10",
}
"""The maximum time of each test here."""


def len_of(days):
    return f"{len(str(days))} digits"


class TestPrune:
    def make_ended(self, task_name, status, days):
        at = timezone.now() - timedelta(days=days)
        field = "completed_at" if status == Status.SUCCESS else "failed_at"
        return make_row(task_name, status, **{field: at})

    @pytest.mark.parametrize(
        ("status", "days", "stays"),
        [
            (Status.SUCCESS, 29, True),
            (Status.SUCCESS, 31, False),
            (Status.FAILED, 179, True),
            (Status.FAILED, 181, False),
            (Status.LOST, 179, True),
            (Status.LOST, 181, False),
        ],
    )
    def test_pruning_goes_by_status_and_age_since_the_end(self, status, days, stays):
        self.make_ended("old", status, days)

        removed = upkeep.prune()

        assert removed == int(not stays)
        assert AsyncTaskRecord.objects.exists() is stays

    @pytest.mark.parametrize("status", sorted(OPEN))
    def test_pruning_keeps_open_rows(self, status):
        make_row("open", status, silent=timedelta(days=4000), failed_at=timezone.now() - TWO_HOURS)
        AsyncTaskRecord.objects.update(created_at=timezone.now() - timedelta(days=4000))

        removed = upkeep.prune(days=0)

        assert removed == 0
        assert get_status("open") == status

    def test_pruning_keeps_a_status_whose_retention_is_none(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": {"failed": None}}
        self.make_ended("failed", Status.FAILED, 4000)

        removed = upkeep.prune()

        assert removed == 0

    def test_the_days_argument_applies_to_every_status(self):
        self.make_ended("failed", Status.FAILED, 2)
        self.make_ended("success", Status.SUCCESS, 2)

        removed = upkeep.prune(days=1)

        assert removed == 2

    @pytest.mark.parametrize("days", [100_000, 999_999, 10**10, 10**400], ids=len_of)
    def test_pruning_by_an_age_that_no_date_expresses_keeps_everything(self, days):
        self.make_ended("old", Status.SUCCESS, 4000)

        assert module.prune(DashboardConfig(retention_days=days)) == 0
        assert upkeep.prune(days=days) == 0
        assert upkeep.prune(days=days, dry_run=True) == 0

    @pytest.mark.parametrize("days", [-1, -999_999])
    def test_pruning_refuses_negative_days(self, days):
        self.make_ended("new", Status.SUCCESS, 0)

        with pytest.raises(ValueError, match=rf"^days must be 0 or more, got {days}\.$"):
            upkeep.prune(days=days)

        assert AsyncTaskRecord.objects.exists()

    def test_pruning_with_a_wrong_setting_removes_nothing(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": -1}
        self.make_ended("new", Status.SUCCESS, 0)

        with pytest.raises(ImproperlyConfigured, match="RETENTION_DAYS"):
            upkeep.prune()

        assert AsyncTaskRecord.objects.exists()

    def test_pruning_removes_the_attempts_of_removed_tasks_only(self):
        self.make_ended("old", Status.FAILED, 200)
        self.make_ended("new", Status.FAILED, 1)
        for name in ("old", "new"):
            AsyncTaskAttempt.objects.create(task_name=name, number=1, ended_at=timezone.now())

        upkeep.prune()

        assert [attempt.task_name for attempt in AsyncTaskAttempt.objects.all()] == ["new"]

    def test_a_dry_run_of_pruning_counts_and_removes_nothing(self):
        self.make_ended("old", Status.SUCCESS, 31)

        removed = upkeep.prune(dry_run=True)

        assert removed == 1
        assert AsyncTaskRecord.objects.exists()

    def test_pruning_removes_more_than_one_batch(self, monkeypatch):
        monkeypatch.setattr(module, "BATCH", 2)
        for n in range(5):
            self.make_ended(f"task-{n}", Status.SUCCESS, 31)

        removed = upkeep.prune()

        assert removed == 5
        assert not AsyncTaskRecord.objects.exists()

    def test_pruning_keeps_a_row_that_was_reopened_after_it_was_chosen(self):
        self.make_ended("reopened", Status.FAILED, 200)
        chosen = (
            AsyncTaskRecord.objects.with_status([Status.FAILED])
            .ended_before(timezone.now())
            .named_tasks(["reopened"])
        )
        AsyncTaskRecord.objects.update(status=Status.IN_PROGRESS, failed_at=None)

        removed = module._delete(chosen)

        assert removed == 0
        assert get_status("reopened") == Status.IN_PROGRESS

    def test_pruning_a_thousand_rows_costs_as_many_queries_as_three(self):
        def make(number):
            make_rows(number, Status.SUCCESS, completed_at=timezone.now() - timedelta(days=40))

        make(3)
        few = count_queries(upkeep.prune)
        make(1000)

        many = count_queries(upkeep.prune)

        assert many == few


class TestFindPruneTime:
    @pytest.mark.parametrize(
        ("status", "field"),
        [("success", "completed_at"), ("failed", "failed_at"), ("lost", "failed_at")],
    )
    def test_pruning_removes_a_task_after_its_prune_time_and_not_before(
        self, monkeypatch, status, field
    ):
        ended = timezone.now() - timedelta(days=3)
        row = make_row("a", status, **{field: ended})
        at = find_prune_time(read_one(row))

        monkeypatch.setattr(timezone, "now", lambda: at)
        before = upkeep.prune()
        monkeypatch.setattr(timezone, "now", lambda: at + timedelta(microseconds=1))
        after = upkeep.prune()

        assert (before, after) == (0, 1)

    def test_without_an_end_the_prune_time_goes_by_the_last_update(self, monkeypatch):
        row = make_row("a", "failed")
        row.refresh_from_db()
        at = find_prune_time(read_one(row))

        monkeypatch.setattr(timezone, "now", lambda: at + timedelta(microseconds=1))

        assert upkeep.prune() == 1
        assert at == row.updated_at + timedelta(days=180)

    @pytest.mark.parametrize("status", sorted(OPEN))
    def test_open_tasks_have_no_prune_time(self, status):
        assert find_prune_time(read_one(make_row("a", status))) is None

    @pytest.mark.parametrize("days", [None, {"success": None}, 10**7, 10**9], ids=str)
    def test_a_task_that_is_kept_has_no_prune_time(self, settings, days):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": days}
        row = make_row("a", "success", completed_at=timezone.now())

        assert find_prune_time(read_one(row)) is None

    def test_a_table_without_status_is_never_pruned(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        row = NameOnlyRecord.objects.create(task_name="a")

        assert find_prune_time(read_one(row)) is None


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
class TestPruneBesideAWorker:
    @pytest.mark.django_db(transaction=True)
    def test_pruning_keeps_a_row_that_a_worker_is_reopening(self):
        at = timezone.now() - timedelta(days=200)
        make_row("reopened", Status.FAILED, failed_at=at)
        with connection.cursor() as cursor:
            cursor.execute(SHORT_WAIT[connection.vendor])
        worker = connection.copy()
        worker.inc_thread_sharing()
        worker.set_autocommit(False)
        with worker.cursor() as cursor:
            cursor.execute(
                "UPDATE powercrud_tracking_asynctaskrecord "
                "SET status = 'in_progress', failed_at = NULL"
            )
        commit = threading.Timer(0.5, worker.commit)

        try:
            commit.start()
            removed = upkeep.prune()
        finally:
            commit.join(10)
            worker.close()
            connection.close()

        assert removed == 0
        assert get_status("reopened") == Status.IN_PROGRESS
