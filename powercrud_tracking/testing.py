"""Run tasks from launch to end in a test, without a cluster, and assert on their records.

Nothing is mocked here. A launch puts its package into a queue in memory, and
from there django-q2's own worker and monitor handle it in this process: their signals, the
result in django-q2's table, PowerCRUD's completion hook and the receivers are the real ones.
"""

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import Value
from queue import SimpleQueue
from typing import Any

import django_q.monitor
import django_q.worker
from django.db import connections
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.signals import pre_execute
from django_q.signing import SignedPackage

from powercrud_tracking.actions import ActionResult, cancel
from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS, FIELD_ALIASES, get_config
from powercrud_tracking.config.problems import get_suggestion
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Outcome
from powercrud_tracking.receivers import find_manager
from powercrud_tracking.recording import running
from powercrud_tracking.recording.action_log import describe_cancel
from powercrud_tracking.recording.cancellation import set_flag
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import Record, find_record, get_rows
from powercrud_tracking.serialization.payloads import cut

_SHOWN_CHARACTERS = 2000
_SHOWN_TASKS = 5


class TaskQueue:
    """Tasks that were launched inside ``task_queue()``, in memory, until ``run()`` runs them."""

    def __init__(self) -> None:
        self._packages: dict[int, str] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        """Return how many tasks are queued, or failed and would be delivered again."""
        return len(self._packages)

    @property
    def task_names(self) -> list[str]:
        """The names of these tasks, oldest first."""
        return [SignedPackage.loads(package)["name"] for package in self._packages.values()]

    def run(self) -> list[Record]:
        """Run each queued task once, with those that are queued meanwhile.

        A task that fails stays in the queue, as with a cluster, unless django-q2's
        ``ack_failures`` or ``max_attempts`` removes it: the next ``run()`` delivers it again.

        Returns:
            The records of the tasks that ran, in the order of their ends, as the pages see
            them. A task that is not recorded runs too, and has none.

        Raises:
            TypeError: a task returned what cannot be pickled. A cluster would lose the result
                and say nothing.
        """
        records: list[Record] = []
        done: set[int] = set()
        while waiting := [number for number in self._packages if number not in done]:
            done.update(waiting)
            for number in waiting:
                record = self._deliver(number)
                records += [] if record is None else [record]
        return records

    def put(self, package: str) -> int:
        """Queue a package from the broker, and return the number that acknowledges it."""
        number = next(self._numbers)
        self._packages[number] = package
        return number

    def drop(self, number: int) -> None:
        """Remove a package that has been acknowledged."""
        self._packages.pop(number, None)

    def _deliver(self, number: int) -> Record | None:
        # What django-q2's pusher adds (django_q/pusher.py, 1.11).
        task = SignedPackage.loads(self._packages[number])
        task |= {"cluster": Conf.CLUSTER_NAME, "ack_id": number}
        manager = find_manager(task)
        tasks, results = SimpleQueue[Any](), _Results()
        tasks.put(task)
        tasks.put("STOP")
        with _kept_transactions():
            django_q.worker.worker(tasks, results, Value("f", -1))
            results.put("STOP")
            django_q.monitor.monitor(results, MemoryBroker())
        return find_record(task["name"], get_config() if manager is None else manager.config)


@contextmanager
def _kept_transactions() -> Iterator[None]:
    """Keep worker and monitor from closing a connection that has a transaction.

    They have processes of their own in a cluster and start with closing what they inherited;
    here that would be the connection in which a ``TestCase`` has its transaction.
    """
    modules = (django_q.worker, django_q.monitor)
    before = [module.close_old_django_connections for module in modules]
    for module in modules:
        module.close_old_django_connections = _close_old_connections
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            module.close_old_django_connections = function


def _close_old_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


class _Results:
    """The queue from worker to monitor, which in a cluster are two processes."""

    def __init__(self) -> None:
        self._queue = SimpleQueue[bytes]()

    def put(self, result: Any) -> None:
        try:
            self._queue.put(pickle.dumps(result))
        except Exception as exc:
            raise TypeError(
                f"The task {result['name']} returned {result['result']!r}, which cannot be "
                f"pickled. A cluster would lose it, and the task would never end: {exc}"
            ) from exc

    def get(self) -> Any:
        return pickle.loads(self._queue.get())  # noqa: S301 - put in above


