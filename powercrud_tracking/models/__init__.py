"""The tables and their querysets."""

from powercrud_tracking.models.querysets import END_TIMES, AsyncTaskRecordQuerySet, find_key
from powercrud_tracking.models.tables import (
    AbstractAsyncTaskRecord,
    AsyncTaskAttempt,
    AsyncTaskRecord,
)

__all__ = [
    "END_TIMES",
    "AbstractAsyncTaskRecord",
    "AsyncTaskAttempt",
    "AsyncTaskRecord",
    "AsyncTaskRecordQuerySet",
    "find_key",
]
