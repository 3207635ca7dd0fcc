"""The helpers for the tests of a project run a task as a cluster does."""

import re
import threading
from contextlib import suppress

import django_q.worker
import pytest
from django.db import IntegrityError, router, transaction
from django.test import TestCase
from django.urls import reverse
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signals import post_execute, post_execute_in_worker, pre_enqueue, pre_execute
from django_q.tasks import async_task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.progress import report, track
from powercrud_tracking.signals import task_recorded
from powercrud_tracking.testing import (
    assert_task,
    cancel_while_running,
    describe_task,
    run_task,
    task_queue,
)
from tests.project.models import BespokeRecord, Widget
from tests.support.rows import NAME

pytestmark = pytest.mark.django_db

BESPOKE = {
    "RECORD_MODEL": "project.BespokeRecord",
    "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
}


# --- what runs ---------------------------------------------------------------------------


def add(a, b, task_key):
    return a + b


def fail(task_key):
    raise ValueError("the price is\nwrong")


def fail_once(task_key):
    if not Task.objects.filter(name=task_key).exists():
        raise ValueError("not yet")
    return "at last"


def count_to(number, task_key):
    for _ in track(range(number), message="counting"):
        pass


def report_in_a_transaction(task_key):
    with transaction.atomic():
        report(1, 2, "saving")
        Widget.objects.create(name="Bolt")


def look_at_own_row(task_key):
    return AsyncTaskRecord.objects.get(task_name=task_key).status


def launch_another(task_key):
    return get_manager().launch_async_task(add, 1, 2)


def return_a_lock(task_key):
    return threading.Lock()


def break_a_constraint(task_key):
    Widget.objects.create(pk=1, name="Bolt")
    with suppress(IntegrityError):
        Widget.objects.create(pk=1, name="Nut")
    Widget.objects.get()
    return "went on"


def plain():
    return "plain"


# --- running -----------------------------------------------------------------------------


class TestRunTask:
    def test_run_task_raises_the_error_of_a_refused_launch(self):
        with pytest.raises(Exception, match="Failed to enqueue"):
            run_task(add, 1, lambda: 2)

        assert_task(AsyncTaskRecord.objects.get().task_name, status="failed", attempts=0)

    def test_a_result_that_cannot_be_pickled_raises_type_error(self):
        with pytest.raises(
            TypeError, match=r"returned <unlocked _thread.lock .* cannot be pickled"
        ):
            run_task(return_a_lock)

    def test_a_success_is_recorded_from_its_launch_to_its_cleanup(self, user):
        record = run_task(add, 1, b=2, user=user, affected_objects="two numbers", group="sums")

        assert record.status is Status.SUCCESS
        assert (record.result, record.message) == (3, "Task completed successfully")
        assert (record.args, record.kwargs) == ([1], {"b": 2})
        assert (record.user, record.objects) == (user.get_username(), "two numbers")
        assert (record.func, record.group) == ("tests.test_testing.add", "sums")
        assert (record.attempts, record.cleaned) == (1, True)
        assert record.created_at <= record.started_at <= record.completed_at
        assert record.worker

    def test_a_failure_is_recorded_and_not_raised(self):
        record = run_task(fail)

        assert record.status is Status.FAILED
        assert record.message == "ValueError: the price is wrong"
        assert record.result.endswith("ValueError: the price is\nwrong\n")
        assert record.failed_at is not None
        assert AsyncTaskAttempt.objects.get().task_name == record.task_name

    def test_the_function_sees_the_row_of_its_running_task(self):
        assert run_task(look_at_own_row).result == "in_progress"

    @pytest.mark.parametrize(
        ("func", "args", "progress"),
        [(count_to, (3,), "counting: 3/3"), (report_in_a_transaction, (), "saving: 1/2")],
        ids=["plain", "in-a-transaction"],
    )
    def test_run_task_writes_the_last_progress_into_the_row(self, func, args, progress):
        assert run_task(func, *args).progress == progress

    def test_run_task_releases_the_locks(self):
        manager = get_manager()
        locks = {"project.widget": {1}}

        with task_queue() as queue:
            manager.launch_async_task(add, 1, 2, conflict_ids=locks)
            held = manager.check_conflict(locks)
            queue.run()

        assert (held, manager.check_conflict(locks)) == ({1}, set())

    def test_run_task_takes_another_manager(self):
        manager = get_manager(record_model="project.BespokeRecord", field_map=BESPOKE["FIELD_MAP"])

        record = run_task(add, 1, 2, manager=manager, task_key=NAME)

        assert record.status is Status.SUCCESS
        assert BespokeRecord.objects.get().key == NAME
        assert not AsyncTaskRecord.objects.exists()

    def test_run_task_sends_the_signals_and_stores_the_result_of_django_q2(self):
        sent = []
        signals = {
            "pre_enqueue": pre_enqueue,
            "pre_execute": pre_execute,
            "post_execute_in_worker": post_execute_in_worker,
            "post_execute": post_execute,
        }
        receivers = {name: lambda name=name, **kwargs: sent.append(name) for name in signals}
        for name, signal in signals.items():
            signal.connect(receivers[name])
        try:
            record = run_task(add, 1, 2)
        finally:
            for name, signal in signals.items():
                signal.disconnect(receivers[name])

        assert sent == list(signals)
        task = Task.objects.get(name=record.task_name)
        assert (task.success, task.result, task.attempt_count) == (True, 3, 1)
        assert task.cluster == Conf.CLUSTER_NAME

    @pytest.mark.parametrize("options", [{"save": False}, {"cached": True}], ids=str)
    def test_a_task_ends_if_django_q2_stores_no_result(self, options):
        record = run_task(add, 1, 2, **options)

        assert_task(record, status="success", result=3, cleaned=True)
        assert not Task.objects.exists()

    def test_a_task_runs_with_sync_in_q_cluster(self, monkeypatch):
        monkeypatch.setattr(Conf, "SYNC", True)

        assert_task(run_task(fail), status="failed", cleaned=True)


