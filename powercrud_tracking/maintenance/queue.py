"""The queue and the clusters of django-q2, as they are at this moment.

Seen with django-q2 1.11:

- With the ORM broker a package stays in the table until its result has been saved.
- A Redis list is emptied into the cluster's own queue ahead of the workers, so that an empty list
  alone says nothing.
- A cluster writes its statistics twice a second into the broker's cache (with the Redis broker
  into Redis), where they live for three seconds. One look may miss a busy cluster, and a cache
  of each process shows no other process.
"""

import logging
from dataclasses import dataclass, replace
from time import sleep

from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage
from django_q.status import Stat

from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.counts import LIMIT, Count, get_count

logger = logging.getLogger("powercrud_tracking")

LOOKS = 3
PAUSE = 0.7
"""Seconds between two looks; together they outlast one update of the statistics."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One running cluster, as its statistics describe it.

    Args:
        id: the cluster's own.
        host: where it runs.
        status: what it does, in django-q2's words.
        pids: the processes that run tasks.
        prefetched: how many tasks it has taken from the queue that no worker has begun.
        unsaved: how many results are not saved yet.
    """

    host: str
    status: str
    id: str = ""
    pids: tuple[int, ...] = ()
    prefetched: int = 0
    unsaved: int = 0

    @property
    def workers(self) -> frozenset[str]:
        """The processes that run tasks, as ``host:pid``."""
        return frozenset(f"{self.host}:{pid}" for pid in self.pids)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What one look at the queue shows to a page.

    Args:
        clusters: the running ones; ``None`` if that is unknown.
        length: how many tasks the broker and the clusters hold that no worker has begun;
            ``None`` if that is unknown.
        is_measured: whether the length was asked for.
    """

    clusters: tuple[Cluster, ...] | None = None
    length: Count | None = None
    is_measured: bool = True


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What several looks at queue and clusters show about tasks without activity.

    Args:
        queued: the names of all queued and locked tasks; ``None`` if the broker cannot list them.
        waiting: how many tasks were queued or unacknowledged, the most of all looks; ``None`` if
            that is unknown.
        redelivers: whether the broker delivers a task again whose worker has died.
        clusters: the running clusters of all looks.
    """

    queued: frozenset[str] | None
    waiting: int | None
    redelivers: bool
    clusters: tuple[Cluster, ...]


def read_queue(*, measure: bool = True) -> Queue:
    """Return what queue and clusters show now; a broker that does not answer costs a warning.

    Args:
        measure: ask for the length, which counts the tasks of all users.
    """
    # django-q2 closes the database connection of a request when it builds its ORM broker.
    is_orm = bool(Conf.ORM) and not (Conf.BROKER_CLASS or Conf.IRON_MQ or Conf.SQS)
    try:
        broker = Broker() if is_orm else get_broker()
    except Exception:
        logger.warning("Could not reach the broker of django-q2.", exc_info=True)
        return Queue(is_measured=measure)
    clusters = _find_clusters(broker)
    length = _find_length(broker, is_orm=is_orm) if measure else None
    if length is not None:
        prefetched = sum(cluster.prefetched for cluster in clusters or ())
        length = replace(length, number=length.number + prefetched)
    return Queue(clusters=clusters, length=length, is_measured=measure)


def gather_evidence() -> Evidence:
    """Look at queue and clusters several times.

    Raises:
        Exception: the broker or its cache could not be asked.
    """
    broker = get_broker()
    clusters: list[Cluster] = []
    waiting: list[int | None] = []
    for look in range(LOOKS):
        if look:
            sleep(PAUSE)
        waiting.append(_count_waiting(broker))
        clusters += read_clusters(broker)
    # A task that is not in this list was acknowledged before, and so its result was saved before:
    # ask for results afterwards.
    queued = _list_queue() if isinstance(broker, ORM) else None
    return Evidence(
        queued=queued,
        waiting=None if None in waiting else max(filter(None, waiting), default=0),
        redelivers=broker.lock_size() is not None,
        clusters=tuple(clusters),
    )


def read_clusters(broker: Broker) -> tuple[Cluster, ...]:
    """Return the running clusters, in the order of their hosts."""
    clusters = [
        Cluster(
            id=str(stat.cluster_id),
            host=str(stat.host),
            status=str(stat.status),
            pids=tuple(stat.workers),
            prefetched=stat.task_q_size,
            unsaved=stat.done_q_size,
        )
        for stat in Stat.get_all(broker)
        if str(stat.status) != str(Conf.STOPPED)
    ]
    return tuple(sorted(clusters, key=lambda cluster: cluster.host))


def _find_clusters(broker: Broker) -> tuple[Cluster, ...] | None:
    own = type(broker).get_stats is Broker.get_stats
    if own and (not broker.cache or isinstance(broker.cache, DummyCache | LocMemCache)):
        return None
    try:
        return read_clusters(broker)
    except Exception:
        logger.warning("Could not ask for the clusters of django-q2.", exc_info=True)
        return None


def _find_length(broker: Broker, *, is_orm: bool) -> Count | None:
    try:
        length = _count_table() if is_orm else broker.queue_size()
    except Exception:
        logger.warning("Could not ask for the length of the queue.", exc_info=True)
        return None
    return None if length is None else get_count(length)


def _count_table() -> int:
    """Return how many packages of the ORM broker no cluster has taken, counted no further."""
    queued = OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lte=timezone.now())
    # Its error must leave the transaction of a request whole.
    with savepoint(Conf.ORM):
        length: int = queued[: LIMIT + 1].count()
    return length


def _count_waiting(broker: Broker) -> int | None:
    size: int | None = broker.queue_size()
    return None if size is None else size + (broker.lock_size() or 0)


def _list_queue() -> frozenset[str] | None:
    """Return the task names of all packages of the ORM broker, whatever their queue."""
    names = set()
    for payload in OrmQ.objects.using(Conf.ORM).values_list("payload", flat=True).iterator():
        try:
            names.add(SignedPackage.loads(payload)["name"])
        except BadSignature:
            # Another project's, with another secret key.
            continue
        except Exception:
            logger.warning("Could not read a package in the queue.", exc_info=True)
            return None
    return frozenset(names)
