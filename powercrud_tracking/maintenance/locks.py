"""Release the locks and cached progress that PowerCRUD still holds for tasks that have ended."""

from typing import Any

from django_q.models import Task

from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.maintenance.reconcile import reconcile
from powercrud_tracking.records import reading
from powercrud_tracking.records.cached_progress import find_cached_progress


def release_ended_tasks(manager: Any) -> dict[str, Any]:
    """Reconcile, and release the locks and progress of tasks that have ended.

    PowerCRUD's own ``cleanup_completed_tasks()`` takes a missing result for the end of a task,
    and so releases the locks of queued and running tasks (seen with 0.9.16).

    Args:
        manager: the ``ModelTrackingAsyncManager`` whose table is reconciled.

    Returns:
        PowerCRUD's summary with ``active_tasks`` (a number), ``cleaned`` and ``skipped`` (by task
        name).
    """
    report = reconcile(manager)
    active = manager.get_active_tasks()
    summary: dict[str, Any] = {"active_tasks": len(active), "cleaned": {}, "skipped": {}}
    for task_name in sorted(active):
        end = _find_end(manager, task_name)
        if end is None:
            summary["skipped"][task_name] = report.left.get(task_name, "it has not ended")
        else:
            summary["cleaned"][task_name] = _release(manager, task_name, end)
    return summary


def _find_end(manager: Any, task_name: str) -> str | None:
    """Return the final status of a task, or ``None`` if neither its row nor django-q2 has one."""
    record = reading.find_record(task_name, manager.config)
    if record is not None and record.status is not None:
        return None if record.is_open else str(record.status)
    # Its table keeps no status, or it is not recorded: all managers share the active tasks.
    task = Task.objects.filter(name=task_name).only("success").first()
    if task is None:
        return None
    return str(Status.SUCCESS if task.success else Status.FAILED)


def _release(manager: Any, task_name: str, end: str) -> dict[str, Any]:
    locks = manager.cache.get(f"{manager.conflict_prefix}{task_name}") or ()
    progress = find_cached_progress(task_name, manager)
    manager.remove_active_task(task_name)
    # A cancelled one is cleaned when its delivery has been refused, and not before.
    is_recorded = reading.find_record(task_name, manager.config) is not None
    if is_recorded and end != Status.CANCELLED:
        manager._emit_lifecycle(Event.CLEANUP, task_name)
    return {
        "reason": end,
        "conflict_lock_keys": len(locks),
        "progress_entries": 0 if progress is None else 1,
        "dashboard_records": 0,
    }
