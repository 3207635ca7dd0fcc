"""Describe what a task changes, with the names and labels of the moment at which it is queued.

The row keeps the description in ``extra``: ``title``, and of PowerCRUD's bulk operations
``changes`` or ``names``. ``records/titles.py`` reads it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils import translation
from django.utils.translation import gettext
from django_q.utils import get_func_repr

from powercrud_tracking.recording.values import in_savepoint
from powercrud_tracking.serialization import labels, payloads
from powercrud_tracking.serialization.redaction import MASK, SecretKeys
from powercrud_tracking.serialization.texts import cut, to_line

logger = logging.getLogger("powercrud_tracking")

_KINDS = {
    "powercrud.tasks.bulk_update_task": "update",
    "powercrud.tasks.bulk_delete_task": "delete",
}
_MOST_NAMES = 20
_LONGEST = 200
_READ_BYTES = 1000


def describe_launch(
    task_name: str, payload: Mapping[str, Any], *, redact: SecretKeys | None
) -> dict[str, Any]:
    """Return what the row of a new task keeps; empty if the task has no title and is no operation.

    It costs one query for each related field of a bulk update, and one for a bulk delete. An
    error is logged, and breaks no transaction.

    Args:
        task_name: the name of the task.
        payload: the data of its launch or its start.
        redact: tells which fields are secret.

    Returns:
        ``title``: text, or ``{"kind": "update", "number": 480, "model": "shop.book"}``;
        ``changes``: ``[["price", "7"], ["tags", "new, red", "add"]]``; ``names`` of the first
        objects of a bulk delete.
    """
    kind = _KINDS.get(get_func_repr(payload.get("func")) or "")
    described = {}
    if kind is not None:
        described = _describe_operation(task_name, kind, payload.get("task_args"), redact)
    title = payload.get("title")
    return {**described, "title": _write(title, redact)} if title else described


def _describe_operation(
    task_name: str, kind: str, args: Any, redact: SecretKeys | None
) -> dict[str, Any]:
    """Return the description of a bulk operation.

    The workers take the model's path, the keys of the objects, the key of the user, and for an
    update the fields of the view, the fields to update, and a dict for each of these
    (``powercrud/tasks.py``, 0.9.16).
    """
    if not isinstance(args, list | tuple) or len(args) < 2:
        return {}
    path, keys = args[:2]
    if not isinstance(path, str) or not isinstance(keys, list | tuple):
        return {}
    title = {"kind": kind, "number": len(keys), "model": path.lower()}
    try:
        model = apps.get_model(path)
        # All who read the row read the same language, as in the other texts of the project.
        with translation.override(settings.LANGUAGE_CODE):
            if kind == "delete":
                names = in_savepoint(_find_names)(model, keys, redact)
                return {"title": title, "names": list(names.values())}
            data = args[5] if len(args) > 5 else ()
            return {"title": title, "changes": in_savepoint(_read_changes)(model, data, redact)}
    except Exception:
        logger.exception("Could not describe what task %s changes.", task_name)
        return {"title": title}


def _read_changes(
    model: type[models.Model], data: Iterable[Mapping[str, Any]], redact: SecretKeys | None
) -> list[list[str]]:
    return [_read_change(model, given, redact) for given in data]


def _read_change(
    model: type[models.Model], given: Mapping[str, Any], redact: SecretKeys | None
) -> list[str]:
    """Return the name of a field, its new value, and for many objects what is done with them."""
    name, value = given["field"], given["value"]
    field = _find_field(model, name)
    label = _write(getattr(field, "verbose_name", name), redact)
    if redact is not None and redact[name]:
        return [label, MASK]
    if field is None:
        return [label, _write(value, redact)]
    if field.many_to_many:
        keys = given.get("m2m_values") or []
        action = str(given.get("m2m_action") or "replace")
        return [label, _write_objects(field.related_model, keys, redact), action]
    return [label, _write_value(field, value, redact)]


def _find_field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _write_value(field: Any, value: Any, redact: SecretKeys | None) -> str:
    """Return a value as PowerCRUD's worker understands it; empty if it empties the field."""
    if value is None or value == "":
        return ""
    if field.is_relation:
        return "" if value == "null" else _write_objects(field.related_model, [value], redact)
    if field.get_internal_type() == "BooleanField":
        # Django's own translation of the words.
        yes, no = gettext("yes,no,maybe").split(",")[:2]
        return {"true": yes, "false": no}.get(str(value).lower(), "")
    if field.choices:
        if value == "null":
            return ""
        found = {str(key): choice for key, choice in field.flatchoices}
        value = found.get(str(value), value)
    return _write(value, redact)


def _write_objects(
    model: type[models.Model], keys: Sequence[Any], redact: SecretKeys | None
) -> str:
    """Return the names of objects, or the key of one that is not there."""
    names = _find_names(model, keys, redact)
    shown = [names.get(str(key)) or _write(key, redact) for key in keys[:_MOST_NAMES]]
    if len(keys) > len(shown):
        # As payloads mark what they leave out.
        shown.append(f"{payloads.ELLIPSIS} [{len(keys) - len(shown):,} more]")
    return ", ".join(shown)


def _find_names(
    model: type[models.Model], keys: Sequence[Any], redact: SecretKeys | None
) -> dict[str, str]:
    """Return key to name of the first of these objects, in one query."""
    pk: Any = model._meta.pk
    shown = {pk.to_python(key): str(key) for key in keys[:_MOST_NAMES]}
    if not shown:
        return {}
    found = model._base_manager.in_bulk(list(shown))
    return {
        text: cut(labels.format_objects([found[key]], redact=redact), _LONGEST)
        for key, text in shown.items()
        if key in found
    }


def _write(value: Any, redact: SecretKeys | None) -> str:
    """Return a value on one short line; its secrets are masked before it is cut."""
    if value is None:
        return ""
    text = payloads.to_text(str(value), limit=_READ_BYTES, redact=redact)
    return cut(to_line(text), _LONGEST)
