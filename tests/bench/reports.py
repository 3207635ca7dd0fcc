"""Many progress reports of one running task."""

from functools import partial

from powercrud.async_manager import AsyncManager

from powercrud_tracking import progress
from powercrud_tracking.factory import get_manager
from tests.bench.meter import Measured, measure, write_table
from tests.support.queue import run_queued_task

TIMES = 10_000

_measured: list[Measured] = []


def report_often(times: int, task_key: str) -> None:
    """What the task does: report progress, and nothing else."""
    with measure() as measured:
        for done in range(times):
            progress.report(done, times)
    _measured.append(measured)


def report_untracked(times: int) -> None:
    """The same reports by PowerCRUD's manager: cache only."""
    manager = AsyncManager()
    with measure() as measured:
        for done in range(times):
            manager.update_progress("untracked", f"{done}/{times}")
    _measured.append(measured)


def report(*, quick: bool) -> str:
    """Return the table of ten thousand reports at the default interval."""
    times = TIMES // 10 if quick else TIMES
    rows = []
    for name, run in {
        "untracked, PowerCRUD's cache only": partial(report_untracked, times),
        "tracked, default interval": partial(_run_tracked, times),
    }.items():
        for _ in range(2):
            run()
        took = min(measured.milliseconds for measured in _measured)
        rows.append((name, took, len(_measured[-1].statements)))
        _measured.clear()
    return write_table([f"{times:,} progress reports", "ms", "SQL statements"], rows)


def _run_tracked(times: int) -> None:
    get_manager().launch_async_task("tests.bench.reports.report_often", times)
    run_queued_task()
