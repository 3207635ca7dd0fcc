"""What happened to a task and how long each part took, from the times that were kept.

Times come from up to three machines whose clocks may differ, and any of them may be missing. No
part is ever shorter than nothing, and what cannot be told is said instead of guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from powercrud_tracking.lifecycle import OPEN, Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records.derived import split_attempts
from powercrud_tracking.records.reading import Record

WIDTH = 1000
"""Units of the picture from end to end."""

_LEAST = 12
_GAP = 3
_NOTHING = timedelta()


class Kind(StrEnum):
    """What a task did in a part of its time."""

    QUEUED = "queued"
    PAUSED = "paused"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a task's time.

    Args:
        kind: what it did.
        label: the same for people.
        start: when the part began, or ``None`` if that was not kept.
        end: when it ended; ``None`` if it has not, or if that was not kept.
        duration: ``None`` if it cannot be told.
        is_open: whether it goes on.
        share: of the whole, from 0 to 1.
        x, width: where it stands in the picture; no width, no place there.
    """

    kind: Kind
    label: str
    start: datetime | None
    end: datetime | None
    duration: timedelta | None
    is_open: bool = False
    share: float = 0.0
    x: int = 0
    width: int = 0

    @property
    def percent(self) -> int:
        return round(self.share * 100)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A task's time, part by part.

    Args:
        parts: in the order in which they happened.
        total: how long they took together.
        notes: what cannot be told, and why the times do not quite fit.
    """

    parts: tuple[Part, ...]
    total: timedelta
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Run:
    """An attempt, whatever was kept of it."""

    number: int | None
    status: Status
    start: datetime | None
    end: datetime | None


def build_timeline(
    record: Record, attempts: Sequence[AsyncTaskAttempt], *, now: datetime | None = None
) -> Timeline | None:
    """Return what happened to a task, or ``None`` if its table tells nothing of it.

    Args:
        record: the task.
        attempts: its failed attempts, newest first; the oldest may be left out.
        now: for open tasks; this moment unless given.
    """
    story = _Story(record, now or timezone.now())
    current, earlier = split_attempts(record, attempts)
    story.tell([*_get_kept_runs(earlier), *_find_last_run(record, current, earlier)])
    if not story.parts:
        return None
    if _was_misjudged(record, current):
        story.notes.append(_("It was judged lost for a while, and then gave a sign of life."))
    known = [part.duration for part in story.parts if part.duration is not None]
    total = sum(known, _NOTHING)
    return Timeline(parts=_lay_out(story.parts, total), total=total, notes=tuple(story.notes))


def _was_misjudged(record: Record, current: AsyncTaskAttempt | None) -> bool:
    return (
        current is not None
        and current.outcome == Status.LOST
        and record.status in OPEN | {Status.SUCCESS}
    )


def _get_kept_runs(attempts: Sequence[AsyncTaskAttempt]) -> list[_Run]:
    return [
        _Run(
            number=attempt.number,
            status=Status(attempt.outcome),
            start=attempt.started_at,
            end=attempt.ended_at,
        )
        for attempt in reversed(attempts)
    ]


def _find_last_run(
    record: Record, current: AsyncTaskAttempt | None, earlier: Sequence[AsyncTaskAttempt]
) -> list[_Run]:
    """Return the attempt that the record itself speaks of, if it has begun."""
    if record.started_at is None or record.status is None:
        return []
    number = record.attempts or (earlier[0].number + 1 if earlier else None)
    if current is not None:
        number = current.number
    return [_Run(number=number, status=record.status, start=record.started_at, end=record.ended_at)]


class _Story:
    """Puts parts one behind the other; ``at`` is how far it has come."""

    def __init__(self, record: Record, now: datetime) -> None:
        self._record = record
        self._now = now
        self._seen = 0
        self.at: datetime | None = record.created_at
        self.parts: list[Part] = []
        self.notes: list[str] = []

    def tell(self, runs: Sequence[_Run]) -> None:
        alone = len(runs) == 1 and (runs[0].number or 1) == 1
        for run in runs:
            self._wait_for(run, is_first=run is runs[0])
            self._add_run(run, _get_label(run, alone=alone))
        if not runs:
            self._add_unstarted()

    def _wait_for(self, run: _Run, *, is_first: bool) -> None:
        missing = (run.number or self._seen + 1) - self._seen - 1
        self._seen = run.number or self._seen + 1
        if run.start is None:
            return
        if is_first and self.at is None:
            return
        label = _("Queued") if is_first else _("Waited for the next attempt")
        if missing > 0:
            self.notes.append(
                ngettext(
                    "%(number)d attempt is not shown: its worker died without a word, or it is"
                    " too long ago.",
                    "%(number)d attempts are not shown: their worker died without a word, or"
                    " they are too long ago.",
                    missing,
                )
                % {"number": missing}
            )
            label = _("Queued, and attempts that are not shown") if is_first else label
        kind = Kind.QUEUED if is_first else Kind.PAUSED
        self._add(Part(kind=kind, label=label, start=self.at, end=run.start, duration=None))

    def _add_run(self, run: _Run, label: str) -> None:
        kind = Kind.RUNNING if run.status in OPEN else Kind(run.status.value)
        if run.start is None:
            self.notes.append(_("When an attempt began was not kept."))
        is_open = run.status in OPEN
        if run.end is None and not is_open:
            self.notes.append(_("When it ended was not kept."))
        start = self.at if run.start is None else run.start
        self._add(
            Part(kind=kind, label=label, start=start, end=run.end, duration=None, is_open=is_open)
        )

    def _add_unstarted(self) -> None:
        record = self._record
        if self.at is None:
            return
        if record.is_open:
            queued = record.status is Status.PENDING
            kind = Kind.QUEUED if queued else Kind.UNKNOWN
            label = _("Queued") if queued else _("Queued, then running")
            if not queued:
                self.notes.append(_("When it began was not kept."))
            self._add(
                Part(kind=kind, label=label, start=self.at, end=None, duration=None, is_open=True)
            )
        elif record.ended_at is not None:
            if record.attempts == 0:
                label = _("Queued; it never started")
            else:
                label = _("From queueing to the end")
                self.notes.append(_("When it began was not kept."))
            self._add(
                Part(
                    kind=Kind.LOST if record.status is Status.LOST else Kind.UNKNOWN,
                    label=label,
                    start=self.at,
                    end=record.ended_at,
                    duration=None,
                )
            )

    def _add(self, part: Part) -> None:
        until = self._now if part.is_open else part.end
        duration = None
        if part.start is not None and until is not None:
            duration = until - part.start
            if duration < _NOTHING:
                self._doubt_clocks()
                duration = _NOTHING
        self.parts.append(replace(part, duration=duration))
        if until is not None:
            self.at = until

    def _doubt_clocks(self) -> None:
        note = _("Some times overlap: clocks of machines differ, or two attempts ran at once.")
        if note not in self.notes:
            self.notes.append(note)


def _get_label(run: _Run, *, alone: bool) -> str:
    if alone and run.status in OPEN:
        return _("Running")
    if alone and run.status is Status.SUCCESS:
        return _("Ran")
    if run.number is None:
        return str(run.status.label)
    return _("Attempt %(number)d: %(outcome)s") % {
        "number": run.number,
        "outcome": Status.IN_PROGRESS.label if run.status in OPEN else run.status.label,
    }


def _lay_out(parts: Sequence[Part], total: timedelta) -> tuple[Part, ...]:
    """Give each part its share, and a width that stays visible however short it is."""
    shares = [
        part.duration / total if total and part.duration is not None else 0.0 for part in parts
    ]
    drawn = [part.duration is not None for part in parts]
    count = sum(drawn)
    room = WIDTH - _GAP * max(count - 1, 0) - _LEAST * count
    laid, x = [], 0
    for part, share, is_drawn in zip(parts, shares, drawn, strict=True):
        width = 0
        if is_drawn:
            width = _LEAST + int(room * (share if total else 1 / count))
        laid.append(replace(part, share=share, x=x if is_drawn else 0, width=width))
        x += width + _GAP if is_drawn else 0
    return tuple(laid)
