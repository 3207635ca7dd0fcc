"""Escape log messages, so that no external text can break or forge a log line."""

import logging


def escape_unprintable(record: logging.LogRecord) -> bool:
    r"""Write line breaks and other unprintable characters of a message as Python does: ``\n``.

    A logging filter, on the logger of the package: task names, exceptions and what a project's
    functions return are logged as they come. A message without such a character keeps its
    arguments, by which some handlers group messages.
    """
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - an argument's own __str__ may raise anything
        # The handler formats it again, and reports the error as logging always does.
        return True
    if not message.isprintable():
        record.msg, record.args = _escape(message), ()
    return True


def _escape(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
