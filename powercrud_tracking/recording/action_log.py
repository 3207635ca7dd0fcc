"""What people did with tasks, as rows that outlive the tasks."""

from collections.abc import Iterable

from django.db import models, router

from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.models import AsyncTaskAction
from powercrud_tracking.recording.savepoints import savepoint


def get_actions(
    task_names: Iterable[str], *, using: str | None = None
) -> models.QuerySet[AsyncTaskAction]:
    """Return what was done with these tasks, newest first.

    Args:
        task_names: the names of the tasks.
        using: the alias of the database; the router's choice for reading, unless given.
    """
    actions = AsyncTaskAction.objects.using(using or router.db_for_read(AsyncTaskAction))
    return actions.filter(task_name__in=list(task_names)).order_by("-at", "-pk")


def describe_cancel(task_name: str) -> str:
    """Return the message of a cancelled task: who cancelled it, and why."""
    using = router.db_for_write(AsyncTaskAction)
    with savepoint(using):
        found = (
            get_actions([task_name], using=using)
            .filter(action=Action.CANCEL)
            .exclude(outcome=Outcome.REFUSED)
            .first()
        )
    if found is None:
        return write_cancel_message("", "")
    return write_cancel_message(found.by_label, found.reason)


def write_cancel_message(by_label: str, reason: str) -> str:
    """Return the message of a task that this person cancelled for this reason.

    Args:
        by_label: of the user; empty if nobody is known.
        reason: in the words of the user, may be empty.
    """
    who = f"Cancelled by {by_label}" if by_label else "Cancelled"
    return f"{who}: {reason}" if reason else f"{who}."
