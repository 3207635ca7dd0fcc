"""How the whole stands: what the first page shows, read together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.dashboard.overview import throughput
from powercrud_tracking.dashboard.overview.errors import ErrorGroup, group_errors
from powercrud_tracking.dashboard.overview.finished_tasks import LIMIT, get_ended
from powercrud_tracking.dashboard.overview.throughput import Hour
from powercrud_tracking.dashboard.overview.timings import Timing, get_timings
from powercrud_tracking.lifecycle import FAILURES, FINISHED, OPEN, Status
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
    """How far back the page looks.

    Args:
        name: in the address.
        label: in words, short.
        period: as a part of a sentence.
        length: of time, until now.
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
    """How the whole stands; what the table does not tell is ``None`` or empty.

    Args:
        queue: the clusters, and what they and the broker hold.
        since: when the window begins.
        open: status to how many are so now.
        ended: status to how many of the window's tasks have ended so.
        oldest_at: when the oldest queued task was queued.
        hours: what became of the last day's tasks.
        timings: how long functions wait and run.
        errors: failed and lost tasks in groups.
        limit: the most tasks that timings, and errors, are taken from.
        timings_are_cut: whether more may have been measured.
        errors_are_cut: whether more may have failed.
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
    def waiting(self) -> Count:
        """How many tasks wait for a cluster, by the queue and by the rows."""
        queued = (self.open or {}).get(Status.PENDING, Count())
        return max(queued, self.queue.length or Count(), key=lambda count: count.number)

    @property
    def is_stuck(self) -> bool:
        """Whether tasks wait and no cluster is alive that could take them."""
        return self.queue.clusters == () and self.waiting.number > 0

    @property
    def failure_rate(self) -> float | None:
        """How much of what has ended in the window failed, if all of it was counted."""
        counts = self.ended or {}
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
    """Return how the whole stands: two queries, and what the broker takes.

    Args:
        rows: all that may be counted.
        window: of what timings and failures are told.
        measure_queue: tell the length of the queue, which holds everybody's tasks.
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
    ended = get_ended(recent)
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
