"""The launch that is under way here: whose it is, how far it has come, what of it is whose."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django_q.conf import Conf
from django_q.exceptions import TimeoutException

from powercrud_tracking.serialization import failures

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


@dataclass
class Launch:
    """A launch under way.

    Args:
        manager: who launches.
        task_name: what is launched.
        written: whether its row was written ahead of the enqueue.
        passed_on: whether PowerCRUD has it: from then on an open row is its own.
        started: whether it has started, which with ``sync`` it does inside the launch.
    """

    manager: Any
    task_name: str
    written: bool = False
    passed_on: bool = False
    started: bool = False

    def describe_failure(self, exc: BaseException) -> tuple[str, str]:
        """Return what a failed launch says in its row: message and result.

        A task that ran inside its launch has failed itself, and says so as django-q2 words it.
        PowerCRUD's exception stands for the task's, unless it is a timeout, which PowerCRUD
        lets pass.
        """
        if not self.started:
            return str(exc), failures.parse_failure(exc).traceback
        cause = exc if isinstance(exc, TimeoutException) else exc.__context__ or exc
        result = f"{cause} : {failures.parse_failure(cause).traceback}"
        return result, result


_under_way: ContextVar[Launch | None] = ContextVar("powercrud_tracking_launch", default=None)


@contextmanager
def begin(manager: Any, task_name: str) -> Iterator[Launch]:
    """Let a launch be under way inside."""
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
