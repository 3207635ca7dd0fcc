import json
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import Value
from queue import SimpleQueue

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, router, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ, Task
from django_q.monitor import monitor
from django_q.signals import pre_enqueue
from django_q.signing import SignedPackage
from django_q.worker import worker
from powercrud.async_manager import AsyncManager
from powercrud.tasks import bulk_delete_task

from powercrud_tracking import managers
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager, TaskStillOpenError
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord, NameOnlyRecord, Widget

pytestmark = pytest.mark.django_db
# django-q2's worker closes the connections it finds, and with them a test's transaction.
in_a_cluster = pytest.mark.django_db(transaction=True)

NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
OTHER = "5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC if settings.USE_TZ else None)
RECORDS = router.db_for_write(AsyncTaskRecord)
HOOK = "powercrud.async_hooks.task_completion_hook"


def work_off():
    """Do with all that is queued what a cluster does, in this process."""
    broker = get_broker()
    packages, results = SimpleQueue(), SimpleQueue()
    for ack_id, package in broker.dequeue() or ():
        packages.put({**SignedPackage.loads(package), "cluster": "tests", "ack_id": ack_id})
    packages.put("STOP")
    worker(packages, results, Value("f", -1))
    results.put("STOP")
    monitor(results, broker)


def get_row(task_name=NAME):
    return AsyncTaskRecord.objects.get(task_name=task_name)


def get_values(task_name=NAME):
    return AsyncTaskRecord.objects.values().get(task_name=task_name)


# --- what runs in the queue --------------------------------------------------------------


def add(a, b, task_key):
    return a + b


def add_and_tell(a, b, task_key):
    get_manager().update_progress(task_key, "adding: 1/2")
    return a + b


def fail(task_key):
    raise ValueError("the price is\nwrong")


def fail_once(task_key):
    if not Task.objects.filter(name=task_key).exists():
        raise ValueError("not yet")
    return "at last"


def save_widget(task_key):
    manager = get_manager()
    with transaction.atomic(using=RECORDS):
        Widget.objects.create(name="Bolt")
        manager.update_progress(task_key, "saving: 1/2")
        inside = get_row(task_key).progress_payload
    after = get_row(task_key).progress_payload
    transaction.on_commit(lambda: manager.update_progress(task_key, "saving: 2/2"))
    return [inside, after]


def save_nothing(task_key):
    with transaction.atomic(), transaction.atomic(using=RECORDS):
        Widget.objects.create(name="Bolt")
        get_manager().update_progress(task_key, "saving: 1/2")
        raise ValueError("no room")


def say_no(task_key):
    return "no"


def get_statuses(task_key):
    return AsyncTaskRecord.objects.get(task_name=task_key).status


def sleep(task_key):
    time.sleep(5)


def is_text(func, result):
    return func == "tests.test_managers.say_no" and isinstance(result, str)


def shout(user):
    return str(user).upper()


class ShoutingManager(ModelTrackingAsyncManager):
    def format_user(self, user):
        return "WHO"

    def format_objects(self, objects):
        return "WHAT"

    def format_payload(self, payload):
        return {"shown": str(payload)}


class RaisingManager(ModelTrackingAsyncManager):
    def format_user(self, user):
        raise RuntimeError("no user")

    def format_affected(self, affected_objects):
        raise RuntimeError("no objects")

    def format_payload(self, payload):
        raise RuntimeError("no payload")


class SmallManager(ModelTrackingAsyncManager):
    record_model = "project.NameOnlyRecord"


# --- launching ---------------------------------------------------------------------------


