"""Clusters on PostgreSQL and Redis, where a cache is not the database and rows have locks.

They run with ``TEST_DATABASE=postgresql`` and need both servers on 127.0.0.1.
"""

import os
import subprocess
import sys
import time

import pytest
from django.urls import reverse

from tests.support import cluster_tasks as tasks
from tests.support.cluster import ROOT, SECONDS, visit
from tests.support.cluster_services import project_on_postgresql, run_on_postgresql

pytest.importorskip("psycopg")
pytest.importorskip("redis")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        os.environ.get("TEST_DATABASE") != "postgresql", reason="needs PostgreSQL and Redis"
    ),
]


@pytest.fixture
def project(tmp_path):
    with project_on_postgresql(tmp_path) as project:
        yield project


@pytest.fixture
def redis_project(tmp_path):
    with project_on_postgresql(tmp_path, with_redis_broker=True) as project:
        yield project


@pytest.fixture
def address(project):
    """The address of a real web server of the project."""
    with project.serve() as address:
        yield address


def read_poll(address, task_name):
    """Return what PowerCRUD's modal reads."""
    return visit(f"{address}{reverse('powercrud:async_progress')}?task_name={task_name}")[1]


# --- what the process that stands for the web is asked ------------------------------------


def lock_row(task_name):
    """Return the row's status and progress, having held its lock.

    A write of ours may take it for a moment; the bulk transaction takes seconds.
    """
    from django.db import connection, transaction

    from powercrud_tracking.models import AsyncTaskRecord

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '500ms'")
        row = AsyncTaskRecord.objects.select_for_update().get(task_name=task_name)
        return row.status, row.progress_payload


def count_right_rows():
    """Return how many rows say all that a success at the first attempt has to say."""
    from powercrud_tracking.models import AsyncTaskRecord

    rows = AsyncTaskRecord.objects.filter(
        status="success",
        attempts=1,
        func="tests.support.cluster_tasks.add",
        message="Task completed successfully",
        started_at__isnull=False,
        completed_at__isnull=False,
        failed_at__isnull=True,
        cleaned_up=True,
    ).exclude(queue_id="")
    return sum(row.result_payload == sum(row.task_args) for row in rows)


def count_rows():
    from powercrud_tracking.models import AsyncTaskRecord

    return AsyncTaskRecord.objects.count()


def count_priced():
    from tests.project.models import Widget

    return Widget.objects.filter(price=7).count()


# --- the tests ----------------------------------------------------------------------------


def test_the_progress_of_a_bulk_update_is_visible_while_its_transaction_is_open(project, address):
    number = 300
    task_name = project.ask(tasks.launch_bulk_update, number)
    read_poll(address, task_name)
    project.start_cluster()

    seen, priced = [], []
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answer = read_poll(address, task_name)
        status, _ = project.ask(lock_row, task_name)
        if answer["status"] == "in_progress" and status == "in_progress":
            seen.append(answer["progress"])
            priced.append(project.ask(count_priced))
        if status in {"success", "failed", "lost"}:
            break

    assert len({text for text in seen if text and text.endswith(f"/{number}")}) >= 5
    # What was seen moving was not committed yet.
    assert set(priced) <= {0, number}
    assert priced.count(0) >= 5
    assert project.ask(lock_row, task_name) == (
        "success",
        f"completed update: {number} processed",
    )
    assert project.ask(count_priced) == number


LAUNCH_250 = """
import sys
import django
django.setup()
from tests.support import cluster_tasks as tasks
first = int(sys.argv[1])
for number in range(first, first + 250):
    tasks.launch(tasks.add, number, 1)
"""


def test_a_thousand_tasks_launched_by_four_processes_are_recorded_in_full(redis_project):
    project = redis_project
    project.start_cluster()
    launchers = [
        subprocess.Popen(
            [sys.executable, "-c", LAUNCH_250, str(first)], cwd=ROOT, env=project.get_environment()
        )
        for first in (0, 250, 500, 750)
    ]

    # However slow the machine is, as long as they get more.
    right, deadline = 0, time.monotonic() + SECONDS
    while right < 1000 and time.monotonic() < deadline:
        before, right = right, project.ask(count_right_rows)
        if right > before:
            deadline = time.monotonic() + SECONDS
        time.sleep(0.5)

    assert right == 1000
    assert [launcher.wait(SECONDS) for launcher in launchers] == [0, 0, 0, 0]
    assert project.ask(count_rows) == 1000


