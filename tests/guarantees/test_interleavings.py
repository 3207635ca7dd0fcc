"""Events of one task mixed at random, by one process and by several at once.

The model below says in plain Python what the row must hold; it is written from the
documentation and knows nothing of the package's own table.
"""

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC if settings.USE_TZ else None)
FIELDS = (
    "status",
    "message",
    "progress_payload",
    "user_label",
    "func",
    "worker",
    "result_payload",
    "cleaned_up",
    "attempts",
    "started_at",
    "completed_at",
    "failed_at",
)
KINDS = (
    "create",
    "start",
    "progress",
    "complete",
    "complete a failure",
    "fail",
    "cleanup",
    "cleanup with success",
    "cleanup with failed",
    "lost",
)


class Row:
    """What a row should hold, one method an event."""

    def __init__(self):
        self.status = None
        self.message = self.progress_payload = self.user_label = self.func = self.worker = ""
        self.result_payload = self.started_at = self.completed_at = self.failed_at = None
        self.cleaned_up = False
        self.attempts = 0

    @property
    def is_open(self):
        return self.status in {"pending", "in_progress"}

    def apply(self, kind, number):
        if self.status is None:
            if kind == "lost":
                return
            self.status = "pending"
        event, _, brought = kind.partition(" with ")
        text, at = str(number), AT + timedelta(seconds=number)
        getattr(self, event.replace(" ", "_"))(text, at, brought)

    def create(self, text, at, brought):
        self.user_label = self.user_label or text
        self.func = self.func or text
        self.message = self.message or text

    def start(self, text, at, brought):
        self.attempts += 1
        self.func = self.func or text
        if self.status == "success":
            self.started_at = self.started_at or at
            self.worker = self.worker or text
            return
        if not self.is_open:
            self.failed_at, self.cleaned_up = None, False
        self.status, self.started_at, self.worker = "in_progress", at, text

    def progress(self, text, at, brought):
        if self.status in {"success", "failed"}:
            self.progress_payload = self.progress_payload or text
            return
        if self.status == "lost":
            self.failed_at = None
        self.status, self.progress_payload = "in_progress", text

    def complete(self, text, at, brought):
        self.status, self.message, self.result_payload = "success", text, text
        self.completed_at, self.failed_at = at, None

    def complete_a_failure(self, text, at, brought):
        if self.status != "success":
            self.status, self.failed_at, self.result_payload = "failed", at, False
            self.message = self.progress_payload or "The task returned False"

    def fail(self, text, at, brought):
        if self.status != "success":
            self.status, self.message, self.result_payload = "failed", text, [text]
            self.failed_at = at

    def cleanup(self, text, at, brought):
        self.cleaned_up = True
        if not self.is_open:
            return
        self.message, self.result_payload = text, text
        if brought == "success":
            self.status, self.completed_at = "success", at
        elif brought:
            self.status, self.failed_at = brought, at

    def lost(self, text, at, brought):
        if self.is_open:
            self.status, self.message, self.failed_at = "lost", text, at


def send(manager, task_name, kind, number):
    event, _, brought = kind.partition(" with ")
    event, _, is_failure = event.partition(" a ")
    text = str(number)
    payload = {
        "message": text,
        "timestamp": AT + timedelta(seconds=number),
        "status": brought or None,
        "user": text,
        "func": text,
        "worker": text,
        "progress_payload": text,
        "result": [text] if event == "fail" else text,
    }
    if is_failure:
        payload |= {"func": "powercrud.tasks.bulk_update_task", "result": False}
    manager.async_task_lifecycle(event, task_name, **payload)


def get_values(task_name):
    row = AsyncTaskRecord.objects.filter(task_name=task_name).values(*FIELDS).first()
    return row or dict.fromkeys(FIELDS)


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12))
@example(["fail", "cleanup", "start", "complete"])
@example(["lost", "create", "lost", "progress", "complete", "start"])
@example(["complete", "fail", "lost", "cleanup with failed", "progress", "create", "start"])
def test_any_events_in_any_order_leave_the_row_that_the_rules_say(kinds):
    manager, row, task_name = get_manager(), Row(), str(uuid4())

    for number, kind in enumerate(kinds, start=1):
        send(manager, task_name, kind, number)
        row.apply(kind, number)

        if row.status is None:
            assert get_values(task_name) == dict.fromkeys(FIELDS), kinds[:number]
        else:
            assert get_values(task_name) == {name: getattr(row, name) for name in FIELDS}, kinds[
                :number
            ]


# --- several processes -------------------------------------------------------------------

