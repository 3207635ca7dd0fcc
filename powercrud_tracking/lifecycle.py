"""The statuses of a task, its events, and the table of what each event does to its row.

This module does not use the database: ``recording.statements`` compiles the table into SQL, and
the tests use it as a model. The table reads like the one in the documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Status(TextChoices):
    """The statuses of a task."""

    PENDING = "pending", _("Queued")
    IN_PROGRESS = "in_progress", _("Running")
    SUCCESS = "success", _("Succeeded")
    FAILED = "failed", _("Failed")
    LOST = "lost", _("Lost")
    CANCELLED = "cancelled", _("Cancelled")


ALL = frozenset(Status)
OPEN = frozenset({Status.PENDING, Status.IN_PROGRESS})
FINISHED = ALL - OPEN
FAILURES = frozenset({Status.FAILED, Status.LOST})
SUCCESSFUL = frozenset({Status.SUCCESS})
CANCELLED = frozenset({Status.CANCELLED})
FINAL = SUCCESSFUL | CANCELLED


_BY_VALUE: Mapping[Any, Status] = {status.value: status for status in Status}


def find_status(value: object) -> Status | None:
    """Return the status that a row or a payload names; ``None`` for any other text."""
    return _BY_VALUE.get(value) if isinstance(value, str) else None


class Action(TextChoices):
    """What a person can do with a task."""

    CANCEL = "cancel", _("Cancel")
    RETRY = "retry", _("Retry")
    DELETE = "delete", _("Delete")


class Outcome(TextChoices):
    """What became of an action."""

    DONE = "done", _("Done")
    REQUESTED = "requested", _("Requested")
    REFUSED = "refused", _("Refused")


class Event(StrEnum):
    """The events of a task."""

    CREATE = "create"
    START = "start"
    PROGRESS = "progress"
    COMPLETE = "complete"
    FAIL = "fail"
    CLEANUP = "cleanup"
    LOST = "lost"
    CANCEL_REQUEST = "cancel_request"
    CANCEL = "cancel"
    RETRY = "retry"

    @classmethod
    def _missing_(cls, value: object) -> "Event | None":
        # PowerCRUD's own documentation of the hook calls a failure "error".
        return cls.FAIL if value == "error" else None


@dataclass(frozen=True, kw_only=True)
class Write:
    """When the value that comes with an event is written into its field.

    Args:
        unless: not on a row with one of these statuses.
        if_empty: on a row with one of these statuses only if the field is empty.
    """

    unless: frozenset[Status] = frozenset()
    if_empty: frozenset[Status] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one event does to a row.

    Args:
        moves: status before the event to status after it; a status not named stays.
        writes: logical name to the condition under which its value is written.
        clears: logical name to the statuses on which the field is emptied.
        increments: logical names that go up by one each time.
        accepts_status: an open row takes the status that comes with the event, if one does.
        inserts: a missing row is inserted, as if it had been pending before the event.
        only_on: a row with another status is left alone.
        unless_filled: a row in which one of these logical names has a value is left alone.
    """

    moves: Mapping[Status, Status] = field(default_factory=dict)
    writes: Mapping[str, Write]
    clears: Mapping[str, frozenset[Status]] = field(default_factory=dict)
    increments: frozenset[str] = frozenset()
    accepts_status: bool = False
    inserts: bool = True
    only_on: frozenset[Status] = ALL
    unless_filled: frozenset[str] = frozenset()


def _to(target: Status, sources: frozenset[Status]) -> dict[Status, Status]:
    return dict.fromkeys(sorted(sources), target)


_ALWAYS = Write()
_IF_EMPTY = Write(if_empty=ALL)
_UNLESS_FINAL = Write(unless=FINAL)
_WHILE_OPEN = Write(unless=FINISHED)
_CANCEL_REQUESTED = frozenset({"cancel_requested_at"})

