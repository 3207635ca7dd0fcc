"""Reconcile, prune and backfill the table that the settings name.

A schedule of django-q2 can name each of these functions.
"""

from collections.abc import Mapping

from django.db import models

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.config.validation import require_valid_setting
from powercrud_tracking.factory import get_manager
from powercrud_tracking.maintenance import backfill as _backfill
from powercrud_tracking.maintenance import prune as _prune
from powercrud_tracking.maintenance import reconcile as _reconcile
from powercrud_tracking.maintenance.backfill import Backfilled
from powercrud_tracking.maintenance.reconcile import Reconciled

__all__ = ["Backfilled", "Reconciled", "backfill", "prune", "reconcile"]


def reconcile(*, older_than: float | None = None, dry_run: bool = False) -> Reconciled:
    """Reconcile open tasks that have had no activity for a long time.

    A result in django-q2's table ends a task. A task that may still wait or run is left open.
    Otherwise it is lost, and its message says what was checked; any later activity corrects that.

    Args:
        older_than: seconds without activity; ``LOST_AFTER`` unless given.
        dry_run: decide, but write nothing.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the settings are wrong.
        ValueError: there is no such number of seconds.
    """
    return _reconcile.reconcile(get_manager(), older_than=older_than, dry_run=dry_run)


def prune(*, days: int | None = None, dry_run: bool = False) -> int:
    """Remove finished tasks that are older than ``RETENTION_DAYS``, with their failed attempts.

    Args:
        days: keep tasks of every status for so many days, instead of ``RETENTION_DAYS``.
        dry_run: count, but remove nothing.

    Returns:
        How many tasks were removed, or would be.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the settings are wrong.
        ValueError: there is no such number of days.
    """
    require_valid_setting()
    return _prune.prune(get_config(), days=days, dry_run=dry_run)


def backfill(
    *,
    source: str | type[models.Model] | None = None,
    field_map: Mapping[str, str | None] | None = None,
    statuses: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Backfilled:
    """Create a row for each task that ran before this package was installed and has none.

    First come the rows of an old table, if one is given, completed by django-q2's results of the
    same tasks; then all other results of django-q2. A task that has a row is left unchanged, so
    this can be repeated. A row that the database refuses is left out and counted.

    Args:
        source: the old table, as a model or ``app_label.ModelName``.
        field_map: logical names to the fields of that model, as in ``FIELD_MAP``; ``None`` as a
            field: do not read.
        statuses: further words in its status field to statuses. A row with an unknown word is left
            out and counted.
        dry_run: count, but write nothing.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the settings, the field map or a status is
            wrong; nothing was written.
        django.db.Error: the database does not answer. Each batch is a transaction of its own, and
            those before are kept.
    """
    return _backfill.backfill(
        get_manager(), source=source, field_map=field_map, statuses=statuses, dry_run=dry_run
    )
