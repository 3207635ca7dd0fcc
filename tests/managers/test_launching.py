"""What a launch writes, and what is left where it is refused or fails."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.signals import pre_enqueue
from django_q.signing import SignedPackage

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager, TaskStillOpenError
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import Widget
from tests.project.tasks import add, fail
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, OTHER, RECORDS, get_row, get_values

pytestmark = pytest.mark.django_db


def shout(user):
    return str(user).upper()


class TestRefusedLaunch:
    def test_a_launch_under_an_open_name_changes_nothing(self, manager):
        manager.async_task_lifecycle("create", NAME, message="first")
        before = get_values()

        with pytest.raises(TaskStillOpenError, match=f"The task {NAME} has not ended yet."):
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert get_values() == before
        assert OrmQ.objects.count() == 0
        assert manager.get_progress(NAME) is None

    def test_a_refused_launch_leaves_locks_and_progress_of_the_running_task(self, manager):
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

    def test_a_launch_with_a_callable_that_no_worker_could_load_is_refused(self):
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

    def test_a_failed_launch_releases_its_locks(self, manager):
        locks = {"project.widget": {1}}

        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME, conflict_ids=locks)

        assert manager.check_conflict(locks) == set()

    @uses_worker
    def test_the_name_of_a_failed_launch_can_be_launched_again(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)

        manager.launch_async_task(add, 1, 2, task_key=NAME)
        run_queued_task()

        row = get_row()
        assert row.status == Status.SUCCESS
        assert row.attempts == 1
        assert row.failed_at is None

    def test_a_failed_launch_has_no_attempt(self, manager):
        with pytest.raises(Exception, match="Failed to enqueue"):
            manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)

        assert not AsyncTaskAttempt.objects.exists()

    def test_a_failed_launch_leaves_the_caller_s_transaction_usable(self, manager):
        with transaction.atomic():
            with pytest.raises(Exception, match="Failed to enqueue"):
                manager.launch_async_task(add, 1, lambda: 2, task_key=NAME)
            Widget.objects.create(name="Bolt")

        assert Widget.objects.count() == 1
        assert get_row().status == Status.FAILED


class TestLaunch:
    def test_the_row_is_written_before_the_enqueue(self, manager):
        seen = []

        def look(*, task, **kwargs):
            seen.append((get_row(task["name"]).status, get_row(task["name"]).queue_id))

        pre_enqueue.connect(look)
        try:
            manager.launch_async_task(add, 1, 2, task_key=NAME)
        finally:
            pre_enqueue.disconnect(look)

        assert seen == [(Status.PENDING, "")]

    def test_a_launch_records_user_objects_function_and_arguments(self, manager, user):
        manager.launch_async_task(
            add, 1, b=2, task_key=NAME, user=user, affected_objects="2 widgets", group="night"
        )

        row = get_row()
        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert row.status == Status.PENDING
        assert row.message == "Task queued"
        assert row.func == "tests.project.tasks.add"
        assert row.task_args == [1]
        assert row.task_kwargs == {"b": 2}
        assert row.affected_objects == "2 widgets"
        assert row.task_group == "night"
        assert row.user_label == user.get_username()
        assert row.launched_by_id == str(user.pk)
        assert row.queue_id == package["id"]
        assert row.started_at is None
        assert row.attempts == 0

    def test_a_launch_costs_one_insert_before_and_one_update_after_the_enqueue(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=OTHER)

        with CaptureQueriesContext(connections[RECORDS]) as captured:
            manager.launch_async_task(add, 1, 2, task_key=NAME)

        statements = [query["sql"] for query in captured if "asynctaskrecord" in query["sql"]]
        assert [statement.split()[0] for statement in statements] == ["INSERT", "UPDATE"]

    def test_a_launch_without_a_name_returns_a_new_one(self, manager):
        task_name = manager.launch_async_task(add, 1, 2)

        assert get_row(task_name).task_args == [1, 2]

    def test_a_uuid_as_last_argument_is_the_task_name(self, manager):
        task_name = manager.launch_async_task(add, 1, 2, NAME)

        assert task_name == NAME
        assert get_row().task_args == [1, 2]

    def test_another_string_as_last_argument_stays_an_argument(self, manager):
        task_name = manager.launch_async_task(add, "a", "b")

        assert get_row(task_name).task_args == ["a", "b"]

    def test_options_of_django_q2_are_not_recorded_as_arguments(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, timeout=5, save=False)

        assert get_row().task_kwargs == {}

    def test_internal_arguments_are_queued_and_not_recorded(self, manager):
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

    def test_secrets_in_arguments_are_masked(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, password="hunter2")

        assert get_row().task_kwargs == {"password": "********"}

    def test_the_function_gets_its_own_arguments_and_task_key_only(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert package["args"] == (1, 2)
        assert package["kwargs"] == {"task_key": NAME}

    def test_a_launch_that_is_rolled_back_leaves_neither_task_nor_row(self, manager):
        with transaction.atomic(), transaction.atomic(using=RECORDS):
            manager.launch_async_task(add, 1, 2, task_key=NAME)
            transaction.set_rollback(True)
            transaction.set_rollback(True, using=RECORDS)

        assert not AsyncTaskRecord.objects.exists()
        assert OrmQ.objects.count() == 0

    @uses_worker
    def test_a_finished_name_can_be_launched_again(self, manager):
        manager.launch_async_task(fail, task_key=NAME)
        run_queued_task()

        manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert get_row().status == Status.PENDING
        assert OrmQ.objects.count() == 2
