"""Decide from its result and its last progress text whether a task succeeded."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.recording.values import call_or_fall_back
from powercrud_tracking.serialization.bulk_results import (
    describe_bulk_failure,
    describe_bulk_success,
)
from powercrud_tracking.serialization.failures import (
    BULK_WORKERS,
    describe_result,
    is_failed_result,
)
from powercrud_tracking.serialization.redaction import SecretKeys

_last_end: tuple[str, datetime] | None = None
"""The end that was recorded last in this process: django-q2's id of the task, and when it
stopped. Between the completion hook and the signal ``post_execute`` lies django-q2's own code,
and a process handles one end after the other; threads that do so at once write it twice."""


def judge(
    func: str,
    result: Any,
    *,
    is_failed: Callable[[str, Any], bool],
    progress: str | None,
    find_progress: Callable[[], str | None] = lambda: None,
    limit: int,
    redact: SecretKeys | None,
    rolled_back: bool = True,
) -> tuple[Status, str | None]:
    """Return the status and the message of a task that raised no exception.

    Args:
        func: the dotted path of its function.
        result: what it returned.
        is_failed: ``FAILED_RESULT``; if it raises, the built-in one is called.
        progress: its last progress text, if that is known.
        find_progress: called for it where it is needed and not known.
        limit: maximum bytes of the message.
        redact: keys whose values are not shown.
        rolled_back: whether a failed bulk operation has changed nothing.

    Returns:
        Success with a message or ``None``, or failed with the reason.
    """
    failed = call_or_fall_back(is_failed, is_failed_result, func, result)
    if failed or func in BULK_WORKERS:
        # PowerCRUD's bulk workers catch every exception: what became of them is only there.
        progress = progress or find_progress()
    if not failed:
        is_told = progress and func in BULK_WORKERS
        return Status.SUCCESS, describe_bulk_success(str(progress)) if is_told else None
    if not progress:
        return Status.FAILED, describe_result(result, limit=limit, redact=redact)
    if func in BULK_WORKERS:
        return Status.FAILED, describe_bulk_failure(
            progress, redact=redact, rolled_back=rolled_back
        )
    return Status.FAILED, progress


def remember_end(payload: Mapping[str, Any]) -> None:
    """Remember which end has been recorded, for ``is_recorded()``."""
    global _last_end
    task_id, stopped = payload.get("django_q2_task_id"), payload.get("timestamp")
    if task_id is not None and stopped is not None:
        _last_end = (task_id, stopped)


def is_recorded(task_id: str, stopped: datetime) -> bool:
    """Return whether this end is the one that has just been recorded in this process.

    Args:
        task_id: django-q2's id of the task; its name may be used again.
        stopped: when this attempt ended.
    """
    return _last_end == (task_id, stopped)
