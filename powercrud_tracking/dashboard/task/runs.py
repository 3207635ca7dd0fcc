"""The latest runs of one function, as a small picture: how long each took, and how it ended."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import derived
from powercrud_tracking.records.reading import Record

MOST = 60
HEIGHT = 100
"""Units of the picture from the ground to the longest run."""

STEP = 14
"""Units from one bar to the next."""

BAR = 11
"""Units that a bar is wide."""

_LEAST = 4
_MOST_MEDIANS = 4
_NOTHING = timedelta()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the function.

    Args:
        task_name: its task's.
        status: how it stands, or ``None`` if the table keeps that not.
        created_at: when it was queued.
        duration: how long its last attempt took, or has taken until now; ``None`` if it has
            not begun or that was not kept.
        is_this: whether it is the task that is looked at.
        x, y, height: its bar in the picture.
        is_cut: whether it took longer than the picture is high.
    """

    task_name: str
    status: Status | None
    created_at: datetime | None
    duration: timedelta | None
    is_this: bool
    x: int
    y: int
    height: int
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The latest runs of a function, the oldest first.

    Args:
        bars: one for each run.
        width: of the picture.
        longest: how long the longest run took.
        top: how long one took that is as high as the picture. Less than the longest where one
            outlier would leave nothing to see of the others.
        median: of those that succeeded, if any did.
        reference: where the line for a task stands that is older than these runs.
        succeeded, failed: how many did; a lost one counts as failed.
        step, bar: from one bar to the next, and how wide one is.
    """

    bars: tuple[Run, ...]
    width: int
    longest: timedelta
    top: timedelta
    median: timedelta | None
    reference: int | None
    succeeded: int
    failed: int
    step: int = STEP
    bar: int = BAR

    @property
    def newest_first(self) -> Sequence[Run]:
        return self.bars[::-1]


def find_runs(
    record: Record, rows: AsyncTaskRecordQuerySet, *, now: datetime | None = None
) -> Runs | None:
    """Return the latest runs of a task's function, in one query.

    Args:
        record: the task that is looked at.
        rows: the rows that the person who looks may see.
        now: for open tasks; this moment unless given.

    Returns:
        ``None`` if the function or how long it took is not kept, or if it ran only this once.
    """
    if not record.func or "started_at" not in rows.names:
        return None
    latest = rows.get_latest_runs(record.func, MOST)[::-1]
    if not any(values["task_name"] != record.task_name for values in latest):
        return None
    now = now or timezone.now()
    durations = [_find_duration(values, now) for values in latest]
    is_inside = any(values["task_name"] == record.task_name for values in latest)
    reference = None if is_inside else record.run_time
    known = [each for each in [*durations, reference] if each is not None]
    longest = max(known, default=_NOTHING)
    top = min(longest, _MOST_MEDIANS * _get_median(known)) if known else longest
    bars = []
    for number, (values, duration) in enumerate(zip(latest, durations, strict=True)):
        height = _get_height(duration, top)
        bars.append(
            Run(
                task_name=values["task_name"],
                status=_find_status(values),
                created_at=values.get("created_at"),
                duration=duration,
                is_this=values["task_name"] == record.task_name,
                x=number * STEP,
                y=HEIGHT - height,
                height=height,
                is_cut=duration is not None and duration > top,
            )
        )
    good = [
        bar.duration for bar in bars if bar.status is Status.SUCCESS and bar.duration is not None
    ]
    return Runs(
        bars=tuple(bars),
        width=len(bars) * STEP,
        longest=longest,
        top=top,
        median=_get_median(good) if good else None,
        reference=None if reference is None else HEIGHT - _get_height(reference, top),
        succeeded=sum(bar.status is Status.SUCCESS for bar in bars),
        failed=sum(bar.status in FAILURES for bar in bars),
    )


def _find_status(values: Mapping[str, Any]) -> Status | None:
    status = values.get("status")
    return Status(status) if status in Status.values else None


def _find_duration(values: Mapping[str, Any], now: datetime) -> timedelta | None:
    status = _find_status(values)
    ended_at = derived.find_end(status, values.get("completed_at"), values.get("failed_at"))
    return derived.find_run_time(status, values.get("started_at"), ended_at, now=now)


def _get_median(durations: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=statistics.median(each.total_seconds() for each in durations))


def _get_height(duration: timedelta | None, top: timedelta) -> int:
    share = duration / top if duration is not None and top else 0.0
    return max(_LEAST, round(min(share, 1.0) * HEIGHT))
