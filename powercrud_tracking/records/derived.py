"""Values derived from the columns of a task and from its failed attempts.

Everything that shows or counts tasks asks these functions: list, task page, overview, admin.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, Protocol

from django.utils import timezone

from powercrud_tracking.lifecycle import OPEN, Status
from powercrud_tracking.models import AsyncTaskAttempt

_ZERO = timedelta()


# --- times -------------------------------------------------------------------------------


def find_end(
    status: str | None,
    completed_at: datetime | None,
    failed_at: datetime | None,
    cancelled_at: datetime | None,
) -> datetime | None:
    """Return when a task ended; ``None`` while it is open, or if no end time is stored."""
    return None if status in OPEN else completed_at or failed_at or cancelled_at


def find_queue_time(
    status: str | None,
    created_at: datetime | None,
    started_at: datetime | None,
    attempts: int | None,
    *,
    now: datetime | None = None,
) -> timedelta | None:
    """Return how long a task was in the queue before its first attempt, until now if it still is.

    ``None`` if that is unknown: the row of a task that was run again has the start of its last
    attempt only.

    Args:
        status, created_at, started_at, attempts: of the row; ``None`` for what is not stored.
        now: this moment unless given.
    """
    if started_at is None and status == Status.PENDING:
        started_at = now or timezone.now()
    if created_at is None or started_at is None or (attempts or 0) > 1:
        return None
    return max(started_at - created_at, _ZERO)


def find_run_time(
    status: str | None,
    started_at: datetime | None,
    ended_at: datetime | None,
    *,
    now: datetime | None = None,
) -> timedelta | None:
    """Return how long an attempt ran, until now if it is running.

    ``None`` if that is unknown. It always is for a lost one: its end time says when it was
    declared lost, not when its worker died.

    Args:
        status: of the task, or the outcome of the attempt.
        started_at, ended_at: of the attempt; ``None`` for what is not stored.
        now: this moment unless given.
    """
    if status in OPEN:
        ended_at = now or timezone.now()
    if started_at is None or ended_at is None or status == Status.LOST:
        return None
    return max(ended_at - started_at, _ZERO)


# --- attempts ----------------------------------------------------------------------------


class TaskRow(Protocol):
    """What these functions read of a task; ``None`` for what its table does not store."""

    @property
    def status(self) -> Status | None: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def attempts(self) -> int | None: ...
    @property
    def cancel_requested_at(self) -> datetime | None: ...


def split_attempts(
    record: TaskRow, attempts: Sequence[AsyncTaskAttempt]
) -> tuple[AsyncTaskAttempt | None, Sequence[AsyncTaskAttempt]]:
    """Return the stored attempt that the row describes, if there is one, and the earlier ones.

    The row describes the last attempt: its start, its end, its result. A stored attempt is the
    same one if its number says so, else if it started at the same time; where the table stores
    neither, if the task has ended.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
    """
    if not attempts:
        return None, attempts
    newest = attempts[0]
    if record.attempts is not None:
        is_current = newest.number >= record.attempts
    elif record.started_at is not None:
        is_current = newest.started_at == record.started_at
    else:
        is_current = record.status not in OPEN
    return (newest, attempts[1:]) if is_current else (None, attempts)


# --- redelivery --------------------------------------------------------------------------


class NextAttempt(Enum):
    """Whether django-q2 runs a failed task again."""

    UNKNOWN = "unknown"
    NOT_RETRIED = "failures are acknowledged"
    REFUSED = "it was cancelled or retried"
    LIMIT_REACHED = "max_attempts is reached"
    OVERDUE = "it should have been run again by now"
    LIMITED = "it will be run again, up to max_attempts"
    UNLIMITED = "it will be run again, without a limit"


class Redelivery(NamedTuple):
    """Whether django-q2 runs a failed task again, and how often at most.

    Args:
        next_attempt: whether it does.
        attempts_left: for ``LIMITED``, else 0.
    """

    next_attempt: NextAttempt
    attempts_left: int = 0


_MARGIN = timedelta(minutes=1)
_DEFAULT_RETRY = 60
_OTHER_BROKERS = ("broker_class", "iron_mq", "sqs")


def find_redelivery(
    record: TaskRow,
    attempts: Sequence[AsyncTaskAttempt],
    queue: Mapping[str, Any],
    *,
    now: datetime | None = None,
) -> Redelivery:
    """Return whether django-q2 runs a failed task again, where its settings make that certain.

    The ORM broker delivers a failed task again after ``retry`` seconds, unless failures are
    acknowledged, up to ``max_attempts`` recorded failures. A task that raised no exception
    counts as a success there.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
        queue: ``Q_CLUSTER``.
        now: this moment unless given.
    """
    unknown = Redelivery(NextAttempt.UNKNOWN)
    if record.cancel_requested_at is not None:
        # Its next delivery would be refused.
        return Redelivery(NextAttempt.REFUSED)
    failure, _ = split_attempts(record, attempts)
    if record.status != Status.FAILED or failure is None or failure.outcome != Status.FAILED:
        return unknown
    if not failure.exception_class or not queue.get("orm") or queue.get("sync"):
        return unknown
    if any(queue.get(key) for key in _OTHER_BROKERS):
        return unknown
    if queue.get("ack_failures", False):
        return Redelivery(NextAttempt.NOT_RETRIED)
    limit, retry = queue.get("max_attempts", 0), queue.get("retry", _DEFAULT_RETRY)
    if not isinstance(limit, int) or not isinstance(retry, int | float):
        return unknown
    recorded = sum(each.outcome == Status.FAILED for each in attempts)
    if limit and failure.number != recorded:
        # django-q2 has not counted an attempt that left no result.
        return unknown
    if limit and failure.number >= limit:
        return Redelivery(NextAttempt.LIMIT_REACHED)
    waited = (now or timezone.now()) - failure.ended_at - _MARGIN
    if waited.total_seconds() > 2 * retry:
        return Redelivery(NextAttempt.OVERDUE)
    if limit:
        return Redelivery(NextAttempt.LIMITED, limit - failure.number)
    return Redelivery(NextAttempt.UNLIMITED)
