"""Reconcile open tasks without recent activity."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, router
from django_q.models import Task

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import queue
from powercrud_tracking.maintenance.queue import Evidence
from powercrud_tracking.maintenance.workers import is_worker_alive, may_have_a_worker
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.recording.lock_limits import limit_waiting
from powercrud_tracking.records import mapping, reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import find_past
from powercrud_tracking.serialization.payloads import ELLIPSIS

logger = logging.getLogger("powercrud_tracking")

BATCH = 1000


@dataclass
class Reconciled:
    """The result of a reconcile.

    Args:
        ended: the names of those whose result django-q2 has.
        lost: the names of those that are lost.
        cancelled: the names of those that were asked to stop, and are gone.
        left: name to reason, of those that may still run.
    """

    ended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def reconcile(
    manager: Any, *, older_than: float | None = None, dry_run: bool = False
) -> Reconciled:
    """Reconcile open tasks that have had no activity for a long time.

    A result in django-q2's table ends a task. A task that may still wait or run is left open.
    Otherwise it is lost, and its message says what was checked; any later activity corrects that.
    One that somebody has asked to cancel is cancelled instead.

    Args:
        manager: the ``ModelTrackingAsyncManager`` whose table is reconciled.
        older_than: seconds without activity; ``LOST_AFTER`` unless given.
        dry_run: decide, but write nothing.

    Raises:
        ValueError: there is no such number of seconds.
    """
    if older_than is not None and not older_than >= 0:
        raise ValueError(f"older_than must be 0 or more seconds, got {older_than}.")
    config = manager.config
    cutoff = find_past(seconds=config.lost_after if older_than is None else older_than)
    report = Reconciled()
    if cutoff is None:
        return report
    silent = reading.get_rows(config).open().silent_since(cutoff)
    evidence = None
    for batch in _read_in_batches(silent):
        evidence = evidence or queue.gather_evidence(_get_queue_names(silent))
        records = reading.read(batch, config)
        _reconcile_batch(manager, records, evidence, cutoff, report, dry_run=dry_run)
    return report


def _get_queue_names(rows: AsyncTaskRecordQuerySet) -> set[str]:
    return {name for (name,) in rows.distinct().get_values("cluster") if name}


def _read_in_batches(rows: AsyncTaskRecordQuerySet) -> Iterator[list[models.Model]]:
    # Each with a query of its own: a cursor would keep all rows in memory on MySQL.
    rows = rows.order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        batch = list(rows.beyond_key(batch[-1].pk)[:BATCH]) if len(batch) == BATCH else []


def _reconcile_batch(
    manager: Any,
    batch: Sequence[Record],
    evidence: Evidence,
    cutoff: datetime,
    report: Reconciled,
    *,
    dry_run: bool,
) -> None:
    results = _find_results(batch)
    ended = results.keys() if dry_run else _record_ends(manager, results)
    lost: Any = {}
    cancelled: list[str] = []
    for record in batch:
        if record.task_name in ended:
            report.ended.append(record.task_name)
        elif record.task_name in results:
            report.left[record.task_name] = "its end could not be recorded"
        elif reason := find_reason_to_leave(record, evidence):
            report.left[record.task_name] = reason
        elif record.cancel_requested_at:
            cancelled.append(record.task_name)
        else:
            lost[record.task_name] = describe_loss(record, evidence)
    if lost and not dry_run:
        lost = manager.record_lost(lost, silent_since=cutoff)
    if cancelled and not dry_run:
        cancelled = manager.record_cancelled(cancelled, silent_since=cutoff)
    report.lost += lost
    report.cancelled += cancelled


# --- results in django-q2's table -------------------------------------------------------------


def _find_results(batch: Sequence[Record]) -> dict[str, Task]:
    """Return the results in django-q2's table that are the end of these tasks."""
    records = {record.task_name: record for record in batch}
    results: dict[str, Task] = {}
    # Names are not unique there: a success counts more, then the latest result.
    for task in Task.objects.filter(name__in=records).order_by("success", "stopped"):
        record = records[task.name]
        if record.queue_id and record.queue_id != task.id:
            # The result of an earlier launch under the same name.
            continue
        if task.success or record.attempts is None or task.attempt_count >= record.attempts:
            results[task.name] = task
    return results


def _record_ends(manager: Any, results: Mapping[str, Task]) -> set[str]:
    """Record how these tasks ended, and return the names of those whose row says so."""
    if not results:
        return set()
    using = router.db_for_write(mapping.get_record_map(manager.config).model)
    # One call for all tasks of one manager; views may have configurations of their own.
    groups: dict[Any, tuple[Any, dict[str, Task]]] = {}
    for task_name, task in results.items():
        of_task = manager.get_manager_for(task)
        _, tasks = groups.setdefault((type(of_task), of_task.config), (of_task, {}))
        tasks[task_name] = task
    with limit_waiting(using):
        for of_task, tasks in groups.values():
            try:
                of_task.record_ends(tasks)
            except Exception:
                logger.exception("Could not record the ends of tasks %s.", ", ".join(tasks))
    rows = reading.get_rows(manager.config, using=using)
    return set(rows.named_tasks(results).finished().get_task_names())


# --- tasks without a result ----------------------------------------------------------------


def find_reason_to_leave(record: Record, evidence: Evidence) -> str | None:
    """Return why an open task may still wait or run; ``None`` if it is lost."""
    name = _get_queue_name(record)
    is_running = record.status is Status.IN_PROGRESS
    if record.task_name in (evidence.queued or ()):
        return "it is in the queue"
    if is_running and is_worker_alive(record, evidence.clusters or ()):
        return "its worker is alive"
    if not queue.is_reachable(name):
        return "its cluster may have a broker of its own, which this process does not know"
    if is_running and evidence.clusters is None:
        return "it is unknown which clusters are running"
    if evidence.queued is not None:
        return None
    if evidence.redelivers or not is_running:
        if not name:
            return "its row does not name the queue that it was sent to"
        if name not in evidence.waiting:
            return f"the queue {name!r} cannot be asked"
        if evidence.waiting[name]:
            return "the broker may deliver it again" if is_running else "its queue is not empty"
    if evidence.clusters is None:
        return "it is unknown which clusters are running"
    if is_running and not record.worker and may_have_a_worker(record, evidence.clusters):
        return "its row does not name its worker, and a cluster that may run it is running"
    if evidence.clusters and not evidence.counts_prefetched:
        return "it is unknown what the clusters hold"
    if any(cluster.prefetched or cluster.unsaved for cluster in evidence.clusters):
        return (
            "a cluster has results that are not saved yet"
            if is_running
            else "a cluster holds tasks that have not begun"
        )
    return None


def _get_queue_name(record: Record) -> str:
    """Return the queue that a task was sent to; empty if that is unknown."""
    name = str(record.cluster or "")
    # A short column holds a part of a long name.
    return "" if name.endswith(ELLIPSIS) else name


def describe_loss(record: Record, evidence: Evidence) -> str:
    """Return the message of a lost task: what was checked."""
    checked = ["no activity", "django-q2 has no result"]
    if evidence.queued is not None:
        checked.append("it is not in the queue")
    elif record.status is Status.PENDING:
        checked.append(f"the queue {_get_queue_name(record)!r} is empty")
    if record.status is Status.IN_PROGRESS:
        checked.append(f"its worker {record.worker or 'is unknown and'} is in no live cluster")
    number = len({cluster.id for cluster in evidence.clusters or ()})
    checked.append("1 live cluster checked" if number == 1 else f"{number} live clusters checked")
    return f"Lost: {', '.join(checked)}."
