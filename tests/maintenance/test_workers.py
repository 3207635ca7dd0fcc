import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from powercrud_tracking.maintenance.queue import Cluster
from powercrud_tracking.maintenance.workers import is_worker_alive

CLUSTER = Cluster(host="another-host", status="Idle", pids=(4711, 4712))


class TestWorkerOfACluster:
    def test_a_worker_of_a_running_cluster_is_alive(self):
        assert is_worker_alive("another-host:4711", [CLUSTER])

    @pytest.mark.parametrize("worker", ["another-host:4713", "this-host:4711", "", None])
    def test_any_other_worker_is_not(self, worker):
        assert not is_worker_alive(worker, [CLUSTER])


class TestProcessOnThisHost:
    def test_a_process_is_alive_though_no_cluster_names_it(self):
        assert is_worker_alive(f"{socket.gethostname()}:{os.getpid()}", [])

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
    def test_a_zombie_is_not_alive(self):
        child = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        is_alive = is_worker_alive(f"{socket.gethostname()}:{child.pid}", [])

        child.wait(10)
        assert not is_alive

    def test_a_process_with_this_number_on_another_host_is_another(self):
        assert not is_worker_alive(f"another-host:{os.getpid()}", [])
