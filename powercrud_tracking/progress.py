"""Progress from any task function, and whether it is to stop."""

import operator
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

from powercrud_tracking.recording.cancellation import TaskCancelled
from powercrud_tracking.recording.running import find_running_task

__all__ = ["TaskCancelled", "check_cancelled", "report", "touches", "track"]

_REPORT_EVERY = 0.2
"""Minimum number of seconds between two reports of ``track()``."""


def report(current: float, total: float | None, message: str = "") -> None:
    """Report how far the running task is; outside a task this does nothing.

    Args:
        current: how much is done, in any unit.
        total: how much there is, in the same unit; ``None`` if unknown.
        message: a few words in front of the numbers.

    Raises:
        TaskCancelled: somebody has asked to cancel the task; see ``check_cancelled()``.
    """
    running = find_running_task()
    if running is not None and running.manager is not None:
        share = f"{current}" if total is None else f"{current}/{total}"
        text = f"{message}: {share}" if message else share
        running.manager.update_progress(running.task_name, text)


def check_cancelled() -> None:
    """Stop the running task here if somebody has asked to cancel it.

    PowerCRUD's cache is asked at most every 0.2 seconds; outside a task this does nothing.

    Raises:
        TaskCancelled: somebody has. Let it pass, after undoing what must be undone: a task that
            fails then is recorded as cancelled and is not run again, and one that finishes all the
            same as a success.
    """
    running = find_running_task()
    if running is not None and running.manager is not None:
        running.raise_if_cancelled()


def touches(obj: Any) -> None:
    """Link the running task to objects that it works on; outside a task this does nothing.

    If a transaction of the database with the records is rolled back, so are its links.

    Args:
        obj: a model instance, a queryset, ``("shop.book", keys)``, or a list of these.

    Raises:
        TypeError: it is something else.
    """
    running = find_running_task()
    if running is not None and running.manager is not None:
        running.manager.link(running.task_name, obj)


def track[T](iterable: Iterable[T], total: int | None = None, message: str = "") -> Iterator[T]:
    """Yield the items of an iterable and report how many are done.

    Args:
        iterable: what the task works on.
        total: how many there are; asked of the iterable unless given.
        message: a few words in front of the numbers.

    Raises:
        TaskCancelled: somebody has asked to cancel the task; see ``check_cancelled()``.
    """
    if total is None:
        total = operator.length_hint(iterable, -1)
        total = None if total < 0 else total
    done, told, reported_at = 0, -1, 0.0
    for item in iterable:
        if monotonic() - reported_at >= _REPORT_EVERY:
            report(done, total, message)
            told, reported_at = done, monotonic()
        yield item
        done += 1
    if told != done:
        report(done, total, message)
