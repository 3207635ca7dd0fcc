"""How far open tasks are right now, which PowerCRUD's cache knows ahead of the rows.

While a task has a transaction open its progress goes to the cache alone: written into the row
it would be invisible to others and locked against them.
"""

import logging
from collections.abc import Iterable
from typing import Any

from powercrud.async_manager import AsyncManager

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization import payloads
from powercrud_tracking.serialization.redaction import compile_redaction

logger = logging.getLogger("powercrud_tracking")


def find_live_progress(task_names: Iterable[str], manager: AsyncManager) -> dict[str, str]:
    """Return the progress that the cache has of these tasks, by their names, in one look-up.

    A cache that does not answer costs a warning: the rows say what they say.

    Args:
        task_names: of open tasks.
        manager: whose cache is asked.
    """
    asked = {f"{manager.progress_prefix}{name}": name for name in task_names}
    if not asked:
        return {}
    try:
        found = manager.cache.get_many(asked)
    except Exception:
        logger.warning("Could not ask PowerCRUD's cache for progress.", exc_info=True)
        return {}
    return {
        asked[key]: fit_progress(value, manager.config)
        for key, value in found.items()
        if value and value != manager.STATUSES.PENDING
    }


def fit_progress(value: Any, config: DashboardConfig) -> str:
    """Return progress from the cache as a row would store it: plain text, bounded and redacted.

    Args:
        value: whatever the task has reported; markup that is marked as safe is text here.
        config: for limit and redaction.
    """
    return payloads.to_text(
        value, limit=config.payload_limit, redact=compile_redaction(config.redact)
    )


def add_live_progress(records: Iterable[Record], manager: AsyncManager) -> None:
    """Give the open ones of these records the progress that the cache has.

    Args:
        records: as pages see them.
        manager: whose cache is asked.
    """
    waiting = {record.task_name: record for record in records if record.is_open}
    for name, text in find_live_progress(waiting, manager).items():
        waiting[name].live_progress = text
