"""The SQL of the recorder: one statement for each shape of event, compiled once.

Building the same conditional UPDATE through the ORM each time costs several times what the
database does. Here a shape is compiled at its first use, with everything that turns the values
of an event into parameters; values are adapted by the model's fields.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import DatabaseDefault
from django.db.models.signals import post_init, pre_init
from django.utils import timezone

from powercrud_tracking.config.references import Field
from powercrud_tracking.lifecycle import ALL, TABLE, Event, Status, Write, get_status_after
from powercrud_tracking.records.mapping import RecordMap

type Quote = Callable[[Any], str]
"""Quotes the name of a column."""

type Adapter = Callable[[Any], Any] | None
"""Turns the value of a field into a parameter; ``None``: it is one already."""

SILENT_SINCE = "silent since"
"""The key of the time since when a row must not have been updated."""

_PLAIN_PRE_SAVE = frozenset(
    {
        models.Field.pre_save,
        models.DateField.pre_save,
        models.DateTimeField.pre_save,
        models.TimeField.pre_save,
    }
)


@dataclass(frozen=True)
class Statement:
    """A compiled statement, and how the values of an event become its parameters.

    Args:
        sql: with ``%s`` for each parameter.
        slots: for each parameter the key of its value, and what adapts it.
        constants: values that are always the same, by key.
        computed: functions that are called for a value, by key.
    """

    sql: str
    slots: tuple[tuple[str, Adapter], ...]
    constants: Mapping[str, Any]
    computed: tuple[tuple[str, Callable[[], Any]], ...]

    def get_parameters(self, task_name: str, values: Mapping[str, Any]) -> list[Any]:
        """Return the parameters for one task.

        Args:
            task_name: the name of the task.
            values: logical names to values that fit their fields.
        """
        given = {**self.constants, **values, "task_name": task_name}
        for key, compute in self.computed:
            given[key] = compute()
        return [given[key] if adapt is None else adapt(given[key]) for key, adapt in self.slots]


def get_adapter(field: Field, connection: BaseDatabaseWrapper) -> Adapter:
    """Return what turns a value that fits a field into a parameter.

    The same as ``get_db_prep_save()``, without the conversions that a value does not need which
    fits already: text is plain ``str``, a time is aware exactly with ``USE_TZ``.
    """
    kind = type(field)
    if kind is models.CharField or kind is models.TextField:
        return None
    if kind is models.DateTimeField:
        adapt: Callable[[Any], Any] = connection.ops.adapt_datetimefield_value
        if connection.vendor == "sqlite" and connection.timezone is UTC:
            return partial(_adapt_utc, adapt)
        return adapt
    return partial(field.get_db_prep_save, connection=connection)


def _adapt_utc(adapt: Callable[[Any], Any], value: Any) -> Any:
    """Return what Django makes of a time for SQLite, at a fifth of its cost.

    Times are half of the values of an event, and nearly all of them come in UTC.
    """
    if type(value) is datetime and value.tzinfo is UTC:
        return str(value.replace(tzinfo=None))
    return adapt(value)


class Compiler:
    """Compiles the statements for one table."""

    def __init__(self, record_map: RecordMap) -> None:
        self.model = record_map.model
        self.fields = record_map.fields

    def build_insert(
        self,
        connection: BaseDatabaseWrapper,
        instance: models.Model,
        *,
        as_given: Collection[Field] = (),
    ) -> tuple[str, list[Any]]:
        """Return the INSERT of an instance of the model, and its parameters.

        Args:
            connection: the database it is for.
            instance: the new row.
            as_given: fields whose values are those of the instance, though ``auto_now`` or
                ``auto_now_add`` would set the time.
        """
        given = [
            (field, getattr(instance, field.attname))
            if field in as_given
            else (field, field.pre_save(instance, True))
            for field in self.inserted_fields
        ]
        # What the database sets by default is left to it, unless there is a value.
        given = [(field, value) for field, value in given if not isinstance(value, DatabaseDefault)]
        sql = self._write_insert(connection, [field for field, _ in given])
        return sql, [field.get_db_prep_save(value, connection) for field, value in given]

    @cached_property
    def inserted_fields(self) -> list[Field]:
        """The fields that an INSERT gives a value."""
        return [
            field
            for field in self.model._meta.concrete_fields
            if not (field.primary_key and isinstance(field, models.AutoField))
            and not getattr(field, "generated", False)
        ]

    @cached_property
    def is_plain(self) -> bool:
        """Whether a row can be inserted without an instance of the model.

        Not if something of it is computed by the constructor, by a signal or by the
        ``pre_save()`` of a field.
        """
        return (
            self.model.__init__ is models.Model.__init__
            and not pre_init.has_listeners(self.model)
            and not post_init.has_listeners(self.model)
            and all(type(field).pre_save in _PLAIN_PRE_SAVE for field in self.inserted_fields)
        )

    # --- compiling -----------------------------------------------------------------------

    def compile_update(
        self,
        connection: BaseDatabaseWrapper,
        event: Event,
        names: Collection[str],
        incoming: Status | None = None,
        *,
        only_on: frozenset[Status] = ALL,
        unless_lost: bool = False,
    ) -> Statement:
        """Return the UPDATE of an event.

        Args:
            connection: the database it is for.
            event: the event.
            names: the logical names that come with it. With ``SILENT_SINCE`` among them a row
                is left alone that was updated after that time.
            incoming: the status that comes with a cleanup.
            only_on: leave a row with another status alone, beside those of the event's rule.
            unless_lost: leave a lost row alone.
        """
        rule = TABLE[event]
        assignments = _Assignments(connection, self.fields.get("status"))
        for field, get_time in self._clocks:
            assignments.compute(field, get_time)
        for name in names:
            if name in rule.writes and name in self.fields:
                assignments.write(self.fields[name], name, rule.writes[name])
        for name, statuses in rule.clears.items():
            if name in self.fields and name not in names:
                assignments.clear(self.fields[name], statuses)
        for name in rule.increments & set(self.fields):
            assignments.increment(self.fields[name])
        # Last: MySQL evaluates assignments from left to right, and those before ask for the
        # status as it was.
        assignments.move(event, incoming)
        name_field = self.fields["task_name"]
        if not assignments.assigned:
            # Nothing to write, but whether there is a row must still be known.
            assignments.keep(name_field)
        conditions = [f"{assignments.quote(name_field.column)} = %s"]
        slots = [*assignments.slots, ("task_name", get_adapter(name_field, connection))]
        allowed = (rule.only_on & only_on) - ({Status.LOST} if unless_lost else set())
        if allowed != ALL and "status" in self.fields:
            conditions.append(assignments.get_among(allowed))
        for name in sorted(rule.unless_filled & self.fields.keys()):
            conditions.append(f"({assignments.get_emptiness(self.fields[name])})")
        if SILENT_SINCE in names:
            silence = self.fields.get("updated_at") or self.fields["created_at"]
            conditions.append(f"{assignments.quote(silence.column)} < %s")
            slots.append((SILENT_SINCE, get_adapter(silence, connection)))
        # The text contains names of the model and statuses only, never a value.
        sql = (
            f"UPDATE {assignments.quote(self.model._meta.db_table)} "
            f"SET {', '.join(assignments.assigned)} WHERE {' AND '.join(conditions)}"
        )
        return Statement(sql, tuple(slots), {}, tuple(assignments.computed))

    @cached_property
    def _clocks(self) -> list[tuple[Field, Callable[[], Any]]]:
        """The fields that move with each event, with what to call for their time."""
        # pre_save() returns the time for fields with auto_now; it asks for an instance.
        blank = self.model()
        clocks: dict[Field, Callable[[], Any]] = {
            field: timezone.now
            if type(field) is models.DateTimeField
            else partial(field.pre_save, blank, False)
            for field in self.model._meta.concrete_fields
            if getattr(field, "auto_now", False)
        }
        if "updated_at" in self.fields:
            clocks.setdefault(self.fields["updated_at"], timezone.now)
        return list(clocks.items())

    def compile_insert(self, connection: BaseDatabaseWrapper, names: Collection[str]) -> Statement:
        """Return the INSERT of a new row with values for these logical names."""
        logical = {self.fields[name]: name for name in ("task_name", *names) if name in self.fields}
        blank = self.model()
        fields: list[Field] = []
        slots: list[tuple[str, Adapter]] = []
        constants: dict[str, Any] = {}
        computed: list[tuple[str, Callable[[], Any]]] = []
        for field in self.inserted_fields:
            adapt = get_adapter(field, connection)
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
                key = f"column {field.column}"
                computed.append((key, partial(field.pre_save, blank, True)))
            elif field in logical:
                key = logical[field]
            else:
                default = field.get_default()
                if isinstance(default, DatabaseDefault):
                    continue
                key = f"column {field.column}"
                if field.has_default() and callable(field.default):
                    computed.append((key, field.get_default))
                else:
                    constants[key] = field.get_db_prep_save(default, connection)
                    adapt = None
            fields.append(field)
            slots.append((key, adapt))
        sql = self._write_insert(connection, fields)
        return Statement(sql, tuple(slots), constants, tuple(computed))

    def _write_insert(self, connection: BaseDatabaseWrapper, fields: Sequence[Field]) -> str:
        quote: Quote = connection.ops.quote_name
        columns = ", ".join(quote(field.column) for field in fields)
        sql = (
            f"INSERT INTO {quote(self.model._meta.db_table)} ({columns}) "
            f"VALUES ({', '.join(['%s'] * len(fields))})"
        )
        # A row that exists is no error there, which on PostgreSQL would abort the transaction.
        if connection.features.supports_update_conflicts_with_target:
            sql += f" ON CONFLICT ({quote(self.fields['task_name'].column)}) DO NOTHING"
        return sql


class _Assignments:
    """The SET clauses of one UPDATE while they are put together."""

    def __init__(self, connection: BaseDatabaseWrapper, status: Field | None) -> None:
        self.quote: Quote = connection.ops.quote_name
        self.assigned: list[str] = []
        self.slots: list[tuple[str, Adapter]] = []
        self.computed: list[tuple[str, Callable[[], Any]]] = []
        self._connection = connection
        self._status = status

    def _assign(self, field: Field, sql: str) -> None:
        self.assigned.append(f"{self.quote(field.column)} = {sql}")

    def compute(self, field: Field, function: Callable[[], Any]) -> None:
        key = f"column {field.column}"
        self.computed.append((key, function))
        self.slots.append((key, get_adapter(field, self._connection)))
        self._assign(field, "%s")

    def keep(self, field: Field) -> None:
        self._assign(field, self.quote(field.column))

    def increment(self, field: Field) -> None:
        self._assign(field, f"COALESCE({self.quote(field.column)}, 0) + 1")

    def write(self, field: Field, name: str, write: Write) -> None:
        column = self.quote(field.column)
        cases = []
        if write.unless and self._status:
            cases.append(f"WHEN {self.get_among(write.unless)} THEN {column}")
        if write.if_empty == ALL:
            cases.append(f"WHEN NOT ({self.get_emptiness(field)}) THEN {column}")
        elif write.if_empty and self._status:
            filled = f"{self.get_among(write.if_empty)} AND NOT ({self.get_emptiness(field)})"
            cases.append(f"WHEN {filled} THEN {column}")
        self.slots.append((name, get_adapter(field, self._connection)))
        self._assign(field, f"CASE {' '.join(cases)} ELSE %s END" if cases else "%s")

    def clear(self, field: Field, statuses: frozenset[Status]) -> None:
        if statuses != ALL and not self._status:
            return
        empty = "NULL"
        if not field.null:
            empty, key = "%s", f"column {field.column}"
            self.computed.append((key, field.get_default))
            self.slots.append((key, get_adapter(field, self._connection)))
        if statuses != ALL:
            column = self.quote(field.column)
            empty = f"CASE WHEN {self.get_among(statuses)} THEN {empty} ELSE {column} END"
        self._assign(field, empty)

    def move(self, event: Event, incoming: Status | None) -> None:
        if self._status is None:
            return
        possible = TABLE[event].only_on
        targets = {status: get_status_after(event, status, incoming) for status in possible}
        moved = {status: target for status, target in targets.items() if status is not target}
        if not moved:
            return
        column = self.quote(self._status.column)
        if len(set(targets.values())) == 1:
            self._assign(self._status, f"'{next(iter(moved.values())).value}'")
            return
        cases = " ".join(f"WHEN '{s.value}' THEN '{t.value}'" for s, t in sorted(moved.items()))
        self._assign(self._status, f"CASE {column} {cases} ELSE {column} END")

    def get_among(self, statuses: Collection[Status]) -> str:
        assert self._status is not None
        column = self.quote(self._status.column)
        return f"{column} IN ({', '.join(f"'{s.value}'" for s in sorted(statuses))})"

    def get_emptiness(self, field: Field) -> str:
        column = self.quote(field.column)
        if isinstance(field, models.CharField | models.TextField):
            return f"{column} IS NULL OR {column} = ''"
        return f"{column} IS NULL"
