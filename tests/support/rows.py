"""Task names, a time, and the rows of the record table."""

from datetime import UTC, datetime

from django.conf import settings
from django.db import router

from powercrud_tracking.models import AsyncTaskRecord

NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
OTHER = "5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC if settings.USE_TZ else None)
RECORDS = router.db_for_write(AsyncTaskRecord)
"""The database that holds the records."""


def get_row(task_name=NAME):
    return AsyncTaskRecord.objects.get(task_name=task_name)


def get_values(task_name=NAME):
    return AsyncTaskRecord.objects.values().get(task_name=task_name)


def make_row(task_name=NAME, **values):
    return AsyncTaskRecord.objects.create(task_name=task_name, **values)
