"""Delete finished tasks."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from powercrud_tracking import factory
from powercrud_tracking.actions import availability
from powercrud_tracking.actions.log import ActionResult, Attempt
from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.maintenance.prune import remove_tasks
from powercrud_tracking.records import reading


def delete(task_name: str, *, by: Any = None) -> ActionResult:
    """Delete the row of a finished task with its failed attempts; what people did with it stays.

    Args:
        task_name: the name of the task, in the setting's table.
        by: who deletes it: a user, or text. Nobody is asked for a permission here.

    Returns:
        Done or refused, with a sentence for people.

    Raises:
        django.db.Error: the database refused.
    """
    manager = factory.get_manager()
    attempt = Attempt.begin(manager, Action.DELETE, task_name, by=by)
    record = attempt.find_record()
    if record is None:
        return ActionResult(Outcome.REFUSED, availability.get_unknown(), task_name)
    refusal = availability.find_refusal(Action.DELETE, record)
    if refusal:
        return attempt.refuse(refusal)
    rows = reading.get_rows(manager.config, using=manager.get_database())
    with transaction.atomic(using=rows.db):
        # A task that was started again meanwhile is kept.
        finished = rows.named_task(task_name).finished()
        if remove_tasks(finished, rows, [task_name]):
            return attempt.finish(Outcome.DONE, _("Deleted."))
    return attempt.refuse(_("The task changed meanwhile. Try again."))
