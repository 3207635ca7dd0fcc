"""The SQL of the recorder: one statement for each shape of event, compiled once.

Building the same conditional UPDATE through the ORM each time costs more than the database
does; here a shape is compiled at its first use, and values are adapted by the model's fields.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import DatabaseDefault
from django.utils import timezone

from powercrud_tracking.config.references import Field
from powercrud_tracking.lifecycle import ALL, TABLE, Event, Status, Write, get_status_after
from powercrud_tracking.records.mapping import RecordMap

type Slot = tuple[Field, str | Callable[[], Any]]
"""The field that adapts a parameter, and the name of its value or what to call for it."""


type Quote = Callable[[Any], str]
"""Makes the name of a column what SQL takes for one."""


@dataclass(frozen=True)
class Statement:
    """A compiled statement and where its parameters come from."""

    sql: str
    slots: tuple[Slot, ...]


class Compiler:
    """Compiles and keeps the statements for one table."""

    def __init__(self, record_map: RecordMap) -> None:
        self.model = record_map.model
        self.fields = record_map.fields
        self._updates: dict[tuple[Any, ...], Statement] = {}
        self._inserts: dict[tuple[str, tuple[Any, ...]], str] = {}

    def build_update(
        self,
        connection: BaseDatabaseWrapper,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        brought: Status | None,
    ) -> tuple[str, list[Any]]:
        """Return the UPDATE of an event and its parameters.

        Args:
            connection: the database it is for.
            event: what happened.
            task_name: whose row it is.
            values: logical names, all of which the table keeps, to values.
            brought: the status that a cleanup brings.
        """
        shape = (connection.alias, event, tuple(values), brought)
        statement = self._updates.get(shape)
        if statement is None:
            statement = self._compile_update(connection, event, tuple(values), brought)
            self._updates[shape] = statement
        given = {**values, "task_name": task_name}
        return statement.sql, [
            field.get_db_prep_save(source() if callable(source) else given[source], connection)
            for field, source in statement.slots
        ]

    def build_insert(
        self,
        connection: BaseDatabaseWrapper,
        instance: models.Model,
        *,
        as_given: Collection[Field] = (),
    ) -> tuple[str, list[Any]]:
        """Return the INSERT of a new row and its parameters.

        Args:
            connection: the database it is for.
            instance: the row.
            as_given: fields whose values are those of the instance, though ``auto_now`` or
                ``auto_now_add`` would set the time.
        """
        given = [
            (field, getattr(instance, field.attname))
            if field in as_given
            else (field, field.pre_save(instance, True))
            for field in self._inserted_fields
        ]
        # What the database itself sets by default is left to it, unless there is a value.
        given = [(field, value) for field, value in given if not isinstance(value, DatabaseDefault)]
        shape = (connection.alias, tuple(field.column for field, _ in given))
        sql = self._inserts.get(shape)
        if sql is None:
            sql = self._inserts[shape] = self._compile_insert(connection, shape[1])
        return sql, [field.get_db_prep_save(value, connection) for field, value in given]

    def _compile_update(
        self,
        connection: BaseDatabaseWrapper,
        event: Event,
        names: Sequence[str],
        brought: Status | None,
    ) -> Statement:
        rule = TABLE[event]
        quote: Quote = connection.ops.quote_name
        status = self.fields.get("status")
        builder = _Assignments(quote, None if status is None else quote(status.column))
        for field, get_time in self._clocks:
            builder.add(field, "%s", (field, get_time))
        for name in names:
            if name in rule.writes:
                builder.write(self.fields[name], name, rule.writes[name])
        for name, statuses in rule.clears.items():
            if name in self.fields and name not in names:
                builder.clear(self.fields[name], statuses)
        for name in rule.counts & set(self.fields):
            column = quote(self.fields[name].column)
            builder.add(self.fields[name], f"COALESCE({column}, 0) + 1")
        if status is not None:
            # Last: MySQL evaluates assignments from left to right, and those before ask for
            # the status as it was.
            builder.move(status, event, brought)
        name_field = self.fields["task_name"]
        if not builder.assignments:
            # Nothing to write, but whether there is a row must still be known.
            builder.add(name_field, quote(name_field.column))
        # Only names of the model and statuses of ours are put into the text, never a value.
        sql = (
            f"UPDATE {quote(self.model._meta.db_table)} SET {', '.join(builder.assignments)} "
            f"WHERE {quote(name_field.column)} = %s"
        )
        return Statement(sql, (*builder.slots, (name_field, "task_name")))

    @cached_property
    def _clocks(self) -> list[tuple[Field, Callable[[], Any]]]:
        """The fields that move with each event, with what to call for their time."""
        # pre_save() answers with the time for fields with auto_now; it asks for an instance.
        blank = self.model()
        clocks: dict[Field, Callable[[], Any]] = {
            field: partial(field.pre_save, blank, False)
            for field in self.model._meta.concrete_fields
            if getattr(field, "auto_now", False)
        }
        if "updated_at" in self.fields:
            clocks.setdefault(self.fields["updated_at"], timezone.now)
        return list(clocks.items())

    def get_times(self) -> dict[str, Any]:
        """Return the fields that move with each event, by name, with the time it is now."""
        return {field.name: get_time() for field, get_time in self._clocks}

    def _compile_insert(self, connection: BaseDatabaseWrapper, names: Sequence[Any]) -> str:
        quote: Quote = connection.ops.quote_name
        columns = [quote(name) for name in names]
        return (
            f"INSERT INTO {quote(self.model._meta.db_table)} ({', '.join(columns)}) "
            f"VALUES ({', '.join(['%s'] * len(columns))})"
        )

    @cached_property
    def _inserted_fields(self) -> list[Field]:
        return [
            field
            for field in self.model._meta.concrete_fields
            if not (field.primary_key and isinstance(field, models.AutoField))
            and not getattr(field, "generated", False)
        ]


class _Assignments:
    """The SET clauses of one UPDATE while they are put together."""

    def __init__(self, quote: Quote, status: str | None) -> None:
        self._quote = quote
        self._status = status
        self.assignments: list[str] = []
        self.slots: list[Slot] = []

    def add(self, field: Field, sql: str, *slots: Slot) -> None:
        self.assignments.append(f"{self._quote(field.column)} = {sql}")
        self.slots += slots

    def write(self, field: Field, name: str, write: Write) -> None:
        column = self._quote(field.column)
        cases = []
        if write.keep and self._status:
            cases.append(f"WHEN {self._among(write.keep)} THEN {column}")
        if write.fill == ALL:
            cases.append(f"WHEN NOT ({self._is_empty(field)}) THEN {column}")
        elif write.fill and self._status:
            filled = f"{self._among(write.fill)} AND NOT ({self._is_empty(field)})"
            cases.append(f"WHEN {filled} THEN {column}")
        sql = f"CASE {' '.join(cases)} ELSE %s END" if cases else "%s"
        self.add(field, sql, (field, name))

    def clear(self, field: Field, statuses: frozenset[Status]) -> None:
        column = self._quote(field.column)
        empty, slots = ("NULL", ()) if field.null else ("%s", ((field, field.get_default),))
        if statuses != ALL:
            if not self._status:
                return
            empty = f"CASE WHEN {self._among(statuses)} THEN {empty} ELSE {column} END"
        self.add(field, empty, *slots)

    def move(self, field: Field, event: Event, brought: Status | None) -> None:
        targets = {status: get_status_after(event, status, brought) for status in Status}
        moved = {status: target for status, target in targets.items() if status is not target}
        if not moved:
            return
        column = self._quote(field.column)
        if len(set(targets.values())) == 1:
            self.add(field, f"'{targets[Status.PENDING].value}'")
            return
        cases = " ".join(f"WHEN '{s.value}' THEN '{t.value}'" for s, t in moved.items())
        self.add(field, f"CASE {column} {cases} ELSE {column} END")

    def _among(self, statuses: frozenset[Status]) -> str:
        return f"{self._status} IN ({', '.join(f"'{s.value}'" for s in sorted(statuses))})"

    def _is_empty(self, field: Field) -> str:
        column = self._quote(field.column)
        if isinstance(field, models.CharField | models.TextField):
            return f"{column} IS NULL OR {column} = ''"
        return f"{column} IS NULL"
