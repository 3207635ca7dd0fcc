"""The newest tasks that have ended, read once for everything that is derived from them."""

from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from powercrud_tracking.lifecycle import FINISHED, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet

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

    @property
    def waited(self) -> timedelta | None:
        """How long it was queued before its last attempt began."""
        if self.started_at is None:
            return None
        return max(self.started_at - self.created_at, timedelta())

    @property
    def ran(self) -> timedelta | None:
        """How long its last attempt ran; that of a lost task nobody knows."""
        until = self.completed_at or self.failed_at
        if self.started_at is None or until is None or self.status == Status.LOST:
            return None
        return max(until - self.started_at, timedelta())


def get_ended(rows: AsyncTaskRecordQuerySet) -> list[Ended]:
    """Return the newest of these tasks for each way to end, newest first, in one query.

    Args:
        rows: of a table that keeps statuses and the time of queueing.
    """
    found = rows.by_time_of_queueing().first_of_each(FINISHED, LIMIT).order_by()
    ended = [Ended._make(each) for each in found.get_values(*Ended._fields)]
    return sorted(ended, key=attrgetter("created_at"), reverse=True)
