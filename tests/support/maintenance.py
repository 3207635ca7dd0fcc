"""Rows and results of django-q2 for the tests of maintenance."""

import os
import socket
from datetime import timedelta

from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records import mapping, reading

HERE = f"{socket.gethostname()}:{os.getpid()}"
GONE = "a-host-that-is-gone:4711"
TWO_HOURS = timedelta(hours=2)


def make_row(task_name, status=Status.IN_PROGRESS, *, silent=TWO_HOURS, **values):
    row = AsyncTaskRecord.objects.create(task_name=task_name, status=status, **values)
    let_be_silent(task_name, silent)
    return row


def make_rows(number, status=Status.IN_PROGRESS, *, silent=TWO_HOURS, **values):
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"task-{n}", status=status, **values) for n in range(number)
    )
    AsyncTaskRecord.objects.update(updated_at=timezone.now() - silent)


def let_be_silent(task_name, silent=TWO_HOURS):
    AsyncTaskRecord.objects.filter(task_name=task_name).update(updated_at=timezone.now() - silent)


def make_result(task_name, **values):
    task = build_result(task_name, **values)
    task.save(force_insert=True)
    return task


def make_results(number, **values):
    Task.objects.bulk_create(build_result(f"task-{n}", **values) for n in range(number))


def build_result(task_name, **values):
    now = timezone.now()
    given = {"id": task_name.rjust(32, "0")[-32:], "func": "math.floor", "success": True}
    given |= {
        "started": now,
        "stopped": now,
        "result": 3,
        "args": (),
        "kwargs": {},
        "attempt_count": 1,
    }
    return Task(name=task_name, **{**given, **values})


def read_one(row):
    return reading.Record(row, mapping.get_record_map(get_config()))


def get_status(task_name):
    return AsyncTaskRecord.objects.get(task_name=task_name).status


def count_queries(function):
    connection = connections[router.db_for_write(AsyncTaskRecord)]
    with CaptureQueriesContext(connection) as queries:
        function()
    return len(queries)
