"""The built-in labels: who queued a task and which objects it works on, as text for people.

Payloads need no formatter of their own; ``payloads.to_json`` is the built-in one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet

from powercrud_tracking.serialization import kinds
from powercrud_tracking.serialization.payloads import to_text
from powercrud_tracking.serialization.redaction import BUILT_IN, MASK, SecretKeys, redact_text
from powercrud_tracking.serialization.texts import ELLIPSIS, cut, to_line

SHOWN = 20
"""How many objects a label names before it counts the rest."""

_LABEL_LENGTH = 200
_PAYLOAD_BYTES = 1000
_COLLECTIONS = (list, tuple, set, frozenset, deque)


def format_user(user: object, *, redact: SecretKeys | None = BUILT_IN) -> str:
    """Return the name of a user: ``get_username()``, else ``.username``, else ``str()``.

    It is empty for ``None`` and for an anonymous user, and never raises.

    Args:
        user: who queued the task.
        redact: tells which keys are secret.
    """
    if user is None:
        return ""
    try:
        return _to_label(_read_user(user), redact)
    except Exception:  # noqa: BLE001 - the user model is the project's
        return describe(user, redact=redact)


def _read_user(user: Any) -> str:
    get_username = getattr(user, "get_username", None)
    if callable(get_username):
        return str(get_username())
    name = getattr(user, "username", None)
    return str(user if name is None else name)


def format_objects(objects: object, *, redact: SecretKeys | None = BUILT_IN) -> str:
    """Return what a task works on, as one line.

    A string stays as it is, and of a collection the first few objects are named. PowerCRUD's
    ``{"bookshop.Book": {1, 2}}`` becomes "bookshop.Book: 1, 2". A queryset is neither evaluated
    nor counted, and an iterator is not consumed: they are described. This never raises.

    Args:
        objects: what the launch names as ``affected_objects``.
        redact: tells which keys of dicts are secret.
    """
    if objects is None:
        return ""
    if issubclass(type(objects), str):
        return str.__str__(objects)
    try:
        return _format_all(objects, redact)
    except Exception:  # noqa: BLE001 - a project's collection may raise anything
        return describe(objects, redact=redact)


def _format_all(objects: Any, redact: SecretKeys | None) -> str:
    format_object = partial(_format_object, redact=redact)
    if issubclass(type(objects), Mapping) and "value" in objects:
        # {"field": "api_key", "value": …}: its key is a value.
        return describe(objects, redact=redact)
    if issubclass(type(objects), Mapping):
        entries = (
            _format_entry(key, value, format_object, redact) for key, value in objects.items()
        )
        return _join(entries, objects, "; ")
    return _format_members(objects, format_object)


def _format_entry(
    key: Any, value: Any, format_object: Callable[[Any], str], redact: SecretKeys | None
) -> str:
    label = format_object(key)
    is_secret = redact is not None and redact[label]
    return f"{label}: {MASK if is_secret else _format_members(value, format_object)}"


def _format_members(value: Any, format_object: Callable[[Any], str]) -> str:
    kind = type(value)
    if not issubclass(kind, _COLLECTIONS):
        return format_object(value)
    members: Sequence[Any] = value
    if issubclass(kind, set | frozenset):
        members = kinds.sort_set(value)
    return _join(map(format_object, members), value, ", ")


def _join(labels: Iterable[str], values: Any, separator: str) -> str:
    shown = list(islice(labels, SHOWN))
    if (rest := len(values) - len(shown)) > 0:
        shown.append(f"{ELLIPSIS} and {rest:,} more")
    return separator.join(shown)


def _format_object(value: Any, redact: SecretKeys | None) -> str:
    """Return one object as people know it: a model instance by its ``__str__``."""
    kind = type(value)
    if kind is int and value.bit_length() < 64:
        return str(value)
    try:
        if issubclass(kind, QuerySet | RawQuerySet | BaseManager):
            return _to_label(f"{value.model._meta.verbose_name_plural} (queryset)", redact)
        if issubclass(kind, Model | str):
            return _to_label(str(value), redact)
    except Exception:  # noqa: BLE001 - a model is the project's
        return describe(value, redact=redact)
    return describe(value, redact=redact)


def describe(value: Any, *, redact: SecretKeys | None = BUILT_IN) -> str:
    """Return a label that calls nothing of the project, not even the ``__str__`` of its models."""
    return _to_label(to_text(value, limit=_PAYLOAD_BYTES, redact=redact), redact)


def _to_label(text: str, redact: SecretKeys | None) -> str:
    if len(text) <= _LABEL_LENGTH and text.replace(".", "").isidentifier():
        # A name, such as "ada" or "bookshop.Book", has nothing to clean or to mask.
        return text
    return cut(to_line(redact_text(text[:_PAYLOAD_BYTES], redact)), _LABEL_LENGTH)
