"""Bring tasks of the task into the record table: an old table's rows, and django-q2's results."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from django.db import models, router, transaction
from django.db.models import Q, prefetch_related_objects
from django_q.models import Task

from powercrud_tracking.config.dashboard_config import (
    DEFAULT_FIELDS,
    FIELD_ALIASES,
    DashboardConfig,
)
from powercrud_tracking.config.problems import get_guess
from powercrud_tracking.config.references import find_field
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import imported
from powercrud_tracking.maintenance.imported import BackfillMapper, ImportedTask
from powercrud_tracking.recording.recorder import get_recorder
from powercrud_tracking.recording.values import ValueBuilder
from powercrud_tracking.records import mapping, reading
from powercrud_tracking.records.mapping import RecordMap

BATCH = 200
"""Rows that are read and written together; what is in memory is no more than these."""

RESULTS = "django-q2's results"


class BackfillError(Exception):
    """What was asked for cannot be done; nothing was brought in."""


@dataclass
class Backfilled:
    """What became of the tasks of the task.

    Args:
        added: where they came from to how many rows were made.
        existing: how many were in the table already, and stayed as they were.
        left_out: the reason to how many were left out.
    """

    added: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def backfill(
    manager: Any,
    *,
    source: type[models.Model] | None = None,
    field_map: Mapping[str, str | None] | None = None,
    statuses: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> Backfilled:
    """Make a row for each task of the past that has none.

    First come the rows of an old table, if one is given, together with what django-q2
    remembers of the same tasks; then what else django-q2 remembers, of all tasks. A task that has
    a row is left untouched, so this can be repeated. Each batch is a transaction of its own.

    Args:
        manager: the ``ModelTrackingAsyncManager`` whose table is filled.
        source: the model of the old table.
        field_map: logical names to the fields of that model; those of PowerCRUD's sample model
            unless given. ``None``: do not read.
        statuses: words of the old table to ours, beside our own. A row with a word that is
            neither is left out and counted.
        dry_run: find out what would become of them, but write nothing.

    Raises:
        BackfillError: the map or a status is wrong.
        django.core.exceptions.ImproperlyConfigured: the setting is.
        django.db.Error: the database refused. The batches before are in the table.
    """
    run = _Run(manager, dry_run=dry_run)
    if source is not None:
        old = get_old_map(source, field_map or {})
        run.read_table(old, _get_statuses(statuses or {}))
    run.read_results()
    return run.report


def get_old_map(source: type[models.Model], field_map: Mapping[str, str | None]) -> RecordMap:
    """Return which field of an old table holds what.

    Raises:
        BackfillError: it names what is not there, or lacks what is needed.
    """
    label = source._meta.label
    known = [each.name for each in source._meta.concrete_fields]
    for logical, name in field_map.items():
        if FIELD_ALIASES.get(logical, logical) not in DEFAULT_FIELDS:
            names = f"The logical names are {', '.join(DEFAULT_FIELDS)}."
            guess = get_guess(logical, [*DEFAULT_FIELDS, *FIELD_ALIASES], names)
            raise BackfillError(f"The field map has an unknown logical name {logical!r}. {guess}")
        if name is not None and find_field(source, name) is None:
            guess = get_guess(name, known, f"Its fields are {', '.join(known)}.")
            raise BackfillError(f"{label} has no field {name!r} for {logical!r}. {guess}")
    old = mapping.get_record_map(
        DashboardConfig(record_model=label, field_map=dict(field_map)),
    )
    for logical in ("task_name", "status"):
        if logical not in old.fields:
            raise BackfillError(
                f"{label} has no field for {logical!r}. Name it in the field map: {logical}=FIELD. "
                f"Its fields are {', '.join(known)}."
            )
    return old


def _get_statuses(statuses: Mapping[str, str]) -> dict[str, Status]:
    """Return words of an old table, in lower case, to our statuses.

    Raises:
        BackfillError: one of them leads to no status of ours.
    """
    for word, status in statuses.items():
        if status not in Status.values:
            guess = get_guess(status, Status.values, f"The statuses are {', '.join(Status)}.")
            raise BackfillError(f"{word!r} cannot mean {status!r}, which is no status. {guess}")
    return {status.value: status for status in Status} | {
        word.lower(): Status(status) for word, status in statuses.items()
    }


class _Run:
    def __init__(self, manager: Any, *, dry_run: bool) -> None:
        self.report = Backfilled()
        self._manager = manager
        self._config = self._manager.config
        self._recorder = get_recorder(self._config)
        values = ValueBuilder(self._config, self._recorder.fields, self._manager.formatters)
        self._mapper = BackfillMapper(self._config, values)
        self._using = router.db_for_write(self._recorder.model)
        # A rehearsal has no table to look into for what it would have added.
        self._rehearsed: set[str] | None = set() if dry_run else None

    def read_table(self, old: RecordMap, statuses: Mapping[str, Status]) -> None:
        """Bring in the rows of an old table."""
        user = old.fields.get("user")
        name, status = (old.fields[logical].attname for logical in ("task_name", "status"))
        for batch in _walk(old.model, order=("-pk",)):
            if user is not None and user.is_relation:
                prefetch_related_objects(batch, user.name)
            named = self._keep_new(batch, lambda row: str(getattr(row, name) or ""))
            tasks = imported.find_best(_get_results().filter(name__in=list(named)))
            users = imported.load_users(tasks.values())
            tasks_ = []
            for task_name, row in named.items():
                word = getattr(row, status)
                meaning = statuses.get(str(word).lower())
                if meaning is None and task_name in tasks:
                    # Whatever the word means, django-q2 knows the end.
                    meaning = Status.PENDING
                if meaning is None:
                    self.report.left_out[f"the status {word!r} is unknown"] += 1
                    continue
                task = tasks.get(task_name)
                tasks_.append(
                    self._mapper.read_row(row, old, status=meaning, task=task, users=users)
                )
            self._write(tasks_, old.model._meta.label)

    def read_results(self) -> None:
        """Bring in what django-q2 remembers."""
        for success in (True, False):
            # A name is not unique there: a success counts more, then what came last.
            tasks = _get_results().filter(success=success)
            for batch in _walk(tasks, order=("-stopped", "-pk")):
                named = self._keep_new(batch, lambda task: task.name)
                self._write(self._mapper.read_results(named.values()), RESULTS)

    def _keep_new(self, batch: Iterable[Any], get_name: Any) -> dict[str, Any]:
        """Return by name those that have no row yet; the first of several of one name."""
        limit = self._recorder.fields["task_name"].max_length
        named: dict[str, Any] = {}
        for row in batch:
            task_name = get_name(row)
            if not task_name:
                self.report.left_out["there is no task name"] += 1
            elif limit is not None and len(task_name) > limit:
                self.report.left_out[f"the task name is longer than {limit} characters"] += 1
            elif task_name in named:
                self.report.existing += 1
            else:
                named[task_name] = row
        rows = reading.get_rows(self._config, using=self._using).named_tasks(named)
        there = {*rows.get_task_names(), *(named.keys() & (self._rehearsed or set()))}
        self.report.existing += len(there)
        return {task_name: row for task_name, row in named.items() if task_name not in there}

    def _write(self, tasks_: Sequence[ImportedTask], origin: str) -> None:
        if self._rehearsed is not None:
            self._rehearsed.update(task.task_name for task in tasks_)
            self.report.added[origin] += len(tasks_)
            return
        with transaction.atomic(using=self._using) if tasks_ else nullcontext():
            for task in tasks_:
                defaults = self._manager.get_create_defaults(task.task_name, task.payload)
                if self._recorder.import_row(task.task_name, task.values, defaults):
                    self.report.added[origin] += 1
                else:
                    # It was launched, or brought in, by somebody else at this moment.
                    self.report.existing += 1


def _get_results() -> models.QuerySet[Task]:
    results: models.QuerySet[Task] = Task.objects.using(router.db_for_read(Task))
    return results


def _walk(source: Any, *, order: Sequence[str]) -> Iterator[list[Any]]:
    """Yield all rows in batches, by position: a cursor would keep all of them in memory on MySQL.

    Args:
        source: a model, or a queryset.
        order: names of fields, each descending, the last one unique.
    """
    rows = source
    if not isinstance(source, models.QuerySet):
        rows = source._base_manager.using(router.db_for_read(source))
    ordered = rows.order_by(*order)
    names = [name.removeprefix("-") for name in order]
    beyond = Q()
    while batch := list(ordered.filter(beyond)[:BATCH]):
        yield batch
        beyond = _get_position_after(batch[-1], names)


def _get_position_after(row: models.Model, names: Sequence[str]) -> Q:
    position, same = Q(), Q()
    for name in names:
        position |= same & Q(**{f"{name}__lt": getattr(row, name)})
        same &= Q(**{name: getattr(row, name)})
    return position