class TestRefusedLaunch:
    def test_a_name_whose_row_is_open_changes_nothing(self, manager):
        manager.async_task_lifecycle("create", NAME, message="first")
        before = get_values()

        with pytest.raises(TaskStillOpenError, match=f"The task {NAME} has not ended yet."):
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert get_values() == before
        assert OrmQ.objects.count() == 0
        assert manager.get_progress(NAME) is None

    def test_a_running_task_keeps_its_locks_and_its_progress(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        manager.update_progress(NAME, "half way")
        before = get_values()

        with pytest.raises(TaskStillOpenError):
            manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)

        assert get_values() == before
        assert manager.check_conflict(locks) == {1}
        assert manager.get_progress(NAME) == "half way"
        assert OrmQ.objects.count() == 1

    def test_a_callable_that_no_worker_could_load_is_named(self):
        manager = ModelTrackingAsyncManager(format_user=shout)

        with pytest.raises(ImproperlyConfigured, match=r"FORMAT_USER is <function shout at"):
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert not AsyncTaskRecord.objects.exists()
        assert OrmQ.objects.count() == 0


class TestFailedLaunch:
    def test_locks_held_by_another_task_leave_a_failed_row(self, manager):
        locks = {"project.widget": {1, 2}}
        manager.launch_async_task(add, 1, 2, task_key=OTHER, conflict_ids=locks)

        with pytest.raises(Exception, match="conflicts detected"):
            manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "Cannot launch task - conflicts detected with existing operations"
        assert row.failed_at is not None
        assert row.attempts == 0
        assert get_row(OTHER).status == Status.PENDING

    def test_arguments_that_cannot_be_pickled_leave_a_failed_row(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message.startswith("Failed to enqueue async task: ")
        assert "lambda" in row.message
        assert OrmQ.objects.count() == 0

    @pytest.mark.django_db(transaction=True)
    def test_a_broker_that_is_down_leaves_a_failed_row(self, manager):
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE django_q_ormq RENAME TO gone")
        try:
            with pytest.raises(Exception, match="Failed to enqueue"):
                manager.launch_async_task(add, 1, 2, task_key=NAME)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE gone RENAME TO django_q_ormq")

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message.startswith("Failed to enqueue async task: ")
        assert "django_q_ormq" in row.message

    def test_its_locks_are_released(self, manager):
        locks = {"project.widget": {1}}

        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME, conflict_ids=locks)

        assert manager.check_conflict(locks) == set()

    @in_a_cluster
    def test_its_name_can_be_launched_again(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)

        manager.launch_async_task(add, 1, 2, task_key=NAME)
        work_off()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.attempts == 1
        assert row.failed_at is None

    def test_it_has_no_attempt_because_it_never_started(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)

        assert not AsyncTaskAttempt.objects.exists()

    def test_a_caller_in_a_transaction_can_go_on(self, manager):
        with transaction.atomic():
            with pytest.raises(Exception, match="Failed to enqueue"):
                manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)
            Widget.objects.create(name="Bolt")

        assert Widget.objects.count() == 1
        assert get_row().status == Status.FAILED


