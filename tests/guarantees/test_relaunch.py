"""A launch under the name of a finished task starts its row over."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import FINISHED, Status
from powercrud_tracking.managers import TaskStillOpenError
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.upkeep import prune, reconcile
from tests.project.models import InheritedRecord, NameOnlyRecord
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task

pytestmark = pytest.mark.django_db

NAME = "nightly"


def add(a, b, task_key):
    return a + b


def fail(task_key):
    raise ValueError("bad")


def get_values():
    return AsyncTaskRecord.objects.values().get()


@pytest.fixture
def users(db):
    return [get_user_model().objects.create_user(name) for name in ("ada", "bob")]


def make_finished(status, **values):
    at = timezone.now()
    AsyncTaskRecord.objects.create(
        task_name=NAME,
        status=status,
        user_label="ada",
        launched_by_id="1",
        func="shop.tasks.old",
        task_args=["old"],
        task_kwargs={"old": 1},
        affected_objects="old",
        result_payload="old",
        message="old",
        progress_payload="9/9",
        task_group="old",
        queue_id="old",
        worker="old:1",
        attempts=3,
        cleaned_up=True,
        created_at=at,
        started_at=at,
        completed_at=at,
        failed_at=at,
        extra={"old": 1},
        **values,
    )
    AsyncTaskAttempt.objects.create(
        task_name=NAME, number=2, ended_at=at, outcome=Status.FAILED, message="old"
    )


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_a_launch_under_a_finished_name_starts_the_row_over(manager, users, status):
    make_finished(status)
    before = get_values()

    manager.launch_async_task(
        add, 1, 2, task_key=NAME, user=users[1], affected_objects="2 books", group="night"
    )

    after = get_values()
    fresh = {
        "status": "pending",
        "user_label": "bob",
        "launched_by_id": str(users[1].pk),
        "func": f"{__name__}.add",
        "task_args": [1, 2],
        "task_kwargs": {},
        "affected_objects": "2 books",
        "task_group": "night",
        "message": "Task queued",
        "progress_payload": "",
        "result_payload": None,
        "extra": None,
        "attempts": 0,
        "worker": "",
        "cleaned_up": False,
        "started_at": None,
        "completed_at": None,
        "failed_at": None,
    }
    assert {name: after[name] for name in fresh} == fresh
    assert after["id"] == before["id"]
    assert after["created_at"] > before["created_at"]
    assert after["queue_id"] not in {"", "old"}


def test_a_launch_under_a_finished_name_removes_the_old_attempts(manager):
    make_finished(Status.FAILED)

    manager.launch_async_task(add, 1, 2, task_key=NAME)

    assert not AsyncTaskAttempt.objects.exists()


@uses_worker
def test_a_relaunched_task_that_fails_is_failed(manager):
    manager.launch_async_task(add, 1, 2, task_key=NAME)
    run_queued_task()

    manager.launch_async_task(fail, task_key=NAME)
    queued = AsyncTaskRecord.objects.get().status
    run_queued_task()

    row = AsyncTaskRecord.objects.get()
    assert (queued, row.status, row.message) == ("pending", "failed", "ValueError: bad")
    assert (row.attempts, row.completed_at) == (1, None)


@pytest.mark.parametrize("status", ["pending", "in_progress"])
def test_a_launch_under_the_name_of_an_open_task_is_refused(manager, status):
    make_finished(status)
    before = get_values()

    with pytest.raises(TaskStillOpenError):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

    assert get_values() == before


def test_a_stray_create_changes_nothing_of_a_finished_row(manager):
    make_finished(Status.SUCCESS)
    before = get_values()

    manager.async_task_lifecycle("create", NAME, message="late", task_args=["late"])

    after = get_values()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}


def test_a_relaunch_that_cannot_be_queued_leaves_a_failed_row(manager):
    make_finished(Status.SUCCESS)

    with pytest.raises(Exception, match="Failed to enqueue"):
        manager.launch_async_task(add, lambda: 1, 2, task_key=NAME)

    row = AsyncTaskRecord.objects.get()
    assert (row.status, row.attempts, row.completed_at) == ("failed", 0, None)


def test_a_relaunched_task_is_not_pruned_while_it_is_queued(manager):
    make_finished(Status.FAILED)

    manager.launch_async_task(add, 1, 2, task_key=NAME)

    assert prune(days=0) == 0


def test_the_result_of_the_first_launch_does_not_end_the_second(manager):
    Task.objects.create(
        id="first",
        name=NAME,
        func="math.floor",
        started=timezone.now(),
        stopped=timezone.now(),
        success=True,
        result=1,
    )
    make_finished(Status.SUCCESS)

    manager.launch_async_task(add, 1, 2, task_key=NAME)
    reconcile(older_than=0)

    assert AsyncTaskRecord.objects.get().status == "pending"


def test_a_relaunch_sets_the_columns_of_the_project_anew():
    InheritedRecord.objects.create(task_name=NAME, status=Status.SUCCESS, tenant="south")
    manager = get_manager(
        record_model="project.InheritedRecord", create_defaults={"tenant": "north"}
    )

    manager.launch_async_task(add, 1, 2, task_key=NAME)

    assert InheritedRecord.objects.get().tenant == "north"


def test_a_table_without_a_status_refuses_no_launch():
    manager = get_manager(record_model="project.NameOnlyRecord")

    for _ in range(2):
        assert manager.launch_async_task(add, 1, 2, task_key=NAME) == NAME

    assert NameOnlyRecord.objects.get().task_name == NAME


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="a test has one connection in memory")
def test_of_two_launches_at_once_under_a_finished_name_one_is_refused():
    names = [f"nightly-{number}" for number in range(20)]
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=name, status=Status.SUCCESS) for name in names
    )
    barrier = Barrier(2)

    def launch(number):
        refused = []
        for name in names:
            barrier.wait(timeout=10)
            try:
                get_manager().launch_async_task(add, number, 0, task_key=name)
            except TaskStillOpenError:
                refused.append(name)
        connections.close_all()
        return refused

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(launch, [1, 2])

    assert sorted([*first, *second]) == sorted(names)
    for row in AsyncTaskRecord.objects.all():
        assert (row.status, row.task_args) == ("pending", [2 if row.task_name in first else 1, 0])
