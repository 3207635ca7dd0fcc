"""Reconciling and pruning many rows."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking import upkeep
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import queue
from powercrud_tracking.models import AsyncTaskRecord
from tests.bench.meter import measure, write_table

OPEN = 10_000
OLD = 100_000
KNOWN = 1_000


def report(*, quick: bool) -> str:
    """Return the table of reconciling ten thousand rows and pruning a hundred thousand."""
    share = 10 if quick else 1
    looking = 1000 * (queue.SAMPLES - 1) * queue.PAUSE
    rows = []

    _make(OPEN // share, status=Status.IN_PROGRESS, attempts=1, worker="elsewhere:1")
    rows.append(_measure(f"reconcile {OPEN // share:,} rows, all lost", upkeep.reconcile))

    _make(KNOWN // share, status=Status.IN_PROGRESS, attempts=1, worker="elsewhere:1")
    _make_results()
    rows.append(_measure(f"reconcile {KNOWN // share:,} rows, all with a result", upkeep.reconcile))

    AsyncTaskRecord.objects.all().delete()
    ended = timezone.now() - timedelta(days=40)
    _make(OLD // share, status=Status.SUCCESS, attempts=1, completed_at=ended)
    rows.append(_measure(f"prune {OLD // share:,} rows", upkeep.prune))

    table = write_table(["", "ms", "SQL statements"], rows)
    sampling = f"{looking:,.0f} ms of reconciling are spent on reading the state of the clusters."
    return f"{table}\n\n{sampling}"


def _measure(name: str, run: Callable[[], Any]) -> tuple[str, float, int]:
    with measure() as measured:
        run()
    return name, measured.milliseconds, len(measured.statements)


def _make(count: int, **values: Any) -> None:
    """Insert rows without activity for an hour."""
    before = timezone.now() - timedelta(hours=1)
    records = AsyncTaskRecord.objects
    with transaction.atomic():
        records.bulk_create(_build(count, created_at=before, **values), batch_size=1000)
        records.filter(status=values["status"]).update(updated_at=before)


def _build(count: int, **values: Any) -> Iterator[AsyncTaskRecord]:
    for _ in range(count):
        yield AsyncTaskRecord(
            task_name=str(uuid.uuid4()),
            func="tests.project.tasks.add",
            user_label="ada",
            task_args=[1, 2],
            task_kwargs={"note": "spring sale"},
            progress_payload="updating: 3/5",
            **values,
        )


def _make_results() -> None:
    now = timezone.now()
    Task.objects.bulk_create(
        Task(
            id=uuid.uuid4().hex,
            name=task_name,
            func="tests.project.tasks.add",
            args=(1, 2),
            kwargs={"task_key": task_name},
            started=now,
            stopped=now,
            result=3,
            success=True,
            attempt_count=1,
        )
        for task_name in AsyncTaskRecord.objects.open().get_task_names()
    )
