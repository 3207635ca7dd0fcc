"""The end of a task: what is known while it is handled, and whether it was the success it seems."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_q.models import Task
from django_q.utils import get_func_repr

from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.recording.values import call_or_fall_back
from powercrud_tracking.serialization import failures


@dataclass
class Ending:
    """What is known of a task while PowerCRUD handles its end.

    Args:
        func: the path of its function.
        last_progress: its last progress text, which PowerCRUD deletes before it tells the end.
        recorded: whether the end has been written.
    """

    func: str
    last_progress: str | None
    recorded: bool = False


_handled: ContextVar[Ending | None] = ContextVar("powercrud_tracking_ending", default=None)
_recorded: ContextVar[tuple[str, datetime] | None] = ContextVar(
    "powercrud_tracking_ended", default=None
)


@contextmanager
def handle(task: Task, last_progress: str | None) -> Iterator[Ending]:
    """Let the end of a task be handled inside."""
    ending = Ending(get_func_repr(task.func) or "", last_progress)
    token = _handled.set(ending)
    try:
        yield ending
    finally:
        _handled.reset(token)
    if ending.recorded:
        _recorded.set((task.id, task.stopped))


def find_ending() -> Ending | None:
    """Return what is known of the task whose end is being handled here, or ``None``."""
    return _handled.get()


def take_ended() -> tuple[str, datetime] | None:
    """Return which attempt's end was recorded last here, and forget it.

    An attempt is known by django-q2's id of the task and the time when it stopped; a name may
    be used again.
    """
    ended = _recorded.get()
    _recorded.set(None)
    return ended


def judge(
    event: Event,
    brought: Status | None,
    payload: Mapping[str, Any],
    *,
    is_failed: Callable[[str, Any], bool],
    find_last_progress: Callable[[], str | None],
) -> tuple[Event, Status | None, Mapping[str, Any]]:
    """Return a success as it is, or as the failure that its result means.

    Args:
        event: ``complete``, or a ``cleanup`` that brings success.
        brought: the status that the cleanup brings.
        payload: what came with the event.
        is_failed: ``FAILED_RESULT``; if it raises, the built-in one judges.
        find_last_progress: asked where the ending does not know it. Why a task failed stands
            only there: PowerCRUD's bulk workers swallow the rest.
    """
    ending = find_ending()
    func = get_func_repr(payload.get("func")) or (ending.func if ending else "")
    result = payload.get("result")
    if not call_or_fall_back(is_failed, failures.is_failed_result, func, result):
        return event, brought, payload
    text = (ending.last_progress if ending else None) or find_last_progress()
    payload = {**payload, "message": text or f"The task returned {result!r}"}
    if event is Event.COMPLETE:
        return Event.FAIL, None, payload
    return event, Status.FAILED, payload
