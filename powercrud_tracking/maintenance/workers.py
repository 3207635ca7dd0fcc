"""Detect whether the worker of a task is still running."""

import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from powercrud_tracking.maintenance.queue import Cluster
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import get_time


def is_worker_alive(record: Record, clusters: Iterable[Cluster]) -> bool:
    """Return whether the worker of a task may still run.

    It may if a running cluster, or this host, has a process of its number, and the cluster or the
    process is older than the run: after the restart of a container another process may have the
    same host name and number. Both times come from the clock of that host.

    Args:
        record: the task. Without ``started_at`` the number alone decides.
        clusters: the running clusters.
    """
    host, _, pid = (record.worker or "").rpartition(":")
    if not pid.isdecimal():
        return False
    starts = [each.started_at for each in clusters if each.host == host and int(pid) in each.pids]
    if host == socket.gethostname() and _is_process(pid):
        # The worker process may have outlived its cluster.
        starts.append(_find_process_start(pid))
    return any(_may_be_older(at, record.started_at) for at in starts)


def may_have_a_worker(record: Record, clusters: Iterable[Cluster]) -> bool:
    """Return whether one of these clusters may run a task whose row names no worker."""
    # The last activity may have been recorded by another machine, with a clock of its own.
    latest = record.started_at or record.updated_at
    latest = latest + timedelta(hours=1) if isinstance(latest, datetime) else None
    return any(_may_be_older(each.started_at, latest) for each in clusters)


def _may_be_older(born: datetime | None, started: datetime | None) -> bool:
    if not isinstance(born, datetime) or not isinstance(started, datetime):
        return True
    # A column may hold whole seconds. Local times go back an hour when summer time ends.
    tolerance = timedelta(seconds=2) if settings.USE_TZ else timedelta(hours=1, seconds=2)
    return get_time(born) <= get_time(started) + tolerance


def _is_process(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    # A zombie has ended, and its parent has not asked for its exit code.
    return _read_stat(pid)[:1] != ["Z"]


def _find_process_start(pid: str) -> datetime | None:
    """Return when a process of this host was started; ``None`` where there is no ``/proc``."""
    try:
        ticks = int(_read_stat(pid)[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except IndexError:
        return None
    return timezone.now() - timedelta(seconds=age)


def _read_stat(pid: str) -> list[str]:
    """Return what Linux says about a process, from its state on (proc_pid_stat(5), field 3)."""
    try:
        # The name, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
