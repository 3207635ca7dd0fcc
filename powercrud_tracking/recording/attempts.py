"""What remains of an attempt that failed, when the next one has taken over the record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import models, router, transaction
from django.db.models import Max

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization.failures import Failure
from powercrud_tracking.serialization.payloads import clean, cut


@dataclass(frozen=True)
class Ended:
    """Which attempt has ended, why and when."""

    task_name: str
    failure: Failure
    at: datetime


def record_attempts(
    records: Iterable[Record], ended: Mapping[str, Ended], *, outcome: Status, limit: int
) -> None:
    """Keep the last attempt of each of these tasks; what is kept already stays.

    Args:
        records: the tasks as they are after the event. One that never started has no attempt.
        ended: task name to why and when it ended.
        outcome: ``failed`` or ``lost``; a record that has another status by now is left out.
        limit: most characters of the traceback; its end is what counts.
    """
    records = [record for record in records if record.status in {outcome, None}]
    numbers = _get_numbers(records)
    using = router.db_for_write(AsyncTaskAttempt)
    rows = [
        AsyncTaskAttempt(
            task_name=record.task_name,
            number=numbers[record.task_name],
            started_at=record.started_at,
            ended_at=ended[record.task_name].at,
            worker=record.worker or "",
            outcome=outcome,
            **_describe(ended[record.task_name].failure, limit),
        )
        for record in records
        if numbers[record.task_name]
    ]
    if rows:
        with transaction.atomic(using=using):
            AsyncTaskAttempt.objects.using(using).bulk_create(rows, ignore_conflicts=True)


def _describe(failure: Failure, limit: int) -> dict[str, str]:
    trace = clean(failure.traceback)
    return {
        "exception_class": cut(clean(failure.exception_class), 255),
        "message": failure.reason,
        "traceback": trace if len(trace) <= limit else f"…{trace[1 - limit :]}",
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


def get_attempts(task_names: Iterable[str]) -> models.QuerySet[AsyncTaskAttempt]:
    """Return the failed attempts of these tasks, newest first."""
    return AsyncTaskAttempt.objects.filter(task_name__in=list(task_names)).order_by("-number")
