"""Create rows for past tasks from an old table and from django-q2's results."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, IntegrityError, models, router, transaction
from django_q.models import Task

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.config.problems import Source, get_suggestion, raise_first
from powercrud_tracking.config.references import find_reference_problems
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance.imported import Facts, ImportedTasks
from powercrud_tracking.recording.recorder import get_recorder
from powercrud_tracking.records import reading
from powercrud_tracking.records.mapping import RecordMap, get_record_map

logger = logging.getLogger("powercrud_tracking")

BATCH = 200
"""Rows that are read and written together; no more are in memory."""

RESULTS = "django-q2's results"

_REFUSALS = (IntegrityError, DataError, TypeError, ValueError)
"""Exceptions that concern a single row; other errors concern all rows."""

_READING_PROBLEMS = {f"powercrud_tracking.E{number}" for number in ("005", "007", "008")}
"""Problems that make a table unreadable: no such model, logical name or field."""


@dataclass
class Backfilled:
    """The result of a backfill.

    Args:
        added: source to how many rows were made from it.
        existing: how many tasks had a row before, which was left unchanged.
        left_out: reason to how many tasks were left out.
    """

    added: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def backfill(
    manager: Any,
    *,
    source: str | type[models.Model] | None = None,
    field_map: Mapping[str, str | None] | None = None,
    statuses: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Backfilled:
    """Create a row for each past task that has none; see ``upkeep.backfill()``.

    Args:
        manager: the ``ModelTrackingAsyncManager`` whose table is filled.
        source: the old table, as a model or ``app_label.ModelName``.
        field_map: logical names to the fields of that model, as in ``FIELD_MAP``.
        statuses: further words of the old table to statuses.
        dry_run: count, but write nothing.
    """
    run = _Run(manager, dry_run=dry_run)
    if source is not None:
        label = source if isinstance(source, str) else source._meta.label
        old = DashboardConfig(record_model=label, field_map=field_map or {})
        run.add_rows(_get_old_map(old), reading.get_rows(old), _get_statuses(statuses or {}))
    run.add_results()
    return run.report


def _get_old_map(old: DashboardConfig) -> RecordMap:
    """Return logical names to the fields of an old table.

    Raises:
        ImproperlyConfigured: there is no such table or field.
    """
    source = Source(name=f"backfill from {old.record_model}")
    raise_first(
        each for each in find_reference_problems(old, source) if each.id in _READING_PROBLEMS
    )
    record_map = get_record_map(old)
    for logical in ("task_name", "status"):
        if logical not in record_map.fields:
            names = ", ".join(field.name for field in record_map.model._meta.concrete_fields)
            raise ImproperlyConfigured(
                f"{old.record_model} has no field {logical!r}. Say in the field map which of its "
                f"fields holds it: {names}."
            )
    return record_map


def _get_statuses(statuses: Mapping[str, str]) -> dict[str, Status]:
    """Return words of an old table, in lower case, to statuses.

    Raises:
        ImproperlyConfigured: there is no such status.
    """
    for word, status in statuses.items():
        if status not in Status.values:
            guess = get_suggestion(status, Status.values, f"The statuses are {', '.join(Status)}.")
            raise ImproperlyConfigured(f"{word!r} cannot mean {status!r}. {guess}")
    known = {status.value: status.value for status in Status} | {**statuses}
    return {word.lower(): Status(status) for word, status in known.items()}


class _Run:
    def __init__(self, manager: Any, *, dry_run: bool) -> None:
        self.report = Backfilled()
        self._manager = manager
        self._dry_run = dry_run
        self._recorder = get_recorder(manager.config)
        self._imported = ImportedTasks(manager)
        self._using = router.db_for_write(self._recorder.model)
        self._seen: set[str] = set()

    def add_rows(self, old: RecordMap, rows: Any, statuses: Mapping[str, Status]) -> None:
        """Add the rows of an old table, completed by django-q2's results of the same tasks."""
        for batch in _read_in_batches(rows):
            kept = [_read_row(row, old) for row in batch]
            new = self._select([(str(each["task_name"] or ""), each) for each in kept])
            results = _find_results(new)
            tasks = []
            for task_name, row in new.items():
                # Even if the status is unknown, django-q2 may have a result.
                status = statuses.get(str(row["status"]).lower())
                status = status or (Status.PENDING if task_name in results else None)
                if status is None:
                    reason = f"the status {row['status']!r} is unknown (--statuses gives a meaning)"
                    self.report.left_out[reason] += 1
                else:
                    tasks.append(self._imported.read_row(row, status, results.get(task_name)))
            self._write(old.model._meta.label, tasks)

    def add_results(self) -> None:
        """Add the tasks of django-q2's results."""
        for batch in _read_in_batches(_get_results()):
            new = self._select([(task.name, task) for task in batch])
            tasks = _find_results(new).values()
            self._write(RESULTS, [self._imported.read_result(task) for task in tasks])

    def _select(self, named: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return by name what is seen for the first time, can have a row, and has none."""
        longest = self._recorder.fields["task_name"].max_length
        new: dict[str, Any] = {}
        for task_name, each in named:
            if not task_name:
                self.report.left_out["there is no task name"] += 1
            elif longest is not None and len(task_name) > longest:
                self.report.left_out[f"the task name is longer than {longest} characters"] += 1
            elif task_name not in self._seen:
                self._seen.add(task_name)
                new[task_name] = each
        rows = reading.get_rows(self._manager.config, using=self._using).named_tasks(new)
        existing = set(rows.get_task_names())
        self.report.existing += len(existing)
        return {task_name: each for task_name, each in new.items() if task_name not in existing}

    def _write(self, origin: str, tasks: Sequence[Facts]) -> None:
        if not tasks:
            return
        if self._dry_run:
            self.report.added[origin] += len(tasks)
            return
        rows = [(str(facts["task_name"]), *self._imported.build_row(facts)) for facts in tasks]
        try:
            with transaction.atomic(using=self._using):
                made = [self._recorder.import_row(*row) for row in rows]
        except _REFUSALS:
            # One row is refused, perhaps only at the commit.
            made = [done for row in rows if (done := self._insert_alone(*row)) is not None]
        if any(made):
            self.report.added[origin] += sum(made)
        # Another process created the others in the meantime.
        self.report.existing += len(made) - sum(made)

    def _insert_alone(self, task_name: str, *row: Mapping[str, Any]) -> bool | None:
        """Return whether the row was made; ``None`` if it was refused."""
        try:
            with transaction.atomic(using=self._using):
                return self._recorder.import_row(task_name, *row)
        except _REFUSALS as exc:
            logger.warning("Could not add a row for task %s: %s", task_name, exc)
            self.report.left_out[f"the database refused it: {str(exc).partition('\n')[0]}"] += 1
            return None


def _get_results() -> models.QuerySet[Task]:
    results: models.QuerySet[Task] = Task.objects.using(router.db_for_read(Task))
    return results


def _find_results(task_names: Iterable[str]) -> dict[str, Task]:
    """Return name to result. A name is not unique there: a success counts more, then the latest."""
    found = _get_results().filter(name__in=list(task_names)).order_by("success", "stopped")
    return {task.name: task for task in found}


def _read_in_batches(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    # Each with a query of its own: a cursor would keep all rows in memory on MySQL.
    rows = rows.order_by("-pk")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        batch = list(rows.filter(pk__lt=batch[-1].pk)[:BATCH])


def _read_row(row: models.Model, old: RecordMap) -> Facts:
    """Return logical names to what a row has; of a foreign key to a user its key."""
    kept = {name: getattr(row, field.attname) for name, field in old.fields.items()}
    user = old.fields.get("user")
    if user is not None and user.is_relation:
        key = kept.pop("user")
        if user.related_model is get_user_model():
            kept.setdefault("launched_by_id", key)
    return kept