# What each process runs: it waits for a line, so that all of them begin at once, and fires
# one kind of event at all tasks, in an order of its own.
PROCESS = """
import json, random, signal, sys
from datetime import datetime

signal.alarm(60)

from django.conf import settings

order = json.loads(sys.argv[1])
for alias, database in order["databases"].items():
    settings.DATABASES[alias].update(database)

import django
django.setup()
from powercrud_tracking.factory import get_manager

manager = get_manager()
print("ready", flush=True)
sys.stdin.readline()
names = list(order["names"])
random.Random(order["event"]).shuffle(names)
for name in names:
    payload = dict(order["payload"], timestamp=datetime.fromisoformat(order["at"]))
    manager.async_task_lifecycle(order["event"], name, **payload)
"""
# What another process runs: it says what is in the table.
SHOW = """
import json, sys

from django.conf import settings

for alias, database in json.loads(sys.argv[1]).items():
    settings.DATABASES[alias].update(database)

import django
django.setup()
from powercrud_tracking.models import AsyncTaskRecord

print(json.dumps(list(AsyncTaskRecord.objects.values()), default=str))
"""
NAMES = [f"{number:08}-3a0a-4f0d-9f5b-2f1d2c1b7a10" for number in range(20)]
ENDINGS = {
    "success": {
        "create": {"user": "ada", "func": "shop.tasks.sort", "message": "Task queued"},
        "start": {"worker": "host:7"},
        "progress": {"progress_payload": "sorting: 1/2"},
        "complete": {"result": {"sorted": 2}, "message": "Completed successfully"},
        "cleanup": {"status": "success", "message": "Cleaned up"},
    },
    "failed": {
        "create": {"user": "ada", "func": "shop.tasks.sort", "message": "Task queued"},
        "progress": {"progress_payload": "sorting: 1/2"},
        "fail": {"result": {"left": 1}, "message": "no stock"},
        "cleanup": {"status": "failed", "message": "Cleaned up"},
    },
}
EXPECTED = {
    "success": {
        "status": "success",
        "message": "Completed successfully",
        "progress_payload": "sorting: 1/2",
        "user_label": "ada",
        "func": "shop.tasks.sort",
        "worker": "host:7",
        "result_payload": {"sorted": 2},
        "cleaned_up": True,
        "attempts": 1,
        "started_at": str(AT + timedelta(seconds=1)),
        "completed_at": str(AT + timedelta(seconds=3)),
        "failed_at": None,
    },
    "failed": {
        "status": "failed",
        "message": "no stock",
        "progress_payload": "sorting: 1/2",
        "user_label": "ada",
        "func": "shop.tasks.sort",
        "worker": "",
        "result_payload": {"left": 1},
        "cleaned_up": True,
        "attempts": 0,
        "started_at": None,
        "completed_at": None,
        "failed_at": str(AT + timedelta(seconds=2)),
    },
}


def begin_process(order):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, json.dumps(order)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def show_rows(databases):
    done = subprocess.run(
        [sys.executable, "-c", SHOW, json.dumps(databases)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.fixture
def databases(transactional_db, tmp_path):
    """Return the databases of this test as other processes reach them."""
    # An SQLite database of a test lives in memory: others get a copy in a file.
    found = {}
    for alias in connections:
        connection = connections[alias]
        found[alias] = {"NAME": connection.settings_dict["NAME"]}
        if connection.vendor == "sqlite":
            path = tmp_path / f"{alias}.sqlite3"
            connection.ensure_connection()
            copy = sqlite3.connect(path)
            connection.connection.backup(copy)
            copy.close()
            found[alias] = {"NAME": str(path), "OPTIONS": {"timeout": 30}}
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ending", ENDINGS)
def test_processes_that_fire_at_once_leave_the_same_row_for_every_task(databases, ending):
    events = ENDINGS[ending]
    orders = [
        {
            "databases": databases,
            "names": NAMES,
            "event": event,
            "payload": payload,
            "at": (AT + timedelta(seconds=second)).isoformat(),
        }
        for second, (event, payload) in enumerate(events.items())
    ]

    processes = [begin_process(order) for order in orders]
    try:
        ready = [process.stdout.readline() for process in processes]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()

    assert ready == ["ready\n"] * len(orders)
    assert told == [("", "")] * len(orders)
    rows = show_rows(databases)
    assert sorted(row["task_name"] for row in rows) == NAMES
    for row in rows:
        assert {name: row[name] for name in FIELDS} == EXPECTED[ending]


# One of several processes that live as long as the test and do as they are told.
PEER = """
import json, sys

from django.conf import settings

for alias, database in json.loads(sys.argv[1]).items():
    settings.DATABASES[alias].update(database)

import django
django.setup()
from powercrud_tracking.factory import get_manager
from tests.guarantees.test_interleavings import get_values, send

manager = get_manager()
for line in sys.stdin:
    task_name, kind, number = json.loads(line)
    send(manager, task_name, kind, number)
    print(json.dumps(get_values(task_name), default=str), flush=True)
"""
PEERS = 3


class Peer:
    """A process that sends the events of anybody's task."""

    def __init__(self, databases):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PEER, json.dumps(databases)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, task_name, kind, number):
        """Let it send an event, and return the row that it finds afterwards."""
        self.process.stdin.write(json.dumps([task_name, kind, number]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()


@pytest.fixture
def peers(databases):
    peers = [Peer(databases) for _ in range(PEERS)]
    yield peers
    for peer in peers:
        peer.close()


@pytest.mark.django_db(transaction=True)
@hypothesis_settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(st.tuples(st.integers(0, PEERS - 1), st.sampled_from(KINDS)), min_size=1, max_size=12)
)
def test_events_from_several_processes_leave_the_row_that_the_rules_say(peers, steps):
    row, task_name = Row(), str(uuid4())

    for number, (peer, kind) in enumerate(steps, start=1):
        values = peers[peer].send(task_name, kind, number)
        row.apply(kind, number)

        expected = dict.fromkeys(FIELDS)
        if row.status is not None:
            expected = {name: getattr(row, name) for name in FIELDS}
        assert values == json.loads(json.dumps(expected, default=str)), steps[:number]
