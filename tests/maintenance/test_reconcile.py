import ast
import inspect
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection, connections, router
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Task

from powercrud_tracking import actions, upkeep
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import queue
from powercrud_tracking.maintenance import reconcile as module
from powercrud_tracking.maintenance.queue import Cluster, Evidence
from powercrud_tracking.maintenance.reconcile import describe_loss, find_reason_to_leave
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.tasks import add
from tests.support.brokers import announce_cluster, redis_queues
from tests.support.maintenance import (
    GONE,
    HERE,
    TWO_HOURS,
    count_queries,
    get_status,
    let_be_silent,
    make_result,
    make_results,
    make_row,
    make_rows,
    read_one,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(queue, "PAUSE", 0)


class TestReconcile:
    def test_a_healthy_two_hour_task_is_left(self):
        make_row("healthy", worker=HERE, attempts=1)

        report = upkeep.reconcile()

        assert report.left == {"healthy": "its worker is alive"}
        assert get_status("healthy") == Status.IN_PROGRESS

    def test_a_task_that_was_asked_to_stop_and_is_gone_is_cancelled(self):
        make_row("gone", worker=GONE, attempts=1)
        actions.cancel("gone", by="ada", reason="wrong file")
        let_be_silent("gone")

        report = upkeep.reconcile()

        assert (report.cancelled, report.lost) == (["gone"], [])
        row = AsyncTaskRecord.objects.get()
        assert (row.status, row.message) == ("cancelled", "Cancelled by ada: wrong file")
        assert row.cleaned_up is True

    def test_the_failure_that_django_q2_has_of_one_that_was_asked_to_stop_cancels_it(self):
        make_row("failed", worker=GONE, attempts=1)
        actions.cancel("failed", by="ada")
        let_be_silent("failed")
        make_result("failed", success=False)

        report = upkeep.reconcile()

        assert report.ended == ["failed"]
        assert get_status("failed") == Status.CANCELLED

    @pytest.mark.parametrize("silent", [TWO_HOURS, timedelta(days=30)], ids=str)
    def test_a_task_that_waits_without_a_cluster_is_left(self, manager, silent):
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

    def test_a_task_of_a_dead_worker_that_is_in_the_queue_is_left(self, manager):
        name = manager.launch_async_task(add, 1, 2)
        AsyncTaskRecord.objects.update(status=Status.IN_PROGRESS, worker=GONE)
        let_be_silent(name)

        report = upkeep.reconcile()

        assert report.left == {name: "it is in the queue"}

    def test_a_task_with_recent_activity_is_not_checked(self):
        make_row("lively", worker=GONE, silent=timedelta(seconds=5))

        report = upkeep.reconcile()

        assert report == upkeep.Reconciled()

    @pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.LOST])
    def test_a_finished_task_is_not_checked(self, status):
        make_row("ended", status)

        report = upkeep.reconcile(older_than=0)

        assert report == upkeep.Reconciled()

    def test_a_task_that_neither_waits_nor_runs_is_lost_and_says_what_was_checked(self):
        make_row("dead", worker=GONE, attempts=1)

        report = upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="dead")
        assert report.lost == ["dead"]
        assert (row.status, row.cleaned_up) == (Status.LOST, True)
        assert row.failed_at is not None
        assert row.message == (
            "Lost: no activity, django-q2 has no result, it is not in the queue, "
            f"its worker {GONE} is in no live cluster, 0 live clusters checked."
        )

    def test_a_pending_task_that_left_the_queue_is_lost(self):
        make_row("dropped", Status.PENDING)

        report = upkeep.reconcile()

        assert report.lost == ["dropped"]

    def test_a_lost_task_gets_an_attempt(self):
        make_row("dead", worker=GONE, attempts=2, started_at=timezone.now())

        upkeep.reconcile()

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.task_name, attempt.number, attempt.outcome) == ("dead", 2, Status.LOST)
        assert (attempt.worker, attempt.exception_class) == (GONE, "")
        assert attempt.message.startswith("Lost: no activity")

    def test_a_success_that_django_q2_has_is_recorded(self):
        make_row("ended", worker=GONE, attempts=1)
        make_result("ended", result={"sum": 3})

        report = upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="ended")
        assert report.ended == ["ended"]
        assert (row.status, row.result_payload) == (Status.SUCCESS, {"sum": 3})
        assert row.completed_at is not None

    def test_a_failure_that_django_q2_has_is_recorded(self):
        make_row("ended", worker=GONE, attempts=1)
        trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: bad\n'
        make_result("ended", success=False, result=f"bad : {trace}")

        upkeep.reconcile()

        row = AsyncTaskRecord.objects.get(task_name="ended")
        assert (row.status, row.message) == (Status.FAILED, "ValueError: bad")

    def test_the_end_of_a_task_that_names_another_table_is_recorded_here(self):
        make_row("moved", Status.PENDING)
        make_result(
            "moved",
            kwargs=get_manager(record_model="project.InheritedRecord").get_manager_reference(),
        )

        report = upkeep.reconcile()

        assert (report.ended, get_status("moved")) == (["moved"], Status.SUCCESS)

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

    def test_late_progress_reopens_a_lost_row(self, manager):
        make_row("slow", worker=GONE, attempts=1)
        upkeep.reconcile()

        manager.update_progress("slow", "2/3")

        assert get_status("slow") == Status.IN_PROGRESS

    def test_a_task_with_activity_during_the_check_is_not_lost(self, manager):
        make_row("dead")
        make_row("alive", silent=timedelta(0))
        cutoff = timezone.now() - timedelta(hours=1)

        lost = manager.record_lost({"dead": "gone", "alive": "gone"}, silent_since=cutoff)

        assert lost == ["dead"]
        assert get_status("alive") == Status.IN_PROGRESS

    def test_a_dry_run_of_reconciling_changes_nothing(self):
        make_row("dead", worker=GONE)
        make_row("ended", worker=GONE)
        make_result("ended")
        before = list(AsyncTaskRecord.objects.order_by("pk").values())

        report = upkeep.reconcile(dry_run=True)

        assert (list(report.lost), report.ended) == (["dead"], ["ended"])
        assert list(AsyncTaskRecord.objects.order_by("pk").values()) == before

    @pytest.mark.parametrize("seconds", [1e9, 1e11, 1e12, 1e300, float("inf")], ids=str)
    def test_reconciling_by_an_age_that_no_date_expresses_finds_no_task(self, seconds):
        make_row("dead", worker=GONE, silent=timedelta(days=4000))
        manager = SimpleNamespace(config=DashboardConfig(lost_after=seconds))

        assert module.reconcile(manager) == upkeep.Reconciled()
        assert upkeep.reconcile(older_than=seconds) == upkeep.Reconciled()

    @pytest.mark.parametrize("seconds", [-1, -1e12, float("nan")], ids=str)
    def test_reconciling_refuses_negative_seconds(self, seconds):
        with pytest.raises(ValueError, match=r"^older_than must be 0 or more seconds, got "):
            upkeep.reconcile(older_than=seconds)

    def test_reconciling_without_such_tasks_costs_one_query(self):
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
    def test_reconciling_a_thousand_rows_costs_as_many_queries_as_three(self, status, values):
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
    def test_each_row_is_checked_once_with_any_batch_size(self, monkeypatch, number):
        monkeypatch.setattr(module, "BATCH", 2)
        make_rows(number, worker=GONE, attempts=1)
        make_result("task-3")

        report = upkeep.reconcile()

        lost = [f"task-{n}" for n in range(number) if n != 3]
        assert (report.ended, sorted(report.lost), report.left) == (["task-3"], lost, {})