class TestLaunch:
    def test_the_row_is_written_ahead_of_the_enqueue(self, manager):
        seen = []

        def look(*, task, **kwargs):
            seen.append((get_row(task["name"]).status, get_row(task["name"]).queue_id))

        pre_enqueue.connect(look)
        try:
            manager.launch_async_task(add, 1, 2, task_key=NAME)
        finally:
            pre_enqueue.disconnect(look)

        assert seen == [(Status.PENDING, "")]

    def test_the_row_says_who_what_and_with_what(self, manager, user):
        manager.launch_async_task(
            add, 1, b=2, task_key=NAME, user=user, affected_objects="2 widgets", group="night"
        )

        row = get_row()
        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert row.status == Status.PENDING
        assert row.message == "Task queued"
        assert row.func == "tests.test_managers.add"
        assert row.task_args == [1]
        assert row.task_kwargs == {"b": 2}
        assert row.affected_objects == "2 widgets"
        assert row.task_group == "night"
        assert row.user_label == user.get_username()
        assert row.launched_by_id == str(user.pk)
        assert row.queue_id == package["id"]
        assert row.started_at is None
        assert row.attempts == 0

    def test_it_costs_one_insert_ahead_and_one_update_after(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=OTHER)

        with CaptureQueriesContext(connections[RECORDS]) as captured:
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        statements = [query["sql"] for query in captured if "asynctaskrecord" in query["sql"]]
        assert [statement.split()[0] for statement in statements] == ["INSERT", "UPDATE"]

    def test_it_returns_a_new_name_where_none_is_given(self, manager):
        task_name = manager.launch_async_task(add, 1, 2)

        assert get_row(task_name).task_args == [1, 2]

    def test_a_uuid_in_the_last_place_is_the_name(self, manager):
        task_name = manager.launch_async_task(add, 1, 2, NAME)

        assert task_name == NAME
        assert get_row().task_args == [1, 2]

    def test_another_string_in_the_last_place_is_an_argument(self, manager):
        task_name = manager.launch_async_task(add, "a", "b")

        assert get_row(task_name).task_args == ["a", "b"]

    def test_options_of_the_queue_are_not_arguments(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, timeout=5, save=False)

        assert get_row().task_kwargs == {}

    def test_plumbing_is_not_shown_but_travels(self, manager):
        manager.launch_async_task(
            "powercrud.tasks.bulk_delete_task",
            "project.Widget",
            ["1"],
            None,
            NAME,
            manager_class="powercrud_tracking.factory.DashboardManager",
            manager_config={},
        )

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert get_row().task_args == ["project.Widget", ["1"], None]
        assert get_row().task_kwargs == {}
        assert set(package["kwargs"]) == {"manager_class", "manager_config", "task_key"}

    def test_secrets_are_not_stored(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, password="hunter2")

        assert get_row().task_kwargs == {"password": "********"}

    def test_its_function_gets_its_own_arguments_and_task_key_only(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert package["args"] == (1, 2)
        assert package["kwargs"] == {"task_key": NAME}

    def test_after_a_rollback_neither_task_nor_row_remains(self, manager):
        with transaction.atomic(), transaction.atomic(using=RECORDS):
            manager.launch_async_task(add, 1, 2, task_key=NAME)
            transaction.set_rollback(True)
            transaction.set_rollback(True, using=RECORDS)

        assert not AsyncTaskRecord.objects.exists()
        assert OrmQ.objects.count() == 0

    @in_a_cluster
    def test_a_name_that_has_ended_can_be_launched_again(self, manager):
        manager.launch_async_task(fail, task_key=NAME)
        work_off()

        manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert get_row().status == Status.FAILED
        assert OrmQ.objects.count() == 2


# --- a task from one end to the other ----------------------------------------------------


class TestSyncTask:
    def test_a_success_is_recorded(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, sync=True)

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.result_payload == 3
        assert row.message == "Task completed successfully"
        assert row.attempts == 1
        assert row.started_at is not None
        assert row.completed_at is not None
        assert row.failed_at is None
        assert row.cleaned_up is True

    def test_a_failure_says_what_the_task_raised(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue async task: the price is"):
            manager.launch_async_task(fail, task_key=NAME, sync=True)

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "ValueError: the price is wrong"
        assert row.result_payload.startswith("the price is\nwrong : Traceback (most recent call")
        assert row.result_payload.endswith("ValueError: the price is\nwrong\n")
        assert row.attempts == 1

    def test_a_timeout_is_a_failure_that_keeps_no_locks(self, manager):
        locks = {"project.widget": {1}}

        with pytest.raises(TimeoutException):
            manager.launch_async_task(
                sleep, task_key=NAME, sync=True, timeout=1, conflict_ids=locks
            )

        row = get_row()
        assert manager.check_conflict(locks) == set()
        assert row.status == Status.FAILED
        assert row.message == (
            "django_q.exceptions.TimeoutException: Task exceeded maximum timeout value (1 seconds)"
        )

    def test_its_failed_attempt_is_kept(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(fail, task_key=NAME, sync=True)

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.task_name, attempt.number, attempt.outcome) == (NAME, 1, Status.FAILED)
        assert attempt.exception_class == "ValueError"
        assert attempt.message == "ValueError: the price is wrong"


@in_a_cluster
class TestQueuedTask:
    def test_a_launch_that_names_no_manager_is_recorded_to_its_end(self, manager):
        manager.launch_async_task(add_and_tell, 1, 2, task_key=NAME)

        work_off()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.result_payload == 3
        assert row.message == "Task completed successfully"
        assert row.progress_payload == "adding: 1/2"
        assert row.task_args == [1, 2]
        assert row.cleaned_up is True
        assert OrmQ.objects.count() == 0
        assert manager.get_progress(NAME) is None
        assert manager.get_active_tasks() == set()

    def test_the_row_is_in_progress_while_the_function_runs(self, manager):
        manager.launch_async_task(get_statuses, task_key=NAME)

        work_off()

        assert get_row().result_payload == "in_progress"

    def test_its_failure_is_recorded_with_reason_and_traceback(self, manager):
        manager.launch_async_task(fail, task_key=NAME)

        work_off()

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "ValueError: the price is wrong"
        assert row.result_payload.startswith("the price is\nwrong : Traceback (most recent call")
        assert row.failed_at is not None
        assert row.completed_at is None
        assert row.cleaned_up is True

    def test_a_second_attempt_that_succeeds_clears_the_failure(self, manager):
        manager.launch_async_task(fail_once, task_key=NAME)
        work_off()
        OrmQ.objects.update(lock=timezone.now() - timedelta(days=1))

        work_off()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.attempts == 2
        assert row.result_payload == "at last"
        assert row.failed_at is None
        assert row.cleaned_up is True
        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.number, attempt.message) == (1, "ValueError: not yet")

    @pytest.mark.parametrize("option", [{"save": False}, {"cached": 60}], ids=str)
    def test_it_ends_without_a_hook(self, manager, option):
        manager.launch_async_task(add, 1, 2, task_key=NAME, **option)

        work_off()

        row = get_row()
        assert not Task.objects.exists()
        assert (row.status, row.result_payload, row.cleaned_up) == (Status.SUCCESS, 3, True)

    def test_a_subclass_travels_by_its_path(self):
        ShoutingManager().launch_async_task(add, 1, 2, task_key=NAME)

        work_off()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert (row.user_label, row.affected_objects) == ("WHO", "WHAT")
        assert row.result_payload == {"shown": "3"}

    def test_overrides_travel_as_json(self):
        get_manager(record_model="project.NameOnlyRecord").launch_async_task(
            add, 1, 2, task_key=NAME
        )

        work_off()

        assert NameOnlyRecord.objects.get().task_name == NAME
        assert not AsyncTaskRecord.objects.exists()

    def test_progress_inside_its_transaction_reaches_the_row_at_the_commit(self, manager):
        manager.launch_async_task(save_widget, task_key=NAME)

        work_off()

        row = get_row()
        assert row.result_payload == ["", "saving: 1/2"]
        assert row.progress_payload == "saving: 2/2"
        assert Widget.objects.count() == 1

    def test_progress_inside_a_transaction_that_is_rolled_back_reaches_the_row(self, manager):
        manager.launch_async_task(save_nothing, task_key=NAME)

        work_off()

        row = get_row()
        assert (row.status, row.progress_payload) == (Status.FAILED, "saving: 1/2")
        assert not Widget.objects.exists()

    def test_locks_are_held_until_it_ends(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        held = manager.check_conflict(locks)

        work_off()

        assert held == {1}
        assert manager.check_conflict(locks) == set()


@in_a_cluster
class TestBulkTask:
    def launch(self, manager, *, price):
        widgets = [Widget.objects.create(name=name) for name in ("Bolt", "Nut")]
        Widget.objects.filter(name="Nut").update(broken=True)
        ids = [str(widget.pk) for widget in widgets]
        info = {"price": price}
        field_data = [{"field": "price", "value": str(price), "info": info}]
        manager.launch_async_task(
            "powercrud.tasks.bulk_update_task",
            "project.Widget",
            ids,
            None,
            ["price"],
            ["price"],
            field_data,
            NAME,
            manager_class="powercrud_tracking.factory.DashboardManager",
            manager_config=None,
        )

    def test_what_powercrud_calls_a_success_is_a_failure_with_its_reason(self, manager):
        self.launch(manager, price=7)

        work_off()

        row = get_row()
        assert Task.objects.get().success is True
        assert row.status == Status.FAILED
        assert "Nut is broken and cannot be sold." in row.message
        assert row.message == row.progress_payload
        assert row.message.startswith("failed update: ")
        assert row.result_payload is False
        assert row.completed_at is None
        assert row.failed_at is not None
        assert row.cleaned_up is True
        assert Widget.objects.filter(price=7).count() == 0

    def test_a_deletion_that_works_is_a_success(self, manager):
        widget = Widget.objects.create(name="Bolt")
        manager.launch_async_task(
            "powercrud.tasks.bulk_delete_task",
            "project.Widget",
            [str(widget.pk)],
            None,
            NAME,
            manager_class="powercrud_tracking.factory.DashboardManager",
            manager_config=None,
        )

        work_off()

        row = get_row()
        assert (row.status, row.result_payload) == (Status.SUCCESS, True)
        assert row.progress_payload == "completed delete: 1 processed"
        assert not Widget.objects.exists()


class TestCompletionHook:
    def complete(self, **values):
        task = {
            "id": "0" * 32,
            "name": NAME,
            "func": "tests.test_managers.add",
            "hook": HOOK,
            "args": (),
            "kwargs": {"manager_class": "powercrud_tracking.factory.DashboardManager"},
            "started": AT,
            "stopped": AT,
            "success": True,
            "result": 3,
        }
        return Task.objects.create(**{**task, **values})

    def test_a_success_is_recorded_by_the_manager_in_the_arguments(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete()

        row = get_row()
        assert (row.status, row.result_payload) == (Status.SUCCESS, 3)
        assert row.cleaned_up is True

    def test_a_failure_is_recorded_by_the_manager_in_the_arguments(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete(success=False, result="bad : ValueError: bad\n")

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "ValueError: bad")

    def test_a_task_that_names_no_manager_is_left_to_the_signal(self, manager):
        manager.async_task_lifecycle("create", NAME)

        self.complete(kwargs={"task_key": NAME})

        assert get_row().status == Status.PENDING

    def test_a_bulk_worker_that_returned_false_has_failed(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed delete: in use")

        self.complete(func="powercrud.tasks.bulk_delete_task", result=False)

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "failed delete: in use")


# --- judging results ---------------------------------------------------------------------


class TestFailedResult:
    @in_a_cluster
    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FAILED_RESULT": "tests.project.tracking.is_failed"}
    )
    def test_the_function_of_the_setting_decides(self):
        manager = get_manager()
        manager.launch_async_task(say_no, task_key=NAME)

        work_off()

        row = get_row()
        assert row.status == Status.FAILED
        assert row.message == "The task returned 'no'"
        assert row.result_payload == "no"
        assert row.completed_at is None

    @in_a_cluster
    def test_the_same_result_is_a_success_without_it(self, manager):
        manager.launch_async_task(say_no, task_key=NAME)

        work_off()

        assert get_row().status == Status.SUCCESS

    @in_a_cluster
    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"FAILED_RESULT": "tests.project.tracking.broken"})
    def test_one_that_raises_is_logged_and_the_built_in_one_decides(self, caplog):
        get_manager().launch_async_task(say_no, task_key=NAME)

        work_off()

        assert get_row().status == Status.SUCCESS
        assert "the built-in one is used instead" in caplog.text

    @in_a_cluster
    @pytest.mark.parametrize("option", [{}, {"save": False}], ids=["saved", "not saved"])
    def test_a_function_that_was_launched_as_itself_is_known_by_its_path(self, option):
        manager = get_manager(failed_result="tests.test_managers.is_text")

        manager.launch_async_task(say_no, task_key=NAME, **option)
        work_off()

        row = get_row()
        assert (row.status, row.message) == (Status.FAILED, "The task returned 'no'")

    @in_a_cluster
    def test_a_bulk_worker_that_was_launched_as_itself_is_known(self, manager):
        manager.launch_async_task(bulk_delete_task, "project.Nothing", ["1"], None, save=False)

        work_off()

        row = AsyncTaskRecord.objects.get()
        assert row.status == Status.FAILED
        assert row.message.startswith("failed delete: ")

    def test_the_message_is_the_last_progress_text(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed update: no stock")

        manager.async_task_lifecycle(
            "complete", NAME, func="powercrud.tasks.bulk_update_task", result=False
        )

        assert get_row().message == "failed update: no stock"

    def test_the_message_is_the_row_s_progress_once_the_cache_is_empty(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.update_progress(NAME, "failed update: no stock")
        manager.remove_progress_key(NAME)

        manager.async_task_lifecycle(
            "complete", NAME, func="powercrud.tasks.bulk_update_task", result=False
        )

        assert get_row().message == "failed update: no stock"

    def test_a_cleanup_that_brings_success_is_judged_too(self, manager):
        manager.async_task_lifecycle("create", NAME)

        manager.async_task_lifecycle(
            "cleanup",
            NAME,
            status="success",
            func="powercrud.tasks.bulk_update_task",
            result=False,
        )

        row = get_row()
        assert (row.status, row.cleaned_up) == (Status.FAILED, True)
        assert (row.completed_at, row.failed_at is None) == (None, False)


# --- hooks -------------------------------------------------------------------------------


class TestFormatting:
    def test_hooks_that_raise_fall_back_and_are_logged(self, caplog, user):
        RaisingManager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a", "b"], task_args=[1]
        )

        row = get_row()
        assert row.user_label == user.get_username()
        assert row.affected_objects == "a, b"
        assert row.task_args == [1]
        assert caplog.text.count("the built-in one is used instead") == 3
        assert "RuntimeError: no user" in caplog.text

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={
            "FORMAT_USER": "tests.project.tracking.broken",
            "FORMAT_OBJECTS": "tests.project.tracking.broken",
            "FORMAT_PAYLOAD": "tests.project.tracking.broken",
        }
    )
    def test_functions_of_the_setting_that_raise_fall_back_and_are_logged(self, caplog, user):
        get_manager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a"], task_kwargs={"a": 1}
        )

        row = get_row()
        assert row.user_label == user.get_username()
        assert row.affected_objects == "a"
        assert row.task_kwargs == {"a": 1}
        assert caplog.text.count("RuntimeError: this formatter is broken") == 3

    def test_a_subclass_overrides_them(self, user):
        ShoutingManager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a"], task_args=[1]
        )

        row = get_row()
        assert (row.user_label, row.affected_objects) == ("WHO", "WHAT")
        assert row.task_args == {"shown": "[1]"}

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FORMAT_USER": "tests.project.tracking.format_user"}
    )
    def test_the_setting_names_them(self, user):
        get_manager().async_task_lifecycle("create", NAME, user=user)

        assert get_row().user_label == f"user {user.pk}"

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FORMAT_USER": "tests.project.tracking.format_user"}
    )
    def test_format_user_is_called_for_nobody_too(self):
        get_manager().launch_async_task(add, 1, 2, task_key=NAME)

        row = get_row()
        assert (row.user_label, row.launched_by_id) == ("Anonymous", "")

    def test_what_they_return_is_bounded_and_redacted(self):
        manager = ModelTrackingAsyncManager(
            format_payload=lambda value: {"token": "t", "all": "x" * 5000}, payload_limit=1000
        )

        manager.async_task_lifecycle("create", NAME, task_args=[1])

        stored = get_row().task_args
        assert stored["token"] == "********"
        assert stored["all"].startswith("xxx")
        assert len(json.dumps(stored)) <= 1000

    def test_the_two_names_of_the_objects_hook_are_one(self, manager):
        class Old(ModelTrackingAsyncManager):
            def format_affected(self, affected_objects):
                return f"{len(affected_objects)} things"

        assert Old().format_objects(["a", "b"]) == "2 things"
        assert manager.format_objects(["a", "b"]) == manager.format_affected(["a", "b"]) == "a, b"


