"""Capped counts and other figures of one table, many of them in one SQL statement."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import DateTimeField, Expression, IntegerField, Subquery, Value
from django.db.models.sql.compiler import SQLCompiler
from django.utils.formats import number_format

from powercrud_tracking.lifecycle import ALL, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet

LIMIT = 10_000
"""The maximum of a count; counting more rows would take long."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """A capped number of rows.

    Args:
        number: at most ``LIMIT``.
        has_more: whether there are more than that.
    """

    number: int = 0
    has_more: bool = False

    def __str__(self) -> str:
        text = number_format(self.number, force_grouping=True)
        return f"{text}+" if self.has_more else text


class _Slot(Expression):
    """A placeholder for a time in a compiled statement."""

    output_field = DateTimeField()

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return "%s", (self,)


class _CompiledCount(Expression):
    """The number of rows of a compiled statement."""

    output_field = IntegerField()

    def __init__(self, sql: str, params: Iterable[Any]) -> None:
        super().__init__()
        self.sql, self.params = sql, tuple(params)

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        # Django compiled the SQL in the braces; all values are parameters.
        return f"(SELECT COUNT(*) FROM ({self.sql}) capped)", self.params  # noqa: S608


def build_counts(rows: AsyncTaskRecordQuerySet, edges: Sequence[datetime]) -> list[Expression]:
    """Return one capped count of these rows for each interval in which they were queued.

    The SQL is compiled once for all intervals: compiling a subquery for each hour of a day took
    longer than any database needs to run it.

    Args:
        rows: the rows to count.
        edges: the limits of the intervals, in order.
    """
    connection = connections[rows.db]
    asked = rows.queued_since(_Slot(0)).queued_before(_Slot(1))
    try:
        sql, params = _limit(asked).query.get_compiler(rows.db).as_sql()
    except EmptyResultSet:
        return [Value(0)] * (len(edges) - 1)
    field = rows.model._meta.get_field(rows.names["created_at"])
    times = [field.get_db_prep_value(edge, connection) for edge in edges]
    return [
        _CompiledCount(sql, (times[n + p.place] if isinstance(p, _Slot) else p for p in params))
        for n in range(len(edges) - 1)
    ]


def build_count(rows: AsyncTaskRecordQuerySet) -> Expression:
    """Return a capped count of these rows."""
    try:
        return _CompiledCount(*_limit(rows).query.get_compiler(rows.db).as_sql())
    except EmptyResultSet:
        return Value(0)


def build_oldest(rows: AsyncTaskRecordQuerySet) -> Expression:
    """Return when the oldest of these rows was queued, as an expression."""
    created = rows.names["created_at"]
    return cast(Expression, Subquery(rows.order_by(created).values(created)[:1]))


def _limit(rows: AsyncTaskRecordQuerySet) -> Any:
    return rows.order_by().values("pk")[: LIMIT + 1]


def read_figures(
    rows: AsyncTaskRecordQuerySet, figures: Mapping[Any, Expression]
) -> dict[Any, Any]:
    """Return each figure by its name, in one query; all are ``None`` if the table is empty.

    Args:
        rows: of the table and the database.
        figures: name to expression.
    """
    columns = {f"_{number}": figure for number, figure in enumerate(figures.values())}
    if not columns:
        return {}
    # The columns are annotated on one row: the newest, which is found quickly after pruning too.
    newest = rows.model._base_manager.using(rows.db).order_by("-pk").annotate(**columns)
    for found in newest.values_list(*columns)[:1]:
        return dict(zip(figures, found, strict=True))
    return dict.fromkeys(figures)


def get_count(number: int | None) -> Count:
    """Return the value of a capped count."""
    return Count(number=min(number or 0, LIMIT), has_more=(number or 0) > LIMIT)


def read_counts(selections: Mapping[str, AsyncTaskRecordQuerySet]) -> dict[str, Count]:
    """Return how many rows each of these selections of one table has, in one query.

    Args:
        selections: name to rows, of one model in one database; at least one.
    """
    rows = next(iter(selections.values()))
    found = read_figures(rows, {name: build_count(each) for name, each in selections.items()})
    return {name: get_count(number) for name, number in found.items()}


def count_among_newest(
    rows: AsyncTaskRecordQuerySet, selections: Mapping[str, Collection[Status]]
) -> dict[str, Count]:
    """Return the number of rows with each set of statuses among the newest rows, in one query.

    For rows without an index on the status, where each count would read all of them. If there
    are more rows than are read, each count has more.

    Args:
        rows: the rows to count.
        selections: name to statuses.
    """
    found = [status for (status,) in rows.newest_first()[: LIMIT + 1].get_values("status")]
    has_more = len(found) > LIMIT
    numbers = Counter(found[:LIMIT])
    return {
        name: Count(
            # A row with an unknown status belongs to the selection of all only.
            number=numbers.total() if statuses == ALL else sum(numbers[s] for s in statuses),
            has_more=has_more,
        )
        for name, statuses in selections.items()
    }
