"""What runs in a project with a real cluster, and what its web process is asked to do."""

import os
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.contrib.admin import site
from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone
from django_q.admin import resubmit_task
from django_q.brokers import get_broker
from django_q.models import OrmQ, Success, Task
from django_q.status import Stat

from powercrud_tracking import actions, factory, upkeep
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.progress import report
from powercrud_tracking.signals import task_recorded
from tests.project.models import Widget

SECONDS = 50
"""How long a task waits for what its test promises."""

PASSWORD = "correct horse battery staple"


# --- in the worker -----------------------------------------------------------------------


def add(a, b, task_key):
    return a + b


def fail(task_key):
    raise ValueError("the price is wrong")


def sleep(seconds, task_key):
    report(1, 2, "sleeping")
    time.sleep(seconds)


def wait_for_file(path, task_key):
    """Run until the test says so; end in any case."""
    report(1, 2, "waiting")
    deadline = time.monotonic() + SECONDS
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.02)
    report(2, 2, "waiting")
    return "seen"


def die_once(path, task_key):
    """Be killed by the kernel, the first time."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), 9)
    return "survived"


def die(path, task_key):
    """Be killed by the kernel, each time; the file has a line for each."""
    with Path(path).open("a") as file:
        file.write("died\n")
    os.kill(os.getpid(), 9)


def touch(path, task_key=None):
    Path(path).touch()


def report_until_cancelled(task_key):
    """Report progress until somebody cancels this; end in any case."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        report(1, 2, "working")
        time.sleep(0.02)


def is_password(password, task_key):
    return password == PASSWORD


def fail_once(path, task_key):
    if not Path(path).exists():
        Path(path).touch()
        raise ValueError("the first time")
    return "the second time"


def return_a_lock(task_key):
    return threading.Lock()


class TextlessError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def fail_without_text(path, task_key):
    """Fail so that django-q2's worker dies of it, the first time."""
    if not Path(path).exists():
        Path(path).touch()
        raise TextlessError
    return "survived"


def empty_the_cache(task_key):
    report(1, 2, "emptying")
    cache.clear()
    report(2, 2, "emptying")
    return "emptied"


@contextmanager
def broken_receiver():
    """Connect a receiver of the project that raises, and return what one behind it hears."""
    heard = []

    def listen(*, event, **kwargs):
        heard.append(str(event))

    task_recorded.connect(raise_in_receiver)
    task_recorded.connect(listen)
    try:
        yield heard
    finally:
        task_recorded.disconnect(listen)
        task_recorded.disconnect(raise_in_receiver)


def raise_in_receiver(**kwargs):
    raise RuntimeError("this receiver is broken")


def report_to_a_broken_receiver(task_key):
    """Return what is heard of a report by the receiver behind the one that raises."""
    with broken_receiver() as heard:
        report(1, 1)
    return heard


def raise_in_hook(task):
    raise RuntimeError("this hook is broken")


# --- in the web process ------------------------------------------------------------------


def launch(func, *args, **kwargs):
    return factory.get_manager().launch_async_task(func, *args, **kwargs)


def launch_bulk_update(number, price=7, **options):
    """Launch PowerCRUD's update of so many new widgets, each of which takes 10 ms."""
    widgets = Widget.objects.bulk_create(Widget(name=f"slow {n}") for n in range(number))
    keys = sorted(Widget.objects.order_by("-pk").values_list("pk", flat=True)[: len(widgets)])
    return launch(
        "powercrud.tasks.bulk_update_task",
        "project.Widget",
        [str(key) for key in keys],
        None,
        ["price"],
        ["price"],
        [{"field": "price", "value": price, "info": {"is_m2m": False}}],
        conflict_ids={"project.widget": set(keys)},
        **factory.get_manager().get_manager_reference(),
        **options,
    )


def launch_twice_at_once(func, *args):
    """Put the same package into the queue twice, as a broker does that delivers it twice."""
    with transaction.atomic():
        name = launch(func, *args)
        package = OrmQ.objects.latest("pk")
        OrmQ.objects.create(key=package.key, payload=package.payload, lock=package.lock)
    return name


def launch_sync_with_a_broken_receiver(func, *args):
    """Return the row, and what the receiver behind the one that raises heard."""
    with broken_receiver() as heard:
        _, row = launch_sync(func, *args)
    return row, heard