class TestTaskQueue:
    def test_no_task_runs_before_queue_run(self):
        with task_queue() as queue:
            task_name = get_manager().launch_async_task(add, 1, 2)

            assert (len(queue), queue.task_names) == (1, [task_name])
            assert_task(task_name, status="pending", started_at=None)

    def test_no_task_is_put_into_the_real_queue(self):
        with task_queue():
            get_manager().launch_async_task(add, 1, 2)

        assert not OrmQ.objects.exists()

    def test_after_task_queue_the_real_queue_is_used(self):
        with pytest.raises(KeyError), task_queue():
            raise KeyError

        get_manager().launch_async_task(add, 1, 2)

        assert OrmQ.objects.count() == 1

    def test_a_failed_task_is_delivered_again_by_the_next_run(self):
        with task_queue() as queue:
            task_name = get_manager().launch_async_task(fail_once)
            queue.run()
            assert_task(task_name, status="failed", attempts=1)
            assert len(queue) == 1

            queue.run()

            assert_task(task_name, status="success", attempts=2, result="at last", failed_at=None)
            assert len(queue) == 0

    @pytest.mark.parametrize(
        "given", [{"MAX_ATTEMPTS": 1}, {"ACK_FAILURES": True}], ids=lambda given: next(iter(given))
    )
    def test_a_failed_task_is_not_delivered_again_if_django_q2_gives_up(self, monkeypatch, given):
        for name, value in given.items():
            monkeypatch.setattr(Conf, name, value)

        with task_queue() as queue:
            get_manager().launch_async_task(fail)
            queue.run()

            assert len(queue) == 0

    def test_a_task_that_a_task_launches_runs(self):
        with task_queue() as queue:
            get_manager().launch_async_task(launch_another)
            outer, inner = queue.run()

        assert outer.result == inner.task_name
        assert inner.result == 3

    def test_a_task_that_is_not_recorded_runs_and_has_no_record(self):
        with task_queue() as queue:
            async_task(plain)

            assert queue.run() == []

        assert Task.objects.get().result == "plain"

    def test_a_bulk_update_of_a_view_is_run_to_its_end(self, client, user):
        widgets = [Widget.objects.create(name=f"Bolt {n}", price=1) for n in range(3)]
        fields = {
            "selected_ids[]": [str(widget.pk) for widget in widgets],
            "bulk_submit": "1",
            "fields_to_update": "price",
            "price": "5",
        }
        client.force_login(user)

        with task_queue() as queue:
            client.post(reverse("widget-bulk-edit"), fields, headers={"HX-Request": "true"})
            [record] = queue.run()

        assert_task(record, status="success", objects="3 widgets", user=user.get_username())
        assert set(Widget.objects.values_list("price", flat=True)) == {5}


def make_widgets(number, task_key):
    with transaction.atomic():
        for position in range(number):
            report(position, number, "making")
            Widget.objects.create(name=str(position))


