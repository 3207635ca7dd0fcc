"""The figures of the overview, read together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.dashboard.overview import throughput
from powercrud_tracking.dashboard.overview.errors import ErrorGroup, group_errors
from powercrud_tracking.dashboard.overview.finished_tasks import LIMIT, read_finished_tasks
from powercrud_tracking.dashboard.overview.throughput import Hour
from powercrud_tracking.dashboard.overview.timings import Timing, get_timings
from powercrud_tracking.lifecycle import CANCELLED, FAILURES, FINISHED, OPEN, Status
from powercrud_tracking.maintenance.queue import Queue, read_queue
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records.counts import (
    Count,
    build_count,
    build_oldest,
    get_count,
    read_figures,
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A period of time until now.

    Args:
        name: in the address.
        label: of the link.
        period: as a part of a sentence.
        length: of the period.
    """

    name: str
    label: Any
    period: Any
    length: timedelta


WINDOWS = (
    Window(name="1h", label=_("1 hour"), period=_("in the last hour"), length=timedelta(hours=1)),
    Window(
        name="24h",
        label=_("24 hours"),
        period=_("in the last 24 hours"),
        length=timedelta(hours=24),
    ),
    Window(name="7d", label=_("7 days"), period=_("in the last 7 days"), length=timedelta(days=7)),
)
DEFAULT_WINDOW = WINDOWS[1]


def get_window(name: str) -> Window:
    """Return the window of this name, the default one if there is none."""
    return next((window for window in WINDOWS if window.name == name), DEFAULT_WINDOW)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The figures of the overview; ``None`` for what the table does not store.

    Args:
        queue: the clusters and the length of the queue.
        since: the start of the window.
        open: status to number of open tasks.
        ended: status to number of tasks of the window.
        oldest_at: when the oldest queued task was queued.
        hours: the tasks of the last day.
        timings: queue times and run times by function.
        errors: failed and lost tasks in groups.
        limit: the maximum number of tasks that timings, and errors, are taken from.
        timings_are_cut: whether there may be more runs.
        errors_are_cut: whether there may be more failed tasks.
    """

    queue: Queue
    since: datetime
    open: Mapping[str, Count] | None = None
    ended: Mapping[str, Count] | None = None
    oldest_at: datetime | None = None
    hours: list[Hour] | None = None
    timings: list[Timing] | None = None
    errors: list[ErrorGroup] | None = None
    limit: Count = field(default_factory=lambda: Count(number=LIMIT))
    timings_are_cut: bool = False
    errors_are_cut: bool = False

    @property
    def finished(self) -> list[tuple[Status, Count]]:
        """The finished statuses with the number of tasks of the window."""
        counts = self.ended or {}
        return [(each, counts[each]) for each in Status if each in counts]

    @property
    def waiting(self) -> Count:
        """The number of queued tasks: by the queue or by the rows, whichever is more."""
        queued = (self.open or {}).get(Status.PENDING, Count())
        return max(queued, self.queue.length or Count(), key=lambda count: count.number)

    @property
    def is_stuck(self) -> bool:
        """Whether tasks are queued and no cluster is running."""
        return self.queue.clusters == () and self.waiting.number > 0

    @property
    def failure_rate(self) -> float | None:
        """The share of the window's ended tasks that failed; ``None`` if a count was capped.

        Cancelled tasks are left out: nobody knows how they would have ended.
        """
        counts = {
            name: count for name, count in (self.ended or {}).items() if name not in CANCELLED
        }
        total = sum(count.number for count in counts.values())
        if not total or any(count.has_more for count in counts.values()):
            return None
        return counts[Status.FAILED].number / total

    @property
    def oldest_age(self) -> timedelta | None:
        if self.oldest_at is None:
            return None
        return max(timezone.now() - self.oldest_at, timedelta())


def read_overview(
    rows: AsyncTaskRecordQuerySet, window: Window, *, measure_queue: bool = True
) -> Overview:
    """Return the figures of the overview: two queries, and those of the broker.

    Args:
        rows: the rows that the user may see.
        window: the period of the ended tasks, the timings and the errors.
        measure_queue: read the length of the queue, which holds the tasks of all users.
    """
    queue = read_queue(measure=measure_queue)
    now = timezone.now()
    since = now - window.length
    if not rows.stores("status"):
        return Overview(queue=queue, since=since)
    figures: dict[Any, Any] = {each: build_count(rows.with_status([each])) for each in sorted(OPEN)}
    if not rows.stores("created_at"):
        found = read_figures(rows, figures)
        return Overview(queue=queue, since=since, open=_get_counts(found, OPEN))
    edges = throughput.get_edges(now)
    recent = rows.queued_since(since)
    figures |= {each: build_count(recent.with_status([each])) for each in sorted(FINISHED)}
    figures["oldest"] = build_oldest(rows.with_status([Status.PENDING]))
    figures |= throughput.build_figures(rows, edges)
    found = read_figures(rows, figures)
    ended = read_finished_tasks(recent)
    has_timings = rows.stores("func", "started_at", "completed_at")
    runs = [each for each in ended if each.run_time is not None]
    broken = [each for each in ended if each.status in FAILURES]
    return Overview(
        queue=queue,
        since=since,
        open=_get_counts(found, OPEN),
        ended=_get_counts(found, FINISHED),
        oldest_at=found["oldest"],
        hours=throughput.get_hours(found, edges),
        timings=get_timings(runs[:LIMIT]) if has_timings else None,
        errors=group_errors(broken[:LIMIT]) if rows.stores("message") else None,
        timings_are_cut=len(runs) >= LIMIT,
        errors_are_cut=len(broken) >= LIMIT,
    )


def _get_counts(found: Mapping[Any, Any], statuses: frozenset[Status]) -> dict[str, Count]:
    return {each.value: get_count(found[each]) for each in sorted(statuses)}