class MemoryBroker(Broker):  # type: ignore[misc]
    """django-q2's broker inside ``task_queue()``: it hands packages to the innermost queue."""

    @staticmethod
    def get_connection(list_key: str | None = None) -> TaskQueue:
        return _queues[-1]

    def enqueue(self, task: str) -> int:
        queue: TaskQueue = self.connection
        return queue.put(task)

    def acknowledge(self, task_id: int) -> None:
        self.connection.drop(task_id)

    delete = fail = acknowledge

    def queue_size(self) -> int:
        return len(self.connection)

    def lock_size(self) -> int:
        return 0

    def ping(self) -> bool:
        return True

    def info(self) -> str:
        return "memory"


_queues: list[TaskQueue] = []


@contextmanager
def task_queue() -> Iterator[TaskQueue]:
    """Queue in memory all tasks that are launched inside, by a view or by code, with any broker.

    ::

        with task_queue() as queue:
            client.post("/books/bulk-edit/", {...})
            [record] = queue.run()

        assert_task(record, status="success")

    Yields:
        The ``TaskQueue``. Tasks that are still queued at the end are discarded.
    """
    before, queue = Conf.BROKER_CLASS, TaskQueue()
    _queues.append(queue)
    Conf.BROKER_CLASS = f"{__name__}.{MemoryBroker.__name__}"
    try:
        yield queue
    finally:
        Conf.BROKER_CLASS = before
        _queues.remove(queue)


@contextmanager
def cancel_while_running(*, after: int = 0, by: Any = None, reason: str = "") -> Iterator[None]:
    """Cancel each task that runs inside, as somebody would who presses the button.

    ::

        with cancel_while_running(after=2):
            record = run_task(import_books, "books.csv")

        assert_task(record, status="cancelled")

    ``actions.cancel()`` is called once the task has started. The task is asked to stop at one of
    its next reports of progress or calls of ``check_cancelled()``: each of them looks here,
    whereas in a cluster one does so every 0.2 seconds.

    Args:
        after: how many reports pass before the task is asked to stop.
        by: who cancels it: a user, or text.
        reason: in the words of that person.

    Raises:
        AssertionError: no task was asked to stop: none ran, or its record cannot be cancelled.
    """
    __tracebackhide__ = True
    results: list[ActionResult] = []
    module: Any = running
    find_flag, look_every = module.find_flag, module._LOOK_EVERY
    reports: dict[str, int] = {}

    def cancel_started(*, task: dict[str, Any], **kwargs: Any) -> None:
        results.append(cancel(task["name"], by=by, reason=reason))
        if results[-1].outcome is Outcome.REQUESTED:
            # At the commit of cancel(): in a TestCase there is none.
            manager = find_manager(task)
            manager = get_manager() if manager is None else manager
            set_flag(manager, task["name"], task["id"], describe_cancel(task["name"]))

    def find_flag_after(manager: Any, task_name: str, queue_id: str | None) -> str | None:
        reports[task_name] = reports.get(task_name, 0) + 1
        if reports[task_name] <= after:
            return None
        message: str | None = find_flag(manager, task_name, queue_id)
        return message

    # Connected after the receiver that records the start, and so called after it.
    pre_execute.connect(cancel_started, weak=False)
    module.find_flag, module._LOOK_EVERY = find_flag_after, 0.0
    try:
        yield
    finally:
        pre_execute.disconnect(cancel_started)
        module.find_flag, module._LOOK_EVERY = find_flag, look_every
    if not any(result.outcome is Outcome.REQUESTED for result in results):
        reasons = ", ".join(result.message for result in results) or "No task ran."
        raise AssertionError(f"No task was asked to stop. {reasons}")


