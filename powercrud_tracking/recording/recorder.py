"""Write an event and its values to one row with one SQL statement."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db import Error, IntegrityError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.lifecycle import (
    ALL,
    CONTINUES_LOST,
    OPEN,
    TABLE,
    Event,
    Status,
    find_status,
    get_status_after,
)
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.recording.statements import SILENT_SINCE, Compiler, Statement
from powercrud_tracking.records.mapping import RecordMap, get_record_map
from powercrud_tracking.serialization.failures import Failure
from powercrud_tracking.signals import task_recorded

logger = logging.getLogger("powercrud_tracking")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ORDER = {event: number for number, event in enumerate(Event)}


class TaskStillOpenError(Exception):
    """A launch was refused, because a task of that name has not ended yet."""


class RecordedEvent(NamedTuple):
    """An event of a task with all values that are written.

    Args:
        event: the event.
        task_name: the name of the task.
        values: logical names to values that fit their fields.
        payload: the event's data, by the names of PowerCRUD and of this package.
        incoming: the status that comes with a cleanup.
        silent_since: an open row that was updated after this is left alone.
        only_on: a row with another status is left alone, beside those of the event's rule.
        failure: why the task failed, if this event says so.
        was_lost: the row was lost before, and this event shows that its attempt was alive.
    """

    event: Event
    task_name: str
    values: Mapping[str, Any]
    payload: Mapping[str, Any] = _NOTHING
    incoming: Status | None = None
    silent_since: datetime | None = None
    only_on: frozenset[Status] = ALL
    failure: Failure | None = None
    was_lost: bool = False


class Recorder:
    """Write the events of the tasks of one table.

    Whoever calls it protects an open transaction: ``savepoints.savepoint()``.
    """

    def __init__(self, record_map: RecordMap) -> None:
        self.model = record_map.model
        self.fields = record_map.fields
        self._compiler = Compiler(record_map)
        self._updates: dict[tuple[Any, ...], Statement] = {}
        self._inserts: dict[tuple[Any, ...], Statement] = {}
        self._longest_name = self.fields["task_name"].max_length
        self._has_status = "status" in self.fields

    def update(self, event: RecordedEvent) -> RecordedEvent | None:
        """Write an event into the row of its task.

        Returns:
            What was written; ``None`` if there is no such row, or the event leaves it alone.

        Raises:
            ValueError: the name is longer than its field.
            django.db.Error: the database refused.
        """
        connection = connections[router.db_for_write(self.model)]
        # A lost row is rare, and what has to be done for one costs other rows nothing.
        unless_lost = self._has_status and event.event in CONTINUES_LOST
        if run(connection, *self._get_update(connection, event, unless_lost)):
            if task_recorded.receivers:
                self._announce(event, connection)
            return event
        if unless_lost and run(connection, *self._get_update(connection, event, False)):
            self._announce(event, connection)
            return event._replace(was_lost=True)
        return None

    def insert(self, event: RecordedEvent, defaults: Mapping[str, Any]) -> RecordedEvent | None:
        """Insert the row of a task, as if it had been pending before the event.

        Args:
            event: the first event of the task that is known.
            defaults: the values of further fields, by field name.

        Returns:
            What was written; ``None`` if there is a row of that name.

        Raises:
            ValueError: the name is longer than its field.
            django.db.Error: the database refused.
        """
        connection = self._connect(event)
        values = self._get_new_values(event)
        statement = None
        if not defaults and self._compiler.is_plain:
            shape = (connection.alias, *values)
            statement = self._inserts.get(shape)
            if statement is None:
                statement = self._compiler.compile_insert(connection, values)
                self._inserts[shape] = statement
        if statement is None:
            instance = self._build_instance(event.task_name, values, defaults)
            sql, parameters = self._compiler.build_insert(connection, instance)
        else:
            sql, parameters = statement.sql, statement.get_parameters(event.task_name, values)
        if not self._insert(connection, event.task_name, sql, parameters):
            return None
        self._announce(event, connection)
        return event

    def start_over(self, event: RecordedEvent, defaults: Mapping[str, Any]) -> RecordedEvent | None:
        """Write a launch under the name of a finished task: its row becomes that of a new task.

        Args:
            event: the launch.
            defaults: the values of further fields, by field name.

        Returns:
            What was written; ``None`` if there is no such row.

        Raises:
            TaskStillOpenError: the task of that name has not ended.
            django.db.Error: the database refused.
        """
        connection = self._connect(event)
        instance = self._build_instance(event.task_name, self._get_new_values(event), defaults)
        name_field, status_field = self.fields["task_name"], self.fields.get("status")
        given = {*defaults, *(field.name for field in self.fields.values())}
        changes = {
            each.name: each.pre_save(instance, True)
            for each in self._compiler.inserted_fields
            if each is not name_field
            and not each.primary_key
            # A default may be taken where a column is unique: the row keeps its own value.
            and (each.name in given or not each.unique)
        }
        rows = self.model._base_manager.using(connection.alias).filter(
            **{name_field.name: event.task_name}
        )
        finished = rows
        if status_field is not None:
            finished = rows.exclude(**{f"{status_field.name}__in": sorted(OPEN)})
            if "cleaned" in self.fields:
                # Its delivery has not been refused yet, and would be taken for the new task's.
                in_queue = {self.fields["cleaned"].name: False}
                finished = finished.exclude(**{status_field.name: Status.CANCELLED}, **in_queue)
        # A table with nothing but a name has nothing to write, and no status to refuse it by.
        if finished.update(**changes) if changes else finished.exists():
            self._announce(event, connection)
            return event
        if rows.exists():
            raise TaskStillOpenError(
                f"The task {event.task_name} has not ended yet, or is still in the queue."
            )
        return None

    def update_many(self, events: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        """Write events of many tasks, with one call of the database for each shape of event.

        Each UPDATE is as conditional as that of ``update()``. Where one of a shape is refused
        or leaves its row alone, that call is undone and each is written by itself, so that a
        row that somebody has locked costs the others only time.

        Returns:
            What was written, in the order of a task's life.
        """
        groups: dict[tuple[str, str], list[tuple[RecordedEvent, list[Any]]]] = defaultdict(list)
        for event in events:
            connection = self._connect(event)
            unless_lost = self._has_status and event.event in CONTINUES_LOST
            sql, parameters = self._get_update(connection, event, unless_lost)
            groups[connection.alias, sql].append((event, parameters))
        written: list[RecordedEvent] = []
        for (using, sql), group in sorted(
            groups.items(), key=lambda item: _ORDER[item[1][0][0].event]
        ):
            if self._execute_many(connections[using], sql, [each for _, each in group]):
                for event, _ in group:
                    self._announce(event, connections[using])
                written += [event for event, _ in group]
            else:
                written += [done for event, _ in group if (done := self._try_update(event))]
        return written

    def _try_update(self, event: RecordedEvent) -> RecordedEvent | None:
        try:
            with savepoint(router.db_for_write(self.model)):
                return self.update(event)
        except Exception:
            logger.exception("Could not record %s for task %s.", event.event, event.task_name)
            return None

    def import_row(
        self, task_name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> bool:
        """Insert the row of a past task, with its own times; an existing row stays as it is.

        It is no event, and no signal is sent.

        Args:
            task_name: the name of the task.
            values: logical names, the status among them, to values that fit their fields.
            defaults: the values of further fields, by field name.

        Returns:
            Whether the row was inserted.

        Raises:
            ValueError: the name is longer than its field.
            django.db.Error: the database refused.
        """
        event = RecordedEvent(event=Event.CREATE, task_name=task_name, values=values)
        connection = self._connect(event)
        instance = self._build_instance(task_name, values, defaults)
        as_given = [self.fields[name] for name in ("task_name", *values) if name in self.fields]
        sql, parameters = self._compiler.build_insert(connection, instance, as_given=as_given)
        return self._insert(connection, task_name, sql, parameters)

    def find_status(self, task_name: str, *, using: str | None = None) -> Status | None:
        """Return the status of a row, or ``None`` if there is no row or no such field."""
        status_field = self.fields.get("status")
        if status_field is None:
            return None
        using = using or router.db_for_write(self.model)
        rows = self.model._base_manager.using(using)
        with savepoint(using):
            found = (
                rows.filter(**{self.fields["task_name"].name: task_name})
                .values_list(status_field.name, flat=True)
                .first()
            )
        return find_status(found)

    # --- statements ----------------------------------------------------------------------

    def _connect(self, event: RecordedEvent) -> BaseDatabaseWrapper:
        """Return the database that is written to, if the name of the task fits its field."""
        limit = self._longest_name
        if limit is not None and len(event.task_name) > limit:
            raise ValueError(
                f"The task name has {len(event.task_name)} characters, its field {limit}."
            )
        return connections[router.db_for_write(self.model)]

    def _get_update(
        self, connection: BaseDatabaseWrapper, event: RecordedEvent, unless_lost: bool
    ) -> tuple[str, list[Any]]:
        values = event.values
        if event.silent_since is not None:
            values = {**values, SILENT_SINCE: event.silent_since}
        shape = (
            connection.alias,
            event.event,
            tuple(values),
            event.incoming,
            event.only_on,
            unless_lost,
        )
        statement = self._updates.get(shape)
        if statement is None:
            statement = self._updates[shape] = self._compiler.compile_update(
                connection,
                event.event,
                values,
                event.incoming,
                only_on=event.only_on,
                unless_lost=unless_lost,
            )
        return statement.sql, statement.get_parameters(event.task_name, values)

    def _execute_many(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[list[Any]]
    ) -> bool:
        """Return whether each of these has met a row; otherwise nothing is written."""
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.executemany(sql, parameters)
                if cursor.rowcount != len(parameters):
                    transaction.set_rollback(True, using=connection.alias)
                    return False
        except Error:
            return False
        return True

    def _insert(
        self, connection: BaseDatabaseWrapper, task_name: str, sql: str, parameters: list[Any]
    ) -> bool:
        if connection.features.supports_update_conflicts_with_target:
            return run(connection, sql, parameters) > 0
        try:
            with savepoint(connection.alias):
                return run(connection, sql, parameters) > 0
        except IntegrityError:
            # Most likely the row exists. If not, the reason must not be lost.
            lookup = {self.fields["task_name"].name: task_name}
            if self.model._base_manager.using(connection.alias).filter(**lookup).exists():
                return False
            raise

    # --- new rows ------------------------------------------------------------------------

    def _get_new_values(self, event: RecordedEvent) -> dict[str, Any]:
        values = {"created_at": timezone.now(), **event.values}
        values |= dict.fromkeys(TABLE[event.event].increments, 1)
        values["status"] = get_status_after(event.event, Status.PENDING, event.incoming).value
        return {name: value for name, value in values.items() if name in self.fields}

    def _build_instance(
        self, task_name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> models.Model:
        given = {"task_name": task_name, **values}
        own = {self.fields[name].attname: given[name] for name in given if name in self.fields}
        return self.model(**{**defaults, **own})

    # --- signal --------------------------------------------------------------------------

    def _announce(self, event: RecordedEvent, connection: BaseDatabaseWrapper) -> None:
        """Send ``task_recorded`` once the event is committed."""
        if not task_recorded.has_listeners(self.model):
            return
        # In a transaction without Django's atomic() no commit is announced.
        if connection.in_atomic_block or connection.get_autocommit():
            send = partial(self._send, event, connection.alias)
            transaction.on_commit(send, using=connection.alias, robust=True)

    def _send(self, event: RecordedEvent, using: str) -> None:
        task_recorded.send_robust(
            sender=self.model,
            task_name=event.task_name,
            event=event.event,
            status=self.find_status(event.task_name, using=using),
            values=dict(event.values),
        )


@lru_cache(maxsize=128)
def get_recorder(config: DashboardConfig) -> Recorder:
    """Return the recorder of a configuration's table; equal configurations share one."""
    return Recorder(get_record_map(config))


setting.clear_when_settings_change(get_recorder)


def run(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> int:
    """Run a statement and return how many rows it has met."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
