"""The newest tasks that have ended, read once for everything that is derived from them."""

from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import derived

LIMIT = 500
"""Of how many of the newest tasks figures are derived: reading them is what the page costs."""


class Ended(NamedTuple):
    """A task that has ended; ``None`` for what the table does not keep."""

    status: str
    created_at: datetime
    func: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    attempts: int | None = None

    @property
    def queue_time(self) -> timedelta | None:
        return derived.find_queue_time(self.status, self.created_at, self.started_at, self.attempts)

    @property
    def run_time(self) -> timedelta | None:
        """How long its last attempt ran."""
        ended_at = derived.find_end(self.status, self.completed_at, self.failed_at)
        return derived.find_run_time(self.status, self.started_at, ended_at)


def get_ended(rows: AsyncTaskRecordQuerySet) -> list[Ended]:
    """Return the newest of these tasks for each way to end, newest first, in one query.

    Args:
        rows: of a table that keeps statuses and the time of queueing.
    """
    found = rows.by_time_of_queueing().first_of_each(FINISHED, LIMIT).order_by()
    ended = [Ended._make(each) for each in found.get_values(*Ended._fields)]
    return sorted(ended, key=attrgetter("created_at"), reverse=True)