def run_task(func: Any, *args: Any, manager: Any = None, **kwargs: Any) -> Record:
    """Launch a task and run it to its end, once.

    Args:
        func: the function, or its dotted path. It gets ``task_key``, as in a cluster.
        *args: its positional arguments.
        manager: who launches; ``get_manager()`` unless given.
        **kwargs: the other arguments of ``launch_async_task``: the function's keyword arguments,
            ``user``, ``affected_objects``, ``conflict_ids``, ``task_key``, django-q2's options.

    Returns:
        Its record as the pages see it, by logical names: ``run_task(add, 1, 2).result``.
        That the function raised is no error here; the record says ``failed`` and why.

    Raises:
        AssertionError: the task ran, and no record of it was found.
        TypeError: the function returned what cannot be pickled.
        Exception: it could not be launched, as ``launch_async_task`` says.
    """
    __tracebackhide__ = True
    with task_queue() as queue:
        launching = get_manager() if manager is None else manager
        task_name = launching.launch_async_task(func, *args, **kwargs)
        records = queue.run()
    for record in records:
        if record.task_name == task_name:
            return record
    raise AssertionError(_describe_missing(task_name))


def assert_task(task: str | Record, **expected: Any) -> Record:
    """Assert the values of a task's record; on a difference, show the whole record.

    ::

        assert_task(record, status="failed", message=re.compile("out of print"))

    Args:
        task: the task's name, whose row is looked for in the setting's table; or a record,
            which is read again.
        **expected: logical names to what they must be. A compiled regular expression is
            searched for in the text; anything else must be equal.

    Returns:
        The record as it is now.

    Raises:
        AssertionError: there is no such record, or it says something else. The message names
            each difference and shows the row.
        TypeError: a name is no logical name.
    """
    __tracebackhide__ = True
    for name in expected:
        if FIELD_ALIASES.get(name, name) not in DEFAULT_FIELDS:
            known = f"The logical names are {', '.join(DEFAULT_FIELDS)}."
            guess = get_suggestion(name, [*DEFAULT_FIELDS, *FIELD_ALIASES], known)
            raise TypeError(f"assert_task() got an unknown logical name {name!r}. {guess}")
    record = _read_again(task) if isinstance(task, Record) else find_record(task)
    if record is None:
        raise AssertionError(_describe_missing(task if isinstance(task, str) else task.task_name))
    differences = [
        difference
        for name, value in expected.items()
        if (difference := _find_difference(name, value, record))
    ]
    if differences:
        raise AssertionError(f"{' '.join(differences)}\n{describe_task(record)}")
    return record


def describe_task(record: Record) -> str:
    """Return the values of a record, a line for each logical name that is not empty."""
    width = max(map(len, DEFAULT_FIELDS))
    values = {name: getattr(record, name) for name in DEFAULT_FIELDS}
    return "\n".join(
        f"  {name:<{width}}  {cut(_show(value), _SHOWN_CHARACTERS)}"
        for name, value in values.items()
        if value not in (None, "")
    )


def _show(value: Any) -> str:
    # A text of several lines begins below the name; no text is quoted.
    text = str(value)
    return f"\n{text}" if "\n" in text else text


def _find_difference(name: str, expected: Any, record: Record) -> str | None:
    found = getattr(record, FIELD_ALIASES.get(name, name))
    if isinstance(expected, re.Pattern):
        if expected.search("" if found is None else str(found)):
            return None
        return f"{name} is {_quote(found)}, without {expected.pattern!r}."
    return None if found == expected else f"{name} is {_quote(found)}, not {_quote(expected)}."


def _quote(value: Any) -> str:
    return repr(str(value) if isinstance(value, str) else value)


def _read_again(record: Record) -> Record | None:
    rows = type(record.row)._base_manager.using(record.row._state.db)
    row = rows.filter(pk=record.pk).first()
    return None if row is None else record.with_row(row)


def _describe_missing(task_name: str) -> str:
    label = get_record_map(get_config()).model._meta.label
    others = get_rows().newest_first()[:_SHOWN_TASKS].get_task_names()
    newest = f"the newest are {', '.join(others)}" if others else "there are none at all"
    return f"{label} has no row of the task {task_name!r}; {newest}."
