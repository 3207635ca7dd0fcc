"""How long tasks wait and run, by function."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from powercrud_tracking.dashboard.overview.finished_tasks import Ended


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Half of the values are no longer than ``p50``; ``None`` if there are no values."""

    p50: timedelta | None = None
    p95: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the runs of one function waited and took.

    Args:
        func: its dotted path.
        runs: how many were measured.
        waited: in the queue, before the first attempt; unknown for tasks that were run again.
        ran: the last attempt.
        total: the work of all these runs together.
    """

    func: str
    runs: int
    waited: Spread
    ran: Spread
    total: timedelta


def get_timings(ended: Iterable[Ended]) -> list[Timing]:
    """Return the timings of each function, those with the most work first.

    Args:
        ended: tasks; those of which it is not known how long they ran are left out.
    """
    waited: dict[str, list[timedelta]] = defaultdict(list)
    ran: dict[str, list[timedelta]] = defaultdict(list)
    for each in ended:
        if each.run_time is not None:
            ran[each.func or ""].append(each.run_time)
            if each.queue_time is not None:
                waited[each.func or ""].append(each.queue_time)
    timings = [
        Timing(
            func=func,
            runs=len(ran[func]),
            waited=_spread(sorted(waited[func])),
            ran=_spread(sorted(ran[func])),
            total=sum(ran[func], timedelta()),
        )
        for func in ran
    ]
    return sorted(timings, key=lambda timing: (-timing.total, timing.func))


def _spread(ordered: Sequence[timedelta]) -> Spread:
    if not ordered:
        return Spread()
    return Spread(p50=get_percentile(ordered, 50), p95=get_percentile(ordered, 95))


def get_percentile(ordered: Sequence[timedelta], percent: int) -> timedelta:
    """Return the nearest rank: the least of the values than which so many percent are no longer.

    So it is always a time that a task has really taken, even of two.

    Args:
        ordered: the values from the shortest to the longest, at least one.
        percent: above 0, at most 100.
    """
    return ordered[ceil(len(ordered) * percent / 100) - 1]