def launch_sync(func, *args):
    """Return the launch's name or what it raised, and the row."""
    try:
        name = launch(func, *args, sync=True)
    except Exception as exc:  # noqa: BLE001
        name = type(exc).__name__
    return name, AsyncTaskRecord.objects.values().latest("pk")


def get_row(name):
    return AsyncTaskRecord.objects.values().filter(task_name=name).first()


def find_row(name, status):
    return AsyncTaskRecord.objects.values().filter(task_name=name, status=status).first()


def find_cleaned_row(name):
    return AsyncTaskRecord.objects.values().filter(task_name=name, cleaned_up=True).first()


def find_attempted_row(name, status, attempts):
    rows = AsyncTaskRecord.objects.values()
    return rows.filter(task_name=name, status=status, attempts__gte=attempts).first()


def get_attempts(name):
    return list(AsyncTaskAttempt.objects.values().filter(task_name=name).order_by("number"))


def is_done(name):
    """Return whether nothing of a task is left in the queue and django-q2 has its result."""
    return not OrmQ.objects.exists() and Task.objects.filter(name=name).exists()


def is_queue_empty():
    return not OrmQ.objects.exists()


def count_results(name):
    return Task.objects.filter(name=name).count()


def redeliver_now():
    """Do as if the time until the queue delivers again were over."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))


def reconcile(older_than=0):
    report = upkeep.reconcile(older_than=older_than)
    return report.ended, list(report.lost), report.left


def is_found_lost(name):
    """Reconcile; a dead cluster's statistics live three seconds longer."""
    return name in reconcile()[1]


def drop_queue(name=None):
    return get_broker(name).purge_queue()


def is_past(at):
    return timezone.now() > at


def is_worker_number_used_again(worker, since):
    """Return whether a cluster that was started since then has a worker of this name."""
    return any(
        stat.tob > since and worker in [f"{stat.host}:{pid}" for pid in stat.workers]
        for stat in Stat.get_all()
    )


def rename_table(old, new):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def resubmit(name):
    """Use the action "Resubmit" of django-q2's admin."""
    resubmit_task(site.get_model_admin(Success), None, Task.objects.filter(name=name))


def get_names():
    return list(AsyncTaskRecord.objects.values_list("task_name", flat=True))


def find_new_row(known, status):
    """Return a row of this status that was not known before."""
    rows = AsyncTaskRecord.objects.values().exclude(task_name__in=known)
    return rows.filter(status=status).first()


# --- actions -----------------------------------------------------------------------------


def cancel(name, **kwargs):
    return tell(actions.cancel(name, **kwargs))


def retry(name, *, at=0):
    """Retry a task, not before a time of this machine's clock."""
    while time.time() < at:
        time.sleep(0.0005)
    return tell(actions.retry(name))


def tell(result):
    return str(result.outcome), result.message, result.task_name


def count_queued():
    """Return how many messages the broker holds; those of ORM are kept until acknowledged."""
    broker = get_broker()
    return broker.queue_size() + (broker.lock_size() or 0)


def is_nothing_queued():
    return count_queued() == 0


def is_everything_delivered():
    """Return whether each message has been taken by a cluster."""
    return get_broker().queue_size() == 0


def find_retries(name):
    rows = AsyncTaskRecord.objects.filter(retry_of=name)
    return sorted(rows.values_list("task_name", flat=True))


def find_locked(name):
    """Return which objects of a bulk task are locked by whichever task."""
    keys = AsyncTaskRecord.objects.get(task_name=name).task_args[1]
    return len(factory.get_manager().check_conflict({"project.widget": keys}))


def is_half_done(name):
    """Return whether a bulk update says that it has reached its middle."""
    _, _, share = str(factory.get_manager().get_progress(name)).partition(": ")
    done, _, total = share.partition("/")
    return done.isdigit() and 2 * int(done) >= int(total)


def count_priced(price):
    return Widget.objects.filter(price=price).count()


def lock_widgets():
    """Return how many widgets could be locked, without waiting where the database can."""
    with transaction.atomic():
        can = connection.features.has_select_for_update_nowait
        return len(Widget.objects.select_for_update(nowait=can))
