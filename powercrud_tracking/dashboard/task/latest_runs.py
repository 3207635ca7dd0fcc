"""The latest runs of a function: how long each took and how it ended, for a chart and a table."""

import statistics
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from powercrud_tracking.lifecycle import FAILURES, Status, find_status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import derived
from powercrud_tracking.records.reading import Record

MOST_RUNS = 60

_LEAST_HEIGHT = 4
_MOST_MEDIANS = 4


def find_latest_runs(
    record: Record, rows: AsyncTaskRecordQuerySet, *, now: datetime | None = None
) -> dict[str, Any] | None:
    """Return the latest runs of a task's function, in one query.

    Args:
        record: the task that is shown.
        rows: the rows that this person may see.
        now: for open tasks; this moment unless given.

    Returns:
        ``None`` if the table stores no function or no start, or if there is no other run. Else
        ``runs`` (newest first, each with its ``height`` in percent), ``longest``, ``median`` (of
        the successful ones) and ``top`` (the run time at the full height: less than the longest,
        if that is an outlier). ``reference``: the height of a task that is older than these runs.
    """
    if not record.func or not rows.stores("started_at"):
        return None
    now = now or timezone.now()
    found = rows.get_latest_runs(record.func, MOST_RUNS)
    runs = [_build_run(values, record, now) for values in found]
    is_listed = any(run["is_shown"] for run in runs)
    if len(runs) == is_listed:
        return None
    others = () if is_listed or record.run_time is None else (record.run_time,)
    times = [*others, *(run["run_time"] for run in runs if run["run_time"] is not None)]
    longest = max(times, default=None)
    top = min(longest, _MOST_MEDIANS * _get_median(times)) if longest else timedelta()
    for run in runs:
        run["height"] = _get_height(run["run_time"], top)
        run["is_cut"] = (run["run_time"] or top) > top
    succeeded = [run["run_time"] for run in runs if run["status"] is Status.SUCCESS]
    known = [each for each in succeeded if each is not None]
    return {
        "runs": runs,
        "longest": longest,
        "median": _get_median(known) if known else None,
        "top": top,
        "reference": _get_height(others[0], top) if others else None,
        "succeeded": len(succeeded),
        "failed": sum(run["status"] in FAILURES for run in runs),
    }


def _build_run(values: Mapping[str, Any], record: Record, now: datetime) -> dict[str, Any]:
    stored = values.get("status")
    status = find_status(stored)
    ends = (values.get(name) for name in ("completed_at", "failed_at", "cancelled_at"))
    ended_at = derived.find_end(status, *ends)
    return {
        "task_name": values["task_name"],
        "status": status,
        "created_at": values.get("created_at"),
        "run_time": derived.find_run_time(status, values.get("started_at"), ended_at, now=now),
        "is_shown": values["task_name"] == record.task_name,
    }


def _get_median(times: Iterable[timedelta]) -> timedelta:
    return timedelta(seconds=statistics.median(each.total_seconds() for each in times))


def _get_height(run_time: timedelta | None, top: timedelta) -> int:
    share = run_time / top if run_time and top else 0.0
    return max(_LEAST_HEIGHT, round(100 * min(share, 1.0)))
