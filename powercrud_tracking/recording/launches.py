"""The launch in progress in this context, and the options that are not passed to the function."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django_q.conf import Conf
from django_q.exceptions import TimeoutException
from django_q.utils import get_func_repr

from powercrud_tracking.serialization import failures
from powercrud_tracking.serialization.failures import BULK_WORKERS
from powercrud_tracking.serialization.payloads import describe_exception
from powercrud_tracking.serialization.redaction import BUILT_IN

_MESSAGE_LENGTH = 8000

HOOK = "powercrud.async_hooks.task_completion_hook"
"""What PowerCRUD's launch gives each task as its hook, and so a sign that it launched it."""

QUEUE_OPTIONS = frozenset(
    [
        "ack_failure",
        "broker",
        "cached",
        "chain",
        "cluster",
        "hook",
        "iter_cached",
        "iter_count",
        "q_options",
        "save",
        "sync",
        "timeout",
    ]
)
"""Keyword arguments of a launch that django-q2 keeps to itself: no function sees them."""

KEPT_OPTIONS = ("ack_failure", "cached", "save", "timeout")
"""Options of a launch, each a number or a boolean, that a retry repeats."""

MOST_LOCKS = 500
"""How many locked objects of a task are stored."""


@dataclass
class Launch:
    """A launch in progress.

    Args:
        manager: the manager that launches.
        task_name: the name of the task.
        is_written: whether its row was written ahead of the enqueue.
        is_started: whether the task has started, which with ``sync`` it does inside the launch.
    """

    manager: Any
    task_name: str
    is_written: bool = False
    is_started: bool = False

    def describe_failure(self, exc: BaseException) -> tuple[str, str]:
        """Return message and result of the row of a failed launch.

        A task that ran inside its launch has failed itself: then both are what django-q2 makes
        of an exception. PowerCRUD raises its own in place of the task's, unless that is a
        timeout.
        """
        cause = exc
        if self.is_started and not isinstance(exc, TimeoutException):
            cause = exc.__context__ or exc
        message = describe_exception(cause, limit=_MESSAGE_LENGTH, redact=BUILT_IN)
        trace = failures.parse_failure(cause).traceback
        result = f"{message} : {trace}"
        return (result, result) if self.is_started else (message, trace)


_under_way: ContextVar[Launch | None] = ContextVar("powercrud_tracking_launch", default=None)


@contextmanager
def begin(manager: Any, task_name: str) -> Iterator[Launch]:
    """Make a launch available to the code inside the context."""
    launch = Launch(manager, task_name)
    token = _under_way.set(launch)
    try:
        yield launch
    finally:
        _under_way.reset(token)


def find_launch(task_name: str) -> Launch | None:
    """Return the launch of this task that is under way here, or ``None``."""
    launch = _under_way.get()
    return launch if launch is not None and launch.task_name == task_name else None


def find_launching_manager(task_name: str) -> Any:
    """Return the manager that is launching this task right now, or ``None``."""
    launch = find_launch(task_name)
    return None if launch is None else launch.manager


def get_cluster(options: Mapping[str, Any]) -> str:
    """Return the name of the clusters for which a launch queues its task; empty if unknown.

    It is the name of the queue too. django-q2 looks into ``q_options`` first; which queue a
    broker that the caller passes has, that broker alone knows (``django_q/tasks.py``, 1.11).

    Args:
        options: the keyword arguments of the launch.
    """
    options = {**options, **(options.get("q_options") or {})}
    return "" if options.get("broker") else options.get("cluster") or Conf.CLUSTER_NAME


def describe_options(
    func: Any, options: Mapping[str, Any], conflict_ids: Mapping[str, Iterable[Any]] | None
) -> dict[str, Any] | None:
    """Return what a retry needs and django-q2 does not keep; ``None`` if there is nothing.

    Args:
        func: the function of the task.
        options: the keyword arguments of the launch.
        conflict_ids: the objects that PowerCRUD locks for the task.
    """
    extra: dict[str, Any] = {}
    options = {**options, **(options.get("q_options") or {})}
    kept = {name: options[name] for name in KEPT_OPTIONS if isinstance(options.get(name), int)}
    if kept:
        extra["options"] = kept
    if conflict_ids and get_func_repr(func) not in BULK_WORKERS:
        locks = {model: [str(key) for key in keys] for model, keys in conflict_ids.items()}
        # Too many to be stored: a retry is refused rather than run without its locks.
        is_short = sum(map(len, locks.values())) <= MOST_LOCKS
        extra["conflict_ids"] = locks if is_short else None
    return extra or None


def take_task_name(
    task_key: str | None, args: tuple[Any, ...]
) -> tuple[str | None, tuple[Any, ...]]:
    """Return the name that a launch was given, if any, and the arguments without it.

    PowerCRUD takes a string in the last place that parses as a UUID for the name (seen with
    0.9.16; its own views pass it so). The row is written before PowerCRUD looks.
    """
    if task_key is None and args and isinstance(args[-1], str):
        try:
            UUID(args[-1])
        except ValueError:
            pass
        else:
            return args[-1], args[:-1]
    return task_key, args
