"""Read rows by logical names, for the pages, the admin, the poll and maintenance."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import models, router
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS, DashboardConfig, get_config
from powercrud_tracking.lifecycle import OPEN, Status, find_status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import derived, titles
from powercrud_tracking.records.mapping import RecordMap, get_record_map
from powercrud_tracking.serialization.estimates import Measure, find_measure


def get_rows(
    config: DashboardConfig | None = None, *, using: str | None = None
) -> AsyncTaskRecordQuerySet:
    """Return all rows of a configuration's table, by logical names.

    Args:
        config: the setting's, unless given.
        using: the alias of the database; the router's choice for reading, unless given.
    """
    record_map = get_record_map(config or get_config())
    using = using or router.db_for_read(record_map.model)
    return AsyncTaskRecordQuerySet(record_map.model, using=using).named(record_map.names)


def get_title(func: str) -> str:
    """Return the dotted path of a function in words: "Bulk update task"."""
    words = func.rpartition(".")[2].strip("_").replace("_", " ")
    return words[:1].upper() + words[1:]


class Record:
    """A row by logical names; ``None`` for what the table does not store."""

    def __init__(self, row: models.Model, record_map: RecordMap) -> None:
        self.row = row
        self.pk = row.pk
        self.live_progress: str | None = None
        # The key of a foreign key, not the related object, which would cost a query for each row.
        self._names = {logical: field.attname for logical, field in record_map.fields.items()}
        self._record_map = record_map

    def with_row(self, row: models.Model) -> "Record":
        """Return a record of the same table, of this row."""
        return Record(row, self._record_map)

    def __getattr__(self, logical: str) -> Any:
        if logical not in DEFAULT_FIELDS:
            raise AttributeError(logical)
        name = self._names.get(logical)
        return None if name is None else getattr(self.row, name)

    @property
    def status(self) -> Status | None:
        """The status; ``None`` if the table stores none, or an unknown word."""
        name = self._names.get("status")
        value = None if name is None else getattr(self.row, name)
        return find_status(value)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_stoppable(self) -> bool:
        """Whether it is open and can be cancelled."""
        if self.status is Status.PENDING:
            return True
        is_running = self.status is Status.IN_PROGRESS and "cancel_requested_at" in self._names
        return is_running and self.cancel_requested_at is None

    @property
    def title(self) -> str:
        """The title, "Update of 480 books"; else the function in words; else the task name."""
        return self.own_title or get_title(self.func or "") or self.task_name

    @property
    def own_title(self) -> str:
        """The title that it was queued with; empty if it has none."""
        return titles.write_title(titles.read_extra(self.extra))

    @property
    def changes(self) -> list[titles.Change]:
        """What a bulk update does to which field, as it was queued."""
        return titles.read_changes(titles.read_extra(self.extra))

    @property
    def object_names(self) -> list[str]:
        """The names of the first objects of a bulk delete, as they were when it was queued."""
        return titles.read_names(titles.read_extra(self.extra))

    @property
    def summary(self) -> str:
        """Changes or names on one line: "price → 7, in stock → yes"."""
        return ", ".join(map(str, self.changes or self.object_names))

    @property
    def ended_at(self) -> datetime | None:
        return derived.find_end(self.status, self.completed_at, self.failed_at, self.cancelled_at)

    @property
    def queue_time(self) -> timedelta | None:
        return derived.find_queue_time(self.status, self.created_at, self.started_at, self.attempts)

    @property
    def run_time(self) -> timedelta | None:
        """How long its last attempt ran."""
        return derived.find_run_time(self.status, self.started_at, self.ended_at)

    @property
    def progress_text(self) -> str:
        """The last progress text: from the cache if it has one, else from the row."""
        return self.live_progress or self.progress or ""

    @property
    def measure(self) -> Measure | None:
        """The progress in numbers, if the progress text contains any."""
        elapsed = None
        reported_at = self.updated_at if self.live_progress is None else timezone.now()
        if self.started_at is not None and reported_at is not None:
            elapsed = (reported_at - self.started_at).total_seconds()
        return find_measure(self.progress_text, elapsed=elapsed)


def read(rows: Iterable[models.Model], config: DashboardConfig | None = None) -> list[Record]:
    """Return these rows as records."""
    record_map = get_record_map(config or get_config())
    return [Record(row, record_map) for row in rows]


def find_record(
    task_name: str, config: DashboardConfig | None = None, *, using: str | None = None
) -> Record | None:
    """Return the record of a task, or ``None``."""
    rows = get_rows(config, using=using).named_task(task_name)[:1]
    return next(iter(read(rows, config)), None)
