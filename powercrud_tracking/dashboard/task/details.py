"""What the page of a task shows beside its facts: failures, and what went in and came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.dashboard.task import highlighting
from powercrud_tracking.lifecycle import FAILURES
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records import derived
from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization.failures import parse_failure
from powercrud_tracking.serialization.tracebacks import Frame, parse_traceback

MOST_ATTEMPTS = 20
"""How many failed attempts a page shows."""

MOST_OBJECTS = 500
"""How many characters of the objects stand in the header; what is longer is shown below, too."""

_MOST_FRAMES = 8
_MOST_EXCEPTIONS = 8
_LINKS = {
    "": "",
    "cause": _("caused by"),
    "context": _("raised while handling"),
    "member": _("one of the group"),
}


@dataclass(frozen=True, kw_only=True)
class ShownFrame:
    """A frame, and how often it stands in a row: a function that calls itself."""

    frame: Frame
    times: int


@dataclass(frozen=True, kw_only=True)
class ShownException:
    """An exception and where in the project's own code it passed.

    Args:
        line: "ValueError: bad price".
        link: what it was to the one above, in words.
        frames: the project's own, the innermost first; where it has none, the innermost of all.
        hidden: how many of these are left out.
    """

    line: str
    link: Any
    frames: Sequence[ShownFrame]
    hidden: int


@dataclass(frozen=True, kw_only=True)
class ShownFailure:
    """A failed attempt as the page shows it.

    Args:
        id: of the element that holds the traceback.
        number: of the attempt; ``None`` if no attempt was kept.
        outcome: failed or lost, in words.
        message: the reason, in one line.
        ended_at, worker, run_time: of the attempt.
        exceptions: with the project's own frames, the one that counts first.
        traceback: the whole text, in colours; empty if there is none.
    """

    id: str
    number: int | None
    outcome: Any
    message: str
    ended_at: datetime | None
    worker: str
    exceptions: Sequence[ShownException]
    traceback: SafeString | str

    run_time: timedelta | None


@dataclass(frozen=True, kw_only=True)
class ShownPayload:
    """What went into a task or came out of it.

    Args:
        id: of the element that holds it.
        label: what it is.
        content: for reading, in colours.
        is_open: whether it is shown at once.
    """

    id: str
    label: Any
    content: SafeString
    is_open: bool


def get_failures(
    record: Record, attempts: Sequence[AsyncTaskAttempt]
) -> tuple[ShownFailure | None, list[ShownFailure]]:
    """Return the failure with which a task ended, if it did, and its other failed attempts.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
    """
    shown, budget = [], highlighting.MOST
    for attempt in attempts:
        budget -= len(attempt.traceback)
        shown.append(_show_attempt(attempt, in_colours=budget >= 0))
    if record.status not in FAILURES:
        return None, shown
    current, _ = derived.split_attempts(record, attempts)
    if current is not None:
        return shown[0], shown[1:]
    return _find_failure_in_result(record), shown


def _show_attempt(attempt: AsyncTaskAttempt, *, in_colours: bool) -> ShownFailure:
    trace = attempt.traceback
    return ShownFailure(
        id=f"tracking-traceback-{attempt.number}",
        number=attempt.number,
        outcome=attempt.get_outcome_display(),
        message=attempt.message,
        ended_at=attempt.ended_at,
        run_time=derived.find_run_time(attempt.outcome, attempt.started_at, attempt.ended_at),
        worker=attempt.worker,
        exceptions=_show_exceptions(trace),
        traceback=highlighting.highlight_traceback(trace) if in_colours else trace,
    )


def _find_failure_in_result(record: Record) -> ShownFailure | None:
    """Return what the result of a failed task says, of which no attempt was kept."""
    failure = parse_failure(record.result) if isinstance(record.result, str) else None
    if failure is None or not failure.traceback:
        return None
    return ShownFailure(
        id="tracking-traceback",
        number=None,
        outcome=record.status.label if record.status else "",
        message=failure.reason,
        ended_at=record.ended_at,
        run_time=record.run_time,
        worker=record.worker or "",
        exceptions=_show_exceptions(failure.traceback),
        traceback=highlighting.highlight_traceback(failure.traceback),
    )


def _show_exceptions(text: str) -> list[ShownException]:
    raised = parse_traceback(text)
    if raised and not any(each.own_frames for each in raised):
        raised = raised[:1]
    shown = []
    for number, each in enumerate(raised):
        frames = [
            ShownFrame(frame=frame, times=len(list(alike)))
            for frame, alike in groupby(each.own_frames or each.frames[:1])
        ]
        # What happened in others' code alone says nothing more, but for the one that counts.
        if number == 0 or each.own_frames or each.link == "member":
            shown.append(
                ShownException(
                    line=each.exception,
                    link=_LINKS[each.link] if number else "",
                    frames=frames[:_MOST_FRAMES],
                    hidden=max(len(frames) - _MOST_FRAMES, 0),
                )
            )
    return shown[:_MOST_EXCEPTIONS]


def get_payloads(record: Record, *, with_result: bool) -> list[ShownPayload]:
    """Return what was kept of result, arguments, extra, and of objects that are many.

    Args:
        record: the task.
        with_result: whether the result, which for a failed task is its traceback, belongs to it.
    """
    is_long = len(record.objects or "") > MOST_OBJECTS
    parts = [
        ("result", _("Result"), record.result if with_result else None, True),
        ("args", _("Arguments"), record.args or None, False),
        ("kwargs", _("Keyword arguments"), record.kwargs or None, False),
        ("extra", _("Extra"), record.extra or None, False),
        ("objects", _("Objects"), record.objects if is_long else None, False),
    ]
    return [
        ShownPayload(
            id=f"tracking-{name}",
            label=label,
            content=highlighting.highlight_payload(value),
            is_open=is_open,
        )
        for name, label, value, is_open in parts
        if value is not None and value != ""
    ]
