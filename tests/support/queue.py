"""A queued task run in this process by django-q2's own worker and monitor."""

from datetime import timedelta
from multiprocessing import Value
from queue import Queue

from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.monitor import monitor
from django_q.signing import SignedPackage
from django_q.worker import worker


def run_queued_task() -> None:
    """Take the next task from the queue through worker and monitor, as a cluster does."""
    broker = get_broker()
    tasks: Queue = Queue()
    results: Queue = Queue()
    for ack_id, package in broker.dequeue() or ():
        tasks.put({**SignedPackage.loads(package), "cluster": "tests", "ack_id": ack_id})
    tasks.put("STOP")
    worker(tasks, results, Value("f", -1))
    results.put("STOP")
    monitor(results, broker)


def deliver_again() -> None:
    """Let django-q2 deliver again at once what has not been acknowledged."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(days=1))
