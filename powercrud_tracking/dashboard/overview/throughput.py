"""The number of tasks queued in each of the last 24 hours, by status."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Expression
from django.utils import timezone

from powercrud_tracking.lifecycle import CANCELLED, FAILURES, OPEN, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records.counts import Count, build_counts, get_count

HOURS = 24

OUTCOMES: Mapping[str, frozenset[Status]] = {
    "success": frozenset({Status.SUCCESS}),
    "open": OPEN,
    "broken": FAILURES,
    "cancelled": CANCELLED,
}
"""Name to statuses: the parts of a column of the chart."""


@dataclass(frozen=True, kw_only=True)
class Hour:
    """The tasks that were queued in one hour.

    Args:
        start: of the hour, in the active time zone.
        end: of the hour.
        counts: name of ``OUTCOMES`` to number of tasks.
    """

    start: datetime
    end: datetime
    counts: Mapping[str, Count]

    @property
    def total(self) -> Count:
        return add(self.counts.values())

    @property
    def numbers(self) -> dict[str, int]:
        return {outcome: count.number for outcome, count in self.counts.items()}


def add(counts: Iterable[Count]) -> Count:
    """Return the sum of counts; it has more if one of them has."""
    counts = list(counts)
    return Count(
        number=sum(count.number for count in counts),
        has_more=any(count.has_more for count in counts),
    )


def get_edges(now: datetime) -> list[datetime]:
    """Return the starts of the last hours in the active time zone, and the end of the last one.

    Args:
        now: in the last hour; aware or naive, depending on ``USE_TZ``.
    """
    if timezone.is_naive(now):
        last = now.replace(minute=0, second=0, microsecond=0)
        return [last + timedelta(hours=n) for n in range(1 - HOURS, 2)]
    local = timezone.localtime(now)
    # By the elapsed time: a clock that is put back by half an hour shows minutes twice.
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    last = now.astimezone(UTC) - past
    return [timezone.localtime(last + timedelta(hours=n)) for n in range(1 - HOURS, 2)]


def build_figures(
    rows: AsyncTaskRecordQuerySet, edges: Sequence[datetime]
) -> dict[Any, Expression]:
    """Return the counts to read: outcome and start of the hour to an expression."""
    return {
        (outcome, start): figure
        for outcome, statuses in OUTCOMES.items()
        for start, figure in zip(
            edges[:-1], build_counts(rows.with_status(statuses), edges), strict=True
        )
    }


def get_hours(found: Mapping[Any, Any], edges: Sequence[datetime]) -> list[Hour]:
    """Return the hours, the oldest first.

    Args:
        found: the values of ``build_figures()``.
        edges: the hours, as for ``build_figures()``.
    """
    return [
        Hour(
            start=start,
            end=end,
            counts={outcome: get_count(found[outcome, start]) for outcome in OUTCOMES},
        )
        for start, end in pairwise(edges)
    ]
