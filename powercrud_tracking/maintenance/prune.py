"""Remove finished tasks that are older than their retention."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models.deletion import Collector

from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.config.keys import ACTIONS
from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.models import END_TIMES, AsyncTaskAction, AsyncTaskRecordQuerySet
from powercrud_tracking.recording.attempts import get_attempts
from powercrud_tracking.recording.objects import delete_links
from powercrud_tracking.records import mapping, reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import find_past, find_time

BATCH = 1000


def prune(config: DashboardConfig, *, days: int | None = None, dry_run: bool = False) -> int:
    """Remove finished tasks that are older than ``RETENTION_DAYS``, with their failed attempts.

    Args:
        config: names the table and the retention.
        days: keep so many days of every status, instead of what the setting says.
        dry_run: count, but remove nothing.

    Returns:
        How many tasks were removed, or would be.

    Raises:
        ValueError: there is no such number of days.
    """
    if days is not None and days < 0:
        raise ValueError(f"days must be 0 or more, got {days}.")
    rows = reading.get_rows(config, using=router.db_for_write(mapping.get_record_map(config).model))
    if not dry_run:
        _remove_actions(config)
    removed = 0
    for status, kept in _get_retention(config.retention_days if days is None else days):
        cutoff = find_past(days=kept)
        if cutoff is None:
            continue
        old = rows.with_status([status]).ended_before(cutoff)
        removed += old.count() if dry_run else _remove(old, rows)
    return removed


def find_prune_time(record: Record) -> datetime | None:
    """Return the time after which ``prune()`` removes a task; ``None`` if it keeps the task.

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
        return find_time(ended + timedelta(days=kept))
    except OverflowError:
        return None


def _get_retention(days: Any) -> Iterator[tuple[str, int]]:
    for status in sorted(FINISHED):
        kept = days.get(status) if isinstance(days, dict) else days
        if kept is not None:
            yield status, kept


def _remove_actions(config: DashboardConfig) -> None:
    """Remove what people did with tasks, by its own retention: ``--days`` is for tasks."""
    retention = config.retention_days
    kept = retention.get(ACTIONS) if isinstance(retention, Mapping) else retention
    cutoff = None if kept is None else find_past(days=kept)
    if cutoff is None:
        return
    using = router.db_for_write(AsyncTaskAction)
    old = AsyncTaskAction.objects.using(using).filter(at__lt=cutoff).order_by("pk")
    while keys := list(old.values_list("pk", flat=True)[:BATCH]):
        AsyncTaskAction.objects.using(using).filter(pk__in=keys).delete()


def _remove(old: AsyncTaskRecordQuerySet, rows: AsyncTaskRecordQuerySet) -> int:
    # By name and in batches, so that no lock is held for long.
    removed = 0
    while task_names := old.order_by("pk")[:BATCH].get_task_names():
        deleted = remove_tasks(old.named_tasks(task_names), rows, task_names)
        removed += deleted
        if not deleted:
            break
    return removed


def remove_tasks(
    old: AsyncTaskRecordQuerySet, rows: AsyncTaskRecordQuerySet, task_names: Iterable[str]
) -> int:
    """Remove tasks with all that belongs to them, and return how many were removed.

    Args:
        old: the rows that are removed, if they still match.
        rows: all rows of the table.
        task_names: the names of these tasks.
    """
    deleted = _delete(old)
    kept = rows.named_tasks(task_names).get_task_names()
    gone = set(task_names) - set(kept)
    get_attempts(gone).delete()
    delete_links(gone)
    return deleted


def _delete(rows: AsyncTaskRecordQuerySet) -> int:
    """Delete the rows that still match: a task that was started again meanwhile is kept."""
    with transaction.atomic(using=rows.db):
        if not Collector(using=rows.db).can_fast_delete(rows):
            # Other rows refer to these, and Django deletes by primary key what it has read: lock
            # them as they are. Otherwise the one DELETE repeats the conditions.
            list(rows.select_for_update().values_list("pk", flat=True))
        return rows.delete()[1].get(rows.model._meta.label, 0)
