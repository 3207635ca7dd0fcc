"""Cancel tasks: those in the queue at once, running ones by asking them to stop."""

from functools import partial
from typing import Any

from django.db import connections, transaction
from django.utils.translation import gettext as _

from powercrud_tracking import factory
from powercrud_tracking.actions import availability
from powercrud_tracking.actions.log import ActionResult, Attempt
from powercrud_tracking.lifecycle import Action, Event, Outcome, Status
from powercrud_tracking.recording.action_log import write_cancel_message
from powercrud_tracking.recording.cancellation import set_flag
from powercrud_tracking.records.reading import Record


def cancel(task_name: str, *, by: Any = None, reason: str = "") -> ActionResult:
    """Cancel a task.

    A queued task is cancelled at once: its delivery will be refused. A running one is asked to
    stop, and does so at its next progress report. A failed one that django-q2 would deliver
    again is not run again.

    Args:
        task_name: the name of the task, in the setting's table.
        by: who cancels it: a user, or text such as ``"night shift"``. Nobody is asked for a
            permission here.
        reason: shown on the pages of the task.

    Returns:
        Done, requested (of a running task) or refused, with a sentence for people.

    Raises:
        django.db.Error: the database refused.
    """
    attempt = Attempt.begin(factory.get_manager(), Action.CANCEL, task_name, by=by, reason=reason)
    record = attempt.find_record()
    while record is not None:
        refusal = availability.find_refusal(Action.CANCEL, record)
        if refusal:
            return attempt.refuse(refusal)
        result = _cancel(attempt, record)
        if result is not None:
            return result
        # A worker or another person was faster; then the task is what they have made of it.
        before, record = record, attempt.find_record()
        if record is not None and record.status is before.status:
            return attempt.refuse(_("The task changed meanwhile. Try again."))
    return ActionResult(Outcome.REFUSED, availability.get_unknown(), task_name)


def _cancel(attempt: Attempt, record: Record) -> ActionResult | None:
    """Cancel a task if it still has the status of this record."""
    assert record.status is not None
    if record.status in {Status.IN_PROGRESS, Status.FAILED}:
        return _request(attempt, record, record.status)
    with transaction.atomic(using=attempt.manager.get_database()):
        attempt.manager.async_task_lifecycle(
            Event.CANCEL,
            attempt.task_name,
            message=write_cancel_message(attempt.by_label, attempt.reason),
            timestamp=attempt.at,
            only_on=frozenset({record.status}),
        )
        written = attempt.find_record()
        if written is None or not _is_cancelled(written, attempt):
            return None
        result = attempt.finish(Outcome.DONE, _("Cancelled."))
        _on_commit(attempt, partial(attempt.manager.release, attempt.task_name))
    return result


def _is_cancelled(record: Record, attempt: Attempt) -> bool:
    return record.status is Status.CANCELLED and record.cancelled_at in {attempt.at, None}


def _request(attempt: Attempt, record: Record, status: Status) -> ActionResult | None:
    """Ask a running task to stop; keep a failed one from being run again."""
    heard: list[bool] = []
    if status is Status.IN_PROGRESS and _is_kept_out(attempt):
        heard.append(_set_flag(attempt, record))
    with transaction.atomic(using=attempt.manager.get_database()):
        attempt.manager.async_task_lifecycle(
            Event.CANCEL_REQUEST,
            attempt.task_name,
            timestamp=attempt.at,
            only_on=frozenset({status}),
        )
        written = attempt.find_record()
        if written is not None and written.status is Status.CANCELLED and heard == [True]:
            # It has stopped meanwhile, and its worker has said so.
            return attempt.finish(Outcome.DONE, _("Cancelled."))
        if written is None or written.cancel_requested_at != attempt.at:
            return None
        if status is Status.FAILED:
            return attempt.finish(Outcome.DONE, _("It will not be run again."))
        result = attempt.finish(Outcome.REQUESTED, _("The task was asked to stop."))
        if not heard:
            _on_commit(attempt, lambda: heard.append(_set_flag(attempt, record)))
    if heard == [False]:
        text = _(
            "The task was asked to stop, but PowerCRUD's cache does not answer: the task may not"
            " notice. It will not be run again."
        )
        return result._replace(message=text)
    return result


def _is_kept_out(attempt: Attempt) -> bool:
    """Return whether the transaction of a task keeps others from writing to its row.

    SQLite has one writer at a time: there the flag is set first, and the row is written when
    its transaction has been rolled back.
    """
    return connections[attempt.manager.get_database()].vendor == "sqlite"


def _set_flag(attempt: Attempt, record: Record) -> bool:
    message = write_cancel_message(attempt.by_label, attempt.reason)
    return set_flag(attempt.manager, attempt.task_name, record.queue_id, message)


def _on_commit(attempt: Attempt, function: Any) -> None:
    transaction.on_commit(function, using=attempt.manager.get_database(), robust=True)