# --- events ------------------------------------------------------------------------------


class TestEvents:
    def test_an_unknown_event_is_logged_and_harms_nobody(self, manager, caplog):
        manager.async_task_lifecycle("explode", NAME)

        assert f"Could not record explode for task {NAME}." in caplog.text
        assert "Traceback" in caplog.text
        assert not AsyncTaskRecord.objects.exists()

    def test_a_name_that_is_too_long_is_logged_and_not_cut(self, manager, caplog):
        manager.async_task_lifecycle("create", "n" * 256)

        assert "The task name has 256 characters, its field 255." in caplog.text
        assert not AsyncTaskRecord.objects.exists()

    def test_a_circular_argument_is_recorded(self, manager):
        loop = []
        loop.append(loop)

        manager._emit_lifecycle("create", NAME, task_args=[loop])

        assert get_row().task_args == [["<circular>"]]

    def test_error_is_another_word_for_fail(self, manager):
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
    def test_an_event_on_a_missing_row_makes_it(self, manager, event, status):
        manager.async_task_lifecycle(event, NAME, message="text")

        assert get_row().status == status

    def test_progress_goes_to_cache_and_row(self, manager):
        manager.async_task_lifecycle("create", NAME, message="Task queued")

        manager.update_progress(NAME, "reading: 1/2")

        row = get_row()
        assert manager.get_progress(NAME) == "reading: 1/2"
        assert (row.progress_payload, row.message) == ("reading: 1/2", "Task queued")
        assert row.status == Status.IN_PROGRESS

    def test_a_nul_in_a_progress_text_leaves_the_caller_s_transaction_whole(self, manager):
        with transaction.atomic():
            Widget.objects.create(name="Bolt")
            manager.update_progress(NAME, "a\x00b")

        assert Widget.objects.count() == 1
        assert "\x00" not in get_row().progress_payload

    def test_an_error_of_the_database_leaves_the_caller_s_transaction_whole(self, caplog):
        manager = ModelTrackingAsyncManager(
            record_model="project.InheritedRecord", create_defaults={"tenant": None}
        )

        with transaction.atomic():
            manager.async_task_lifecycle("create", NAME)
            Widget.objects.create(name="Bolt")

        assert Widget.objects.count() == 1
        assert not InheritedRecord.objects.exists()
        assert f"Could not record create for task {NAME}." in caplog.text

    def test_a_table_of_other_names_is_written(self):
        manager = ModelTrackingAsyncManager(
            record_model="project.BespokeRecord",
            field_map={"task_name": "key", "status": "state", "message": "note"},
        )

        manager.async_task_lifecycle("fail", NAME, message="x" * 41)

        row = BespokeRecord.objects.get()
        assert (row.key, row.state, row.note) == (NAME, "failed", "x" * 39 + "…")

    def test_a_table_with_nothing_but_a_name_is_written(self):
        SmallManager().async_task_lifecycle("complete", NAME, result=1)

        assert NameOnlyRecord.objects.get().task_name == NAME