TABLE: Mapping[Event, Rule] = {
    Event.CREATE: Rule(
        writes={
            "user": _IF_EMPTY,
            "launched_by_id": _IF_EMPTY,
            "objects": _IF_EMPTY,
            "args": _IF_EMPTY,
            "kwargs": _IF_EMPTY,
            "func": _IF_EMPTY,
            "group": _IF_EMPTY,
            "cluster": _IF_EMPTY,
            "extra": _IF_EMPTY,
            "created_at": _IF_EMPTY,
            "message": _IF_EMPTY,
            "retry_of": _IF_EMPTY,
            "queue_id": _ALWAYS,
        },
    ),
    # A delivery whose start leaves its row alone is refused: the function is not called.
    Event.START: Rule(
        only_on=ALL - CANCELLED,
        unless_filled=_CANCEL_REQUESTED,
        moves=_to(Status.IN_PROGRESS, ALL - FINAL),
        writes={
            # A start that arrives after the success it led to fills what is missing, so
            # that the row ends the same in either order.
            "started_at": Write(if_empty=SUCCESSFUL),
            "worker": Write(if_empty=SUCCESSFUL),
            "func": _IF_EMPTY,
            "args": _IF_EMPTY,
            "kwargs": _IF_EMPTY,
            "group": _IF_EMPTY,
            "cluster": _IF_EMPTY,
            "queue_id": _IF_EMPTY,
        },
        clears={"failed_at": FAILURES, "cleaned": FAILURES},
        increments=frozenset({"attempts"}),
    ),
    Event.PROGRESS: Rule(
        moves=_to(Status.IN_PROGRESS, OPEN | {Status.LOST}),
        writes={"progress": Write(if_empty=FINAL | {Status.FAILED})},
        # A running task has no end time.
        clears={"failed_at": frozenset({Status.LOST})},
    ),
    Event.COMPLETE: Rule(
        moves=_to(Status.SUCCESS, ALL),
        writes={"result": _ALWAYS, "message": _ALWAYS, "completed_at": _ALWAYS},
        # The function did finish, whatever was asked for meanwhile.
        clears={"failed_at": ALL, "cancelled_at": ALL, "cancel_requested_at": ALL},
    ),
    # Where somebody has asked to cancel the task, a ``cancel`` is recorded instead.
    Event.FAIL: Rule(
        unless_filled=_CANCEL_REQUESTED,
        moves=_to(Status.FAILED, ALL - FINAL),
        writes={
            "result": _UNLESS_FINAL,
            "message": _UNLESS_FINAL,
            "failed_at": _UNLESS_FINAL,
        },
    ),
    Event.CLEANUP: Rule(
        writes={
            "cleaned": _ALWAYS,
            "message": _WHILE_OPEN,
            "result": _WHILE_OPEN,
            # Only with the status that a cleanup brings: a finished row has its end time.
            "completed_at": _WHILE_OPEN,
            "failed_at": _WHILE_OPEN,
        },
        accepts_status=True,
    ),
    Event.LOST: Rule(
        moves=_to(Status.LOST, OPEN),
        writes={"message": _ALWAYS, "failed_at": _ALWAYS},
        inserts=False,
        only_on=OPEN,
        unless_filled=_CANCEL_REQUESTED,
    ),
    # A failed task is asked about, too: django-q2 may deliver it again.
    Event.CANCEL_REQUEST: Rule(
        writes={"cancel_requested_at": _ALWAYS},
        inserts=False,
        only_on=frozenset({Status.IN_PROGRESS, Status.FAILED}),
        unless_filled=_CANCEL_REQUESTED,
    ),
    Event.CANCEL: Rule(
        moves=_to(Status.CANCELLED, OPEN | {Status.LOST}),
        writes={"message": _ALWAYS, "cancelled_at": _ALWAYS},
        clears={"failed_at": frozenset({Status.LOST})},
        inserts=False,
        only_on=OPEN | {Status.LOST},
    ),
    # Another task takes the place of this one, which must not be delivered again.
    Event.RETRY: Rule(
        writes={"retried_by": _ALWAYS, "cancel_requested_at": Write(unless=FINAL)},
        inserts=False,
        only_on=FINISHED,
        unless_filled=frozenset({"retried_by"}),
    ),
}


CONTINUES_LOST = frozenset({Event.PROGRESS, Event.COMPLETE, Event.FAIL})
"""The events that show that the attempt of a lost task was alive. A ``start`` does not: it
begins another attempt. A ``cancel`` comes from outside the task."""


def get_status_after(event: Event, status: Status, incoming: Status | None = None) -> Status:
    """Return the status of a row after an event.

    Args:
        event: the event.
        status: the row's status before it.
        incoming: the status that comes with the event; only a ``cleanup`` passes one on.
    """
    rule = TABLE[event]
    if rule.accepts_status and incoming is not None and status in OPEN:
        return incoming
    return rule.moves.get(status, status)
