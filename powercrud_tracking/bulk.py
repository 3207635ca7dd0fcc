"""What PowerCRUD's bulk views put into the arguments of a task, and what of it is of use."""

from collections.abc import Mapping
from typing import Any

from django.forms import BoundField


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


def _has_info(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and {"field", "value", "info"} <= item.keys()
        and isinstance(item["info"], Mapping)
    )


def _without_bound_fields(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in info.items() if not isinstance(part, BoundField)}