class TestCreateDefaults:
    def test_a_function_that_raises_is_logged_and_the_row_written(self, caplog):
        manager = get_manager(create_defaults="tests.project.tracking.broken")

        manager.async_task_lifecycle("create", NAME)

        assert get_row().status == Status.PENDING
        assert "the built-in one is used instead" in caplog.text

    def test_a_function_is_asked_for_new_rows(self):
        manager = get_manager(
            record_model="project.InheritedRecord",
            create_defaults="tests.project.tracking.get_defaults",
        )

        manager.async_task_lifecycle("create", NAME)

        assert InheritedRecord.objects.get().tenant == "north"

    def test_a_dict_is_laid_under_what_the_event_says(self):
        manager = get_manager(
            record_model="project.InheritedRecord",
            create_defaults={"tenant": "south", "message": "from the defaults"},
        )

        manager.async_task_lifecycle("create", NAME, message="from the event")

        row = InheritedRecord.objects.get()
        assert (row.tenant, row.message) == ("south", "from the event")


class TestLost:
    def test_a_task_that_spoke_meanwhile_is_not_lost(self, manager):
        manager.async_task_lifecycle("create", NAME)

        lost = manager.record_lost({NAME: "Lost."}, silent_since=AT)

        assert lost == []
        assert get_row().status == Status.PENDING

    def test_a_silent_task_is_lost_and_its_locks_are_released(self, manager):
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


