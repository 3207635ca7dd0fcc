import os
import socket
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Task

from powercrud_tracking import upkeep
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.lifecycle import OPEN, Status
from powercrud_tracking.maintenance import evidence
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records import mapping, reading
from tests.project.models import NameOnlyRecord
from tests.project.tasks import add

pytestmark = pytest.mark.django_db

HERE = f"{socket.gethostname()}:{os.getpid()}"
GONE = "a-host-that-is-gone:4711"
TWO_HOURS = timedelta(hours=2)
SHORT_WAIT = {
    "postgresql": "SET lock_timeout = '10s'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 10",
}
"""Nothing here may wait for ever."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(evidence, "PAUSE", 0)


def make_row(task_name, status=Status.IN_PROGRESS, *, silent=TWO_HOURS, **values):
    row = AsyncTaskRecord.objects.create(task_name=task_name, status=status, **values)
    let_be_silent(task_name, silent)
    return row


def make_rows(number, status=Status.IN_PROGRESS, *, silent=TWO_HOURS, **values):
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"task-{n}", status=status, **values) for n in range(number)
    )
    AsyncTaskRecord.objects.update(updated_at=timezone.now() - silent)


def let_be_silent(task_name, silent=TWO_HOURS):
    AsyncTaskRecord.objects.filter(task_name=task_name).update(updated_at=timezone.now() - silent)


def make_result(task_name, **values):
    task = build_result(task_name, **values)
    task.save(force_insert=True)
    return task


def make_results(number, **values):
    Task.objects.bulk_create(build_result(f"task-{n}", **values) for n in range(number))


def build_result(task_name, **values):
    now = timezone.now()
    given = {"id": task_name.rjust(32, "0")[-32:], "func": "math.floor", "success": True}
    given |= {
        "started": now,
        "stopped": now,
        "result": 3,
        "args": (),
        "kwargs": {},
        "attempt_count": 1,
    }
    return Task(name=task_name, **{**given, **values})


def read_one(row):
    return reading.Record(row, mapping.get_record_map(get_config()))


def get_status(task_name):
    return AsyncTaskRecord.objects.get(task_name=task_name).status


def count_queries(function):
    reading = connections[router.db_for_write(AsyncTaskRecord)]
    with CaptureQueriesContext(reading) as queries:
        function()
    return len(queries)


class TestReconcile:
    def test_a_healthy_two_hour_task_is_left(self):
        make_row("healthy", worker=HERE, attempts=1)

        report = upkeep.reconcile()

        assert report.left == {"healthy": "its worker is alive"}
        assert get_status("healthy") == Status.IN_PROGRESS

    @pytest.mark.parametrize("silent", [TWO_HOURS, timedelta(days=30)], ids=str)
    def test_a_queue_without_workers_loses_nothing(self, manager, silent):
        name = manager.launch_async_task(add, 1, 2)
        let_be_silent(name, silent)

        report = upkeep.reconcile()

        assert report.left == {name: "it is in the queue"}
        assert get_status(name) == Status.PENDING

    def test_a_task_that_is_locked_in_the_queue_is_left(self, manager):
        name = manager.launch_async_task(add, 1, 2)
        get_broker().dequeue()
        let_be_silent(name)

        report = upkeep.reconcile()

        assert report.left == {name: "it is in the queue"}

    def test_one_whose_worker_died_waits_in_the_queue_for_the_next(self, manager):
        name = manager.launch_async_task(add, 1, 2)
        AsyncTaskRecord.objects.update(status=Status.IN_PROGRESS, worker=GONE)
        let_be_silent(name)

        report = upkeep.reconcile()

        assert report.left == {name: "it is in the queue"}

    def test_what_spoke_lately_is_not_looked_at(self):
        make_row("lively", worker=GONE, silent=timedelta(seconds=5))

        report = upkeep.reconcile()

        assert report == upkeep.Reconciled()

    @pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.LOST])
    def test_what_has_ended_is_not_looked_at(self, status):
        make_row("ended", status)

        report = upkeep.reconcile(older_than=0)

        assert report == upkeep.Reconciled()

    def test_what_nothing_speaks_for_is_lost_and_says_what_was_looked_at(self):
        make_row("dead", worker=GONE, attempts=1)

        report = upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="dead")
        assert report.lost == ["dead"]
        assert (row.status, row.cleaned_up) == (Status.LOST, True)
        assert row.failed_at is not None
        assert row.message == (
            "Lost: no sign of life, django-q2 has no result, it is not in the queue, "
            f"its worker {GONE} is in no live cluster, 0 live clusters looked at."
        )

    def test_a_pending_task_that_left_the_queue_is_lost(self):
        make_row("dropped", Status.PENDING)

        report = upkeep.reconcile()

        assert report.lost == ["dropped"]

    def test_a_lost_task_keeps_its_attempt(self):
        make_row("dead", worker=GONE, attempts=2, started_at=timezone.now())

        upkeep.reconcile()

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.task_name, attempt.number, attempt.outcome) == ("dead", 2, Status.LOST)
        assert (attempt.worker, attempt.exception_class) == (GONE, "")
        assert attempt.message.startswith("Lost: no sign of life")

    def test_an_end_that_django_q2_knows_is_recorded(self):
        make_row("ended", worker=GONE, attempts=1)
        make_result("ended", result={"sum": 3})

        report = upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="ended")
        assert report.ended == ["ended"]
        assert (row.status, row.result_payload) == (Status.SUCCESS, {"sum": 3})
        assert row.completed_at is not None

    def test_a_failure_that_django_q2_knows_is_recorded(self):
        make_row("ended", worker=GONE, attempts=1)
        trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: bad\n'
        make_result("ended", success=False, result=f"bad : {trace}")

        upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="ended")
        assert (row.status, row.message) == (Status.FAILED, "ValueError: bad")

    def test_the_result_of_an_earlier_attempt_is_no_end(self):
        make_row("again", worker=HERE, attempts=2)
        make_result("again", success=False, result="bad", attempt_count=1)

        report = upkeep.reconcile()

        assert report.left == {"again": "its worker is alive"}
        assert get_status("again") == Status.IN_PROGRESS

    def test_a_late_end_corrects_a_lost_row(self, manager):
        make_row("slow", worker=GONE, attempts=1)
        upkeep.reconcile()

        manager.handle_task_completion(make_result("slow"), "slow")

        row = AsyncTaskRecord.objects.get(task_name="slow")
        assert (row.status, row.failed_at) == (Status.SUCCESS, None)

    def test_a_late_sign_of_life_corrects_a_lost_row(self, manager):
        make_row("slow", worker=GONE, attempts=1)
        upkeep.reconcile()

        manager.update_progress("slow", "2/3")

        assert get_status("slow") == Status.IN_PROGRESS

    def test_a_task_that_speaks_while_it_is_judged_is_not_lost(self, manager):
        make_row("dead")
        make_row("alive", silent=timedelta(0))
        cutoff = timezone.now() - timedelta(hours=1)

        lost = manager.record_lost({"dead": "gone", "alive": "gone"}, silent_since=cutoff)

        assert lost == ["dead"]
        assert get_status("alive") == Status.IN_PROGRESS

    def test_a_rehearsal_changes_nothing(self):
        make_row("dead", worker=GONE)
        make_row("ended", worker=GONE)
        make_result("ended")
        before = list(AsyncTaskRecord.objects.order_by("pk").values())

        report = upkeep.reconcile(dry_run=True)

        assert (list(report.lost), report.ended) == (["dead"], ["ended"])
        assert list(AsyncTaskRecord.objects.order_by("pk").values()) == before

    def test_where_no_task_is_silent_it_costs_one_query(self):
        make_row("lively", silent=timedelta(0))

        assert count_queries(upkeep.reconcile) == 1

    @pytest.mark.parametrize(
        ("status", "values"),
        [
            (Status.IN_PROGRESS, {"worker": HERE, "attempts": 1}),
            (Status.IN_PROGRESS, {"worker": GONE, "attempts": 1}),
            (Status.PENDING, {}),
        ],
        ids=["alive", "lost at work", "lost in the queue"],
    )
    def test_a_thousand_rows_cost_as_many_queries_as_three(self, status, values):
        make_rows(3, status, **values)
        few = count_queries(upkeep.reconcile)
        AsyncTaskRecord.objects.all().delete()
        AsyncTaskAttempt.objects.all().delete()
        make_rows(1000, status, **values)

        many = count_queries(upkeep.reconcile)

        # On SQLite a long INSERT is split, in Django 5.2 at 999 parameters.
        assert few <= many <= few + 11


class TestReconcileInBatches:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("number", [4, 5, 6])
    def test_each_row_is_judged_once_though_the_broker_closes_connections(
        self, monkeypatch, number
    ):
        monkeypatch.setattr(upkeep, "BATCH", 2)
        make_rows(number, worker=GONE, attempts=1)
        make_result("task-3")

        report = upkeep.reconcile()

        lost = [f"task-{n}" for n in range(number) if n != 3]
        assert (report.ended, sorted(report.lost), report.left) == (["task-3"], lost, {})


class TestReconcileManyEnds:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("success", [True, False], ids=["success", "failure"])
    def test_a_thousand_cost_as_many_queries_as_three(self, success):
        def reconcile(number):
            for model in (AsyncTaskRecord, AsyncTaskAttempt, Task):
                model.objects.all().delete()
            make_rows(number, worker=GONE, attempts=1)
            make_results(number, success=success, result="bad")
            return count_queries(upkeep.reconcile)

        few = reconcile(3)

        many = reconcile(1000)

        status = Status.SUCCESS if success else Status.FAILED
        assert AsyncTaskRecord.objects.with_status([status]).count() == 1000
        assert AsyncTaskAttempt.objects.count() == (0 if success else 1000)
        # On SQLite a long INSERT is split, in Django 5.2 at 999 parameters.
        assert few <= many <= few + 11

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
    def test_a_row_that_somebody_holds_keeps_no_other_from_its_end(self):
        for name in ("held", "free"):
            make_row(name, worker=GONE, attempts=1)
            make_result(name)
        other = connection.copy()
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "UPDATE powercrud_tracking_asynctaskrecord SET message = 'held' "
                "WHERE task_name = 'held'"
            )

        try:
            report = upkeep.reconcile()
        finally:
            other.rollback()
            other.close()

        assert (get_status("held"), get_status("free")) == (Status.IN_PROGRESS, Status.SUCCESS)
        assert report.ended == ["free"]
        assert report.left == {"held": "its end could not be recorded"}


class TestUnreadableResult:
    def test_arguments_that_cannot_be_unpickled_stop_nothing(self):
        make_row("task")
        make_row("gone", worker=GONE, attempts=1)
        make_result("task")
        using = connections[router.db_for_write(Task)]
        with using.cursor() as cursor:
            cursor.execute("UPDATE django_q_task SET kwargs = 'no pickle' WHERE name = 'task'")

        report = upkeep.reconcile()

        assert (report.ended, report.lost) == (["task"], ["gone"])
        assert get_status("task") == Status.SUCCESS


class TestCleanupCompletedTasks:
    """What PowerCRUD's own command and schedule call."""

    def test_a_queued_task_keeps_its_locks(self, manager):
        name = manager.launch_async_task(add, 1, 2, conflict_ids={"project.Widget": [1]})

        summary = manager.cleanup_completed_tasks()

        assert summary["skipped"] == {name: "it has not ended"}
        assert manager.check_conflict({"project.Widget": [1]}) == {1}

    def test_a_task_that_has_ended_is_released(self, manager):
        name = manager.launch_async_task(add, 1, 2, conflict_ids={"project.Widget": [1]})
        AsyncTaskRecord.objects.update(status=Status.FAILED, failed_at=timezone.now())

        summary = manager.cleanup_completed_tasks()

        assert summary["cleaned"][name]["reason"] == "failed"
        assert manager.check_conflict({"project.Widget": [1]}) == set()


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
    def test_age_since_the_end_and_status_decide(self, status, days, stays):
        self.make_ended("old", status, days)

        removed = upkeep.prune()

        assert removed == int(not stays)
        assert AsyncTaskRecord.objects.exists() is stays

    @pytest.mark.parametrize("status", sorted(OPEN))
    def test_open_rows_always_stay(self, status):
        make_row("open", status, silent=timedelta(days=4000), failed_at=timezone.now() - TWO_HOURS)
        AsyncTaskRecord.objects.update(created_at=timezone.now() - timedelta(days=4000))

        removed = upkeep.prune(days=0)

        assert removed == 0
        assert get_status("open") == status

    def test_a_status_that_is_kept_for_ever_stays(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": {"failed": None}}
        self.make_ended("failed", Status.FAILED, 4000)

        removed = upkeep.prune()

        assert removed == 0

    def test_the_argument_counts_for_every_status(self):
        self.make_ended("failed", Status.FAILED, 2)
        self.make_ended("success", Status.SUCCESS, 2)

        removed = upkeep.prune(days=1)

        assert removed == 2

    def test_attempts_go_along_and_those_of_others_stay(self):
        self.make_ended("old", Status.FAILED, 200)
        self.make_ended("new", Status.FAILED, 1)
        for name in ("old", "new"):
            AsyncTaskAttempt.objects.create(task_name=name, number=1, ended_at=timezone.now())

        upkeep.prune()

        assert [attempt.task_name for attempt in AsyncTaskAttempt.objects.all()] == ["new"]

    def test_a_rehearsal_counts_and_removes_nothing(self):
        self.make_ended("old", Status.SUCCESS, 31)

        removed = upkeep.prune(dry_run=True)

        assert removed == 1
        assert AsyncTaskRecord.objects.exists()

    def test_more_than_one_batch_is_removed(self, monkeypatch):
        monkeypatch.setattr(upkeep, "BATCH", 2)
        for n in range(5):
            self.make_ended(f"task-{n}", Status.SUCCESS, 31)

        removed = upkeep.prune()

        assert removed == 5
        assert not AsyncTaskRecord.objects.exists()

    def test_a_row_that_was_reopened_after_it_was_chosen_stays(self):
        self.make_ended("reopened", Status.FAILED, 200)
        chosen = (
            AsyncTaskRecord.objects.with_status([Status.FAILED])
            .ended_before(timezone.now())
            .named_tasks(["reopened"])
        )
        AsyncTaskRecord.objects.update(status=Status.IN_PROGRESS, failed_at=None)

        removed = upkeep._delete(chosen)

        assert removed == 0
        assert get_status("reopened") == Status.IN_PROGRESS

    def test_removing_a_thousand_costs_as_many_queries_as_three(self):
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
    def test_pruning_removes_the_task_then_and_not_before(self, monkeypatch, status, field):
        ended = timezone.now() - timedelta(days=3)
        row = make_row("a", status, **{field: ended})
        at = upkeep.find_prune_time(read_one(row))

        monkeypatch.setattr(timezone, "now", lambda: at)
        before = upkeep.prune()
        monkeypatch.setattr(timezone, "now", lambda: at + timedelta(microseconds=1))
        after = upkeep.prune()

        assert (before, after) == (0, 1)

    def test_without_an_end_the_last_sign_of_life_counts_in_both(self, monkeypatch):
        row = make_row("a", "failed")
        row.refresh_from_db()
        at = upkeep.find_prune_time(read_one(row))

        monkeypatch.setattr(timezone, "now", lambda: at + timedelta(microseconds=1))

        assert upkeep.prune() == 1
        assert at == row.updated_at + timedelta(days=180)

    @pytest.mark.parametrize("status", sorted(OPEN))
    def test_open_tasks_have_none(self, status):
        assert upkeep.find_prune_time(read_one(make_row("a", status))) is None

    @pytest.mark.parametrize("days", [None, {"success": None}, 10**9], ids=str)
    def test_what_is_kept_for_ever_has_none(self, settings, days):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RETENTION_DAYS": days}
        row = make_row("a", "success", completed_at=timezone.now())

        assert upkeep.find_prune_time(read_one(row)) is None

    def test_a_table_without_status_is_never_pruned(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        row = NameOnlyRecord.objects.create(task_name="a")

        assert upkeep.find_prune_time(read_one(row)) is None


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no row locks")
class TestPruneBesideAWorker:
    @pytest.mark.django_db(transaction=True)
    def test_a_row_that_a_worker_is_reopening_stays(self):
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
