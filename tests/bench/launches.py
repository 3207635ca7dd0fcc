"""What tracking adds to a launch and to a whole task."""

import statistics

from powercrud.async_manager import AsyncManager

from powercrud_tracking.factory import get_manager
from tests.bench.meter import measure, time_call, write_table
from tests.support.queue import run_queued_task

FUNC = "tests.project.tasks.add"


def report(*, quick: bool) -> str:
    """Return the table of launches and tasks, untracked and tracked."""
    managers = {"untracked": AsyncManager(), "tracked": get_manager()}
    launches = {name: [] for name in managers}
    tasks = {name: [] for name in managers}
    for _ in range(40 if quick else 100):
        for name, manager in managers.items():
            launched = time_call(manager.launch_async_task, FUNC, 1, 2)
            worked = time_call(run_queued_task)
            launches[name].append(launched)
            tasks[name].append(launched + worked)
    rows = []
    for name, manager in managers.items():
        with measure() as launch:
            manager.launch_async_task(FUNC, 1, 2)
        with measure() as work:
            run_queued_task()
        counts = len(launch.statements), len(launch.statements) + len(work.statements)
        rows.append(_build_row(name, launches[name], tasks[name], counts))
    difference = [rows[1][column] - rows[0][column] for column in range(1, 5)]
    return write_table(
        ["", "launch, ms", "statements", "whole task, ms", "statements"],
        [*rows, ("difference", *difference)],
    )


def _build_row(
    name: str, launches: list[float], tasks: list[float], counts: tuple[int, int]
) -> tuple[str, float, int, float, int]:
    return name, statistics.median(launches), counts[0], statistics.median(tasks), counts[1]
