"""Who works the queue, and how long it is, as django-q2 tells it at this moment.

Facts leaned on here, seen with django-q2 1.11: a cluster tells of itself through the broker's
cache, every half a second or so for three seconds, and the Redis broker through Redis itself;
a cache that each process has for its own never tells of another process.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.status import Stat

from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.counts import LIMIT, Count, get_count

logger = logging.getLogger("powercrud_tracking")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One live cluster.

    Args:
        host: where it runs.
        status: what it does, in django-q2's words.
        workers: how many processes it has for tasks.
        inside: how many tasks it has taken from the queue and not begun.
    """

    host: str
    status: str
    workers: int
    inside: int


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What could be seen of the queue.

    Args:
        clusters: the live ones; ``None`` if that cannot be known.
        length: how many tasks the broker and the clusters hold that no worker has begun;
            ``None`` if that cannot be known.
        is_measured: whether the length was asked for.
    """

    clusters: tuple[Cluster, ...] | None = None
    length: Count | None = None
    is_measured: bool = True

    @property
    def workers(self) -> int:
        return sum(cluster.workers for cluster in self.clusters or ())


def look(*, measure: bool = True) -> Queue:
    """Return what can be seen of the queue; a broker that does not answer costs a warning.

    Args:
        measure: ask for the length, which is that of everybody's tasks.
    """
    # django-q2 closes the connection of a request when it builds its ORM broker: it is not built.
    is_orm = bool(Conf.ORM) and not (Conf.BROKER_CLASS or Conf.IRON_MQ or Conf.SQS)
    try:
        broker = Broker() if is_orm else get_broker()
    except Exception:
        logger.warning("Could not reach the broker of django-q2.", exc_info=True)
        return Queue(is_measured=measure)
    clusters = _find_clusters(broker)
    length = None
    if measure:
        length = _find_length(_count_table if is_orm else broker.queue_size)
    if length is not None:
        inside = sum(cluster.inside for cluster in clusters or ())
        length = replace(length, number=length.number + inside)
    return Queue(clusters=clusters, length=length, is_measured=measure)


def _find_clusters(broker: Broker) -> tuple[Cluster, ...] | None:
    own = type(broker).get_stats is Broker.get_stats
    if own and (not broker.cache or isinstance(broker.cache, DummyCache | LocMemCache)):
        return None
    try:
        stats = Stat.get_all(broker)
    except Exception:
        logger.warning("Could not ask for the clusters of django-q2.", exc_info=True)
        return None
    clusters = [
        Cluster(
            host=str(stat.host),
            status=str(stat.status),
            workers=len(stat.workers),
            inside=stat.task_q_size,
        )
        for stat in stats
        if str(stat.status) != str(Conf.STOPPED)
    ]
    return tuple(sorted(clusters, key=lambda cluster: cluster.host))


def _find_length(measure: Callable[[], int | None]) -> Count | None:
    try:
        found = measure()
    except Exception:
        logger.warning("Could not ask for the length of the queue.", exc_info=True)
        return None
    return None if found is None else get_count(found)


def _count_table() -> int:
    """Return how many packages of the ORM broker no cluster has taken, counted no further."""
    queued = OrmQ.objects.using(Conf.ORM).filter(key=Conf.CLUSTER_NAME, lock__lte=timezone.now())
    # Its error must leave the transaction of a request whole.
    with savepoint(Conf.ORM):
        length: int = queued[: LIMIT + 1].count()
    return length