class TestCleanup:
    def test_a_queued_task_keeps_its_locks(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)

        summary = manager.cleanup_completed_tasks()

        assert summary == {
            "active_tasks": 1,
            "cleaned": {},
            "skipped": {NAME: "it has not ended"},
        }
        assert manager.check_conflict(locks) == {1}

    def test_what_is_held_for_a_task_that_has_ended_is_released(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        manager.async_task_lifecycle("complete", NAME, result=3)

        summary = manager.cleanup_completed_tasks()

        released = {
            "reason": "success",
            "conflict_lock_keys": 1,
            "progress_entries": 1,
            "dashboard_records": 0,
        }
        assert summary == {"active_tasks": 1, "cleaned": {NAME: released}, "skipped": {}}
        assert manager.check_conflict(locks) == set()
        assert get_row().cleaned_up is True

    @in_a_cluster
    def test_a_task_that_is_not_recorded_is_released_once_it_has_a_result(self, manager):
        AsyncManager().launch_async_task(say_no, task_key=NAME)
        manager.add_active_task(OTHER)
        work_off()
        manager.add_active_task(NAME)

        summary = manager.cleanup_completed_tasks()

        assert summary["cleaned"][NAME]["reason"] == "success"
        assert summary["skipped"] == {OTHER: "it has not ended"}
        assert manager.get_active_tasks() == {OTHER}
        assert not AsyncTaskRecord.objects.exists()


class TestConfig:
    def test_a_bad_key_is_refused(self):
        with pytest.raises(ImproperlyConfigured, match="unknown key 'paylod_limit'"):
            ModelTrackingAsyncManager(paylod_limit=100)

    def test_something_that_is_no_config_is_refused(self):
        with pytest.raises(ImproperlyConfigured, match="must be a dict or a DashboardConfig"):
            ModelTrackingAsyncManager(config=3)

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1000})
    def test_layers_later_wins(self):
        class Limited(ModelTrackingAsyncManager):
            progress_interval = 5

        assert ModelTrackingAsyncManager().config.payload_limit == 1000
        assert ModelTrackingAsyncManager({"PAYLOAD_LIMIT": 2000}).config.payload_limit == 2000
        assert (
            ModelTrackingAsyncManager({"payload_limit": 2000}, payload_limit=3000)
        ).config.payload_limit == 3000
        assert Limited().config.progress_interval == 5
        assert Limited(progress_interval=6).config.progress_interval == 6

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1000})
    @pytest.mark.parametrize("kind", ["instance", "class"])
    def test_a_dashboard_config_is_complete(self, kind):
        class Mine(DashboardConfig):
            progress_interval = 7

        config = Mine if kind == "class" else Mine()

        resolved = ModelTrackingAsyncManager(config).config

        assert (resolved.progress_interval, resolved.payload_limit) == (7, 16384)

    def test_powercrud_resolves_it_by_its_path(self):
        manager = AsyncManager.resolve_manager(
            "powercrud_tracking.factory.DashboardManager", config={"PAYLOAD_LIMIT": 100}
        )

        assert isinstance(manager, ModelTrackingAsyncManager)
        assert manager.config.payload_limit == 100


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "QUEUE_OPTIONS",
            "ModelTrackingAsyncManager",
            "TaskStillOpenError",
            "find_launching_manager",
            "take_ended",
        ],
    )
    def test_public_names_stay_importable(self, name):
        assert hasattr(managers, name)

    def test_no_manager_is_launching_outside_a_launch(self):
        assert managers.find_launching_manager(NAME) is None
