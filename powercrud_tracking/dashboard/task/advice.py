"""What to do about a task that failed, was lost or never started; nothing where nothing is sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from powercrud_tracking.config import setting
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records.reading import Record

PATIENCE = timedelta(minutes=1)
"""How long a task may be queued before the page asks whether anybody works the queue."""

_TIMEOUT = "django_q.exceptions.TimeoutException"
_DEFAULT_RETRY = 60


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A sentence on what to do.

    Args:
        text: the sentence.
        code: what to type or to look at, if anything.
    """

    text: str
    code: str = ""


def get_advice(
    record: Record, attempts: Sequence[AsyncTaskAttempt], *, now: datetime | None = None
) -> tuple[Advice, ...]:
    """Return what to do about a task, which may be nothing.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
        now: this moment unless given.
    """
    now = now or timezone.now()
    match record.status:
        case Status.PENDING:
            return _advise_on_queued(record, now)
        case Status.LOST:
            return (_advise_on_lost(record),)
        case Status.FAILED:
            return (
                *_advise_on_exception(record, attempts),
                *_advise_on_next_attempt(record, attempts, now),
            )
    return ()


def _advise_on_queued(record: Record, now: datetime) -> tuple[Advice, ...]:
    if record.created_at is None or now - record.created_at < PATIENCE:
        return ()
    return (
        Advice(
            text=_("It has waited for more than a minute. Is a cluster running, and is it free?"),
            code="python manage.py qcluster",
        ),
    )


def _advise_on_lost(record: Record) -> Advice:
    if record.attempts == 0:
        return Advice(
            text=_(
                "It left the queue and, as far as is known, never started: queue it again. The"
                " reason says what was looked at."
            )
        )
    return Advice(
        text=_(
            "Nothing speaks for it any more; the reason says what was looked at. See whether its"
            " work is done, and queue it again if it is not. Should it give a sign of life after"
            " all, this page will say so."
        )
    )


def _advise_on_exception(
    record: Record, attempts: Sequence[AsyncTaskAttempt]
) -> tuple[Advice, ...]:
    failure = _find_last_failure(record, attempts)
    if failure is None:
        return ()
    if failure.exception_class == _TIMEOUT:
        return (
            Advice(
                text=_(
                    "It took longer than a task may. Let it do less at a time, or raise the timeout"
                    " and, above it, the retry time of the cluster."
                ),
                code='Q_CLUSTER["timeout"], Q_CLUSTER["retry"]',
            ),
        )
    if record.func and failure.message == f"ValueError: Function {record.func} is not defined":
        return (
            Advice(
                text=_(
                    "The cluster cannot import the function. If it is new or has moved, restart"
                    " the cluster with the code of today."
                ),
                code="python manage.py qcluster",
            ),
        )
    return ()


def _advise_on_next_attempt(
    record: Record, attempts: Sequence[AsyncTaskAttempt], now: datetime
) -> tuple[Advice, ...]:
    """Say whether django-q2 runs it again, where its settings and the failure make that sure.

    The ORM broker hands a failed task out again after ``retry`` seconds, unless failures are
    acknowledged, up to ``max_attempts`` recorded failures; a task that raised nothing counts as
    a success there.
    """
    failure = _find_last_failure(record, attempts)
    queue = setting.get_queue_settings()
    others = ("broker_class", "iron_mq", "sqs")
    if failure is None or not failure.exception_class or not queue.get("orm"):
        return ()
    if queue.get("sync") or any(queue.get(key) for key in others):
        return ()
    if queue.get("ack_failures", False):
        text = _("django-q2 does not try it again. Once the cause is mended, queue it again.")
        return (Advice(text=text),)
    most = queue.get("max_attempts", 0)
    retry = queue.get("retry", _DEFAULT_RETRY)
    if not isinstance(most, int) or not isinstance(retry, int | float):
        return ()
    if most and failure.number != sum(each.outcome == Status.FAILED for each in attempts):
        # An attempt that left no trace is none that django-q2 has counted.
        return ()
    left = most - failure.number
    if most and left <= 0:
        return (
            Advice(
                text=ngettext(
                    "django-q2 gives up after %(most)d attempt. Once the cause is mended, queue it"
                    " again.",
                    "django-q2 gives up after %(most)d attempts. Once the cause is mended, queue it"
                    " again.",
                    most,
                )
                % {"most": most},
                code='Q_CLUSTER["max_attempts"]',
            ),
        )
    if now - failure.ended_at > timedelta(seconds=2 * retry) + PATIENCE:
        return (
            Advice(
                text=_(
                    "django-q2 has not tried it again since. Once the cause is mended, queue it"
                    " again."
                )
            ),
        )
    if not most:
        return (
            Advice(
                text=_(
                    "django-q2 will try it again, without end: the cluster acknowledges no"
                    " failures and sets no limit."
                ),
                code='Q_CLUSTER["max_attempts"], Q_CLUSTER["ack_failures"]',
            ),
        )
    return (
        Advice(
            text=ngettext(
                "django-q2 will try it again: %(left)d attempt is left.",
                "django-q2 will try it again: %(left)d attempts are left.",
                left,
            )
            % {"left": left}
        ),
    )


def _find_last_failure(
    record: Record, attempts: Sequence[AsyncTaskAttempt]
) -> AsyncTaskAttempt | None:
    """Return the attempt with which the task, as it stands, failed; launches have none."""
    if not attempts or attempts[0].outcome != Status.FAILED:
        return None
    is_of_now = record.attempts is None or attempts[0].number >= record.attempts
    return attempts[0] if is_of_now else None
