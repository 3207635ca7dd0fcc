"""The task that runs in this process, and its progress that is not written yet."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.db import connections, transaction

from powercrud_tracking.recording.cancellation import TaskCancelled, find_flag
from powercrud_tracking.recording.recorder import RecordedEvent
from powercrud_tracking.recording.savepoints import is_in_transaction
from powercrud_tracking.serialization.bulk_results import is_end

_LOOK_EVERY = 0.2
"""Minimum number of seconds between two looks whether the task is to stop."""


@dataclass(kw_only=True)
class RunningTask:
    """A task between its start and its end, in the process that runs it.

    Args:
        task_name: the name of the task.
        task_key: the ``task_key`` argument that its function sees; another task's name if
            django-q2's admin queued this one again.
        manager: the manager that records it; ``None`` until its function builds one, if its class
            is named by nothing but the arguments of the task and so has not been imported.
        start: the data of its start, by the names of PowerCRUD and of this package.
        is_started: whether its start has been written.
        is_refused: whether its function must not run: it was cancelled before.
        stop_message: the message of its row, once it has been told to stop by an exception.
        outer: the task inside which it runs, with ``sync``.
    """

    task_name: str
    task_key: str
    manager: Any
    start: dict[str, Any] = field(default_factory=dict)
    is_started: bool = False
    is_refused: bool = False
    stop_message: str | None = None
    outer: "RunningTask | None" = None
    _held: tuple[Any, RecordedEvent] | None = None
    _written_at: float | None = None
    _looked_at: float = field(default_factory=monotonic)

    def raise_if_cancelled(self, progress: str = "") -> None:
        """Raise ``TaskCancelled`` if somebody has asked to cancel the task.

        Args:
            progress: what the task reports. The end of a bulk operation raises nothing: it has
                been committed.
        """
        now = monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        if is_end(progress):
            return
        if self.is_refused:
            raise TaskCancelled
        queue_id = self.start.get("django_q2_task_id")
        message = find_flag(self.manager, self.task_name, queue_id)
        if message is not None:
            self.stop_message = message
            raise TaskCancelled

    def hold(self, events: Any, event: RecordedEvent, *, using: str, interval: float) -> bool:
        """Hold progress back until it may be written, and return whether that is now.

        It is held back while a transaction is open, where a row would be invisible to others,
        locked against them, and gone after a rollback; and for ``interval`` seconds after the
        last write. What is held back is written at the commit, with the next write or at the
        end of the task; of several events only the last.

        Args:
            events: the ``EventRecorder`` that writes it.
            event: the progress.
            using: the alias of the database that holds the row.
            interval: minimum seconds between two writes.
        """
        self._held = events, event
        connection = connections[using]
        if connection.in_atomic_block:
            # Only Django knows whether a rollback, of a savepoint perhaps, has dropped ours.
            if not any(hook[1] == self.flush for hook in connection.run_on_commit):
                transaction.on_commit(self.flush, using=using, robust=True)
            return False
        if is_in_transaction(connection):
            # Django announces no commit of a transaction by hand: the end of the task writes it.
            return False
        return self._written_at is None or monotonic() - self._written_at >= interval

    @property
    def is_holding(self) -> bool:
        """Whether progress is held back."""
        return self._held is not None

    def flush(self) -> None:
        """Write the progress that is held back, if there is any."""
        held, self._held = self._held, None
        if held is not None:
            events, event = held
            self._written_at = monotonic()
            events.write(event)


_running: ContextVar[RunningTask | None] = ContextVar("powercrud_tracking_running", default=None)

find_running_task = _running.get
"""Return the task that this code runs in, or ``None`` outside one."""


def enter_task(task: RunningTask) -> None:
    """Note that a task starts to run here; with ``sync`` inside another one."""
    task.outer = find_running_task()
    _running.set(task)


def leave_task(task_name: str) -> RunningTask | None:
    """Note that a task has ended here, and return it if it ran here."""
    task = find_running_task()
    if task is None or task.task_name != task_name:
        return None
    _running.set(task.outer)
    return task
