"""How long tasks wait and run, by function."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from powercrud_tracking.ended import Ended


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What is usual and what is long: half of the values are no longer than ``p50``."""

    p50: timedelta
    p95: timedelta


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the runs of one function waited and took.

    Args:
        func: its dotted path.
        runs: how many were measured.
        waited: in the queue, before the last attempt.
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
    runs: dict[str, list[Ended]] = defaultdict(list)
    for each in ended:
        if each.ran is not None:
            runs[each.func or ""].append(each)
    timings = [_measure(func, measured) for func, measured in runs.items()]
    return sorted(timings, key=lambda timing: (-timing.total, timing.func))


def _measure(func: str, runs: Sequence[Ended]) -> Timing:
    ran = sorted(each.ran for each in runs)
    return Timing(
        func=func,
        runs=len(runs),
        waited=_spread(sorted(each.waited for each in runs)),
        ran=_spread(ran),
        total=sum(ran, timedelta()),
    )


def _spread(ordered: Sequence[timedelta]) -> Spread:
    return Spread(p50=get_percentile(ordered, 50), p95=get_percentile(ordered, 95))


def get_percentile(ordered: Sequence[timedelta], percent: int) -> timedelta:
    """Return the nearest rank: the least of the values than which so many percent are no longer.

    So it is always a time that a task has really taken, even of two.

    Args:
        ordered: the values from the shortest to the longest, at least one.
        percent: above 0, at most 100.
    """
    return ordered[ceil(len(ordered) * percent / 100) - 1]
