"""What a task can be, what can happen to it, and what each event does to its row.

Everything here is data without a database: the recorder compiles it into SQL, and the
tests walk it as a model. The table reads like the one in the documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Status(TextChoices):
    """How a task stands. ``cancelled`` is reserved for later."""

    PENDING = "pending", _("Queued")
    IN_PROGRESS = "in_progress", _("Running")
    SUCCESS = "success", _("Succeeded")
    FAILED = "failed", _("Failed")
    LOST = "lost", _("Lost")


ALL = frozenset(Status)
OPEN = frozenset({Status.PENDING, Status.IN_PROGRESS})
FINISHED = ALL - OPEN
FAILURES = frozenset({Status.FAILED, Status.LOST})


class Event(StrEnum):
    """What can happen to a task."""

    CREATE = "create"
    START = "start"
    PROGRESS = "progress"
    COMPLETE = "complete"
    FAIL = "fail"
    CLEANUP = "cleanup"
    LOST = "lost"

    @classmethod
    def _missing_(cls, value: object) -> "Event | None":
        # PowerCRUD's own documentation of the hook calls a failure "error".
        return cls.FAIL if value == "error" else None


@dataclass(frozen=True, kw_only=True)
class Write:
    """When the value that an event brings goes into its field.

    Args:
        keep: on a row with one of these statuses the field stays as it is.
        fill: on a row with one of these it is written only if the field is empty.
    """

    keep: frozenset[Status] = frozenset()
    fill: frozenset[Status] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one event does to a row.

    Args:
        moves: status before to status afterwards; a status not named stays.
        writes: logical name to the condition under which its value is written.
        clears: logical name to the statuses on which the field is emptied.
        counts: logical names that go up by one each time.
        settles: an open row takes the status that the event brings, if it brings one.
        inserts: a missing row is made, as if it had been pending before the event.
    """

    moves: Mapping[Status, Status] = field(default_factory=dict)
    writes: Mapping[str, Write]
    clears: Mapping[str, frozenset[Status]] = field(default_factory=dict)
    counts: frozenset[str] = frozenset()
    settles: bool = False
    inserts: bool = True


def _to(target: Status, sources: frozenset[Status]) -> dict[Status, Status]:
    return dict.fromkeys(sorted(sources), target)


_ALWAYS = Write()
_IF_EMPTY = Write(fill=ALL)
_UNLESS_SUCCESS = Write(keep=frozenset({Status.SUCCESS}))
_WHILE_OPEN = Write(keep=FINISHED)
_SUCCEEDED = frozenset({Status.SUCCESS})

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
            "queue_id": _ALWAYS,
        },
    ),
    Event.START: Rule(
        moves=_to(Status.IN_PROGRESS, ALL - _SUCCEEDED),
        writes={
            # A start that arrives after the success it led to fills what is missing, so
            # that the row ends the same in either order.
            "started_at": Write(fill=_SUCCEEDED),
            "worker": Write(fill=_SUCCEEDED),
            "func": _IF_EMPTY,
            "args": _IF_EMPTY,
            "kwargs": _IF_EMPTY,
            "group": _IF_EMPTY,
            "cluster": _IF_EMPTY,
            "queue_id": _IF_EMPTY,
        },
        clears={"failed_at": FAILURES, "cleaned": FAILURES},
        counts=frozenset({"attempts"}),
    ),
    Event.PROGRESS: Rule(
        moves=_to(Status.IN_PROGRESS, OPEN | {Status.LOST}),
        writes={"progress": Write(fill=frozenset({Status.SUCCESS, Status.FAILED}))},
        # A running task has no end time.
        clears={"failed_at": frozenset({Status.LOST})},
    ),
    Event.COMPLETE: Rule(
        moves=_to(Status.SUCCESS, ALL),
        writes={"result": _ALWAYS, "message": _ALWAYS, "completed_at": _ALWAYS},
        clears={"failed_at": ALL},
    ),
    Event.FAIL: Rule(
        moves=_to(Status.FAILED, ALL - _SUCCEEDED),
        writes={
            "result": _UNLESS_SUCCESS,
            "message": _UNLESS_SUCCESS,
            "failed_at": _UNLESS_SUCCESS,
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
        settles=True,
    ),
    Event.LOST: Rule(
        moves=_to(Status.LOST, OPEN),
        writes={"message": _WHILE_OPEN, "failed_at": _WHILE_OPEN},
        inserts=False,
    ),
}


def get_status_after(event: Event, status: Status, brought: Status | None = None) -> Status:
    """Return the status of a row after an event.

    Args:
        event: what happened.
        status: the row's status before.
        brought: the status that the event itself names; only a cleanup's counts.
    """
    rule = TABLE[event]
    if rule.settles and brought is not None and status in OPEN:
        return brought
    return rule.moves.get(status, status)
