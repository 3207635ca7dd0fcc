import threading

import pytest
from django.db import connection, connections, router
from django.test import override_settings
from django_q.models import OrmQ, Task

from powercrud_tracking import actions, factory
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskRecord
from tests.project.models import Widget
from tests.project.tasks import add, fail
from tests.support.marks import uses_worker
from tests.support.queue import deliver_again, run_queued_task
from tests.support.rows import AT, NAME, OTHER, get_row, make_row

BULK_UPDATE = "powercrud.tasks.bulk_update_task"
SECRET = "correct horse battery staple"


def check_password(password, task_key):
    if password != SECRET:
        raise AssertionError("the arguments are not the real ones")
    raise ValueError("not yet")


def launch_again(record, by):
    return factory.get_manager().launch_async_task(add, 3, 4)


def refuse_to_launch(record, by):
    return None


def end(name, **changes):
    """Run the only queued task, and let it not be delivered again."""
    run_queued_task()
    OrmQ.objects.all().delete()


@uses_worker
class TestRetry:
    def test_a_new_task_has_the_same_function_and_arguments(self, manager, user):
        manager.launch_async_task(add, 1, b=2, task_key=NAME, group="sums")
        end(NAME)

        result = actions.retry(NAME, by=user)
        new = get_row(result.task_name)
        run_queued_task()

        assert result.outcome == "done"
        assert result.task_name != NAME
        assert (new.status, new.func, new.task_args) == ("pending", "tests.project.tasks.add", [1])
        assert (new.task_kwargs, new.task_group) == ({"b": 2}, "sums")
        assert (new.user_label, new.launched_by_id) == ("ada", str(user.pk))
        row = get_row(result.task_name)
        assert (row.status, row.result_payload, row.retry_of) == ("success", 3, NAME)
        assert get_row().retried_by == result.task_name
        assert AsyncTaskAction.objects.get().new_task_name == result.task_name

    def test_arguments_that_the_row_hides_are_the_real_ones(self, manager):
        manager.launch_async_task(check_password, password=SECRET, task_key=NAME)
        end(NAME)

        result = actions.retry(NAME)
        end(result.task_name)

        row = get_row(result.task_name)
        assert row.task_kwargs == {"password": "********"}
        assert row.message == "ValueError: not yet"

    def test_the_first_launchs_user_owns_it_where_nobody_is_named(self, manager, user):
        manager.launch_async_task(add, 1, 2, task_key=NAME, user=user)
        end(NAME)

        new = get_row(actions.retry(NAME).task_name)

        assert (new.user_label, new.launched_by_id) == ("ada", str(user.pk))

    def test_a_failed_task_is_not_run_again_under_its_own_name(self, manager):
        manager.launch_async_task(fail, task_key=NAME)
        run_queued_task()

        actions.retry(NAME)
        deliver_again()
        run_queued_task()
        run_queued_task()

        row = get_row()
        assert (row.status, row.attempts) == ("failed", 1)
        assert row.message == "ValueError: the price is wrong"

    def test_a_cancelled_task_is_retried_once_its_delivery_was_refused(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        actions.cancel(NAME)

        early = actions.retry(NAME)
        run_queued_task()
        result = actions.retry(NAME)
        run_queued_task()

        assert (early.outcome, "still in the queue" in early.message) == ("refused", True)
        assert get_row(result.task_name).result_payload == 3

    def test_it_is_retried_once_only(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        end(NAME)
        first = actions.retry(NAME)

        second = actions.retry(NAME)

        assert (second.outcome, second.message) == ("refused", "It has been retried already.")
        assert get_row().retried_by == first.task_name
        assert AsyncTaskRecord.objects.count() == 2

    def test_options_of_the_launch_are_repeated(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, timeout=1234, ack_failure=True)
        end(NAME)

        actions.retry(NAME)

        task = OrmQ.objects.get().task
        assert (task["timeout"], task["ack_failure"]) == (1234, True)

    def test_locks_of_an_own_function_are_taken_again(self, manager):
        locks = {"project.widget": {1, 2}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        end(NAME)

        actions.retry(NAME)

        assert not manager.add_conflict_ids(OTHER, locks)

    @pytest.mark.parametrize("status", ["pending", "in_progress"])
    def test_an_open_task_is_refused(self, status):
        make_row(status=status)

        assert actions.retry(NAME).message == "It has not ended."

    @pytest.mark.parametrize(
        ("status", "reason"), [("success", "no longer has"), ("lost", "kept nothing")]
    )
    def test_one_that_django_q2_does_not_hold_is_refused(self, status, reason):
        make_row(status=status, queue_id="f" * 32)

        result = actions.retry(NAME)

        assert (result.outcome, reason in result.message) == ("refused", True)
        assert get_row().retried_by == ""

    def test_a_launch_that_fails_leaves_nothing(self, manager, monkeypatch):
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        end(NAME)
        monkeypatch.setattr("powercrud.async_manager.async_task", lambda *args, **kwargs: None)

        result = actions.retry(NAME)

        assert (result.outcome, "could not be queued" in result.message) == ("refused", True)
        assert get_row().retried_by == ""
        assert AsyncTaskRecord.objects.count() == 1
        assert AsyncTaskAction.objects.get().outcome == "refused"


@uses_worker
class TestBulkOperation:
    def launch(self, manager, price):
        bolt = Widget.objects.create(name="Bolt")
        data = {"field": "price", "value": price, "info": {"is_m2m": False}}
        manager.launch_async_task(
            BULK_UPDATE,
            "project.Widget",
            [str(bolt.pk)],
            None,
            ["price"],
            ["price"],
            [data],
            task_key=NAME,
            conflict_ids={"project.widget": {bolt.pk}},
            affected_objects="1 widgets",
            **manager.get_manager_reference(),
        )
        return bolt

    def test_it_is_run_again_with_locks_of_its_own(self, manager):
        bolt = self.launch(manager, 7)
        end(NAME)

        result = actions.retry(NAME)
        is_free = manager.add_conflict_ids(OTHER, {"project.widget": {bolt.pk}})
        run_queued_task()

        assert not is_free
        row = get_row(result.task_name)
        assert (row.status, row.message) == ("success", "1 updated")
        assert row.affected_objects == "1 widgets"
        assert manager.add_conflict_ids(OTHER, {"project.widget": {bolt.pk}})

    def test_the_task_that_holds_its_objects_is_named(self, manager):
        bolt = self.launch(manager, 7)
        end(NAME)
        locks = {"project.widget": {bolt.pk}}
        manager.launch_async_task(add, 1, 2, task_key=OTHER, conflict_ids=locks)

        result = actions.retry(NAME)

        assert result.outcome == "refused"
        assert result.message == f"Its objects are locked by another task: Add ({OTHER})."
        assert get_row().retried_by == ""


@pytest.mark.django_db(transaction=True)
class TestOwnFunction:
    def test_the_project_launches_it_in_its_own_way(self):
        make_row(status="success", func="shop.tasks.old")

        with override_settings(
            POWERCRUD_ASYNC_DASHBOARD={"RETRY": "tests.actions.test_retrying.launch_again"}
        ):
            result = actions.retry(NAME)

        new = get_row(result.task_name)
        assert (result.outcome, new.task_args, new.retry_of) == ("done", [3, 4], NAME)
        assert get_row().retried_by == result.task_name

    def test_one_that_returns_no_name_is_an_error(self):
        make_row(status="success")

        with (
            override_settings(
                POWERCRUD_ASYNC_DASHBOARD={"RETRY": "tests.actions.test_retrying.refuse_to_launch"}
            ),
            pytest.raises(TypeError, match="RETRY must return the name of the new task, got None"),
        ):
            actions.retry(NAME)

        assert get_row().retried_by == ""


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_press_at_once_one_is_refused(manager):
    if connections[router.db_for_write(AsyncTaskRecord)].vendor == "sqlite":
        pytest.skip("its tests share one connection's memory")
    Task.objects.create(
        id="f" * 32,
        name=NAME,
        func="tests.project.tasks.add",
        args=(1, 2),
        kwargs={"task_key": NAME},
        started=AT,
        stopped=AT,
        success=True,
    )
    make_row(status="success", queue_id="f" * 32)
    barrier = threading.Barrier(2)
    results = []

    def press():
        barrier.wait()
        results.append(actions.retry(NAME))
        connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(result.outcome for result in results) == ["done", "refused"]
    assert AsyncTaskRecord.objects.filter(retry_of=NAME).count() == 1
    assert OrmQ.objects.count() == 1
    connection.close()
