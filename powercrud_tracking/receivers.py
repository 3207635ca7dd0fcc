"""Receivers that turn django-q2's signals into events.

django-q2 sends them without ``send_robust``: a receiver that raises before a task kills the
worker, and the task is delivered again without end. So none of these ever raises, and a task
that this package does not record costs two look-ups in dicts.
"""

import functools
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import Task
from django_q.signals import post_execute, post_execute_in_worker, pre_enqueue, pre_execute
from django_q.utils import get_func_repr

from powercrud_tracking import factory
from powercrud_tracking.config import packing
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.config.packing import PACKAGE_KEY
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.managers import (
    ModelTrackingAsyncManager,
    build_manager,
    find_named_manager,
)
from powercrud_tracking.recording import outcomes
from powercrud_tracking.recording.bulk import arguments as bulk_arguments
from powercrud_tracking.recording.cancellation import (
    finish_refusal,
    refuse_delivery,
    stop_delivery,
)
from powercrud_tracking.recording.launches import HOOK, find_launching_manager
from powercrud_tracking.recording.lock_limits import limit_waiting
from powercrud_tracking.recording.running import RunningTask, enter_task, leave_task
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import find_record
from powercrud_tracking.serialization.bulk_results import add_nothing_changed
from powercrud_tracking.serialization.failures import BULK_WORKERS, is_failed_result

logger = logging.getLogger("powercrud_tracking")

POWERCRUD_TRACKER = "powercrud.async_dashboard.ModelTrackingAsyncManager"
"""The manager path in tasks that were queued while PowerCRUD's own tracker was in use."""


def connect() -> None:
    """Listen to django-q2; called once, when the app is ready."""
    pre_enqueue.connect(add_manager_reference, dispatch_uid="powercrud_tracking")
    pre_execute.connect(start, dispatch_uid="powercrud_tracking")
    post_execute_in_worker.connect(leave, dispatch_uid="powercrud_tracking")
    post_execute.connect(end, dispatch_uid="powercrud_tracking")


