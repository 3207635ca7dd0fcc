"""The tables and their querysets."""

from powercrud_tracking.models.objects import AsyncTaskObject
from powercrud_tracking.models.querysets import END_TIMES, AsyncTaskRecordQuerySet, find_key
from powercrud_tracking.models.tables import (
    AbstractAsyncTaskRecord,
    AsyncTaskAction,
    AsyncTaskAttempt,
    AsyncTaskRecord,
)

__all__ = [
    "END_TIMES",
    "AbstractAsyncTaskRecord",
    "AsyncTaskAction",
    "AsyncTaskAttempt",
    "AsyncTaskObject",
    "AsyncTaskRecord",
    "AsyncTaskRecordQuerySet",
    "find_key",
]
