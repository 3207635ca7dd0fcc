"""Extract the reason, exception class and traceback of a failure from a task's result."""

import re
import traceback
from dataclasses import dataclass
from typing import Any

from powercrud_tracking.serialization.json_writer import has_plain_text
from powercrud_tracking.serialization.payloads import describe_exception, to_text
from powercrud_tracking.serialization.redaction import BUILT_IN, SecretKeys
from powercrud_tracking.serialization.texts import cut, to_line
from powercrud_tracking.serialization.tracebacks import CONTEXT

BULK_WORKERS = frozenset({"powercrud.tasks.bulk_update_task", "powercrud.tasks.bulk_delete_task"})
"""The functions of PowerCRUD that catch every exception and return ``False``."""

UNKNOWN = "Task failed"

_REASON_LENGTH = 1000
# Enough for a reason, however much of it turns out to be white space that to_line() drops.
_READ_LENGTH = 8 * _REASON_LENGTH
_NAME_LENGTH = 500
_MOST_SPLITS = 100
_MOST_EXCEPTIONS = 100
_RETURNED = "The task returned "

_NAME = r"[\w.<>]+"
_TRACEBACK = r"(?:  \+ Exception Group )?Traceback \(most recent call last\):\n"
# A chain whose first exception was never raised begins with that exception's own line.
_SPLIT = re.compile(rf" : (?={_TRACEBACK}|{_NAME}(?:: |\n))")
_TRACEBACK_SPLIT = re.compile(rf" : (?={_TRACEBACK})")
# The lines of an exception group begin with bars.
_CLASS = re.compile(rf"[ |+-]*({_NAME})\Z")
_LAST_LINE = re.compile(rf"^(?:  \| )?({_NAME})(?:: (.*))?$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task failed.

    Args:
        reason: one line, "ValueError: bad price"; never empty.
        exception_class: as a traceback names it, "ValueError" or "bookshop.errors.Broken";
            empty if unknown.
        traceback: empty if there is none.
    """

    reason: str
    exception_class: str = ""
    traceback: str = ""


def parse_failure(result: Any, *, redact: SecretKeys | None = BUILT_IN) -> Failure:
    """Return why a task failed, from its result; this never raises.

    django-q2's worker makes the result of an exception as ``f"{e} : {traceback.format_exc()}"``.
    Message and traceback may contain such a text themselves, so the text is split where the
    message before the colon is also the last message of the traceback.

    Args:
        result: such a text, an exception, or anything else.
        redact: tells which keys are secret. Texts are not redacted here.
    """
    kind = type(result)
    if issubclass(kind, BaseException):
        return _parse_exception(result, redact)
    if issubclass(kind, str):
        return _parse_text(str.__str__(result))
    if result is None or result is False:
        return Failure(reason=UNKNOWN)
    return _build_failure("", to_text(result, limit=_READ_LENGTH, redact=redact), "")


def describe_result(result: object, *, limit: int, redact: SecretKeys | None) -> str:
    """Return a sentence on what a task returned: "The task returned False."; this never raises.

    Args:
        result: anything.
        limit: most bytes of the sentence.
        redact: tells which keys are secret.
    """
    if result is None or type(result) is bool:
        return f"{_RETURNED}{result}."
    room = max(limit - len(_RETURNED) - 1, 2)
    return f"{_RETURNED}{to_line(to_text(result, limit=room, redact=redact))}."


def is_failed_result(func: str, result: object) -> bool:
    """Return whether a task that raised nothing failed all the same.

    That is so where one of PowerCRUD's bulk workers returned ``False``: they catch every
    exception, and django-q2 reports success (``powercrud/tasks.py``, 0.9.16).
    """
    return result is False and func in BULK_WORKERS


def _parse_exception(exc: BaseException, redact: SecretKeys | None) -> Failure:
    message = describe_exception(exc, limit=_READ_LENGTH, redact=redact)
    raised = exc.__traceback__ or exc.__cause__ or exc.__context__
    trace = ""
    if raised:
        try:
            trace = _format_traceback(exc, redact)
        except Exception:  # noqa: BLE001 - an attribute of the exception may raise anything
            trace = "".join(traceback.format_tb(exc.__traceback__))
    return _build_failure(_get_class_name(exc), message, trace)


def _get_class_name(exc: BaseException) -> str:
    kind = type(exc)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _format_traceback(exc: BaseException, redact: SecretKeys | None) -> str:
    """Return the traceback of an exception and of those that led to it."""
    chain = _get_chain(exc)
    if len(chain) < _MOST_EXCEPTIONS and all(map(has_plain_text, chain)):
        return "".join(traceback.format_exception(exc))
    # format_exception() calls str() of each of them; see describe_exception().
    parts = []
    for each in chain:
        frames = traceback.format_tb(each.__traceback__)
        header = "Traceback (most recent call last):\n" if frames else ""
        message = describe_exception(each, limit=_READ_LENGTH, redact=redact)
        last_line = ": ".join(filter(None, (_get_class_name(each), message)))
        parts.append("".join([header, *frames, last_line, "\n"]))
    return f"\n{CONTEXT}\n\n".join(reversed(parts))


def _get_chain(exc: BaseException) -> list[BaseException]:
    """Return an exception, those that it was raised from, and the members of a group."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [exc]
    while waiting and len(chain) < _MOST_EXCEPTIONS:
        each = waiting.pop(0)
        if each is not None and not any(each is known for known in chain):
            chain.append(each)
            members = (
                getattr(each, "exceptions", ())
                if issubclass(type(each), BaseExceptionGroup)
                else ()
            )
            context = None if each.__suppress_context__ else each.__context__
            waiting += [each.__cause__ or context, *members]
    return chain


def _parse_text(text: str) -> Failure:
    # The longest message that the traceback repeats is the right one: a shorter one would be
    # that of a traceback inside the message.
    middle = len(text) // 2 + 1
    splits = [match.start() for match in _SPLIT.finditer(text, 1, middle + _NAME_LENGTH)]
    backwards = text[::-1] if splits else ""
    for split in reversed(splits[-_MOST_SPLITS:]):
        if name := _find_class(text, backwards, split):
            return _build_failure(name, text[:split], text[split + 3 :])
    # There is no message; or the traceback has another one (SyntaxError), or was cut off.
    match = _SPLIT.match(text) or _TRACEBACK_SPLIT.search(text)
    if match is None:
        return _build_failure("", text, "")
    message, trace = text[: match.start()], text[match.end() :]
    return _build_failure(_guess_class(message, trace), message, trace)


def _find_class(text: str, backwards: str, split: int) -> str:
    """Return the class that the traceback names before the message, empty if it does not."""
    wanted = f": {text[:split]}\n"
    # Python's rfind() is quadratic in the worst case, its find() is not.
    found = backwards.find(wanted[::-1], 0, len(text) - split - 3)
    colon = -1 if found < 0 else len(text) - found - len(wanted)
    line = text.rfind("\n", split, max(colon, 0)) + 1
    match = _CLASS.match(text, line or split + 3, max(colon, 0))
    return match[1] if match else ""


def _guess_class(message: str, trace: str) -> str:
    """Return the class on the line that begins as the message does, else on the last line."""
    first = message.partition("\n")[0]
    lines = list(_LAST_LINE.finditer(trace[-_READ_LENGTH:]))
    for match in reversed(lines):
        if (match[2] or "") == first:
            return match[1]
    return lines[-1][1] if lines else ""


def _build_failure(name: str, message: str, trace: str) -> Failure:
    message = to_line(message[:_READ_LENGTH])
    reason = ": ".join(part for part in (name, message) if part) or UNKNOWN
    return Failure(reason=cut(reason, _REASON_LENGTH), exception_class=name, traceback=trace)
