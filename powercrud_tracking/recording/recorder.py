"""The one writer: an event and its values become one SQL statement on one row."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from django.db import IntegrityError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.config.references import Field
from powercrud_tracking.lifecycle import OPEN, TABLE, Event, Status, get_status_after
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.recording.batches import HeldWrite, find_batch
from powercrud_tracking.recording.lock_limits import apply_limit
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.recording.statements import Compiler
from powercrud_tracking.records.mapping import RecordMap, get_record_map
from powercrud_tracking.signals import task_recorded


class TaskStillOpenError(Exception):
    """A launch was refused, because a task of that name has not ended yet."""


class Recorder:
    """Writes the events of one configuration's table."""

    def __init__(self, record_map: RecordMap) -> None:
        self.model = record_map.model
        self.fields = record_map.fields
        self._names = record_map.names
        self._compiler = Compiler(record_map)

    def record(
        self,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        *,
        brought: Status | None = None,
        defaults: Callable[[], Mapping[str, Any]] = dict,
        refuse_open: bool = False,
    ) -> bool:
        """Write what an event says.

        Inside a transaction of the caller it is written in a savepoint, so that an error of
        ours leaves theirs whole.

        Args:
            event: what happened.
            task_name: the task's name, which is never cut.
            values: logical names to values that fit their fields; names that the table does
                not keep are left out.
            brought: the status that a cleanup brings to an open row.
            defaults: called for a new row, for the values of further fields by field name.
            refuse_open: leave an old row alone if it is open.

        Returns:
            Whether a row was written, or will be at the end of a batch.

        Raises:
            ValueError: the name is longer than its field.
            TaskStillOpenError: ``refuse_open``, and there is an open row.
            django.db.Error: the database refused.
        """
        self._require_fitting(task_name)
        is_launch = event is Event.CREATE and "created_at" in values
        values = {name: value for name, value in values.items() if name in self.fields}
        using = router.db_for_write(self.model)
        connection = connections[using]
        tell = partial(self._tell, event, task_name, values, connection)

        batch = None if is_launch else find_batch()
        if batch is not None:
            sql, parameters = self._compiler.build_update(
                connection, event, task_name, values, brought
            )
            alone = partial(
                self.record, event, task_name, values, brought=brought, defaults=defaults
            )
            batch.hold(
                HeldWrite(
                    event=event,
                    task_name=task_name,
                    using=using,
                    sql=sql,
                    parameters=parameters,
                    write_alone=alone,
                    tell=tell,
                )
            )
            return True

        if is_launch:
            written = self._insert(event, task_name, values, connection, brought, defaults)
            if not written:
                if refuse_open and self.find_status(task_name) in OPEN:
                    raise TaskStillOpenError(f"The task {task_name} has not ended yet.")
                written = self._update(event, task_name, values, connection, brought)
        else:
            written = self._update(event, task_name, values, connection, brought)
            if not written and TABLE[event].inserts:
                # Somebody else may have made the row in between: then it can be updated.
                written = self._insert(
                    event, task_name, values, connection, brought, defaults
                ) or self._update(event, task_name, values, connection, brought)

        if written:
            tell()
        return written

    def import_row(
        self, task_name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> bool:
        """Make the row of a task of the past, with its own times; a row that is there stays.

        It is no event: nobody is told.

        Args:
            task_name: the task's name, which is never cut.
            values: logical names, the status among them, to values that fit their fields.
            defaults: the values of further fields, by field name.

        Returns:
            Whether the row was made.

        Raises:
            ValueError: the name is longer than its field.
            django.db.Error: the database refused.
        """
        self._require_fitting(task_name)
        given = {"task_name": task_name, **values}
        fields = {self.fields[name]: value for name, value in given.items() if name in self.fields}
        own = {field.attname: value for field, value in fields.items()}
        instance = self.model(**{**defaults, **own})
        connection = connections[router.db_for_write(self.model)]
        return self._execute_insert(instance, connection, as_given=fields)

    def _require_fitting(self, task_name: str) -> None:
        limit = self.fields["task_name"].max_length
        if limit is not None and len(task_name) > limit:
            raise ValueError(f"The task name has {len(task_name)} characters, its field {limit}.")

    # --- updating ----------------------------------------------------------------------

    def _update(
        self,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        connection: BaseDatabaseWrapper,
        brought: Status | None,
    ) -> bool:
        return _execute(
            connection,
            *self._compiler.build_update(connection, event, task_name, values, brought),
        )

    # --- inserting ---------------------------------------------------------------------

    def _insert(
        self,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        connection: BaseDatabaseWrapper,
        brought: Status | None,
        defaults: Callable[[], Mapping[str, Any]],
    ) -> bool:
        """Make the row as if it had been pending before the event; ``False`` if it is there."""
        rule = TABLE[event]
        given = {"created_at": timezone.now(), "task_name": task_name, **values}
        given |= dict.fromkeys(rule.counts, 1)
        given["status"] = str(get_status_after(event, Status.PENDING, brought))
        instance = self.model(
            **{
                **defaults(),
                **{self.fields[n].attname: v for n, v in given.items() if n in self.fields},
            }
        )
        return self._execute_insert(instance, connection)

    def _execute_insert(
        self,
        instance: models.Model,
        connection: BaseDatabaseWrapper,
        as_given: Collection[Field] = (),
    ) -> bool:
        sql, parameters = self._compiler.build_insert(connection, instance, as_given=as_given)
        try:
            return _execute(connection, sql, parameters)
        except IntegrityError:
            # Most likely the row is there. If it is not, the UPDATE that follows finds none,
            # and the reason must not be lost.
            if self._exists(getattr(instance, self.fields["task_name"].attname), connection):
                return False
            raise

    def _exists(self, task_name: str, connection: BaseDatabaseWrapper) -> bool:
        lookup = {self.fields["task_name"].name: task_name}
        with savepoint(connection.alias):
            return self.model._base_manager.using(connection.alias).filter(**lookup).exists()

    # --- losing ------------------------------------------------------------------------

    def record_lost(
        self, messages: Mapping[str, str], *, at: datetime, silent_since: datetime
    ) -> list[str]:
        """Write that tasks are lost, those of them that are still open and silent.

        Args:
            messages: task name to what was looked at.
            at: the time of the judgement.
            silent_since: a sign of life after this saves the task.

        Returns:
            The names of the tasks that are lost now.
        """
        using = router.db_for_write(self.model)
        rows = AsyncTaskRecordQuerySet(self.model, using=using).named(self._names)
        by_message = defaultdict(list)
        for task_name, message in messages.items():
            by_message[message].append(task_name)
        lost: list[str] = []
        for message, task_names in by_message.items():
            values = {"status": Status.LOST, "message": message, "failed_at": at, "cleaned": True}
            changes = {self._names[n]: v for n, v in values.items() if n in self._names}
            asked = rows.named_tasks(task_names)
            asked.open().silent_since(silent_since).update(**self._compiler.get_times(), **changes)
            found = asked.with_status([Status.LOST]).failed_at(at).get_task_names()
            lost += found
            if task_recorded.has_listeners(self.model):
                for task_name in found:
                    self._announce(Event.LOST, task_name, values, using)
        return lost

    # --- telling -----------------------------------------------------------------------

    def _tell(
        self,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        connection: BaseDatabaseWrapper,
    ) -> None:
        """Announce an event once it is committed."""
        # With a transaction by hand Django knows no commit, and so nobody can be told.
        knows_commit = connection.in_atomic_block or connection.get_autocommit()
        if knows_commit and task_recorded.has_listeners(self.model):
            using = connection.alias
            transaction.on_commit(
                lambda: self._announce(event, task_name, values, using), using=using, robust=True
            )

    def _announce(
        self, event: Event, task_name: str, values: Mapping[str, Any], using: str
    ) -> None:
        task_recorded.send_robust(
            sender=self.model,
            task_name=task_name,
            event=event,
            status=self.find_status(task_name, using=using),
            values=dict(values),
        )

    def find_status(self, task_name: str, *, using: str | None = None) -> Status | None:
        """Return the status of a row, or ``None`` if there is no row or no such field."""
        field = self.fields.get("status")
        if field is None:
            return None
        using = using or router.db_for_write(self.model)
        with savepoint(using):
            found = (
                self.model._base_manager.using(using)
                .filter(**{self.fields["task_name"].name: task_name})
                .values_list(field.name, flat=True)
                .first()
            )
        return Status(found) if found in Status.values else None


@lru_cache(maxsize=128)
def get_recorder(config: DashboardConfig) -> Recorder:
    """Return the writer for a configuration; equal configurations share one."""
    return Recorder(get_record_map(config))


setting.clear_when_settings_change(get_recorder)


def _execute(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> bool:
    """Run a statement, in a savepoint inside a transaction; return whether it met a row."""
    with savepoint(connection.alias):
        return _run(connection, sql, parameters)


def _run(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> bool:
    with apply_limit(connection), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return bool(cursor.rowcount > 0)
