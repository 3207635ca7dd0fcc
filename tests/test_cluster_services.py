"""Clusters on PostgreSQL and Redis, where a cache is not the database and rows have locks.

They run with ``TEST_DATABASE=postgresql`` and need both servers on 127.0.0.1.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager, suppress
from uuid import uuid4

import pytest
from django.urls import reverse

from tests import cluster_tasks as tasks
from tests.cluster import ROOT, SECONDS, Project

psycopg = pytest.importorskip("psycopg")
redis = pytest.importorskip("redis")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        os.environ.get("TEST_DATABASE") != "postgresql", reason="needs PostgreSQL and Redis"
    ),
]
REDIS = "redis://127.0.0.1:6379/9"


@contextmanager
def project_on_services(directory, *, with_redis_broker=False):
    """A project in a PostgreSQL database of its own, with its locks and progress in Redis."""
    name = f"cluster_{uuid4().hex[:12]}"
    project = Project(directory, queue={"name": name, "timeout": 60, "retry": 120, "workers": 4})
    if with_redis_broker:
        project.given["queue"] |= {"orm": None, "redis": REDIS}
    project.given["cache"] = REDIS
    project.given["database"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "USER": "postgres",
        "NAME": name,
    }
    run_on_server(f"CREATE DATABASE {name}")
    try:
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"],
            cwd=ROOT,
            env=project.get_environment(),
            check=True,
            timeout=SECONDS * 2,
        )
        project.open()
        try:
            yield project
        finally:
            project.close()
    finally:
        run_on_server(f"DROP DATABASE {name} WITH (FORCE)")
        with redis.Redis.from_url(REDIS) as server:
            for key in server.scan_iter(f"*{name}*"):
                server.delete(key)


def run_on_server(sql):
    with psycopg.connect(host="127.0.0.1", user="postgres", dbname="test", autocommit=True) as c:
        c.execute(sql)


@pytest.fixture
def project(tmp_path):
    with project_on_services(tmp_path) as project:
        yield project


@pytest.fixture
def redis_project(tmp_path):
    with project_on_services(tmp_path, with_redis_broker=True) as project:
        yield project


@pytest.fixture
def address(project):
    """The address of a real web server of the project."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=project.get_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait(SECONDS)


def read_poll(address, task_name):
    """Return what PowerCRUD's modal reads, once the server answers."""
    url = f"{address}{reverse('powercrud:async_progress')}?task_name={task_name}"
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
            return json.loads(response.read())
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer.")


# --- what the process that stands for the web is asked ------------------------------------


def launch_bulk_update(number):
    from powercrud_tracking.factory import PATH, get_manager
    from tests.project.models import Widget

    widgets = Widget.objects.bulk_create(Widget(name=f"slow {n}") for n in range(number))
    return get_manager().launch_async_task(
        "powercrud.tasks.bulk_update_task",
        "project.Widget",
        [widget.pk for widget in widgets],
        None,
        ["price"],
        ["price"],
        [{"field": "price", "value": 7, "info": {"is_m2m": False}}],
        manager_class=PATH,
    )


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
    """Return how many rows say success, and the sum that their function returned."""
    from powercrud_tracking.models import AsyncTaskRecord

    rows = AsyncTaskRecord.objects.filter(status="success", attempts=1, completed_at__isnull=False)
    return sum(row.result_payload == sum(row.task_args) for row in rows)


def count_open_rows():
    from powercrud_tracking.models import AsyncTaskRecord

    return AsyncTaskRecord.objects.open().count()


def count_rows():
    from powercrud_tracking.models import AsyncTaskRecord

    return AsyncTaskRecord.objects.count()


def count_priced():
    from tests.project.models import Widget

    return Widget.objects.filter(price=7).count()


# --- the tests ----------------------------------------------------------------------------


def test_the_progress_of_a_bulk_update_moves_while_its_transaction_is_open(project, address):
    number = 300
    task_name = project.ask(launch_bulk_update, number)
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
from tests import cluster_tasks as tasks
first = int(sys.argv[1])
for number in range(first, first + 250):
    tasks.launch(tasks.add, number, 1)
"""


def test_a_thousand_tasks_from_four_processes_end_right(redis_project):
    project = redis_project
    project.start_cluster()
    launchers = [
        subprocess.Popen(
            [sys.executable, "-c", LAUNCH_250, str(first)], cwd=ROOT, env=project.get_environment()
        )
        for first in (0, 250, 500, 750)
    ]
    codes = [launcher.wait(120) for launcher in launchers]

    deadline = time.monotonic() + 180
    while project.ask(count_open_rows) and time.monotonic() < deadline:
        time.sleep(0.5)

    assert codes == [0, 0, 0, 0]
    assert project.ask(count_rows) == 1000
    assert project.ask(count_right_rows) == 1000


def test_with_redis_a_launch_that_is_rolled_back_has_its_row_from_the_start_on(redis_project):
    project = redis_project
    name, exists, _ = project.ask(tasks.launch_in_a_request, tasks.add, 1, 2, fail=True)
    project.start_cluster()

    row = project.wait_for(tasks.find_row, name, "success")

    assert not exists
    assert (row["result_payload"], row["attempts"], row["task_args"]) == (3, 1, [1, 2])
    assert row["func"] == "tests.cluster_tasks.add"


def test_with_redis_a_launch_that_commits_runs(redis_project):
    project = redis_project
    project.start_cluster()

    name, exists, _ = project.ask(tasks.launch_in_a_request, tasks.add, 1, 2)

    row = project.wait_for(tasks.find_row, name, "success")
    assert exists
    assert row["attempts"] == 1


def test_with_redis_a_task_dies_with_its_cluster_and_is_lost(redis_project, tmp_path):
    project = redis_project
    cluster = project.start_cluster()
    name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
    row = project.wait_for(tasks.find_row, name, "in_progress")
    cluster.kill()

    project.wait_for(tasks.is_found_lost, name)

    lost = project.ask(tasks.get_row, name)
    assert lost["status"] == "lost"
    assert f"its worker {row['worker']} is in no live cluster" in lost["message"]


def test_with_redis_a_queue_without_workers_is_never_lost(redis_project):
    project = redis_project
    name = project.ask(tasks.launch, tasks.add, 1, 2)

    _, lost, left = project.ask(tasks.reconcile)

    assert (lost, left) == ([], {name: "the queue is not empty"})
    assert project.ask(tasks.get_row, name)["status"] == "pending"


def test_a_task_that_ends_while_the_database_is_away_ends_its_row_later(project, tmp_path):
    name = project.given["database"]["NAME"]
    project.given["queue"] |= {"retry": 8, "timeout": 6, "workers": 1}
    project.start_cluster()
    task_name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
    project.wait_for(tasks.find_row, task_name, "in_progress")

    run_on_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    run_on_server(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    (tmp_path / "go").touch()
    time.sleep(2)
    run_on_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    row = project.wait_for(tasks.find_row, task_name, "success")
    assert row["result_payload"] == "seen"
