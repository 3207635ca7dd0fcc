"""Text that every database takes, on one line or within a limit, with marks for what was cut."""

import re
from bisect import bisect_right
from collections.abc import Callable

from powercrud_tracking.serialization.redaction import SecretKeys, redact_text

ELLIPSIS = "…"

# So far beyond the limit a text is read, for a secret that the limit would cut in two.
_SECRET_ROOM = 512

# PostgreSQL's jsonb refuses both, and so does UTF-8 the second.
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")

PLAIN = re.compile(r"(?:[\w .,;!?%()#+*-]|[:/](?!/))*+\Z", re.ASCII)
"""Text with nothing to clean, to mask (except HTTP credentials) or to count: one byte each."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")


def clean(text: str) -> str:
    """Return ``text`` with what databases refuse (NUL, lone surrogates) replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def to_line(text: str) -> str:
    """Return ``text`` on one line: white space and control characters become single spaces."""
    return clean(" ".join(_CONTROL.sub(" ", text).split()))


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of ``text``, the last of them "…" if it was cut."""
    if len(text) <= length:
        return text
    return text[: length - 1] + ELLIPSIS if length > 0 else ""


def cut_start(text: str, length: int, *, redact: SecretKeys | None) -> str:
    """Return at most ``length`` characters of the end of ``text``, clean and redacted.

    The first of them is "…" if it was cut. Only as much of the text is read as is returned.
    """
    start = max(len(text) - length - _SECRET_ROOM, 0)
    shown = clean(redact_text(text[start:], redact))
    return f"{ELLIPSIS}{shown[1 - length :]}" if start or len(shown) > length else shown


def cut_to_bytes(
    text: str, room: int, *, redact: SecretKeys | None, measure: Callable[[str], int]
) -> str:
    """Return what of ``text``, clean and redacted, takes ``room`` bytes: "begi… [1,234 more]".

    Only as much of the text is read as there is room for.

    Args:
        text: any text.
        room: in bytes.
        redact: tells which keys in the text are secret.
        measure: returns how many bytes a text takes.
    """
    start = text[: room + _SECRET_ROOM]
    shown = clean(redact_text(start, redact))
    hidden = len(text) - len(start)
    if not hidden and measure(shown) <= room:
        return shown
    mark = _describe_rest(len(shown) + hidden)
    if measure(mark) > room // 2:
        mark = ELLIPSIS
    space = room - measure(mark)
    if space < 0:
        return ""
    sizes = range(min(len(shown), space) + 1)
    kept = bisect_right(sizes, space, key=lambda size: measure(shown[:size])) - 1
    if mark != ELLIPSIS:
        mark = _describe_rest(len(shown) + hidden - kept)
    return shown[:kept] + mark


def _describe_rest(number: int) -> str:
    return f"{ELLIPSIS} [{number:,} more]"
