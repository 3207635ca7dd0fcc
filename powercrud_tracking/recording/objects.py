"""Find out which objects a task works on, and link it to them."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import batched, chain, islice
from typing import Any, NamedTuple

from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, QuerySet
from django.db.models.constants import OnConflict
from django.utils import timezone
from django_q.utils import get_func_repr

from powercrud_tracking.config.dashboard_config import DashboardConfig, load
from powercrud_tracking.models.objects import (
    ALL_OBJECTS,
    AsyncTaskObject,
    find_label,
    get_keys,
    get_label,
)
from powercrud_tracking.recording.bulk import arguments as bulk_arguments
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.recording.values import call_or_fall_back

logger = logging.getLogger("powercrud_tracking")

_DEEPEST = 5
_MOST_IN_ONE_STATEMENT = 1000


class Touched(NamedTuple):
    """The objects of one model that a task works on.

    Args:
        keys: of the objects, as text; at most one more than are stored.
        number: how many there are.
    """

    keys: list[str]
    number: int


type Objects = Mapping[str, Touched]
"""Label of a model to its objects."""


def collect(touches: Any, *, limit: int) -> dict[str, Touched]:
    """Return the objects that somebody names.

    Args:
        touches: a model instance, a queryset, ``("shop.book", keys)``, or a list of these. A
            queryset is asked for its keys only.
        limit: how many objects are stored.

    Raises:
        TypeError: it is something else.
    """
    keys: defaultdict[str, dict[str, None]] = defaultdict(dict)
    uncounted: defaultdict[str, int] = defaultdict(int)
    for label, found, number in _read(touches, limit, _DEEPEST):
        keys[label] |= dict.fromkeys(get_keys(label, found))
        uncounted[label] += max(number - len(found), 0)
    return {
        label: Touched(list(islice(found, limit + 1)), len(found) + uncounted[label])
        for label, found in keys.items()
        if found
    }


def _read(touches: Any, limit: int, depth: int) -> Iterable[tuple[str, list[Any], int]]:
    """Yield the label of a model, keys of its objects, and how many there are."""
    if touches is None:
        return
    if isinstance(touches, models.Model):
        yield get_label(type(touches)), [] if touches.pk is None else [touches.pk], 1
    elif isinstance(touches, QuerySet):
        keys = list(touches.values_list("pk", flat=True)[: limit + 1])
        number = touches.count() if len(keys) > limit else len(keys)
        yield get_label(touches.model), keys, number
    elif _is_pair(touches):
        path, keys = touches
        keys = list(keys)
        yield find_label(path), keys[: limit + 1], len(keys)
    elif isinstance(touches, Iterable) and not isinstance(touches, str | Mapping) and depth:
        for each in touches:
            yield from _read(each, limit, depth - 1)
    else:
        raise TypeError(
            "touches must be a model instance, a queryset, ('app_label.model', keys), or a list of"
            f" these, got {touches!r}."
        )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], Iterable)
        and not isinstance(value[1], str)
    )


def find_objects(payload: Mapping[str, Any], config: DashboardConfig) -> Objects:
    """Return the objects that a task works on, by the first source that names any.

    The caller, the project's function, PowerCRUD's locks, the arguments of its bulk operations,
    the instances that are handed over as affected objects.

    Args:
        payload: the data of a launch or a start.
        config: names the project's function, and how many objects are stored.
    """
    if payload.get("touches"):
        given: Objects = payload["touches"]
        return given
    func = get_func_repr(payload.get("func")) or ""
    args, kwargs = payload.get("task_args") or (), payload.get("task_kwargs") or {}
    limit = config.objects_limit
    if config.objects_of is not None:
        function = load(config.objects_of, "OBJECTS_OF")
        named = call_or_fall_back(
            lambda *given: collect(function(*given), limit=limit), _find_none, func, args, kwargs
        )
        if named:
            return dict(named)
    locks = payload.get("conflict_ids")
    if not isinstance(locks, Mapping):
        locks = bulk_arguments.find_keys(func, args) or {}
    if locks:
        return collect([(str(path), keys) for path, keys in locks.items()], limit=limit)
    instances = _find_instances(payload.get("affected_objects"))
    # Most launches name no object: they must cost next to nothing.
    return collect(instances, limit=limit) if instances else {}


def _find_none(*args: Any) -> Objects:
    return {}


def _find_instances(objects: Any) -> list[models.Model]:
    """Return the model instances of a label's value; no queryset is evaluated for one."""
    found = objects if isinstance(objects, list | tuple | set | frozenset) else [objects]
    return [each for each in found if isinstance(each, models.Model)]