class TestAtomicRequests:
    """With Redis a worker has the task before the request that launched it is over."""

    def test_a_task_that_runs_before_its_launching_request_commits_has_one_row(
        self, redis_project, tmp_path
    ):
        project, path = redis_project, tmp_path / "go"
        project.start_cluster().wait_for_log("ready for work")
        with project.serve(ATOMIC_REQUESTS=True) as address:
            code, seen = visit(f"{address}/launch/?path={path}&seconds=1")

        running = project.wait_for(tasks.find_attempted_row, seen["task_name"], "in_progress", 1)
        path.touch()
        row = project.wait_for(tasks.find_cleaned_row, seen["task_name"])

        assert (code, seen["in_transaction"], seen["status"]) == (200, True, "pending")
        assert running["id"] == row["id"]
        assert (row["status"], row["result_payload"], row["attempts"]) == ("success", "seen", 1)
        # It was launched before it started, and the launch knows the id in the queue.
        assert row["created_at"] < row["started_at"] < row["completed_at"]
        assert row["queue_id"]

    def test_a_task_whose_launching_request_is_rolled_back_has_a_row_from_its_start(
        self, redis_project, tmp_path
    ):
        project, path = redis_project, tmp_path / "go"
        project.start_cluster().wait_for_log("ready for work")
        with project.serve(ATOMIC_REQUESTS=True) as address:
            code, seen = visit(f"{address}/launch/?path={path}&seconds=1&fail")

        running = project.wait_for(tasks.find_attempted_row, seen["task_name"], "in_progress", 1)
        path.touch()
        row = project.wait_for(tasks.find_cleaned_row, seen["task_name"])

        assert (code, seen["in_transaction"], seen["status"]) == (500, True, "pending")
        assert running["func"] == "tests.support.cluster_tasks.wait_for_file"
        assert running["task_args"] == [str(path)]
        assert (row["status"], row["result_payload"], row["attempts"]) == ("success", "seen", 1)

    def test_a_task_that_starts_after_its_launching_request_was_rolled_back_has_a_row(
        self, redis_project
    ):
        project = redis_project
        with project.serve(ATOMIC_REQUESTS=True) as address:
            code, seen = visit(f"{address}/launch/?fail")
        before = project.ask(tasks.get_row, seen["task_name"])
        project.start_cluster()

        row = project.wait_for(tasks.find_row, seen["task_name"], "success")

        assert (code, before) == (500, None)
        assert (row["result_payload"], row["attempts"], row["task_args"]) == (3, 1, [1, 2])

    def test_with_the_orm_broker_a_rollback_leaves_neither_task_nor_row(self, project):
        project.start_cluster()
        with project.serve(ATOMIC_REQUESTS=True) as address:
            code, seen = visit(f"{address}/launch/?fail&seconds=1")
            # What is launched after it has run: it would have run too.
            _, later = visit(f"{address}/launch/")
        project.wait_for(tasks.is_done, later["task_name"])

        assert (code, seen["in_transaction"], seen["status"]) == (500, True, "pending")
        assert project.ask(tasks.get_row, seen["task_name"]) is None
        assert project.ask(tasks.count_results, seen["task_name"]) == 0


def test_with_redis_a_task_whose_cluster_was_killed_is_lost(redis_project, tmp_path):
    project = redis_project
    cluster = project.start_cluster()
    name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
    row = project.wait_for(tasks.find_row, name, "in_progress")
    cluster.kill()

    project.wait_for(tasks.is_found_lost, name)

    lost = project.ask(tasks.get_row, name)
    assert lost["status"] == "lost"
    assert f"its worker {row['worker']} is in no live cluster" in lost["message"]


def test_with_redis_a_task_that_waits_for_a_cluster_is_not_lost(redis_project):
    project = redis_project
    name = project.ask(tasks.launch, tasks.add, 1, 2)

    _, lost, left = project.ask(tasks.reconcile)

    assert (lost, left) == ([], {name: "its queue is not empty"})
    assert project.ask(tasks.get_row, name)["status"] == "pending"


class TestDatabaseAwayWhileTheTaskEnds:
    @pytest.fixture
    def end_meanwhile(self, tmp_path):
        """Return a function that lets a task end while nothing can be written.

        It takes the project, and what the monitor says when it is done with the result: so
        far the worker has come, though it could not write either.
        """

        def end_meanwhile(project, said):
            name = project.given["database"]["NAME"]
            cluster = project.start_cluster(queue={**project.given["queue"], "workers": 1})
            task_name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
            row = project.wait_for(tasks.find_row, task_name, "in_progress")
            run_on_postgresql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            run_on_postgresql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            (tmp_path / "go").touch()
            cluster.wait_for_log("Could not save task result")
            cluster.wait_for_log(said)
            run_on_postgresql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            return cluster, row

        return end_meanwhile

    def test_a_task_that_ended_while_the_database_was_away_is_recorded_at_its_next_delivery(
        self, project, end_meanwhile
    ):
        # django-q2's own acknowledgement has no guard.
        _, first = end_meanwhile(project, "reincarnated monitor")
        meanwhile = project.ask(tasks.get_row, first["task_name"])
        project.ask(tasks.redeliver_now)

        row = project.wait_for(tasks.find_row, first["task_name"], "success")

        assert meanwhile["status"] == "in_progress"
        assert (row["result_payload"], row["attempts"]) == ("seen", 2)
        assert row["worker"] == first["worker"]

    def test_with_redis_a_task_that_ended_while_the_database_was_away_is_lost_after_its_worker(
        self, redis_project, end_meanwhile
    ):
        project = redis_project
        cluster, row = end_meanwhile(
            project, "Processed 'tests.support.cluster_tasks.wait_for_file'"
        )
        _, lost, left = project.ask(tasks.reconcile)
        cluster.kill()

        project.wait_for(tasks.is_found_lost, row["task_name"])

        assert (lost, left) == ([], {row["task_name"]: "its worker is alive"})
        assert project.ask(tasks.get_row, row["task_name"])["status"] == "lost"
