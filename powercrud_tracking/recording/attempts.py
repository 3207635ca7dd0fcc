"""Store failed and lost attempts, whose data the next attempt overwrites in the row."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import models, router, transaction
from django.db.models import Max

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.recording.recorder import RecordedEvent
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization.failures import Failure
from powercrud_tracking.serialization.payloads import clean, cut
from powercrud_tracking.serialization.redaction import BUILT_IN, SecretKeys, redact_text
from powercrud_tracking.serialization.texts import cut_start


def keep_attempts(
    records: Iterable[Record],
    events: Mapping[str, RecordedEvent],
    *,
    outcome: Status,
    limit: int,
    redact: SecretKeys | None = BUILT_IN,
) -> None:
    """Keep the last attempt of each of these tasks; one that is kept already stays as it is.

    Args:
        records: the tasks as they are after the event. One that never started has no attempt.
        events: task name to the event that ended it.
        outcome: ``failed`` or ``lost``; a record that has another status by now is left out.
        limit: most characters of the traceback; its end is what counts.
        redact: tells which keys in reason and traceback are secret.
    """
    records = [record for record in records if record.status in {outcome, None}]
    numbers = _get_numbers(records)
    using = router.db_for_write(AsyncTaskAttempt)
    rows = [
        AsyncTaskAttempt(
            task_name=record.task_name,
            number=numbers[record.task_name],
            started_at=record.started_at,
            ended_at=_get_end(events[record.task_name]),
            worker=record.worker or "",
            outcome=outcome,
            **_describe(events[record.task_name].failure, limit, redact),
        )
        for record in records
        if numbers[record.task_name]
    ]
    if rows:
        with transaction.atomic(using=using):
            AsyncTaskAttempt.objects.using(using).bulk_create(rows, ignore_conflicts=True)


def discard_lost_attempts(records: Iterable[Record]) -> None:
    """Discard the lost attempts of tasks that turned out to be alive.

    Args:
        records: the tasks. An attempt that another has followed was lost and stays; where a
            table does not count attempts, the last one that is kept is the current one.
    """
    using = router.db_for_write(AsyncTaskAttempt)
    for record in records:
        kept = get_attempts([record.task_name], using=using)
        number = record.attempts
        if number is None:
            number = kept.aggregate(last=Max("number"))["last"] or 0
        kept.filter(outcome=Status.LOST, number__gte=number).delete()


def delete_attempts(task_names: Iterable[str]) -> None:
    """Delete all attempts of these tasks."""
    get_attempts(task_names, using=router.db_for_write(AsyncTaskAttempt)).delete()


def _get_end(event: RecordedEvent) -> datetime:
    # Not every table keeps it.
    at: datetime | None = event.values.get("failed_at")
    return get_time(None) if at is None else at


def _describe(failure: Failure | None, limit: int, redact: SecretKeys | None) -> dict[str, str]:
    assert failure is not None
    return {
        "exception_class": cut(clean(failure.exception_class), 255),
        "message": redact_text(failure.reason, redact),
        "traceback": cut_start(failure.traceback, limit, redact=redact),
    }


def _get_numbers(records: list[Record]) -> dict[str, int]:
    """Return which attempt is each task's last; a table may not count them."""
    numbers = {record.task_name: record.attempts for record in records}
    uncounted = [task_name for task_name, number in numbers.items() if number is None]
    if uncounted:
        kept = get_attempts(uncounted).values_list("task_name").annotate(last=Max("number"))
        with savepoint(kept.db):
            last: dict[str, int] = dict(kept)
        numbers |= {task_name: last.get(task_name, 0) + 1 for task_name in uncounted}
    return numbers


def get_attempts(
    task_names: Iterable[str], *, using: str | None = None
) -> models.QuerySet[AsyncTaskAttempt]:
    """Return the failed attempts of these tasks, newest first.

    Args:
        task_names: the names of the tasks.
        using: the alias of the database; the router's choice for reading, unless given.
    """
    attempts = AsyncTaskAttempt.objects.using(using or router.db_for_read(AsyncTaskAttempt))
    return attempts.filter(task_name__in=list(task_names)).order_by("-number")
