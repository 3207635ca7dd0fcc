"""How far open tasks are right now, which PowerCRUD's cache knows ahead of the rows.

While a task has a transaction open its progress goes to the cache alone: written into the row
it would be invisible to others and locked against them.
"""

import logging
from collections.abc import Iterable

from powercrud.async_manager import AsyncManager

from powercrud_tracking.records import Record

logger = logging.getLogger("powercrud_tracking")


def add_live_progress(records: Iterable[Record], manager: AsyncManager) -> None:
    """Give the open ones of these records the progress that the cache has, in one look-up.

    A cache that does not answer costs a warning: the rows say what they say.

    Args:
        records: as pages see them.
        manager: whose cache is asked.
    """
    waiting = {f"{manager.progress_prefix}{r.task_name}": r for r in records if r.is_open}
    if not waiting:
        return
    try:
        found = manager.cache.get_many(waiting)
    except Exception:
        logger.warning("Could not ask PowerCRUD's cache for progress.", exc_info=True)
        return
    for key, text in found.items():
        if text and text != manager.STATUSES.PENDING:
            waiting[key].live_progress = text