class TestReconcileManyEnds:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("success", [True, False], ids=["success", "failure"])
    def test_a_thousand_ends_cost_as_many_queries_as_three(self, success):
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
    def test_a_locked_row_does_not_keep_others_from_their_ends(self):
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
    def test_a_result_whose_arguments_cannot_be_unpickled_ends_its_task(self):
        make_row("task")
        make_row("gone", worker=GONE, attempts=1)
        make_result("task")
        using = connections[router.db_for_write(Task)]
        with using.cursor() as cursor:
            cursor.execute("UPDATE django_q_task SET kwargs = 'no pickle' WHERE name = 'task'")

        report = upkeep.reconcile()

        assert (report.ended, report.lost) == (["task"], ["gone"])
        assert get_status("task") == Status.SUCCESS


WORKING = Cluster(id="a", host="a-host-that-is-gone", status="Working", pids=(4711,))
IDLE = Cluster(id="b", host="another-host", status="Idle", pids=(1, 2))
FULL = Cluster(id="c", host="another-host", status="Working", prefetched=1)
UNSAVED = Cluster(id="d", host="another-host", status="Working", unsaved=1)
PENDING = {"status": Status.PENDING}


def build_record(status=Status.IN_PROGRESS, worker=GONE, cluster="night"):
    row = AsyncTaskRecord(task_name="silent", status=status, worker=worker, cluster=cluster)
    return read_one(row)


