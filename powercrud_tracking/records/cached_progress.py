"""Progress of open tasks in PowerCRUD's cache, which is ahead of the rows.

While a task has a transaction open its progress goes to the cache alone: in the row it would be
invisible to others and locked. Whatever is read from the cache becomes what a row would store:
plain text, bounded and redacted.
"""

import logging
from collections.abc import Iterable
from typing import Any

from powercrud.async_manager import AsyncManager

from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization.payloads import to_text
from powercrud_tracking.serialization.redaction import compile_redaction

logger = logging.getLogger("powercrud_tracking")


def find_live_progress(task_names: Iterable[str], manager: AsyncManager) -> dict[str, str]:
    """Return the progress of these tasks in the cache, by their names, in one look-up.

    A cache that does not answer costs a warning: the rows have progress, too.

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
    fitted = {asked[key]: _fit(value, manager) for key, value in found.items()}
    return {task_name: text for task_name, text in fitted.items() if text}


def find_cached_progress(task_name: str, manager: AsyncManager) -> str | None:
    """Return the progress of a task in the cache.

    It is ``""`` for a task that has reported none, as PowerCRUD marks it from its launch on, and
    ``None`` where the cache does not know the task or does not answer.

    Args:
        task_name: the name of the task.
        manager: whose cache is asked.
    """
    value = manager.get_progress(task_name)
    return None if value is None else _fit(value, manager)


def _fit(value: Any, manager: AsyncManager) -> str:
    config = manager.config
    text = to_text(value, limit=config.payload_limit, redact=compile_redaction(config.redact))
    return "" if text == manager.STATUSES.PENDING else text


def add_live_progress(records: Iterable[Record], manager: AsyncManager) -> None:
    """Give the open ones of these records the progress that the cache has.

    Args:
        records: as pages see them.
        manager: whose cache is asked.
    """
    waiting = {record.task_name: record for record in records if record.is_open}
    for name, text in find_live_progress(waiting, manager).items():
        waiting[name].live_progress = text
