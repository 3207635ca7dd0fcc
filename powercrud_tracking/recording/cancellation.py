"""Refuse the delivery of a cancelled task, and let a running one hear that it is to stop.

django-q2 offers neither (1.11): ``pre_execute`` cannot veto a task, and nothing stops a running
one safely from outside.
"""

import logging
from collections.abc import Iterator
from typing import Any, NoReturn

from powercrud.async_manager import AsyncManager

logger = logging.getLogger("powercrud_tracking")

REFUSED = "Not run: the task was cancelled or retried before this delivery."

_PREFIX = "powercrud:async:cancel:"
_ANY_LAUNCH = "*"


class TaskCancelled(Exception):  # noqa: N818 - it is a request, like KeyboardInterrupt
    """Raised inside a running task that somebody has asked to cancel."""

    def __init__(self, message: str = "The task was asked to stop.") -> None:
        super().__init__(message)


class RefusedArguments(tuple[Any, ...]):
    """The arguments of a task whose function must not be called.

    django-q2's worker unpacks them inside its own ``try``: what this raises becomes the result of
    the task, and the function is not called (``django_q/worker.py``, 1.11).
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TaskCancelled(REFUSED)


def refuse_delivery(package: dict[str, Any]) -> None:
    """Keep the worker from calling the function of this package; for ``pre_execute``."""
    package["args"] = RefusedArguments(package["args"])


def finish_refusal(package: dict[str, Any]) -> None:
    """Give a refused package its arguments back; for ``post_execute_in_worker``."""
    # Not through __iter__(), which raises.
    package["args"] = tuple(package["args"][number] for number in range(len(package["args"])))
    package["result"] = REFUSED
    stop_delivery(package)


def stop_delivery(package: dict[str, Any]) -> None:
    """Let django-q2 neither deliver a package again nor queue the next task of its chain.

    The monitor acknowledges a failure by this key, and queues the next task before it looks at
    the result (``django_q/monitor.py``, 1.11).
    """
    package["ack_failure"] = True
    package.pop("chain", None)


# --- the flag in PowerCRUD's cache -------------------------------------------------------


def set_flag(manager: AsyncManager, task_name: str, queue_id: str | None, message: str) -> bool:
    """Tell the worker of a running task that it is to stop.

    Args:
        manager: whose cache is written.
        task_name: the name of the task.
        queue_id: django-q2's id of this launch: the name may be used again.
        message: the message of the row of a task that has stopped.

    Returns:
        Whether the cache took it.
    """
    try:
        flag = queue_id or _ANY_LAUNCH, message
        manager.cache.set(f"{_PREFIX}{task_name}", flag, max(manager.progress_ttl, 3600))
    except Exception:
        logger.warning("Could not tell task %s to stop.", task_name, exc_info=True)
        return False
    return True


def find_flag(manager: AsyncManager, task_name: str, queue_id: str | None) -> str | None:
    """Return the message of a running task that is to stop, or ``None`` if it may run on.

    It may where the cache does not answer.
    """
    try:
        launch, message = manager.cache.get(f"{_PREFIX}{task_name}") or (None, "")
    except Exception:
        logger.warning("Could not ask whether task %s is to stop.", task_name, exc_info=True)
        return None
    return message if launch is not None and launch in {queue_id, _ANY_LAUNCH} else None
