"""The queues and the clusters of django-q2, as they are at this moment.

Seen with django-q2 1.11:

- A queue has the name of the clusters that work on it. A task is queued for the cluster that its
  launch names, otherwise for that of the launching process (``Conf.CLUSTER_NAME``).
- With the ORM broker a package stays in the table, which holds all queues, until its result has
  been saved.
- With Redis each queue is a list. A cluster empties it into its own queue ahead of its workers, so
  that an empty list alone says nothing.
- A cluster writes its statistics twice a second into the broker's cache (with Redis into Redis),
  where they live for three seconds. They do not name the queue. One sample may miss a busy
  cluster, and a cache of each process shows no other process.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from time import sleep
from typing import Any

from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage
from django_q.status import Stat

from powercrud_tracking.config.setting import get_queue_settings
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.counts import LIMIT, Count, get_count

logger = logging.getLogger("powercrud_tracking")

SAMPLES = 3
PAUSE = 0.7
"""Seconds between two samples; together they last longer than one update of the statistics."""

_BROKER_KEYS = (
    "broker_class",
    "django_redis",
    "iron_mq",
    "mongo",
    "mongo_db",
    "orm",
    "redis",
    "sqs",
)
"""The keys of ``Q_CLUSTER`` that say where its queues are."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One running cluster, as its statistics describe it.

    Args:
        id: the cluster's own.
        host: where it runs.
        status: as django-q2 names it.
        started_at: when it was started, by the clock of its host.
        pids: the processes that run tasks.
        prefetched: how many tasks it has taken from the queue that no worker has begun.
        unsaved: how many results are not saved yet.
    """

    host: str
    status: str
    id: str = ""
    started_at: datetime | None = None
    pids: tuple[int, ...] = ()
    prefetched: int = 0
    unsaved: int = 0


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The state of queues and clusters, as a page shows it.

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
    """The state of queues and clusters in several samples, to decide about tasks without activity.

    Args:
        queued: the names of all queued and locked tasks; ``None`` if the broker cannot list them.
        waiting: queue to how many tasks were queued or unacknowledged, at most in any sample. A
            queue whose length could not be read is missing.
        redelivers: whether the broker delivers a task again whose worker has died.
        clusters: the running clusters of all samples; ``None`` if they are unknown.
        counts_prefetched: whether clusters say how many tasks and results they hold.
    """

    queued: frozenset[str] | None = None
    waiting: Mapping[str, int]
    redelivers: bool = False
    clusters: tuple[Cluster, ...] | None = None
    counts_prefetched: bool = True


def read_queue(*, measure: bool = True) -> Queue:
    """Return the current state of queues and clusters; an error is logged as a warning.

    Args:
        measure: ask for the length, which counts the tasks of all users.
    """
    broker = _try("open the broker", _open_broker)
    if broker is None:
        return Queue(is_measured=measure)
    clusters = find_clusters(broker)
    length = _try("ask for the length of the queue", _count_queued) if measure else None
    if length is not None:
        length += sum(cluster.prefetched for cluster in clusters or ())
    return Queue(
        clusters=clusters,
        length=None if length is None else get_count(length),
        is_measured=measure,
    )


def gather_evidence(names: Iterable[str]) -> Evidence:
    """Look at queues and clusters several times; what cannot be asked costs a warning.

    Args:
        names: the queues to ask, if the broker cannot list them.
    """
    broker = _try("open the broker", _open_broker)
    if broker is None:
        return Evidence(waiting={})
    is_table = _is_orm() or isinstance(broker, ORM)
    asked = [] if is_table else [name for name in names if is_reachable(name)]
    waiting = dict.fromkeys(asked, 0)
    samples = []
    for number in range(SAMPLES):
        if number:
            sleep(PAUSE)
        # The queues first: a task that leaves one meanwhile is then counted by a cluster.
        for name in [*waiting]:
            length = _try("ask for the length of a queue", partial(_count_waiting, name))
            if length is None:
                del waiting[name]
            else:
                waiting[name] = max(length, waiting[name])
        samples.append(find_clusters(broker))
    # A task that is not in this list was acknowledged before, and so its result was saved before:
    # ask for results afterwards.
    return Evidence(
        queued=_try("read the queue", _list_table) if is_table else None,
        waiting=waiting,
        redelivers=is_table or type(broker).lock_size is not Broker.lock_size,
        clusters=None if None in samples else tuple(chain.from_iterable(filter(None, samples))),
        counts_prefetched=bool(Conf.QSIZE),
    )


def find_clusters(broker: Broker) -> tuple[Cluster, ...] | None:
    """Return the running clusters in the order of their hosts; ``None`` if they are unknown."""
    is_cached = type(broker).get_stats is Broker.get_stats
    if is_cached and (not broker.cache or isinstance(broker.cache, DummyCache | LocMemCache)):
        return None
    stats = _try("ask for the clusters", partial(Stat.get_all, broker))
    if stats is None:
        return None
    clusters = [
        Cluster(
            id=str(stat.cluster_id),
            host=str(stat.host),
            status=str(stat.status),
            started_at=stat.tob,
            pids=tuple(stat.workers),
            prefetched=stat.task_q_size,
            unsaved=stat.done_q_size,
        )
        for stat in stats
        if str(stat.status) != str(Conf.STOPPED)
    ]
    return tuple(sorted(clusters, key=lambda cluster: cluster.host))


def is_reachable(name: str) -> bool:
    """Return whether the queue of this name is where this process looks for it.

    ``ALT_CLUSTERS`` may give clusters a broker of their own, which a process that runs under
    another name does not know.

    Args:
        name: of the queue. If it is empty, all queues of the settings have to be there.
    """
    settings = get_queue_settings()
    others = settings.get("ALT_CLUSTERS") or {}

    def find_place(name: str) -> list[Any]:
        other = others.get(name)
        settings_of_name = {**settings, **(other if isinstance(other, Mapping) else {})}
        return [settings_of_name.get(key) for key in _BROKER_KEYS]

    names = [name] if name else ["", *others]
    return all(find_place(each) == find_place(Conf.CLUSTER_NAME) for each in names)


def _try[Answer](what: str, ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except Exception:
        logger.warning("Could not %s of django-q2.", what, exc_info=True)
        return None


def _is_orm() -> bool:
    return bool(Conf.ORM) and not (Conf.BROKER_CLASS or Conf.IRON_MQ or Conf.SQS)


def _open_broker() -> Broker:
    # django-q2 closes the database connections of the process when it builds its ORM broker.
    return Broker() if _is_orm() else get_broker()


def _count_queued() -> int | None:
    """Return how many tasks no cluster has taken from any queue; of a table up to a limit."""
    settings = get_queue_settings()
    default = settings.get("cluster_name") or settings.get("name") or Conf.CLUSTER_NAME
    names = {Conf.CLUSTER_NAME, default, *(settings.get("ALT_CLUSTERS") or {})}
    names = {name for name in names if is_reachable(name)}
    if _is_orm():
        queued = OrmQ.objects.using(Conf.ORM).filter(key__in=names, lock__lte=timezone.now())
        # An error must not break the transaction of a request.
        with savepoint(Conf.ORM):
            length: int = queued[: LIMIT + 1].count()
        return length
    sizes = [get_broker(name).queue_size() for name in names]
    return None if None in sizes else sum(sizes)


def _count_waiting(name: str) -> int | None:
    broker = get_broker(name)
    size: int | None = broker.queue_size()
    return None if size is None else size + (broker.lock_size() or 0)


def _list_table() -> frozenset[str]:
    """Return the task names of all packages of the ORM broker."""
    names = set()
    with savepoint(Conf.ORM):
        for payload in OrmQ.objects.using(Conf.ORM).values_list("payload", flat=True).iterator():
            # A package of another project is signed with another secret key.
            with suppress(BadSignature):
                names.add(SignedPackage.loads(payload)["name"])
    return frozenset(names)
