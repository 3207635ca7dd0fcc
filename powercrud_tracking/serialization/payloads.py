"""Anything that a task can carry, as bounded and redacted JSON or text.

The functions here never raise, whatever the value or its methods do, and they neither evaluate a
queryset, nor consume an iterator, nor load a deferred field. Their cost depends on the limit, not
on the size of the value.

Omitted parts are always marked in the same way: ``…`` and, where it is known, how much
more there was. Text ends with ``… [12 more]`` (characters), a list with the item
``"… [12 more]"``, a dict with the entry ``"…": "[12 more]"``.
"""

import json
from typing import Any

from powercrud_tracking.serialization.json_writer import CIRCULAR, JSONWriter
from powercrud_tracking.serialization.redaction import SecretKeys, may_hold_credentials
from powercrud_tracking.serialization.texts import (
    ELLIPSIS,
    PLAIN,
    clean,
    cut,
    cut_to_bytes,
    to_line,
)

__all__ = [
    "CIRCULAR",
    "ELLIPSIS",
    "clean",
    "cut",
    "describe_exception",
    "to_json",
    "to_line",
    "to_text",
]


def to_json(value: object, *, limit: int, redact: SecretKeys | None = None) -> Any:
    """Return ``value`` as plain JSON data of at most ``limit`` bytes.

    ``json.dumps(result, allow_nan=False)`` works and is no longer than that, and SQLite, MySQL
    and PostgreSQL take it. What fits is complete; what does not is cut where it is marked.
    With fewer than 8 bytes there is no room for a mark, and the result may be ``""``.

    Args:
        limit: most bytes of the result, at least 2.
        redact: the values of matching keys and fields become ``redaction.MASK`` and are never
            looked at; in texts, see ``redaction.redact_text``.
    """
    return JSONWriter(redact).fit(value, limit, 0)


def to_text(value: object, *, limit: int, redact: SecretKeys | None = None) -> str:
    """Return ``value`` as text of at most ``limit`` bytes of UTF-8.

    A string, and a value that ``to_json`` converts to one, is returned without quotes and with its
    secrets masked; anything else becomes JSON.
    """
    if (
        type(value) is str
        and len(value) <= limit
        and PLAIN.match(value)
        and not may_hold_credentials(value)
    ):
        return value
    if not issubclass(type(value), str):
        value = to_json(value, limit=limit, redact=redact)
        if not isinstance(value, str):
            # Never longer than the escaped form, which to_json has measured.
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return cut_to_bytes(str.__str__(value), limit, redact=redact, measure=_measure)


def describe_exception(exc: BaseException, *, limit: int, redact: SecretKeys | None = None) -> str:
    """Return the message of an exception, without its class, as text of at most ``limit`` bytes.

    ``str()`` would show the ``repr()`` of the arguments, which evaluates a queryset and knows no
    secrets; so it is asked only where all of them are texts and numbers.
    """
    try:
        message = JSONWriter(redact).read_message(exc, limit)
    except Exception:  # noqa: BLE001 - a project's exception may raise anything
        return "(unprintable)"
    return to_text(message, limit=limit, redact=redact)


def _measure(text: str) -> int:
    return len(text.encode())
