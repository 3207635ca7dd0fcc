"""The events of one task: create, five times progress, complete, cleanup."""

import uuid
from typing import Any

from django.db import connection
from powercrud.async_dashboard import AsyncDashboardConfig
from powercrud.async_dashboard import ModelTrackingAsyncManager as PowerCRUDTracker

from powercrud_tracking.factory import get_manager
from tests.bench.meter import compare, measure, write_table

FASTER = 5.0
"""Aim: at least so many times faster than PowerCRUD's tracker."""
OVERHEAD = {"sqlite": 1.55, "postgresql": 1.35}
"""Aim: at most so many times the time of the bare statements, by database."""
STATEMENTS = 8

ARGS = [[1, 2, 3], "price"]
KWARGS = {"field": "price", "value": 12, "note": "spring sale"}
OBJECTS = {"project.Widget": {1, 2, 3}}
RESULT = {"updated": 3, "skipped": 0}


def live(manager: Any, user: Any = None) -> str:
    """Send all events of one task, as PowerCRUD sends them."""
    task_name = str(uuid.uuid4())
    manager._emit_lifecycle(
        "create",
        task_name,
        status="pending",
        message="Task queued",
        user=user,
        affected_objects=OBJECTS,
        task_args=ARGS,
        task_kwargs=KWARGS,
    )
    for done in range(1, 6):
        text = f"updating: {done}/5"
        manager._emit_lifecycle(
            "progress", task_name, status="in_progress", message=text, progress_payload=text
        )
    manager._emit_lifecycle(
        "complete", task_name, status="success", message="Task completed", result=RESULT
    )
    manager._emit_lifecycle("cleanup", task_name, status="success", message="Cleanup complete")
    return task_name


def report(*, quick: bool) -> str:
    """Return the table of the events by this package, by PowerCRUD's tracker and by bare SQL."""
    ours = get_manager(progress_interval=0)
    theirs = PowerCRUDTracker(AsyncDashboardConfig("powercrud_tracking.AsyncTaskRecord"))
    live(ours)  # compiles the statements
    with measure() as our_life:
        task_name = live(ours)
    with measure() as their_life:
        live(theirs)

    def live_bare() -> None:
        fresh = str(uuid.uuid4())
        for sql, params in our_life.statements:
            with connection.cursor() as cursor:
                cursor.execute(sql, [fresh if value == task_name else value for value in params])

    took = compare(
        {
            "this package": lambda: live(ours),
            "PowerCRUD's tracker": lambda: live(theirs),
            "bare SQL": live_bare,
        },
        rounds=5 if quick else 11,
        times=10 if quick else 25,
    )
    us, them, bare = took.values()
    statements = len(our_life.statements), len(their_life.statements), len(our_life.statements)
    aims = write_table(
        ["", "measured", "aim"],
        [
            ("times faster than PowerCRUD's tracker", them / us, f"at least {FASTER}"),
            ("times bare SQL", us / bare, f"at most {OVERHEAD[connection.vendor]}"),
            ("SQL statements", statements[0], STATEMENTS),
            ("Python code of this package, ms", us - bare, ""),
        ],
    )
    lives = write_table(
        ["8 events of one task", "ms", "SQL statements"],
        [(name, took[name], count) for name, count in zip(took, statements, strict=True)],
    )
    return f"{lives}\n\n{aims}"
