"""Upkeep: judge tasks that say nothing, and remove what is old. A schedule can name both."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models, router, transaction
from django.db.models.deletion import Collector
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking import factory
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.maintenance import evidence
from powercrud_tracking.models import END_TIMES, AsyncTaskRecordQuerySet
from powercrud_tracking.receivers import find_manager
from powercrud_tracking.recording import batches
from powercrud_tracking.recording.attempts import get_attempts
from powercrud_tracking.recording.lock_limits import MOST_SECONDS, hold_limit
from powercrud_tracking.records import mapping, reading
from powercrud_tracking.records.reading import Record

logger = logging.getLogger("powercrud_tracking")

BATCH = 1000


@dataclass
class Reconciled:
    """What became of the open tasks that said nothing.

    Args:
        ended: names of those whose end django-q2 knew.
        lost: names of those that are lost.
        left: name to the reason, of those that may still be alive.
    """

    ended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def reconcile(*, older_than: float | None = None, dry_run: bool = False) -> Reconciled:
    """Find out what became of open tasks that have been silent for long.

    A task whose end django-q2's table knows is ended by it. One that is in the queue, or whose
    worker is alive, is left alone. Only what nothing speaks for is lost, and its message says
    what was looked at; a later sign of life corrects that.

    Args:
        older_than: seconds of silence; ``LOST_AFTER`` unless given.
        dry_run: judge, but write nothing.
    """
    config = get_config()
    cutoff = timezone.now() - timedelta(
        seconds=config.lost_after if older_than is None else older_than
    )
    report = Reconciled()
    if "status" not in mapping.get_record_map(config).fields:
        return report
    silent = reading.get_rows(config).open().silent_since(cutoff)
    seen = None
    for batch in _read_in_batches(silent):
        seen = seen or evidence.gather()
        _reconcile_batch(reading.read(batch, config), seen, cutoff, report, dry_run=dry_run)
    return report


def _read_in_batches(rows: AsyncTaskRecordQuerySet) -> Iterator[list[models.Model]]:
    # Each with a query of its own: django-q2's ORM broker closes old connections whenever it
    # is asked for (seen with 1.11), and a cursor that is open on PostgreSQL dies with its own.
    rows = rows.order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        batch = list(rows.beyond_key(batch[-1].pk)[:BATCH]) if len(batch) == BATCH else []


def _reconcile_batch(
    batch: Sequence[Record],
    seen: evidence.Evidence,
    cutoff: datetime,
    report: Reconciled,
    *,
    dry_run: bool,
) -> None:
    ends = _find_ends(batch)
    ended = ends if dry_run else _record_ends(ends)
    lost: Any = {}
    for record in batch:
        if record.task_name in ends:
            if record.task_name in ended:
                report.ended.append(record.task_name)
            else:
                report.left[record.task_name] = "its end could not be recorded"
        elif reason := seen.find_reason_to_leave(record):
            report.left[record.task_name] = reason
        else:
            lost[record.task_name] = seen.describe(record)
    if lost and not dry_run:
        lost = factory.get_manager().record_lost(lost, silent_since=cutoff)
    report.lost += lost


def _find_ends(batch: Sequence[Record]) -> dict[str, Task]:
    """Return the results in django-q2's table that are the end of these tasks."""
    started = {record.task_name: record.attempts for record in batch}
    ends: dict[str, Task] = {}
    # Names are not unique there: a success counts more, then what came last.
    for task in Task.objects.filter(name__in=started).order_by("success", "stopped"):
        attempts = started[task.name]
        if task.success or attempts is None or task.attempt_count >= attempts:
            ends[task.name] = task
    return ends


def _record_ends(ends: Mapping[str, Task]) -> set[str]:
    """Record how these tasks ended, and return the names of those whose row says so."""
    if not ends:
        return set()
    using = router.db_for_write(mapping.get_record_map(get_config()).model)
    # An end is two writes.
    with hold_limit(connections[using], MOST_SECONDS / 2), batches.write_together():
        for task in ends.values():
            _end(task)
    return set(reading.get_rows(using=using).named_tasks(ends).finished().get_task_names())


def _end(task: Task) -> None:
    # Arguments that can no longer be unpickled come as the text that they were.
    kwargs = task.kwargs if isinstance(task.kwargs, dict) else {}
    try:
        manager = find_manager({"kwargs": kwargs, "name": task.name}) or factory.get_manager()
        manager.handle_task_completion(task, task.name)
    except Exception:
        # One task must not keep the others from being judged.
        logger.exception("Could not record the end of task %s.", task.name)


def prune(*, days: int | None = None, dry_run: bool = False) -> int:
    """Remove finished tasks that are older than ``RETENTION_DAYS``, with their failed attempts.

    Args:
        days: keep so many days of every status, instead of what the setting says.
        dry_run: count, but remove nothing.

    Returns:
        How many tasks were removed, or would be.
    """
    config = get_config()
    if "status" not in mapping.get_record_map(config).fields:
        return 0
    using = router.db_for_write(mapping.get_record_map(config).model)
    now = timezone.now()
    removed = 0
    for status, kept in _get_retention(config.retention_days if days is None else days):
        old = (
            reading.get_rows(config, using=using)
            .with_status([status])
            .ended_before(now - timedelta(days=kept))
        )
        removed += old.count() if dry_run else _remove(old)
    return removed


def find_prune_time(record: Record) -> datetime | None:
    """Return from when on ``prune()`` removes a task; ``None`` if it keeps it, as it stands.

    Args:
        record: a row of the setting's table.
    """
    kept = dict(_get_retention(get_config().retention_days)).get(record.status or "")
    ended: datetime | None = next(
        (at for at in (getattr(record, logical) for logical in END_TIMES) if at is not None), None
    )
    if kept is None or ended is None:
        return None
    try:
        return ended + timedelta(days=kept)
    except OverflowError:
        return None


def _get_retention(days: Any) -> Iterator[tuple[str, int]]:
    for status in sorted(FINISHED):
        kept = days.get(status) if isinstance(days, dict) else days
        if kept is not None:
            yield status, kept


def _remove(old: AsyncTaskRecordQuerySet) -> int:
    # By name and in batches, so that no lock is held for long.
    removed = 0
    while task_names := old.order_by("pk")[:BATCH].get_task_names():
        gone = _delete(old.named_tasks(task_names))
        left = reading.get_rows(using=old.db).named_tasks(task_names).get_task_names()
        get_attempts(set(task_names) - set(left)).delete()
        removed += gone
        if not gone:
            break
    return removed


def _delete(rows: AsyncTaskRecordQuerySet) -> int:
    """Delete rows that still are what was asked for: one that was reopened meanwhile stays."""
    with transaction.atomic(using=rows.db):
        if not Collector(using=rows.db).can_fast_delete(rows):
            # Something hangs on these rows, and Django deletes by key what it has read: lock
            # them as they are. Otherwise the one DELETE repeats the conditions.
            list(rows.select_for_update().values_list("pk", flat=True))
        return rows.delete()[1].get(rows.model._meta.label, 0)