class TestCancelWhileRunning:
    @pytest.mark.parametrize("after", [0, 2])
    def test_a_task_stops_at_a_report_and_its_transaction_is_rolled_back(self, user, after):
        with cancel_while_running(after=after, by=user, reason="wrong file"):
            record = run_task(make_widgets, 5)

        assert_task(record, status="cancelled", message="Cancelled by ada: wrong file", attempts=1)
        assert not Widget.objects.exists()

    def test_a_task_that_reports_less_often_succeeds(self):
        with cancel_while_running(after=5):
            record = run_task(make_widgets, 5)

        assert_task(record, status="success", cancel_requested_at=None)
        assert Widget.objects.count() == 5

    def test_after_the_block_tasks_run_to_their_end(self):
        with cancel_while_running():
            run_task(make_widgets, 5)

        assert_task(run_task(make_widgets, 5), status="success")

    def test_a_bulk_update_is_rolled_back_and_releases_its_locks(self):
        widgets = [Widget.objects.create(name=name) for name in ("Bolt", "Nut", "Cog")]
        manager = get_manager()
        locks = {"project.widget": {widget.pk for widget in widgets}}
        data = {"field": "price", "value": 7, "info": {"is_m2m": False}}

        with cancel_while_running(after=1):
            record = run_task(
                "powercrud.tasks.bulk_update_task",
                "project.Widget",
                [str(widget.pk) for widget in widgets],
                None,
                ["price"],
                ["price"],
                [data],
                conflict_ids=locks,
                **manager.get_manager_reference(),
            )

        assert_task(record, status="cancelled", attempts=1)
        assert not Widget.objects.filter(price=7).exists()
        assert manager.add_conflict_ids(NAME, locks)

    def test_a_block_in_which_no_task_runs_is_an_error(self):
        with (
            pytest.raises(AssertionError, match=r"^No task was asked to stop\. No task ran\."),
            cancel_while_running(),
        ):
            pass


class TestConnections:
    @pytest.mark.django_db(transaction=True)
    def test_a_task_outside_a_transaction_continues_after_a_database_error(self):
        assert_task(run_task(break_a_constraint), status="success", result="went on")

    def test_task_queue_restores_django_q2(self):
        before = (django_q.worker.close_old_django_connections, Conf.BROKER_CLASS)

        run_task(fail)

        assert (django_q.worker.close_old_django_connections, Conf.BROKER_CLASS) == before


class SignalTest(TestCase):
    databases = "__all__"

    def test_task_recorded_is_sent_if_on_commit_callbacks_are_captured(self):
        seen = []

        def note(*, event, **kwargs):
            seen.append(str(event))

        task_recorded.connect(note)
        try:
            using = router.db_for_write(AsyncTaskRecord)
            with self.captureOnCommitCallbacks(using=using, execute=True):
                run_task(add, 1, 2)
        finally:
            task_recorded.disconnect(note)

        assert seen == ["create", "create", "start", "complete", "cleanup"]


# --- asserting ---------------------------------------------------------------------------


class TestAssertTask:
    def test_an_unknown_logical_name_is_an_error_with_a_suggestion(self):
        record = run_task(add, 1, 2)

        with pytest.raises(
            TypeError, match=r"unknown logical name 'stauts'. Did you mean 'status'"
        ):
            assert_task(record, stauts="success")

    def test_the_error_for_a_missing_row_names_the_newest_tasks(self):
        with pytest.raises(AssertionError) as none:
            assert_task(NAME)
        record = run_task(add, 1, 2)
        with pytest.raises(AssertionError) as one:
            assert_task(NAME)

        label = "powercrud_tracking.AsyncTaskRecord"
        assert str(none.value) == f"{label} has no row of the task '{NAME}'; there are none at all."
        assert str(one.value) == (
            f"{label} has no row of the task '{NAME}'; the newest are {record.task_name}."
        )

    def test_a_deleted_row_is_an_assertion_error(self):
        record = run_task(add, 1, 2)
        AsyncTaskRecord.objects.all().delete()

        with pytest.raises(AssertionError, match="there are none at all"):
            assert_task(record)

    def test_every_difference_is_named_and_the_row_is_shown(self):
        record = run_task(fail, affected_objects="3 books")

        with pytest.raises(AssertionError) as raised:
            assert_task(record, status="success", attempts=1, message=re.compile("out of print"))

        first, *row = str(raised.value).splitlines()
        assert first == (
            "status is 'failed', not 'success'. "
            "message is 'ValueError: the price is wrong', without 'out of print'."
        )
        assert row[0].split() == ["task_name", record.task_name]
        assert row[1].split() == ["status", "failed"]
        assert "  objects              3 books" in row
        assert "Traceback (most recent call last):" in str(raised.value)

    def test_assert_task_returns_the_current_record(self):
        record = run_task(add, 1, 2)
        AsyncTaskRecord.objects.update(message="changed")

        assert assert_task(record, message="changed").message == "changed"
        assert record.message != "changed"

    def test_assert_task_accepts_affected_for_objects(self):
        assert_task(run_task(add, 1, 2, affected_objects="books"), affected="books")

    def test_assert_task_finds_a_task_name_in_the_table_of_the_setting(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE

        run_task(add, 1, 2, task_key=NAME)

        assert_task(NAME, status=Status.SUCCESS, message="Task completed successfully")

    def test_a_value_that_the_table_does_not_store_is_none(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = BESPOKE
        record = run_task(add, 1, 2)

        with pytest.raises(AssertionError, match=r"result is None, not 3\."):
            assert_task(record, result=3)


class TestDescribeTask:
    def test_describe_task_leaves_out_empty_values(self):
        lines = describe_task(run_task(add, 0, 0)).splitlines()

        names = [line.split()[0] for line in lines]
        assert "failed_at" not in names
        assert "user" not in names
        assert "  result               0" in lines
