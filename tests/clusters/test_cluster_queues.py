"""Several queues, and numbers of processes that are used again: with Redis and real clusters."""

import subprocess
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support import cluster_tasks as tasks
from tests.support.brokers import REDIS
from tests.support.cluster import running_project

redis = pytest.importorskip("redis")
pytestmark = pytest.mark.cluster

CONTAINER = ("unshare", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c")
# Its processes are numbered from 1, and its host is called so at each start.
IN_A_CONTAINER = (*CONTAINER, 'hostname box && exec "$@"', "sh")


@pytest.fixture
def project(tmp_path):
    """A project whose queues are in Redis, with a cluster ``other`` beside its own."""
    name = f"tests-{uuid4().hex[:12]}"
    server = redis.Redis.from_url(REDIS)
    try:
        server.ping()
    except redis.ConnectionError:
        pytest.skip("needs Redis")
    other = {f"{name}-other": {"workers": 1}}
    queue = {"name": name, "orm": None, "redis": REDIS, "timeout": 60, "retry": 120}
    try:
        with running_project(tmp_path, queue={**queue, "ALT_CLUSTERS": other}) as project:
            project.name, project.other = name, f"{name}-other"
            yield project
    finally:
        for key in server.scan_iter(f"*{name}*"):
            server.delete(key)
        server.close()


class TestOtherQueue:
    def test_a_task_waits_there_as_long_as_it_takes(self, project):
        project.start_cluster().wait_for_log("ready for work")
        name = project.ask(tasks.launch, tasks.add, 1, 2, cluster=project.other)

        _, lost, left = project.ask(tasks.reconcile)
        project.start_cluster(name=project.other)
        row = project.wait_for(tasks.find_row, name, "success")

        assert (lost, left) == ([], {name: "its queue is not empty"})
        assert (row["cluster"], row["result_payload"]) == (project.other, 3)

    def test_a_task_that_has_left_it_is_lost_though_another_queue_is_full(self, project):
        name = project.ask(tasks.launch, tasks.add, 1, 2, cluster=project.other)
        waiting = project.ask(tasks.launch, tasks.add, 1, 2)
        project.ask(tasks.drop_queue, project.other)

        _, lost, left = project.ask(tasks.reconcile)

        assert (lost, left) == ([name], {waiting: "its queue is not empty"})
        assert project.ask(tasks.get_row, name)["message"] == (
            f"Lost: no activity, django-q2 has no result, the queue {project.other!r} is empty, "
            "0 live clusters checked."
        )


@pytest.mark.skipif(
    subprocess.run([*CONTAINER, "hostname box"], capture_output=True).returncode != 0,
    reason="needs namespaces of processes and hosts",
)
class TestRestartedContainer:
    def test_the_task_of_a_dead_worker_is_lost_though_its_number_is_used_again(
        self, project, tmp_path
    ):
        first = project.start_cluster(inside=IN_A_CONTAINER)
        old = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
        row = project.wait_for(tasks.find_row, old, "in_progress")
        first.kill()
        # Clusters that started within two seconds of a task count as older than it.
        project.wait_for(tasks.is_past, row["started_at"] + timedelta(seconds=2.5))
        project.start_cluster(inside=IN_A_CONTAINER)
        project.wait_for(tasks.is_worker_number_used_again, row["worker"], row["started_at"])
        new = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
        project.wait_for(tasks.find_row, new, "in_progress")

        project.wait_for(tasks.is_found_lost, old)
        _, lost, left = project.ask(tasks.reconcile)

        assert row["worker"].startswith("box:")
        assert (lost, left) == ([], {new: "its worker is alive"})