def _never_raising(receiver: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(receiver)
    def guarded(*, task: dict[str, Any], **kwargs: Any) -> None:
        try:
            receiver(task=task)
        except Exception:
            logger.exception("Could not %s task %s.", receiver.__name__, task.get("name"))

    return guarded


@_never_raising
def add_manager_reference(*, task: dict[str, Any], **kwargs: Any) -> None:
    """Put into the queued package what the worker needs to build the same manager."""
    # An existing value is trusted: only this package can have written it.
    task.pop(PACKAGE_KEY, None)
    manager = find_launching_manager(task["name"]) or _find_manager_of_predecessor(task)
    if manager is not None:
        task[PACKAGE_KEY] = manager.get_manager_reference()


def _find_manager_of_predecessor(task: Mapping[str, Any]) -> ModelTrackingAsyncManager | None:
    """Return a manager for a task that django-q2's admin queues again, if the first is recorded."""
    task_key = task["kwargs"].get("task_key")
    if task.get("hook") != HOOK or not task_key or task_key == task["name"]:
        return None
    if "manager_class" in task["kwargs"]:
        return None
    with savepoint(router.db_for_read(get_record_map(get_config()).model)):
        is_ours = find_record(task_key) is not None
    return factory.get_manager() if is_ours else None


def find_manager(task: Mapping[str, Any]) -> ModelTrackingAsyncManager | None:
    """Return the manager that records this task, or ``None`` if the task is not recorded.

    Args:
        task: django-q2's package. Its own key has been written by our launch; its arguments by
            anybody.
    """
    reference = task.get(PACKAGE_KEY)
    if reference is None:
        return find_named_manager(task["kwargs"])
    path = reference["manager_class"]
    # It is not signed if it was queued by an earlier version.
    manager = build_manager(path, packing.sign(reference["manager_config"], path=path))
    # PowerCRUD has logged why a manager cannot be built. The task is recorded all the same.
    return factory.get_manager() if manager is None else manager


def _name_manager(manager: ModelTrackingAsyncManager, kwargs: dict[str, Any]) -> None:
    """Let the function and the hook of a task build the manager that records it.

    PowerCRUD's build theirs from the arguments, which may be unsigned or name another.
    """
    if "manager_class" in kwargs:
        reference = manager.get_manager_reference()
        kwargs |= {key: reference[key] for key in reference.keys() & kwargs.keys()}


def _take_over(task: Mapping[str, Any]) -> bool:
    """Record a task here that PowerCRUD's tracker launched into the same table.

    It was queued before the settings changed. Its function and its hook find their manager by
    the same argument.

    Returns:
        Whether the task was taken over.
    """
    kwargs = task["kwargs"]
    config = kwargs.get("manager_config")
    if kwargs.get("manager_class") != POWERCRUD_TRACKER or not isinstance(config, Mapping):
        return False
    if str(config.get("record_model_path")).lower() != get_config().record_model.lower():
        return False
    try:
        kwargs |= factory.get_manager().get_manager_reference()
    except ImproperlyConfigured as exc:
        logger.warning("Task %s stays with PowerCRUD's tracker: %s", task["name"], exc)
        return False
    return True


def _record_owner(manager: ModelTrackingAsyncManager, task: Mapping[str, Any]) -> None:
    """Fill in who launched a task that PowerCRUD's tracker recorded, which keeps no key."""
    selection = bulk_arguments.find_selection(get_func_repr(task["func"]), task["args"])
    if selection is not None:
        manager.async_task_lifecycle(
            Event.CREATE,
            task["name"],
            user=bulk_arguments.find_users([selection.user_id]).get(str(selection.user_id)),
            affected_objects=selection.objects,
            func=task["func"],
        )


@_never_raising
def start(*, task: dict[str, Any], **kwargs: Any) -> None:
    """Record the start of a task in the worker."""
    is_taken_over = _take_over(task)
    manager = find_manager(task)
    if manager is not None:
        _name_manager(manager, task["kwargs"])
    elif not task["kwargs"].get("manager_class"):
        return
    running = RunningTask(
        task_name=task["name"],
        task_key=task["kwargs"].get("task_key", task["name"]),
        manager=manager,
        start={
            "status": Status.IN_PROGRESS,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "func": task["func"],
            "task_args": list(task["args"]),
            "task_kwargs": task["kwargs"],
            "group": task.get("group"),
            # A cluster adds its name. With sync there is none.
            "cluster": task.get("cluster") or Conf.CLUSTER_NAME,
            "django_q2_task_id": task["id"],
            "timestamp": timezone.now(),
        },
    )
    enter_task(running)
    if manager is None:
        return
    with limit_waiting(manager.get_database()):
        _record_start(running)
        if is_taken_over:
            _record_owner(manager, task)
    if running.is_refused:
        refuse_delivery(task)


def _record_start(running: RunningTask) -> None:
    running.manager.async_task_lifecycle(Event.START, running.task_name, **running.start)


@_never_raising
def leave(*, task: dict[str, Any], **kwargs: Any) -> None:
    """Write a task's pending start and progress when the worker has finished it."""
    running = leave_task(task["name"])
    if running is None or running.manager is None:
        return
    if running.is_refused:
        finish_refusal(task)
        return
    is_stopped = running.stop_message is not None and _is_failed(task)
    if is_stopped:
        stop_delivery(task)
    elif running.is_started and not running.is_holding:
        return
    with limit_waiting(running.manager.get_database()):
        if not running.is_started:
            _record_start(running)
        running.flush()
        if is_stopped:
            _record_stop(running, task)


def _record_stop(running: RunningTask, task: Mapping[str, Any]) -> None:
    """Record that a task has stopped because somebody has asked it to.

    On SQLite the request may not be on its row yet: its transaction has kept it out.
    """
    message = running.stop_message or ""
    is_bulk = get_func_repr(task["func"]) in BULK_WORKERS
    if is_bulk and bulk_arguments.is_rolled_back(task["kwargs"]):
        message = add_nothing_changed(message)
    running.manager.async_task_lifecycle(
        Event.CANCEL, running.task_name, message=message, timestamp=timezone.now()
    )


def _is_failed(task: Mapping[str, Any]) -> bool:
    func = get_func_repr(task["func"]) or ""
    return not task.get("success") or is_failed_result(func, task["result"])


@_never_raising
def end(*, task: dict[str, Any], **kwargs: Any) -> None:
    """Record the end of a task in the monitor, unless its hook has just done so.

    The hook hangs on the saved result: with ``save=False``, ``save_limit`` -1 or ``cached``
    there is none, and a launch that names no manager brings it to PowerCRUD's plain one.
    """
    if outcomes.is_recorded(task["id"], task["stopped"]):
        return
    manager = find_manager(task)
    if manager is not None:
        known = {field.name for field in Task._meta.concrete_fields}
        kept = {key: value for key, value in task.items() if key in known}
        manager.handle_task_completion(Task(**kept), task["name"])
