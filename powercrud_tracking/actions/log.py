"""The result of an action, and its row in the table of actions."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import models, router, transaction

from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.models import AsyncTaskAction
from powercrud_tracking.recording.values import call_or_fall_back
from powercrud_tracking.records import reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization import labels
from powercrud_tracking.serialization.payloads import clean, cut
from powercrud_tracking.signals import task_acted

_LABEL_LENGTH = 255
_REASON_LENGTH = 1000


class ActionResult(NamedTuple):
    """What became of an action.

    Args:
        outcome: ``"done"``, ``"requested"`` (a running task has been asked to stop) or
            ``"refused"``.
        message: a sentence for people, translated.
        task_name: the name of the task; after a retry that of the new one.
    """

    outcome: Outcome
    message: str
    task_name: str


@dataclass(frozen=True)
class Attempt:
    """One person's action on one task.

    Args:
        manager: the ``ModelTrackingAsyncManager`` of the setting's table.
        action: what is to be done.
        task_name: the name of the task.
        by: who does it: a user, text, or ``None`` if nobody is known.
        by_label: of that person, as the rows show it.
        reason: in the words of that person.
        at: when.
    """

    manager: Any
    action: Action
    task_name: str
    by: Any
    by_label: str
    reason: str
    at: datetime

    @classmethod
    def begin(
        cls, manager: Any, action: Action, task_name: str, *, by: Any, reason: str = ""
    ) -> "Attempt":
        """Return an action of this moment, with a reason that fits its column."""
        label = ""
        if by is not None:
            label = str(call_or_fall_back(manager.format_user, labels.describe, by))
        return cls(
            manager,
            action,
            task_name,
            by,
            by_label=cut(clean(label), _LABEL_LENGTH),
            reason=cut(clean(reason).strip(), _REASON_LENGTH),
            at=get_time(None),
        )

    def find_record(self) -> Record | None:
        """Return the task as it is now, in the database to which actions are written."""
        using = self.manager.get_database()
        return reading.find_record(self.task_name, self.manager.config, using=using)

    def finish(self, outcome: Outcome, message: str, new_task_name: str = "") -> ActionResult:
        """Write the row of this action, and send ``task_acted`` once it is committed."""
        using = router.db_for_write(AsyncTaskAction)
        AsyncTaskAction.objects.using(using).create(
            task_name=cut(self.task_name, 255),
            action=self.action,
            by_id=str(self.by.pk) if isinstance(self.by, get_user_model()) else "",
            by_label=self.by_label,
            at=self.at,
            reason=self.reason,
            outcome=outcome,
            message=str(message),
            new_task_name=new_task_name,
        )
        send = partial(
            task_acted.send_robust,
            sender=self.get_model(),
            task_name=self.task_name,
            action=self.action,
            outcome=outcome,
            by=self.by,
            reason=self.reason,
            message=str(message),
            new_task_name=new_task_name,
        )
        transaction.on_commit(send, using=using, robust=True)
        return ActionResult(outcome, str(message), new_task_name or self.task_name)

    def refuse(self, message: str) -> ActionResult:
        """Write that this action was refused, and why."""
        return self.finish(Outcome.REFUSED, message)

    def get_model(self) -> type[models.Model]:
        """Return the record model."""
        return reading.get_rows(self.manager.config).model
