"""Queued tasks that go through django-q2's own worker and monitor in this process."""

import copy
from datetime import timedelta
from multiprocessing import Value
from queue import Queue
from typing import Any

from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.monitor import monitor
from django_q.signals import pre_execute
from django_q.signing import SignedPackage
from django_q.worker import worker

from powercrud_tracking.recording.running import leave_task


def run_queued_task() -> None:
    """Take the next task from the queue through worker and monitor, as a cluster does."""
    tasks: Queue = Queue()
    results: Queue = Queue()
    for package in _take_packages():
        tasks.put(package)
    tasks.put("STOP")
    worker(tasks, results, Value("f", -1))
    _monitor(results)


def report_dead_worker(*, meanwhile: Any = None) -> None:
    """Start the next task, and report it as a failure, because its worker has died.

    A change of django-q2 that is open (pull request 328) lets the cluster send this to its monitor,
    with the package as it was before the worker saw it.

    Args:
        meanwhile: called while the task runs.
    """
    [package] = _take_packages()
    # The worker has a copy of its own, and nothing of it comes back.
    running = copy.deepcopy(package)
    pre_execute.send(sender="django_q", func=None, task=running)
    leave_task(package["name"])
    if meanwhile is not None:
        meanwhile()
    results: Queue = Queue()
    results.put(
        {
            **package,
            "result": f"Worker died while processing task {package['name']}",
            "success": False,
            "stopped": timezone.now(),
        }
    )
    _monitor(results)


def _take_packages() -> list[dict[str, Any]]:
    return [
        {**SignedPackage.loads(package), "cluster": "tests", "ack_id": ack_id}
        for ack_id, package in get_broker().dequeue() or ()
    ]


def _monitor(results: Queue) -> None:
    results.put("STOP")
    monitor(results, get_broker())


def deliver_again() -> None:
    """Let django-q2 deliver again at once what has not been acknowledged."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(days=1))
