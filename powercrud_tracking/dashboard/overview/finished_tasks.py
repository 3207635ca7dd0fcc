"""The newest finished tasks, read once for timings and errors."""

from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import derived

LIMIT = 500
"""How many of the newest tasks of each status are read: this is most of the cost of the page."""


class FinishedTask(NamedTuple):
    """A finished task; ``None`` for what the table does not store."""

    status: str
    created_at: datetime
    func: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None
    attempts: int | None = None

    @property
    def queue_time(self) -> timedelta | None:
        return derived.find_queue_time(self.status, self.created_at, self.started_at, self.attempts)

    @property
    def run_time(self) -> timedelta | None:
        """How long its last attempt ran."""
        ended_at = derived.find_end(
            self.status, self.completed_at, self.failed_at, self.cancelled_at
        )
        return derived.find_run_time(self.status, self.started_at, ended_at)


def read_finished_tasks(rows: AsyncTaskRecordQuerySet) -> list[FinishedTask]:
    """Return the newest of these tasks of each final status, newest first, in one query.

    Args:
        rows: of a table that stores the status and the time of queueing.
    """
    found = rows.by_time_of_queueing().first_of_each(FINISHED, LIMIT).order_by()
    ended = [FinishedTask._make(each) for each in found.get_values(*FinishedTask._fields)]
    return sorted(ended, key=attrgetter("created_at"), reverse=True)
