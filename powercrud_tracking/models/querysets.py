"""The reads of a record table: they have names, chain, and speak in logical names."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Coalesce

from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status

END_TIMES = ("completed_at", "failed_at", "updated_at", "created_at")
"""Logical names of what tells when a task ended, the best first."""

_RUN = ("task_name", "status", "created_at", "started_at", "completed_at", "failed_at")


def find_key(field: Any, text: str) -> Any:
    """Return a key that somebody wrote so; ``None`` if no row can have it.

    Args:
        field: of the key.
        text: anything.
    """
    field = field.target_field if field.is_relation else field
    try:
        key = field.to_python(text)
        # A number that its column cannot hold is an error in some databases.
        field.run_validators(key)
    except ValidationError:
        return None
    return None if "\0" in text else key


class _Part(models.Subquery):
    # By name: beside it, rows that are distinct bring what they are in the order of.
    template = "SELECT part.row_key FROM (%(subquery)s) part"
    # Where no row can be found, the whole is not asked.
    empty_result_set_value = NotImplemented


class _AnyOf(models.Func):
    # MariaDB allows no LIMIT in a subquery of IN, but two levels below it.
    template = "(SELECT * FROM (%(expressions)s) parts)"
    arg_joiner = " UNION ALL "


class AsyncTaskRecordQuerySet(models.QuerySet[Any]):
    """Reads that have names and chain like a sentence.

    They speak in logical names: ``records.get_rows()`` binds the same vocabulary to a
    project's own table.
    """

    names: Mapping[str, str] = DEFAULT_FIELDS

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone.names = self.names
        return clone

    def named(self, names: Mapping[str, str]) -> Self:
        """Return these rows, read by other field names.

        Args:
            names: logical name to field name, of those that the table has.
        """
        clone = self._clone()
        clone.names = names
        return clone

    def _where(self, logical: str, value: Any, lookup: str = "exact") -> Self:
        name = self.names.get(logical)
        return self if name is None else self.filter(**{f"{name}__{lookup}": value})

    def named_task(self, task_name: str) -> Self:
        """Return the row of one task."""
        # No text that is stored has a NUL, and PostgreSQL refuses to look for one.
        return self.none() if "\0" in task_name else self._where("task_name", task_name)

    def named_tasks(self, task_names: Iterable[str]) -> Self:
        """Return the rows of several tasks."""
        return self._where("task_name", list(task_names), "in")

    def get_task_names(self) -> list[str]:
        """Return the names of these tasks."""
        return list(self.values_list(self.names["task_name"], flat=True))

    def with_status(self, statuses: Iterable[Status | str]) -> Self:
        """Return the rows with one of these statuses."""
        return self._where("status", sorted(statuses), "in")

    def open(self) -> Self:
        """Return the tasks that have not ended."""
        return self.with_status(OPEN)

    def finished(self) -> Self:
        """Return the tasks that have ended, one way or another."""
        return self.with_status(FINISHED)

    def of_func(self, func: str) -> Self:
        """Return the runs of one function."""
        return self._where("func", func)

    def labelled(self, user: str) -> Self:
        """Return the tasks of whom the table knows no more than this label."""
        return self._where("user", user)

    def launched_by_key(self, key: str) -> Self:
        """Return the tasks that the user with this primary key queued."""
        name = self.names.get("launched_by_id")
        if name is None:
            return self
        # A project's column may be a number or a foreign key, which holds no other text.
        found = find_key(self.model._meta.get_field(name), key)
        return self.none() if found is None else self.filter(**{name: found})

    def get_latest_runs(self, func: str, most: int) -> list[dict[str, Any]]:
        """Return when the newest runs of a function began and ended, by logical names.

        None, if the table does not keep the function.

        Args:
            func: its dotted path.
            most: how many at the most.
        """
        if "func" not in self.names:
            return []
        kept = [logical for logical in _RUN if logical in self.names]
        rows = self.of_func(func).newest_first().values_list(*(self.names[each] for each in kept))
        return [dict(zip(kept, row, strict=True)) for row in rows[:most]]

    def launched_by(self, user: Any) -> Self:
        """Return the tasks that this user queued; none for somebody without a key."""
        key = getattr(user, "pk", None)
        if key is None or "launched_by_id" not in self.names:
            return self.none()
        return self.launched_by_key(str(key))

    def silent_since(self, cutoff: datetime) -> Self:
        """Return the tasks that have given no sign of life since then.

        None, if the table keeps no time from which that could be known.
        """
        for logical in ("updated_at", "created_at"):
            if logical in self.names:
                return self._where(logical, cutoff, "lt")
        return self.none()

    def queued_since(self, at: Any) -> Self:
        """Return the tasks that were queued then or later."""
        return self._where("created_at", at, "gte")

    def queued_before(self, at: Any) -> Self:
        """Return the tasks that were queued before then."""
        return self._where("created_at", at, "lt")

    def on_objects(self, text: str) -> Self:
        """Return the tasks whose objects have this in their label, whatever its case."""
        return self._where("objects", text, "icontains")

    def mentioning(self, word: str) -> Self:
        """Return the tasks with this in their name, message or objects, whatever its case."""
        names = [self.names[n] for n in ("task_name", "message", "objects") if n in self.names]
        anywhere = models.Q()
        for name in names:
            anywhere |= models.Q(**{f"{name}__icontains": word})
        return self.filter(anywhere)

    def find_time_of_newest(self, number: int) -> datetime | None:
        """Return when the last of this many newest tasks was queued, in one query.

        ``None``, if there is no task, or the table keeps no such time.
        """
        created = self.names.get("created_at")
        if created is None:
            return None
        newest = self.order_by(f"-{created}").values(created)[:number]
        at: datetime | None = newest.aggregate(at=models.Min(created))["at"]
        return at

    def by_time_of_queueing(self) -> Self:
        """Return the newest rows first by that time alone, which an index has in order."""
        return self.order_by(f"-{self.names['created_at']}")

    def first_of_each(self, statuses: Iterable[Status | str], size: int) -> Self:
        """Return the first rows of each of these statuses, in the order of these rows.

        Asked for together, a database sorts all of them before it takes the first, or walks
        past all that have another status.

        Args:
            statuses: of which rows are wanted.
            size: how many of each at the most.
        """
        parts = [
            _Part(self.with_status([each])[:size].values(row_key=models.F("pk")))
            for each in sorted(statuses)
        ]
        rows = type(self)(self.model, using=self.db).named(self.names)
        return rows.filter(pk__in=_AnyOf(*parts)).order_by(*self.query.order_by)

    def get_values(self, *logical: str) -> list[tuple[Any, ...]]:
        """Return these columns of the rows, by logical names; ``None`` for what is not kept."""
        kept = [name for name in logical if name in self.names]
        values = self.values_list(*(self.names[name] for name in kept))
        if len(kept) == len(logical):
            return list(values)
        lacking = [None] * (len(logical) - len(kept))
        order = [*kept, *(name for name in logical if name not in self.names)]
        places = [order.index(name) for name in logical]
        return [tuple((*row, *lacking)[place] for place in places) for row in values]

    def failed_at(self, at: datetime) -> Self:
        """Return the tasks that failed or were lost at exactly this time."""
        return self._where("failed_at", at)

    def ended_before(self, cutoff: datetime) -> Self:
        """Return the tasks that ended before then, by the best time that the table keeps."""
        times = [self.names[logical] for logical in END_TIMES if logical in self.names]
        if not times:
            return self.none()
        ended = Coalesce(*times) if len(times) > 1 else models.F(times[0])
        return self.alias(_ended=ended).filter(_ended__lt=cutoff)

    def newest_first(self) -> Self:
        """Return the rows in the order in which people read them."""
        created = self.names.get("created_at")
        if created is None:
            return self.order_by("-pk")
        if self._may_lack(created):
            return self.order_by(models.F(created).desc(nulls_last=True), "-pk")
        return self.order_by(f"-{created}", "-pk")

    def _may_lack(self, name: str) -> bool:
        # Databases do not agree on where such rows stand; the order of an index is not given up
        # where there are none.
        return bool(self.model._meta.get_field(name).null)

    def with_keys(self, keys: Iterable[Any]) -> Self:
        """Return the rows with these primary keys."""
        return self.filter(pk__in=list(keys))

    def beyond_key(self, key: Any) -> Self:
        """Return the rows with a greater primary key, in the order of these keys."""
        return self.filter(pk__gt=key).order_by("pk")

    def without_payloads(self) -> Self:
        """Return the rows without what may be long and no list shows."""
        heavy = ("args", "kwargs", "result", "extra")
        return self.defer(*(self.names[logical] for logical in heavy if logical in self.names))

    def oldest_first(self) -> Self:
        """Return the rows in the other order."""
        return self.newest_first().reverse()

    def older_than(self, at: datetime | None, pk: Any) -> Self:
        """Return the rows that come after a position in ``newest_first()``."""
        return self._beyond("lt", at, pk)

    def newer_than(self, at: datetime | None, pk: Any) -> Self:
        """Return the rows that come before a position in ``newest_first()``."""
        return self._beyond("gt", at, pk)

    def _beyond(self, lookup: str, at: datetime | None, pk: Any) -> Self:
        created = self.names.get("created_at")
        if created is None:
            return self.filter(**{f"pk__{lookup}": pk})
        if at is None or (lookup == "lt" and self._may_lack(created)):
            return self.filter(self._get_beyond_lacking(created, lookup, at, pk))
        # The first condition follows from the second, and is what an index can use.
        return self.filter(**{f"{created}__{lookup}e": at}).filter(
            models.Q(**{f"{created}__{lookup}": at})
            | models.Q(**{created: at, f"pk__{lookup}": pk})
        )

    @staticmethod
    def _get_beyond_lacking(created: str, lookup: str, at: datetime | None, pk: Any) -> models.Q:
        """Say the same where rows may lack the time: these stand behind all that have it."""
        lacking = models.Q(**{f"{created}__isnull": True})
        if at is not None:
            beside = models.Q(**{created: at, f"pk__{lookup}": pk})
            return lacking | beside | models.Q(**{f"{created}__{lookup}": at})
        beside = lacking & models.Q(**{f"pk__{lookup}": pk})
        return beside if lookup == "lt" else beside | ~lacking
