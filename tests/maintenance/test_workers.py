import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance.queue import Cluster
from powercrud_tracking.maintenance.workers import is_worker_alive, may_have_a_worker
from powercrud_tracking.models import AsyncTaskRecord
from tests.support.maintenance import read_one

HERE = socket.gethostname()
ELSEWHERE = "another-host"
LONG_AGO = timedelta(hours=5)

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def build_record(worker, *, started=timedelta(hours=1)):
    at = None if started is None else timezone.now() - started
    return read_one(
        AsyncTaskRecord(
            task_name="a", status=Status.IN_PROGRESS, worker=worker, started_at=at, attempts=1
        )
    )


def build_cluster(*, started=LONG_AGO):
    at = None if started is None else timezone.now() - started
    return Cluster(host=ELSEWHERE, status="Idle", pids=(4711, 4712), started_at=at)


@pytest.fixture
def process():
    """A process that has just been started on this host."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


class TestWorkerOfACluster:
    def test_a_worker_of_a_cluster_that_is_older_than_the_run_is_alive(self):
        assert is_worker_alive(build_record(f"{ELSEWHERE}:4711"), [build_cluster()])

    @pytest.mark.parametrize("worker", [f"{ELSEWHERE}:4713", "third-host:4711", "4711", "", None])
    def test_a_worker_that_no_cluster_names_is_not_alive(self, worker):
        assert not is_worker_alive(build_record(worker), [build_cluster()])

    def test_a_process_with_the_same_pid_in_a_younger_cluster_is_not_the_worker(self):
        record = build_record(f"{ELSEWHERE}:4711", started=timedelta(hours=3))

        assert not is_worker_alive(record, [build_cluster(started=timedelta(minutes=30))])

    def test_of_two_clusters_that_name_the_worker_the_older_one_counts(self):
        record = build_record(f"{ELSEWHERE}:4711", started=timedelta(hours=3))

        assert is_worker_alive(record, [build_cluster(started=timedelta(hours=1)), build_cluster()])

    @pytest.mark.parametrize(
        ("cluster", "run"),
        [(None, timedelta(hours=1)), (timedelta(minutes=30), None)],
        ids=["cluster", "run"],
    )
    def test_with_an_unknown_time_a_worker_may_be_alive(self, cluster, run):
        record = build_record(f"{ELSEWHERE}:4711", started=run)

        assert is_worker_alive(record, [build_cluster(started=cluster)])

    def test_a_column_of_whole_seconds_is_taken_into_account(self):
        record = build_record(f"{ELSEWHERE}:4711", started=timedelta(minutes=30, seconds=1))

        assert is_worker_alive(record, [build_cluster(started=timedelta(minutes=30))])

    @pytest.mark.skipif(settings.USE_TZ, reason="needs local times")
    def test_the_hour_that_local_times_go_back_in_autumn_loses_nothing(self):
        record = build_record(f"{ELSEWHERE}:4711", started=timedelta(minutes=80))

        assert is_worker_alive(record, [build_cluster(started=timedelta(minutes=30))])


class TestUnknownWorker:
    @pytest.mark.parametrize(
        ("started", "silent", "expected"),
        [
            (timedelta(hours=1), timedelta(hours=1), True),
            (timedelta(hours=5), timedelta(0), False),
            (None, timedelta(hours=2), True),
            (None, timedelta(hours=5), False),
        ],
    )
    def test_an_unknown_worker_may_belong_to_a_cluster_that_ran_at_that_time(
        self, started, silent, expected
    ):
        record = build_record("", started=started)
        record.row.updated_at = timezone.now() - silent

        found = may_have_a_worker(record, [build_cluster(started=timedelta(hours=2))])

        assert found is expected

    def test_an_unknown_worker_without_a_time_may_belong_to_any_cluster(self):
        record = build_record("", started=None)

        assert may_have_a_worker(record, [build_cluster()])
        assert not may_have_a_worker(record, [])


class TestProcessOnThisHost:
    def test_a_process_is_alive_though_no_cluster_names_it(self, process):
        record = build_record(f"{HERE}:{process.pid}", started=timedelta(0))

        assert is_worker_alive(record, [])

    @needs_proc
    def test_a_process_with_the_same_pid_that_is_younger_than_the_run_is_not_the_worker(
        self, process
    ):
        assert not is_worker_alive(build_record(f"{HERE}:{process.pid}", started=LONG_AGO), [])

    @needs_proc
    @pytest.mark.skipif(not settings.USE_TZ, reason="local times are compared to the hour")
    def test_a_process_that_started_ten_seconds_after_the_run_is_not_the_worker(self, process):
        worker = f"{HERE}:{process.pid}"

        assert is_worker_alive(build_record(worker, started=timedelta(0)), [])
        assert not is_worker_alive(build_record(worker, started=timedelta(seconds=10)), [])

    @needs_proc
    def test_a_zombie_is_not_alive(self):
        child = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        is_alive = is_worker_alive(build_record(f"{HERE}:{child.pid}", started=timedelta(0)), [])

        child.wait(10)
        assert not is_alive

    @pytest.mark.parametrize("pid", ["999999999", "9" * 30])
    def test_a_pid_without_a_process_is_not_alive(self, pid):
        assert not is_worker_alive(build_record(f"{HERE}:{pid}"), [])

    def test_a_process_with_the_same_pid_on_another_host_is_not_the_worker(self):
        assert not is_worker_alive(build_record(f"{ELSEWHERE}:{os.getpid()}"), [])
