"""Does the worker of a task still run?"""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from powercrud_tracking.maintenance.queue import Cluster


def is_worker_alive(worker: str | None, clusters: Iterable[Cluster]) -> bool:
    """Return whether a worker belongs to a running cluster, or its process runs on this host.

    Args:
        worker: ``host:pid``.
        clusters: the running clusters.
    """
    return any(worker in cluster.workers for cluster in clusters) or _is_process_here(worker)


def _is_process_here(worker: str | None) -> bool:
    # Its cluster may have died without it.
    host, _, pid = (worker or "").rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: str) -> bool:
    """Return whether a process has ended and its parent has not asked for its exit code."""
    try:
        # The name, in parentheses, may hold anything; the state follows it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
