"""Read the arguments that PowerCRUD's bulk views pass to a task."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.forms import BoundField

from powercrud_tracking.serialization.failures import BULK_WORKERS


def without_controls(value: Any) -> Any:
    """Return the arguments of a bulk update without the form controls in them.

    The view puts each field's ``BoundField`` beside its value. The worker never reads it, and
    once a template engine with the admin's tags is loaded in the process it cannot be pickled
    ("Can't pickle <function paginator_number>"; seen with django-powercrud 0.9.16).
    """
    if isinstance(value, list | tuple) and any(_has_info(item) for item in value):
        return [
            {**item, "info": _without_bound_fields(item["info"])} if _has_info(item) else item
            for item in value
        ]
    return value


def without_info(value: Any) -> Any:
    """Return the arguments of a bulk update for showing: which field gets which value."""
    if isinstance(value, list | tuple) and any(_has_info(item) for item in value):
        return [
            {key: part for key, part in item.items() if key != "info"} if _has_info(item) else item
            for item in value
        ]
    return value


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The objects that a user selected in a bulk view.

    Args:
        objects: how the view calls it, "3 books".
        user_id: the key of who did, or ``None``.
    """

    objects: str
    user_id: Any


def find_selection(func: str, args: Any) -> Selection | None:
    """Return what a bulk task works on, from its arguments, or ``None`` if it is none.

    The workers take the model's path, the keys of the objects and the key of the user, in this
    order (``powercrud/tasks.py``, 0.9.16).
    """
    if func not in BULK_WORKERS or not isinstance(args, list | tuple) or len(args) < 3:
        return None
    path, keys, user_id = args[:3]
    try:
        plural = apps.get_model(path)._meta.verbose_name_plural
        return Selection(objects=f"{len(keys)} {plural}", user_id=user_id)
    except (LookupError, TypeError, ValueError, AttributeError):
        # The model is gone, or these are arguments of another version.
        return None


def find_locks(func: str, args: Any) -> dict[str, set[Any]] | None:
    """Return the objects that a bulk view locks for its task, or ``None`` if it is none.

    The view names the model in lower case and converts the keys to numbers
    (``powercrud/mixins/async_mixin.py``, 0.9.16).
    """
    if func not in BULK_WORKERS or len(args) < 2:
        return None
    path, keys = args[:2]
    try:
        return {str(path).lower(): {int(key) for key in keys}}
    except (TypeError, ValueError):
        return None


def find_keys(func: str, args: Any) -> dict[str, list[Any]] | None:
    """Return the path of the model and the keys that a bulk task works on, or ``None``."""
    if func not in BULK_WORKERS or not isinstance(args, list | tuple) or len(args) < 2:
        return None
    path, keys = args[:2]
    return {str(path): list(keys)} if isinstance(keys, list | tuple | set) else None


def is_rolled_back(kwargs: Any) -> bool:
    """Return whether a bulk operation that failed has changed nothing.

    PowerCRUD's own is one transaction; a persistence backend of the project may not be.

    Args:
        kwargs: the keyword arguments of the task.
    """
    return not (isinstance(kwargs, Mapping) and kwargs.get("bulk_update_persistence_backend_path"))


def find_users(keys: Iterable[Any]) -> dict[str, Any]:
    """Return key as text to user, of those who still exist.

    Args:
        keys: from the arguments of bulk tasks; those of another version may be anything.
    """
    with suppress(TypeError, ValueError, ValidationError):
        users = get_user_model()._default_manager.in_bulk(list({*keys} - {None}))
        return {str(key): user for key, user in users.items()}
    return {}


def _has_info(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and {"field", "value", "info"} <= item.keys()
        and isinstance(item["info"], Mapping)
    )


def _without_bound_fields(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in info.items() if not isinstance(part, BoundField)}
