"""The timeline of a task: its time in the queue, each attempt, and the pauses between them.

The times are written by up to three machines whose clocks may differ, and any of them may be
missing. No part is negative, and what is unknown is shown as unknown.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records.derived import split_attempts
from powercrud_tracking.records.reading import Record

_LEAST_WIDTH = 1.2
_GAP = 0.3
_ZERO = timedelta()


def build_timeline(
    record: Record, attempts: Sequence[AsyncTaskAttempt], *, now: datetime | None = None
) -> dict[str, Any] | None:
    """Return the parts of a task's time, or ``None`` if its table stores no times.

    Args:
        record: the task.
        attempts: its failed attempts, newest first; the oldest may be left out.
        now: for open tasks; this moment unless given.

    Returns:
        ``parts`` in the order in which they happened, the ``total`` time, ``notes`` on what is
        unknown, and the ``width`` of the picture, in which each part has its ``x`` and ``width``.
        The ``kind`` of a part is a status, ``paused`` or ``unknown``.
    """
    builder = TimelineBuilder(record.created_at)
    end = now or timezone.now() if record.is_open else record.ended_at
    current, earlier = split_attempts(record, attempts)
    for each in reversed(earlier):
        status = Status(each.outcome)
        builder.add_attempt(status, each.number, each.started_at, each.ended_at)
    if record.status and (current or record.started_at):
        last = record.attempts or (earlier[0].number + 1 if earlier else None)
        number = current.number if current else last
        start = record.started_at or getattr(current, "started_at", None)
        end = end or getattr(current, "ended_at", None)
        builder.add_attempt(record.status, number, start, end)
    elif record.created_at and end:
        builder.add_without_start(record, end)
    if current and current.outcome == Status.LOST and record.status not in FAILURES:
        builder.note(_("The task was declared lost, then a worker reported it again."))
    return builder.build(is_open=record.is_open)


class TimelineBuilder:
    """Adds the parts one after the other; the next one begins where the last one ended."""

    def __init__(self, queued_at: datetime | None) -> None:
        self._at = queued_at
        self._number = self._missing = 0
        self._parts: list[dict[str, Any]] = []
        self._notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        self._notes[text] = None

    def add_attempt(
        self, status: Status, number: int | None, start: datetime | None, end: datetime | None
    ) -> None:
        """Add an attempt, and before it the time in which the task waited for it."""
        is_first = not self._number
        missing = max((number or 0) - self._number - 1, 0)
        self._number += missing + 1
        self._missing += missing
        if start is None:
            self.note(_("The start time of an attempt is unknown."))
        elif self._at is not None and is_first:
            label = _("Queued, and attempts that are not shown") if missing else _("Queued")
            self._add(Status.PENDING, label, self._at, start)
        elif self._at is not None:
            self._add("paused", _("Waiting for the next attempt"), self._at, start)
        label = _("Attempt %(number)d: %(outcome)s")
        self._add(status, label % {"number": self._number, "outcome": status.label}, start, end)

    def add_without_start(self, record: Record, end: datetime) -> None:
        """Add the time of a task of which no start is stored."""
        if record.status is Status.PENDING:
            self._add(Status.PENDING, _("Queued"), self._at, end)
        elif record.attempts == 0:
            self._add(record.status or "unknown", _("Queued, never started"), self._at, end)
        else:
            self.note(_("The start time is unknown."))
            self._add("unknown", _("Queued and running"), self._at, end)

    def _add(self, kind: str, label: str, start: datetime | None, end: datetime | None) -> None:
        start = start or self._at
        elapsed = end - start if start and end else None
        if end is None:
            self.note(_("The end time is unknown."))
        if elapsed is not None and elapsed < _ZERO:
            self.note(_("Some times overlap: clocks differ, or two attempts ran at the same time."))
            elapsed = _ZERO
        self._at = end or self._at
        # A lost attempt ended when it was declared lost; how long it ran is unknown.
        duration = None if kind == Status.LOST else elapsed
        part = {"kind": str(kind), "label": label, "start": start, "end": end}
        self._parts.append(part | {"elapsed": elapsed, "duration": duration})

    def build(self, *, is_open: bool) -> dict[str, Any] | None:
        if not self._parts:
            return None
        if self._missing:
            text = ngettext(
                "%(number)d attempt is not shown: its worker was killed, or it is one of the"
                " oldest.",
                "%(number)d attempts are not shown: their workers were killed, or they are among"
                " the oldest.",
                self._missing,
            )
            self.note(text % {"number": self._missing})
        self._parts[-1]["is_open"] = is_open
        drawn = [part for part in self._parts if part["elapsed"] is not None]
        total = sum((part["elapsed"] for part in drawn), _ZERO)
        x = 0.0
        for part in drawn:
            share = part["elapsed"] / total if total else 1 / len(drawn)
            part |= {"percent": round(100 * share), "x": round(x, 3)}
            part["width"] = round(max(100 * share, _LEAST_WIDTH), 3)
            x += part["width"] + _GAP
        width = round(x - _GAP, 3) if drawn else 1
        parts, notes = self._parts, list(self._notes)
        return {"parts": parts, "total": total, "notes": notes, "width": width}
