"""The failed attempts and the payloads of a task, as its page shows them."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from django.utils.translation import gettext_lazy as _

from powercrud_tracking.dashboard.task import highlighting
from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records import derived
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.titles import without_titles
from powercrud_tracking.serialization.failures import parse_failure
from powercrud_tracking.serialization.tracebacks import parse_traceback

MOST_ATTEMPTS = 20
"""How many failed attempts a page shows."""

MOST_OBJECTS = 500
"""How many characters of the objects the header shows; all of a longer text is a payload."""

_MOST_FRAMES = 8
_MOST_EXCEPTIONS = 8
_LINKS = {
    "": "",
    "cause": _("caused by"),
    "context": _("raised while handling"),
    "member": _("one of the group"),
}


def get_failures(
    record: Record, attempts: Sequence[AsyncTaskAttempt]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the failure with which a task ended, if it did, and its other failed attempts.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
    """
    current, earlier = derived.split_attempts(record, attempts)
    if current and record.status not in FAILURES:
        # An attempt that was declared lost too early did not fail.
        earlier = earlier if current.outcome == Status.LOST else attempts
        current = None
    highlighted = highlighting.MOST_CHARACTERS
    shown = []
    for attempt in (current, *earlier) if current else earlier:
        highlighted -= len(attempt.traceback)
        shown.append(_build_failure(attempt, is_highlighted=highlighted >= 0))
    if current:
        return shown[0], shown[1:]
    return (_find_failure_in_result(record) if record.status in FAILURES else None), shown


def _build_failure(attempt: AsyncTaskAttempt, *, is_highlighted: bool) -> dict[str, Any]:
    trace = attempt.traceback
    return {
        "id": f"tracking-traceback-{attempt.number}",
        "number": attempt.number,
        "outcome": attempt.get_outcome_display(),
        "message": attempt.message,
        "ended_at": attempt.ended_at,
        "run_time": derived.find_run_time(attempt.outcome, attempt.started_at, attempt.ended_at),
        "worker": attempt.worker,
        "exceptions": _find_exceptions(trace),
        "traceback": highlighting.highlight_traceback(trace) if is_highlighted else trace,
    }


def _find_failure_in_result(record: Record) -> dict[str, Any] | None:
    """Return the failure in the result of a task whose last attempt is not stored."""
    failure = parse_failure(record.result) if isinstance(record.result, str) else None
    if failure is None or not failure.traceback:
        return None
    return {
        "id": "tracking-traceback",
        "message": failure.reason,
        "exceptions": _find_exceptions(failure.traceback),
        "traceback": highlighting.highlight_traceback(failure.traceback),
    }


def _find_exceptions(text: str) -> list[dict[str, Any]]:
    """Return the exceptions of a traceback, each with the project's own frames.

    Where no exception has any, the innermost frame of the last one is shown.
    """
    raised = parse_traceback(text)
    if raised and not any(each.own_frames for each in raised):
        raised = raised[:1]
    found = []
    for number, each in enumerate(raised):
        # (frame, how often in a row): a function may call itself.
        frames = [
            (frame, len(list(equal)))
            for frame, equal in groupby(each.own_frames or each.frames[:1])
        ]
        if number == 0 or each.own_frames or each.link == "member":
            found.append(
                {
                    "line": each.exception,
                    "link": _LINKS[each.link] if number else "",
                    "frames": frames[:_MOST_FRAMES],
                    "hidden": max(len(frames) - _MOST_FRAMES, 0),
                }
            )
    return found[:_MOST_EXCEPTIONS]


def get_payloads(record: Record, *, with_result: bool) -> list[dict[str, Any]]:
    """Return the stored result, arguments and extra, and the objects if they are many.

    Args:
        record: the task.
        with_result: ``False`` where the result is the traceback that is shown already.
    """
    is_long = len(record.objects or "") > MOST_OBJECTS
    payloads = [
        ("result", _("Result"), record.result if with_result else None),
        ("args", _("Arguments"), record.args or None),
        ("kwargs", _("Keyword arguments"), record.kwargs or None),
        ("extra", _("Extra"), without_titles(record.extra) or None),
        ("objects", _("Objects"), record.objects if is_long else None),
    ]
    return [
        {
            "id": f"tracking-{name}",
            "label": label,
            "content": highlighting.highlight_payload(value),
            "is_open": name == "result",
        }
        for name, label, value in payloads
        if value is not None and value != ""
    ]
