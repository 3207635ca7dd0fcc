"""The queryset of a record table: named reads that chain, by logical names."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models.functions import Coalesce

from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.models.objects import AsyncTaskObject, get_label

END_TIMES = ("completed_at", "failed_at", "cancelled_at", "updated_at", "created_at")
"""Logical names of the columns with the end time of a task, the most precise first."""

MOST_LINKS = 1000
"""How many of the newest tasks of an object are found where the links are in another database."""

_PAYLOADS = ("args", "kwargs", "result")
_RUN = (
    "task_name",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
)


def find_key(field: Any, text: str) -> Any:
    """Convert text to a value of a key field; return ``None`` if no row can have it.

    Args:
        field: a primary key, or a foreign key.
        text: from an address.
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
    # By name: a distinct queryset also selects the columns that it is ordered by.
    template = "SELECT part.row_key FROM (%(subquery)s) part"
    # Without a part that can have rows, the whole query is not sent.
    empty_result_set_value = NotImplemented


class _AnyOf(models.Func):
    # MariaDB allows no LIMIT in a subquery of IN, but two levels below it.
    template = "(SELECT * FROM (%(expressions)s) parts)"
    arg_joiner = " UNION ALL "


class AsyncTaskRecordQuerySet(models.QuerySet[Any]):
    """Named reads that chain: ``open().silent_since(an_hour_ago).newest_first()``.

    They go by logical names: ``records.get_rows()`` binds them to the fields of a project's own
    table. A logical name that the table does not store is NULL in every row: its value is
    ``None``, no condition on it is met, and it sorts nothing.
    """

    names: Mapping[str, str] = DEFAULT_FIELDS

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone.names = self.names
        return clone

    def named(self, names: Mapping[str, str]) -> Self:
        """Return these rows, read by other field names.

        Args:
            names: logical name to field name, of those that the table stores.
        """
        clone = self._clone()
        clone.names = names
        return clone

    # --- what the table stores ----------------------------------------------------------

    def stores(self, *logical: str) -> bool:
        """Return whether the table has a field for each of these logical names."""
        return all(name in self.names for name in logical)

    def _get_fields(self, *logical: str) -> list[str]:
        """Return the field names for these logical names, of those that the table stores."""
        return [self.names[name] for name in logical if name in self.names]

    def _where(self, logical: str, value: Any, lookup: str = "exact") -> Self:
        for name in self._get_fields(logical):
            return self.filter(**{f"{name}__{lookup}": value})
        return self.none()

    # --- conditions ---------------------------------------------------------------------

    def named_task(self, task_name: str) -> Self:
        """Return the row of one task."""
        # No stored text has a NUL, and PostgreSQL refuses to look for one.
        return self.none() if "\0" in task_name else self._where("task_name", task_name)

    def named_tasks(self, task_names: Iterable[str]) -> Self:
        """Return the rows of several tasks."""
        return self._where("task_name", list(task_names), "in")

    def with_status(self, statuses: Iterable[Status | str]) -> Self:
        """Return the rows with one of these statuses."""
        return self._where("status", sorted(statuses), "in")

    def open(self) -> Self:
        """Return the queued and running tasks."""
        return self.with_status(OPEN)

    def finished(self) -> Self:
        """Return the tasks that have ended, whatever their end was."""
        return self.with_status(FINISHED)

    def of_func(self, func: str) -> Self:
        """Return the runs of one function."""
        return self._where("func", func)

    def labelled(self, user: str) -> Self:
        """Return the tasks whose user has this label."""
        return self._where("user", user)

    def launched_by_key(self, key: str) -> Self:
        """Return the tasks that the user with this primary key queued."""
        for name in self._get_fields("launched_by_id"):
            # A project's column may be a number or a foreign key, which holds no other text.
            found = find_key(self.model._meta.get_field(name), key)
            return self.none() if found is None else self.filter(**{name: found})
        return self.none()

    def launched_by(self, user: Any) -> Self:
        """Return the tasks that this user queued; none for an anonymous one."""
        key = getattr(user, "pk", None)
        return self.none() if key is None else self.launched_by_key(str(key))

    def silent_since(self, cutoff: datetime) -> Self:
        """Return the tasks without an event since then."""
        for name in self._get_fields("updated_at", "created_at"):
            return self.filter(**{f"{name}__lt": cutoff})
        return self.none()

    def queued_since(self, at: Any) -> Self:
        """Return the tasks that were queued then or later."""
        return self._where("created_at", at, "gte")

    def queued_before(self, at: Any) -> Self:
        """Return the tasks that were queued before then."""
        return self._where("created_at", at, "lt")

    def not_queued_since(self, at: datetime) -> Self:
        """Return the tasks that were queued before then, and those without such a time."""
        for name in self._get_fields("created_at"):
            return self.exclude(**{f"{name}__gte": at})
        return self

    def failed_at(self, at: datetime) -> Self:
        """Return the tasks that failed or were lost at exactly this time."""
        return self._where("failed_at", at)

    def ended_before(self, cutoff: datetime) -> Self:
        """Return the tasks that ended before then, by the best time that each row has."""
        times = self._get_fields(*END_TIMES)
        if not times:
            return self.none()
        ended = Coalesce(*times) if len(times) > 1 else models.F(times[0])
        return self.alias(_ended=ended).filter(_ended__lt=cutoff)

    def on_objects(self, text: str) -> Self:
        """Return the tasks whose label of objects contains this text, in any case."""
        return self._where("objects", text, "icontains")

    def touching(self, obj: models.Model) -> Self:
        """Return the tasks that work, or worked, on an object.

        Args:
            obj: an instance of a model; it may have been deleted, as long as it has its key.
        """
        label = get_label(type(obj))
        return self.touching_key(label, str(obj.pk)) if obj.pk is not None else self.none()

    def touching_key(self, label: str, key: str) -> Self:
        """Return the tasks that work on the object of a model with this key.

        Args:
            label: of the model, in lower case: "shop.book".
            key: of the object, as text.
        """
        using = router.db_for_read(AsyncTaskObject)
        links = AsyncTaskObject.objects.using(using).filter(model=label, object_id=key)
        names = links.order_by("-created_at").values_list("task_name", flat=True)
        if using != self.db:
            # A query reads one database only.
            return self.named_tasks(names[:MOST_LINKS])
        return self._where("task_name", names.order_by(), "in")

    def mentioning(self, word: str) -> Self:
        """Return the tasks whose name, message or objects contain this word, in any case."""
        anywhere = models.Q()
        for name in self._get_fields("task_name", "message", "objects"):
            anywhere |= models.Q(**{f"{name}__icontains": word})
        return self.filter(anywhere)

    def with_keys(self, keys: Iterable[Any]) -> Self:
        """Return the rows with these primary keys."""
        return self.filter(pk__in=list(keys))

    def beyond_key(self, key: Any) -> Self:
        """Return the rows with a greater primary key, ordered by it."""
        return self.filter(pk__gt=key).order_by("pk")

    # --- values -------------------------------------------------------------------------

    def get_values(self, *logical: str) -> list[tuple[Any, ...]]:
        """Return these columns of the rows, by logical names."""
        null = models.Value(None, output_field=models.TextField())
        return list(self.values_list(*(self.names.get(name, null) for name in logical)))

    def get_task_names(self) -> list[str]:
        """Return the names of these tasks."""
        return list(self.values_list(self.names["task_name"], flat=True))

    def get_latest_runs(self, func: str, most: int) -> list[dict[str, Any]]:
        """Return the times and statuses of the newest runs of a function, by logical names.

        Args:
            func: its dotted path.
            most: the maximum number of runs.
        """
        runs = self.of_func(func).newest_first()[:most].get_values(*_RUN)
        return [dict(zip(_RUN, values, strict=True)) for values in runs]

    def find_time_of_newest(self, number: int) -> datetime | None:
        """Return when the last of this many newest tasks was queued, in one query.

        ``None`` if there is no task, or no such time.
        """
        for name in self._get_fields("created_at"):
            newest = self.by_time_of_queueing().values(name)[:number]
            at: datetime | None = newest.aggregate(at=models.Min(name))["at"]
            return at
        return None

    def without_payloads(self) -> Self:
        """Return the rows without the columns that may be long and that no list shows."""
        return self.defer(*self._get_fields(*_PAYLOADS))

    # --- order and position -------------------------------------------------------------

    def newest_first(self) -> Self:
        """Return the rows in the order of the pages: by the time of queueing, then by key."""
        for name in self._get_fields("created_at"):
            # Databases sort NULL differently. Where there is none, an index has the order.
            nulls_last = models.F(name).desc(nulls_last=True)
            return self.order_by(nulls_last if self._is_nullable(name) else f"-{name}", "-pk")
        return self.order_by("-pk")

    def oldest_first(self) -> Self:
        """Return the rows in the reverse order of ``newest_first()``."""
        return self.newest_first().reverse()

    def by_time_of_queueing(self) -> Self:
        """Return the newest rows first by that time alone, which an index has in order."""
        return self.order_by(*(f"-{name}" for name in self._get_fields("created_at")))

    def first_of_each(self, statuses: Iterable[Status | str], size: int) -> Self:
        """Return the first rows of each of these statuses, in the order of these rows.

        In one query for all statuses, a database sorts all rows before it takes the first, or
        reads past all rows of another status.

        Args:
            statuses: the statuses.
            size: the maximum number of rows of each.
        """
        parts = [
            _Part(self.with_status([each])[:size].values(row_key=models.F("pk")))
            for each in sorted(statuses)
        ]
        rows = type(self)(self.model, using=self.db).named(self.names)
        return rows.filter(pk__in=_AnyOf(*parts)).order_by(*self.query.order_by)

    def older_than(self, at: datetime | None, pk: Any) -> Self:
        """Return the rows that come after a position in ``newest_first()``."""
        return self._beyond("lt", at, pk)

    def newer_than(self, at: datetime | None, pk: Any) -> Self:
        """Return the rows that come before a position in ``newest_first()``."""
        return self._beyond("gt", at, pk)

    def _beyond(self, lookup: str, at: datetime | None, pk: Any) -> Self:
        for name in self._get_fields("created_at"):
            if at is None or (lookup == "lt" and self._is_nullable(name)):
                return self.filter(self._get_beyond_nulls(name, lookup, at, pk))
            # The first condition follows from the second, and is the one that an index serves.
            return self.filter(**{f"{name}__{lookup}e": at}).filter(
                models.Q(**{f"{name}__{lookup}": at}) | models.Q(**{name: at, f"pk__{lookup}": pk})
            )
        return self.filter(**{f"pk__{lookup}": pk})

    @staticmethod
    def _get_beyond_nulls(name: str, lookup: str, at: datetime | None, pk: Any) -> models.Q:
        """Return the same condition for a column with NULLs, which are sorted last."""
        is_null = models.Q(**{f"{name}__isnull": True})
        if at is not None:
            same_time = models.Q(**{name: at, f"pk__{lookup}": pk})
            return is_null | same_time | models.Q(**{f"{name}__{lookup}": at})
        same_time = is_null & models.Q(**{f"pk__{lookup}": pk})
        return same_time if lookup == "lt" else same_time | ~is_null

    def _is_nullable(self, name: str) -> bool:
        return bool(self.model._meta.get_field(name).null)
