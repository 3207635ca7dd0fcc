"""Which actions a task allows, why not, and what they will do."""

from collections.abc import Sequence

from django.core.cache.backends.db import DatabaseCache
from django.db import connections, router
from django.utils.translation import gettext as _
from django_q.models import Task

from powercrud_tracking import factory
from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.lifecycle import Action, Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.recording.attempts import get_attempts
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records import mapping
from powercrud_tracking.records.derived import NextAttempt, find_redelivery
from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization.failures import BULK_WORKERS

NEEDED = {
    Action.CANCEL: ("status", "cancel_requested_at"),
    Action.RETRY: ("status", "queue_id", "retried_by", "cancel_requested_at"),
    Action.DELETE: ("status",),
}
"""Action to the logical names that a table must store for it."""

_RUNS_AGAIN = frozenset({NextAttempt.LIMITED, NextAttempt.UNLIMITED})


def get_unknown() -> str:
    """Return what is said about a task that has no row."""
    return _("There is no task of this name.")


def find_missing(action: Action) -> list[str]:
    """Return the logical names that the setting's table lacks for an action."""
    config = get_config()
    fields = mapping.get_record_map(config).fields
    needed = [name for name in NEEDED[action] if name not in fields]
    # The project's own function finds the task in its own way.
    return [name for name in needed if name != "queue_id" or config.retry is None]


def find_refusal(action: Action, record: Record) -> str | None:
    """Return why this action is not possible on a task as it is, or ``None``.

    A row of the setting's table; for a finished task this asks django-q2's table.
    """
    missing = find_missing(action)
    if action is Action.CANCEL and record.status in {Status.PENDING, Status.LOST}:
        # Nobody has to be asked.
        missing = []
    if missing:
        return _("The record table has no field for: %(names)s.") % {"names": ", ".join(missing)}
    match action:
        case Action.CANCEL:
            return _find_refusal_of_cancel(record)
        case Action.RETRY:
            return _find_refusal_of_retry(record)
    return _find_refusal_of_delete(record)


def _find_refusal_of_cancel(record: Record) -> str | None:
    if record.status in {Status.PENDING, Status.LOST}:
        return None
    if record.status is Status.CANCELLED:
        return _("It has been cancelled already.")
    if record.cancel_requested_at and record.status is Status.IN_PROGRESS:
        return _("It has been asked to stop already.")
    if record.status is Status.IN_PROGRESS:
        return None
    if record.status is Status.FAILED and runs_again(record):
        return None
    return _("It has ended already.")


def runs_again(record: Record, attempts: Sequence[AsyncTaskAttempt] | None = None) -> bool:
    """Return whether django-q2 will run a failed task again.

    Args:
        record: the task.
        attempts: its failed attempts, newest first; read unless given.
    """
    if attempts is None:
        found = get_attempts([record.task_name])
        with savepoint(found.db):
            attempts = list(found)
    redelivery = find_redelivery(record, attempts, setting.get_queue_settings())
    return redelivery.next_attempt in _RUNS_AGAIN


def _find_refusal_of_retry(record: Record) -> str | None:
    if record.is_open or record.status is None:
        return _("It has not ended.")
    if record.retried_by:
        return _("It has been retried already.")
    if get_config().retry is None and find_task(record) is None:
        return get_missing(record)
    return None


def find_task(record: Record) -> Task | None:
    """Return django-q2's row of a task, if a new task can be made of it."""
    if not record.queue_id:
        return None
    with savepoint(router.db_for_read(Task)):
        task = Task.objects.filter(id=record.queue_id).first()
    # Arguments that can no longer be unpickled are text.
    if task is None or not isinstance(task.args, tuple | list) or not isinstance(task.kwargs, dict):
        return None
    return task


def get_missing(record: Record) -> str:
    """Return why a task without a row of django-q2 cannot be retried."""
    if record.status is Status.CANCELLED and record.cleaned is False:
        return _("It is still in the queue. It can be retried once a cluster has discarded it.")
    if record.status is Status.LOST:
        return _("django-q2 has kept nothing of a lost task, so that its arguments are unknown.")
    return _("django-q2 no longer has this task, so that its arguments are unknown.")


def _find_refusal_of_delete(record: Record) -> str | None:
    if record.is_open or record.status is None:
        return _("It has not ended.")
    if record.status is Status.CANCELLED and record.cleaned is False:
        # Without its row the delivery would not be refused.
        return _("It is still in the queue. It can be deleted once a cluster has discarded it.")
    return None


# --- what will happen --------------------------------------------------------------------


def describe(action: Action, record: Record) -> str:
    """Return what an action will do to a task as it is, in words."""
    match action:
        case Action.RETRY:
            return _("Queues a new task with the same function and arguments.")
        case Action.DELETE:
            return _("Deletes the record of this task.")
    match record.status:
        case Status.IN_PROGRESS:
            return " ".join(_describe_stop(record))
        case Status.FAILED:
            return _("It will not be run again.")
        case Status.LOST:
            return _("If it is delivered again, it will not be run.")
    return _("It will not be run.")


def _describe_stop(record: Record) -> list[str]:
    if record.func in BULK_WORKERS:
        words = [_("Stops at its next progress report. Its changes are rolled back.")]
        if _hides_flag():
            words.append(
                _("PowerCRUD's cache is in the database: the task may notice only after its end.")
            )
        return words
    if not record.progress_text:
        return [_("It has reported no progress so far. A task that never does runs to its end.")]
    return [_("Stops at its next progress report.")]


def _hides_flag() -> bool:
    """Return whether a transaction may not see what others write to PowerCRUD's cache.

    On SQLite and MySQL it reads what was there when it began.
    """
    cache = factory.get_manager().cache
    if not isinstance(cache, DatabaseCache):
        return False
    return connections[router.db_for_read(cache.cache_model_class)].vendor in {"sqlite", "mysql"}
