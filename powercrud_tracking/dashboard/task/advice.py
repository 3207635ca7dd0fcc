"""Advice on a task that failed, was lost or has not started."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from powercrud_tracking.config import setting
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.records.derived import NextAttempt, find_redelivery, split_attempts
from powercrud_tracking.records.reading import Record

PATIENCE = timedelta(minutes=1)
"""How long a task may be queued before the page asks whether a cluster is running."""

Advice = tuple[str, str]
"""A sentence, and what to type or which setting to look at (may be empty)."""


def get_advice(
    record: Record, attempts: Sequence[AsyncTaskAttempt], *, now: datetime | None = None
) -> list[Advice]:
    """Return advice on a task; empty if there is none.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
        now: this moment unless given.
    """
    now = now or timezone.now()
    match record.status:
        case Status.PENDING if record.created_at and now - record.created_at >= PATIENCE:
            text = _("Queued for more than a minute. Is a cluster running, and is a worker free?")
            return [(text, "python manage.py qcluster")]
        case Status.LOST if record.attempts == 0:
            return [(_("It left the queue without being started. Queue it again."), "")]
        case Status.LOST:
            text = _(
                "No worker reports this task. If one does, its status is updated. Check whether its"
                " work was done, and queue it again if not."
            )
            return [(text, "")]
        case Status.FAILED:
            advice = [_advise_on_cause(record, attempts), _advise_on_retry(record, attempts, now)]
            return [each for each in advice if each is not None]
    return []


def _advise_on_cause(record: Record, attempts: Sequence[AsyncTaskAttempt]) -> Advice | None:
    failure, _earlier = split_attempts(record, attempts)
    if failure is None:
        return None
    if failure.exception_class == "django_q.exceptions.TimeoutException":
        text = _(
            "The task exceeded the timeout. Let it do less at a time, or raise the timeout; the"
            " retry time must stay above it."
        )
        return text, 'Q_CLUSTER["timeout"], Q_CLUSTER["retry"]'
    if record.func and failure.message == f"ValueError: Function {record.func} is not defined":
        text = _(
            "The cluster cannot import this function. If it is new or was moved, restart the"
            " cluster."
        )
        return text, "python manage.py qcluster"
    return None


def _advise_on_retry(
    record: Record, attempts: Sequence[AsyncTaskAttempt], now: datetime
) -> Advice | None:
    queue = setting.get_queue_settings()
    found = find_redelivery(record, attempts, queue, now=now)
    match found.next_attempt:
        case NextAttempt.NOT_RETRIED:
            text = _("django-q2 does not retry failed tasks. Fix the cause, then queue it again.")
            return text, 'Q_CLUSTER["ack_failures"]'
        case NextAttempt.LIMIT_REACHED:
            text = _("django-q2 has made all attempts. Fix the cause, then queue it again.")
            return text, 'Q_CLUSTER["max_attempts"]'
        case NextAttempt.OVERDUE:
            text = _("django-q2 has not retried it in time. Fix the cause, then queue it again.")
            return text, ""
        case NextAttempt.LIMITED:
            number = found.attempts_left
            text = ngettext(
                "django-q2 will retry it: %(number)d attempt is left.",
                "django-q2 will retry it: %(number)d attempts are left.",
                number,
            )
            return text % {"number": number}, ""
        case NextAttempt.UNLIMITED:
            text = _(
                "django-q2 will retry it without a limit, because failures are not acknowledged"
                " and max_attempts is not set."
            )
            return text, 'Q_CLUSTER["max_attempts"], Q_CLUSTER["ack_failures"]'
    return None