def build_evidence(**values):
    """Evidence that no task is queued or running."""
    given = {"queued": None, "waiting": {"night": 0}, "redelivers": False, "clusters": ()}
    return Evidence(**{**given, **values})


class TestFindReasonToLeave:
    @pytest.mark.parametrize(
        ("evidence", "record", "reason"),
        [
            ({"queued": {"silent"}}, {}, "it is in the queue"),
            ({"queued": {"silent"}}, PENDING, "it is in the queue"),
            ({"clusters": (WORKING,)}, {}, "its worker is alive"),
            ({"queued": set(), "clusters": (WORKING,)}, {}, "its worker is alive"),
            ({"waiting": {"night": 1}}, PENDING, "its queue is not empty"),
            ({"waiting": {}}, PENDING, "the queue 'night' cannot be asked"),
            ({}, {**PENDING, "cluster": ""}, "its row does not name the queue that it was sent to"),
            (
                {},
                {**PENDING, "cluster": "cut…"},
                "its row does not name the queue that it was sent to",
            ),
            ({"clusters": (FULL,)}, PENDING, "a cluster holds tasks that have not begun"),
            (
                {"clusters": (IDLE,)},
                {"worker": ""},
                "its row does not name its worker, and a cluster that may run it is running",
            ),
            ({"clusters": (UNSAVED,)}, {}, "a cluster has results that are not saved yet"),
            (
                {"clusters": (IDLE,), "counts_prefetched": False},
                PENDING,
                "it is unknown what the clusters hold",
            ),
            ({"clusters": None}, PENDING, "it is unknown which clusters are running"),
            ({"clusters": None}, {}, "it is unknown which clusters are running"),
            ({"clusters": None, "queued": set()}, {}, "it is unknown which clusters are running"),
            (
                {"redelivers": True, "waiting": {"night": 1}},
                {},
                "the broker may deliver it again",
            ),
            ({"redelivers": True, "waiting": {}}, {}, "the queue 'night' cannot be asked"),
            (
                {"redelivers": True},
                {"cluster": ""},
                "its row does not name the queue that it was sent to",
            ),
        ],
    )
    def test_a_task_that_may_wait_or_run_is_left(self, evidence, record, reason):
        found = find_reason_to_leave(build_record(**record), build_evidence(**evidence))

        assert found == reason

    @pytest.mark.parametrize("record", [PENDING, {}, {**PENDING, "cluster": ""}], ids=str)
    def test_a_task_of_clusters_with_a_broker_of_their_own_is_left(self, settings, record):
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"night": {"orm": "other"}}}

        found = find_reason_to_leave(build_record(**record), build_evidence(queued=set()))

        assert found == (
            "its cluster may have a broker of its own, which this process does not know"
        )

    @pytest.mark.parametrize(
        ("evidence", "record"),
        [
            ({}, PENDING),
            ({}, {}),
            ({"waiting": {"night": 0, "another": 5}}, PENDING),
            ({"queued": {"another"}}, PENDING),
            ({"queued": {"another"}, "clusters": (UNSAVED,)}, {}),
            ({"queued": set(), "waiting": {}}, {**PENDING, "cluster": ""}),
            ({"queued": set(), "clusters": None}, PENDING),
            ({"clusters": (IDLE,)}, {}),
            ({"clusters": (IDLE,), "waiting": {"night": 5}}, {}),
            ({"redelivers": True}, {}),
            ({}, {"worker": ""}),
            ({"queued": set(), "clusters": (IDLE,)}, {"worker": ""}),
            ({}, {"worker": None}),
        ],
    )
    def test_a_task_that_can_neither_wait_nor_run_is_lost(self, evidence, record):
        found = find_reason_to_leave(build_record(**record), build_evidence(**evidence))

        assert found is None

    def test_every_reason_to_leave_a_task_is_explained_in_the_documentation(self):
        tree = ast.parse(inspect.getsource(find_reason_to_leave))
        texts = [
            node.value
            for each in ast.walk(tree)
            if isinstance(each, ast.Return)
            for node in ast.walk(each)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        page = Path(__file__).parents[2] / "docs" / "when-things-go-wrong.md"
        reasons = re.findall(r"^\| `(.*?)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)

        unexplained = [
            text
            for text in texts
            if not any(text.strip() in each or each.partition("…")[0] in text for each in reasons)
        ]
        assert (len(texts) > 9, unexplained) == (True, [])


class TestDescribeLoss:
    @pytest.mark.parametrize(
        ("evidence", "record", "words"),
        [
            (
                {"queued": frozenset(), "clusters": (IDLE, IDLE)},
                {},
                f"it is not in the queue, its worker {GONE} is in no live cluster, "
                "1 live cluster checked",
            ),
            (
                {"clusters": (IDLE, FULL)},
                {"status": Status.PENDING},
                "the queue 'night' is empty, 2 live clusters checked",
            ),
            (
                {"waiting": {"night": 5}},
                {"worker": ""},
                "its worker is unknown and is in no live cluster, 0 live clusters checked",
            ),
        ],
        ids=["running", "queued", "no worker known"],
    )
    def test_the_message_of_a_lost_task_says_what_was_checked(self, evidence, record, words):
        message = describe_loss(build_record(**record), build_evidence(**evidence))

        assert message == f"Lost: no activity, django-q2 has no result, {words}."


class TestQueues:
    """A task is searched in the queue that it was sent to."""

    @pytest.fixture
    def redis_queue(self, monkeypatch):
        with redis_queues(monkeypatch) as name:
            yield name

    def launch(self, manager, **options):
        name = manager.launch_async_task(add, 1, 2, **options)
        let_be_silent(name)
        return name

    def test_a_task_that_waits_in_another_queue_of_redis_is_left_with_its_locks(
        self, manager, redis_queue
    ):
        locked = {"project.Widget": [1]}
        name = self.launch(manager, cluster=f"{redis_queue}-other", conflict_ids=locked)

        report = upkeep.reconcile()

        assert report.left == {name: "its queue is not empty"}
        assert manager.check_conflict(locked) == {1}

    def test_tasks_of_another_queue_do_not_keep_a_task_open(self, manager, redis_queue):
        name = self.launch(manager)
        get_broker().purge_queue()
        other = self.launch(manager, cluster=f"{redis_queue}-other")

        report = upkeep.reconcile()

        assert (report.lost, report.left) == ([name], {other: "its queue is not empty"})

    def test_a_task_whose_queue_is_unknown_is_left(self, manager, redis_queue):
        name = self.launch(manager, broker=get_broker(f"{redis_queue}-other"))

        report = upkeep.reconcile()

        assert report.left == {name: "its row does not name the queue that it was sent to"}

    def test_a_task_of_a_table_without_the_queue_is_left(self, settings, manager, redis_queue):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FIELD_MAP": {"cluster": None}}
        name = self.launch(get_manager(), cluster=f"{redis_queue}-other")

        report = upkeep.reconcile()

        assert report.left == {name: "its row does not name the queue that it was sent to"}

    def test_a_broker_that_does_not_answer_leaves_every_task_open(
        self, manager, redis_queue, monkeypatch
    ):
        name = self.launch(manager)
        make_row("running", worker=GONE, cluster=redis_queue)
        make_row("ended", worker=GONE, cluster=redis_queue)
        make_result("ended")
        monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:1/0")

        report = upkeep.reconcile()

        assert report.left == {
            name: f"the queue {redis_queue!r} cannot be asked",
            "running": "it is unknown which clusters are running",
        }
        assert report.ended == ["ended"]

    @pytest.mark.parametrize("cluster", ["tests", "night", ""])
    def test_with_the_orm_broker_all_queues_are_listed(self, manager, cluster):
        make_row("dropped", Status.PENDING, cluster=cluster)
        name = self.launch(manager, cluster="night")

        report = upkeep.reconcile()

        assert (report.lost, report.left) == (["dropped"], {name: "it is in the queue"})

    def test_with_a_cache_of_each_process_a_running_task_is_left(self, settings, monkeypatch):
        settings.CACHES = {
            **settings.CACHES,
            "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        }
        make_row("running", worker=GONE)
        monkeypatch.setattr(Conf, "CACHE", "local")

        report = upkeep.reconcile()

        assert report.left == {"running": "it is unknown which clusters are running"}


class TestRestart:
    """A container is restarted under its host name, and a worker gets the number of a dead one."""

    HOST, PID = "box", 7

    def reconcile(self, *, started, born):
        make_row("old", worker=f"{self.HOST}:{self.PID}", attempts=1, started_at=started)
        announce_cluster(host=self.HOST, workers=[self.PID], tob=born)
        return upkeep.reconcile()

    def test_after_a_restart_the_task_of_the_dead_worker_is_lost(self):
        now = timezone.now()

        report = self.reconcile(started=now - TWO_HOURS, born=now - TWO_HOURS / 3)

        assert report.lost == ["old"]

    def test_a_task_that_began_after_the_restart_is_left(self):
        now = timezone.now()

        report = self.reconcile(started=now - TWO_HOURS / 3, born=now - TWO_HOURS)

        assert report.left == {"old": "its worker is alive"}