def link(task_name: str, objects: Objects, *, limit: int) -> None:
    """Link a task to objects; a link that is there stays as it is.

    Args:
        task_name: the name of the task.
        objects: label of the model to its objects.
        limit: how many links are stored; of more objects only their number.
    """
    is_cut = sum(touched.number for touched in objects.values()) > limit
    using = router.db_for_write(AsyncTaskObject)
    with transaction.atomic(using=using):
        for label, touched in objects.items():
            if is_cut:
                _insert(connections[using], task_name, label, [ALL_OBJECTS], touched.number)
            else:
                _insert(connections[using], task_name, label, touched.keys, 1)


def _insert(
    connection: BaseDatabaseWrapper, task_name: str, label: str, keys: Iterable[str], number: int
) -> None:
    """Insert links to objects of one model, at a fraction of the cost of ``bulk_create()``."""
    meta, ops = AsyncTaskObject._meta, connection.ops
    names = ("task_name", "model", "number", "created_at", "object_id")
    fields: list[Any] = [meta.get_field(name) for name in names]
    columns = ", ".join(ops.quote_name(field.column) for field in fields)
    # Names of the model only, never a value.
    insert = (
        f"{ops.insert_statement(on_conflict=OnConflict.IGNORE)} {ops.quote_name(meta.db_table)}"
        f" ({columns})"
    )
    suffix = ops.on_conflict_suffix_sql(fields, OnConflict.IGNORE, [], [])
    at = fields[3].get_db_prep_save(timezone.now(), connection)
    shared = [task_name, label, number, at]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # psycopg takes longer for ten thousand placeholders than the database for the rows.
            sql = f"{insert} SELECT %s, %s, %s, %s::timestamptz, unnest(%s::text[]) {suffix}"
            cursor.execute(sql, [*shared, list(keys)])
            return
        for part in batched(keys, _MOST_IN_ONE_STATEMENT):
            values = ", ".join(["(%s, %s, %s, %s, %s)"] * len(part))
            parameters = chain.from_iterable((*shared, key) for key in part)
            cursor.execute(f"{insert} VALUES {values} {suffix}", list(parameters))


def link_more(task_name: str, objects: Objects, *, limit: int) -> None:
    """Link a running task to further objects, within the same limit for all of them."""
    using = router.db_for_write(AsyncTaskObject)
    links = AsyncTaskObject.objects.using(using).filter(task_name=task_name)
    with savepoint(using):
        stored = links.count()
        if stored + sum(touched.number for touched in objects.values()) <= limit:
            link(task_name, objects, limit=limit)
            return
        for label, touched in objects.items():
            rest = links.filter(model=label, object_id=ALL_OBJECTS)
            if not rest.update(number=F("number") + touched.number):
                link(task_name, {label: touched}, limit=0)


def delete_links(task_names: Iterable[str]) -> None:
    """Delete the links of these tasks."""
    using = router.db_for_write(AsyncTaskObject)
    AsyncTaskObject.objects.using(using).filter(task_name__in=list(task_names)).delete()


def get_touches(task_name: str) -> list[tuple[str, list[str]]]:
    """Return the objects of a task in the form that ``collect()`` takes."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    using = router.db_for_write(AsyncTaskObject)
    links = AsyncTaskObject.objects.using(using).filter(task_name=task_name).order_by("pk")
    for label, key in links.exclude(object_id=ALL_OBJECTS).values_list("model", "object_id"):
        found[label].append(key)
    return list(found.items())
