"""Queue times and run times by function."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from powercrud_tracking.dashboard.overview.finished_tasks import FinishedTask


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Half of the values are at most ``p50``; ``None`` if there are no values."""

    p50: timedelta | None = None
    p95: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The queue times and run times of one function.

    Args:
        func: its dotted path.
        runs: the number of measured runs.
        queue_time: before the first attempt; unknown for tasks that were run again.
        run_time: of the last attempt.
        total: the total run time.
    """

    func: str
    runs: int
    queue_time: Spread
    run_time: Spread
    total: timedelta


def get_timings(tasks: Iterable[FinishedTask]) -> list[Timing]:
    """Return the timings of each function, the longest total run time first.

    Args:
        tasks: finished tasks; those with an unknown run time are left out.
    """
    queue_times: dict[str, list[timedelta]] = defaultdict(list)
    run_times: dict[str, list[timedelta]] = defaultdict(list)
    for task in tasks:
        if task.run_time is not None:
            run_times[task.func or ""].append(task.run_time)
            if task.queue_time is not None:
                queue_times[task.func or ""].append(task.queue_time)
    timings = [
        Timing(
            func=func,
            runs=len(run_times[func]),
            queue_time=_spread(sorted(queue_times[func])),
            run_time=_spread(sorted(run_times[func])),
            total=sum(run_times[func], timedelta()),
        )
        for func in run_times
    ]
    return sorted(timings, key=lambda timing: (-timing.total, timing.func))


def _spread(ordered: Sequence[timedelta]) -> Spread:
    if not ordered:
        return Spread()
    return Spread(p50=get_percentile(ordered, 50), p95=get_percentile(ordered, 95))


def get_percentile(ordered: Sequence[timedelta], percent: int) -> timedelta:
    """Return a percentile by the nearest rank, which is always one of the values.

    Args:
        ordered: the values, the shortest first; at least one.
        percent: above 0, at most 100.
    """
    return ordered[ceil(len(ordered) * percent / 100) - 1]
