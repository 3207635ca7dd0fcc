"""The built-in labels: text for people, about who queued a task and what it works on.

Payloads need no formatter of their own; ``payloads.to_json`` is the built-in one.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet

from powercrud_tracking.serialization import payloads, redaction

SHOWN = 20
"""How many objects a label names before it counts the rest."""

_LABEL_LENGTH = 200
_PAYLOAD_BYTES = 1000
_COLLECTIONS = (list, tuple, set, frozenset, deque)


def format_user(user: object) -> str:
    """Return the name of a user: ``get_username()``, else ``.username``, else ``str()``.

    It is empty for ``None`` and for an anonymous user, and never raises.
    """
    if user is None:
        return ""
    try:
        return _to_label(_read_user(user))
    except Exception:  # noqa: BLE001 - the user model is a stranger's
        return describe(user)


def _read_user(user: Any) -> str:
    get_username = getattr(user, "get_username", None)
    if callable(get_username):
        return str(get_username())
    name = getattr(user, "username", None)
    return str(user if name is None else name)


def format_objects(objects: object) -> str:
    """Return what a task works on, as one line.

    A string stays as it is, and of a collection the first few objects are named. PowerCRUD's
    ``{"bookshop.Book": {1, 2}}`` becomes "bookshop.Book: 1, 2". A queryset is neither evaluated
    nor counted, and an iterator is not consumed: they are described. This never raises.
    """
    if objects is None:
        return ""
    if issubclass(type(objects), str):
        return str.__str__(objects)
    try:
        return _format_all(objects)
    except Exception:  # noqa: BLE001 - a stranger's collection may raise anything
        return describe(objects)


def _format_all(objects: Any) -> str:
    if issubclass(type(objects), Mapping):
        pairs = ((_format_object(key), value) for key, value in objects.items())
        return _join((f"{key}: {_format_members(value)}" for key, value in pairs), objects, "; ")
    return _format_members(objects)


def _format_members(value: Any) -> str:
    kind = type(value)
    if not issubclass(kind, _COLLECTIONS):
        return _format_object(value)
    members: Sequence[Any] = value
    if issubclass(kind, set | frozenset):
        members = payloads.sort_set(value)
    return _join((_format_object(member) for member in members), value, ", ")


def _join(labels: Iterable[str], values: Any, separator: str) -> str:
    shown = list(islice(labels, SHOWN))
    if (rest := len(values) - len(shown)) > 0:
        shown.append(f"{payloads.ELLIPSIS} and {rest:,} more")
    return separator.join(shown)


def _format_object(value: Any) -> str:
    """Return one object as people know it: a model instance by its ``__str__``."""
    kind = type(value)
    try:
        if issubclass(kind, QuerySet | RawQuerySet | BaseManager):
            return _to_label(f"{value.model._meta.verbose_name_plural} (queryset)")
        if issubclass(kind, Model):
            return _to_label(str(value))
    except Exception:  # noqa: BLE001 - a model is a stranger's
        return describe(value)
    return describe(value)


def describe(value: Any) -> str:
    redact = redaction.compile_redaction(redaction.DEFAULT_REDACT)
    return _to_label(payloads.to_text(value, limit=_PAYLOAD_BYTES, redact=redact))


def _to_label(text: str) -> str:
    return payloads.cut(payloads.to_line(text[:_PAYLOAD_BYTES]), _LABEL_LENGTH)
