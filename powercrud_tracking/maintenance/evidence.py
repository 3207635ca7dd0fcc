"""What django-q2 knows of tasks that say nothing: its queue and its clusters, looked at.

Facts leaned on here, seen with django-q2 1.11: with the ORM broker a package stays in the table
until its result has been saved; a Redis list is emptied into the cluster's own queue ahead of
the workers, so that an empty list alone says nothing; a cluster's statistics live three seconds
in the broker's cache, so that one look may miss a busy one.
"""

import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage
from django_q.status import Stat

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.records.reading import Record

logger = logging.getLogger("powercrud_tracking")

LOOKS = 3
PAUSE = 0.7
"""Seconds between two looks; together they outlast one update of the statistics."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was seen of queue and clusters.

    Args:
        listed: the names of all queued and locked tasks, or ``None`` if the broker cannot
            list them.
        waiting: how many tasks were waiting or unacknowledged, at the most, in any look;
            ``None`` if that cannot be known.
        redelivers: whether the broker delivers a task again whose worker has died.
        workers: ``host:pid`` of the workers of live clusters.
        clusters: how many clusters are alive.
        inside: how many tasks or results were in the inner queues of clusters, at the most.
    """

    listed: frozenset[str] | None
    waiting: int | None
    redelivers: bool
    workers: frozenset[str]
    clusters: int
    inside: int

    def find_reason_to_leave(self, record: Record) -> str | None:
        """Return why a silent open task may still be alive, or ``None`` if nothing says so."""
        if self.listed is not None and record.task_name in self.listed:
            return "it is in the queue"
        if record.status is Status.PENDING and self.listed is None:
            if self.waiting is None:
                return "what the broker holds cannot be known"
            if self.waiting or self.inside:
                return "the queue is not empty"
        if record.status is Status.IN_PROGRESS:
            if record.worker in self.workers or _is_process_here(record.worker):
                return "its worker is alive"
            if self.listed is None and self.inside:
                return "a cluster has results that are not saved yet"
            if self.listed is None and self.redelivers and self.waiting != 0:
                return "the broker may deliver it again"
        return None

    def describe(self, record: Record) -> str:
        """Return in words what was looked at, for a task that nothing says is alive."""
        seen = [
            "it is not in the queue" if self.listed is not None else "the queue is empty",
            f"{self.clusters} live cluster{'' if self.clusters == 1 else 's'} looked at",
        ]
        if record.status is Status.IN_PROGRESS:
            seen.insert(1, f"its worker {record.worker or 'is unknown and'} is in no live cluster")
        return f"Lost: no sign of life, django-q2 has no result, {', '.join(seen)}."


def gather() -> Evidence:
    """Look at queue and clusters, several times, and return what was seen.

    Raises:
        Exception: the broker or its cache could not be asked. Then nothing is known.
    """
    broker = get_broker()
    workers: set[str] = set()
    clusters: set[str] = set()
    inside = 0
    waiting: int | None = 0
    for look in range(LOOKS):
        if look:
            sleep(PAUSE)
        waiting = _add(waiting, _count_waiting(broker))
        for stat in Stat.get_all(broker):
            clusters.add(str(stat.cluster_id))
            workers.update(f"{stat.host}:{pid}" for pid in stat.workers)
            inside = max(inside, stat.task_q_size + stat.done_q_size)
    # Whoever is not in this list has been acknowledged before, and so has a saved result: ask
    # for results afterwards.
    listed = _list_queue() if isinstance(broker, ORM) else None
    return Evidence(
        listed=listed,
        waiting=waiting,
        redelivers=broker.lock_size() is not None,
        workers=frozenset(workers),
        clusters=len(clusters),
        inside=inside,
    )


def _add(seen: int | None, now: int | None) -> int | None:
    return None if seen is None or now is None else max(seen, now)


def _count_waiting(broker: Broker) -> int | None:
    size: int | None = broker.queue_size()
    return None if size is None else size + (broker.lock_size() or 0)


def _list_queue() -> frozenset[str] | None:
    """Return the names of all packages of the ORM broker, of every queue of this project."""
    names = set()
    for payload in OrmQ.objects.using(Conf.ORM).values_list("payload", flat=True).iterator():
        try:
            names.add(SignedPackage.loads(payload)["name"])
        except BadSignature:
            # Another project's, with another secret: none of our tasks.
            continue
        except Exception:
            logger.warning("Could not read a package in the queue.", exc_info=True)
            return None
    return frozenset(names)


def _is_process_here(worker: str | None) -> bool:
    """Return whether a worker's process lives on this host, orphaned by its cluster perhaps."""
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
    """Return whether a process has died unburied, as happens in a container without init."""
    try:
        # The name, in parentheses, may hold anything; the state follows it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
