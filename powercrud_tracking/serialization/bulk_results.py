"""Describe the last progress text of PowerCRUD's bulk workers.

The texts are those of ``powercrud/tasks.py`` (0.9.16): ``completed update: 480 processed``,
``failed update: [('price', ['Too high.'])]``, or ``failed update: `` and the text of an
exception; the same with ``delete``.
"""

import re

from powercrud_tracking.serialization import redaction
from powercrud_tracking.serialization.texts import cut, to_line

NOTHING_CHANGED = "Nothing was changed."

_LENGTH = 1000
# Enough for many errors, and for one that lists the objects that prevent a deletion.
_READ_LENGTH = 64 * 1024
_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f")
_WITHOUT_FIELD = frozenset({"", "None", "__all__", "general"})

_FAILED = re.compile(r"failed (update|delete): ?")
_COMPLETED = re.compile(r"completed (update|delete): (\d{1,15}) processed")
_ALL_DONE = re.compile(r"(updat|delet)ing: (\d{1,15})/\2(?!\d)")

# A string as repr() writes it, or the beginning of one that was cut.
_STRING = r"""'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?"""
_PIECE = re.compile(rf"(?P<error>\()|(?P<text>{_STRING}|None)|[^('\"N]+|N", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:(?P<space>[nrt])"
    r"|x(?P<x>[0-9a-f]{2})|u(?P<u>[0-9a-f]{4})|U(?P<U>00(?:0[0-9a-f]|10)[0-9a-f]{4})"
    r"|(?P<char>.))",
    re.DOTALL,
)
# The text of an exception whose arguments are shown as Python writes them:
# ("Cannot delete …", {<Book: Dune>}), (1451, 'Cannot delete …'), ['It is sold.'].
_ARGUMENTS = re.compile(rf"[(\[](?:\d{{1,9}}, )?({_STRING})[,)\]]", re.DOTALL)


def is_end(progress: str) -> bool:
    """Return whether a text is the last one that a bulk operation reports."""
    return (_COMPLETED.match(progress) or _FAILED.match(progress)) is not None


def describe_bulk_failure(
    progress: str, *, redact: redaction.SecretKeys | None = None, rolled_back: bool = True
) -> str:
    """Return why a bulk operation failed, on one line: "price: Too high. Nothing was changed."

    A text that does not come from a failed bulk operation is returned on one line as it is. This
    never raises, and reads a bounded part of the text only.

    Args:
        progress: the last progress text; it may have been redacted and cut.
        redact: tells which fields are secret; their messages, which quote values, are masked.
        rolled_back: whether the worker undid everything. PowerCRUD's own does; a project's
            persistence backend may not.
    """
    text = redaction.redact_text(progress[:_READ_LENGTH], redact)
    failed = _FAILED.match(text)
    if failed is None:
        return cut(to_line(text), _LENGTH)
    errors = text[failed.end() :].strip()
    reason = _describe_errors(errors) if errors.startswith("[(") else _read_message(errors)
    if reason in {"", "[]", "None"}:
        reason = f"The {failed[1]} failed."
    if not rolled_back:
        return cut(reason, _LENGTH)
    return add_nothing_changed(cut(reason, _LENGTH - len(NOTHING_CHANGED) - 2))


def add_nothing_changed(message: str) -> str:
    """Return a message that ends by saying that the operation was undone."""
    return f"{_end_sentence(message)} {NOTHING_CHANGED}"


def describe_bulk_success(progress: str) -> str | None:
    """Return what a bulk operation did, "480 updated", or ``None`` if the text does not say it.

    Args:
        progress: the last progress text.
    """
    # PowerCRUD reports each row, and then the end; the cache may have missed the latter.
    match = _COMPLETED.match(progress) or _ALL_DONE.match(progress)
    return match and f"{int(match[2]):,} {match[1].removesuffix('e')}ed"


def _describe_errors(text: str) -> str:
    """Return PowerCRUD's list of errors, ``[(field, [message, …]), …]``, in words."""
    errors: list[list[str]] = []
    for piece in _PIECE.finditer(text):
        if piece["error"]:
            errors.append([])
        elif errors and piece["text"]:
            errors[-1].append(_read_string(piece["text"]))
    described = [
        ": ".join(filter(None, (field * (field not in _WITHOUT_FIELD), _join(messages))))
        for field, *messages in filter(None, errors)
    ]
    return "; ".join([*(each.rstrip(".") for each in described[:-1]), *described[-1:]])


def _join(messages: list[str]) -> str:
    sentences = [_read_message(message) for message in messages]
    return " ".join([*map(_end_sentence, sentences[:-1]), *sentences[-1:]])


def _read_message(text: str) -> str:
    """Return a message on one line; of the arguments of an exception, the first text."""
    match = _ARGUMENTS.match(text)
    return to_line(_read_string(match[1]) if match else text)


def _read_string(literal: str) -> str:
    """Return the text of a string as ``repr()`` writes it, also if its end was cut off."""
    quote = literal[0]
    if quote not in "'\"":
        return literal
    return _ESCAPE.sub(_read_escape, literal[1:].removesuffix(quote))


def _read_escape(match: re.Match[str]) -> str:
    if match["space"]:
        return " "
    digits = match["x"] or match["u"] or match["U"]
    return chr(int(digits, 16)) if digits else match["char"]


def _end_sentence(text: str) -> str:
    return text if text.endswith(_ENDS) else f"{text}."
