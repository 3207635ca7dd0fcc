"""Events of one task mixed at random, by one process and by several at once.

The model below says in plain Python what the row must hold; it is written from the
documentation and knows nothing of the package's own table.
"""

import json
import sqlite3
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connections
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from tests.support.peer import Peer
from tests.support.rows import AT

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
    "cancelled_at",
    "cancel_requested_at",
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
    "cancel_request",
    "cancel",
)


class Row:
    """What a row should hold, one method an event."""

    def __init__(self):
        self.status = None
        self.message = self.progress_payload = self.user_label = self.func = self.worker = ""
        self.result_payload = self.started_at = self.completed_at = self.failed_at = None
        self.cancelled_at = self.cancel_requested_at = None
        self.cleaned_up = False
        self.attempts = 0

    @property
    def is_open(self):
        return self.status in {"pending", "in_progress"}

    def get_values(self):
        """Return the values by field, or None while there is no row."""
        return None if self.status is None else {name: getattr(self, name) for name in FIELDS}

    def apply(self, kind, number):
        if self.status is None:
            if kind in {"lost", "cancel_request", "cancel"}:
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
        if self.status == "cancelled" or self.cancel_requested_at:
            return
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
        if self.status in {"success", "failed", "cancelled"}:
            self.progress_payload = self.progress_payload or text
            return
        if self.status == "lost":
            self.failed_at = None
        self.status, self.progress_payload = "in_progress", text

    def complete(self, text, at, brought):
        self.status, self.message, self.result_payload = "success", text, text
        self.completed_at, self.failed_at = at, None
        self.cancelled_at = self.cancel_requested_at = None

    def complete_a_failure(self, text, at, brought):
        if self.cancel_requested_at:
            self.cancel("Cancelled.", at, brought)
        elif self.status not in {"success", "cancelled"}:
            self.status, self.failed_at, self.result_payload = "failed", at, False
            self.message = self.progress_payload or "The task returned False."

    def fail(self, text, at, brought):
        if self.cancel_requested_at:
            self.cancel("Cancelled.", at, brought)
        elif self.status not in {"success", "cancelled"}:
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
        if self.is_open and not self.cancel_requested_at:
            self.status, self.message, self.failed_at = "lost", text, at

    def cancel_request(self, text, at, brought):
        if self.status in {"in_progress", "failed"} and not self.cancel_requested_at:
            self.cancel_requested_at = at

    def cancel(self, text, at, brought):
        if self.status == "lost":
            self.failed_at = None
        if self.is_open or self.status == "lost":
            self.status, self.message, self.cancelled_at = "cancelled", text, at


def build_event(kind, number):
    """Return the event of a kind, and what comes with it."""
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
    return event, payload


def pick(values):
    """Return the values of a row that the rules speak of; None where there is no row."""
    return values and {name: values[name] for name in FIELDS}


@pytest.mark.django_db
@hypothesis_settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12))
@example(["fail", "cleanup", "start", "complete"])
@example(["start", "cancel_request", "fail", "start", "complete", "start"])
@example(["fail", "cancel_request", "start", "fail", "cancel"])
@example(["start", "cancel_request", "lost", "complete a failure", "progress"])
@example(["cancel", "create", "cancel", "start", "fail", "lost", "complete"])
@example(["lost", "create", "lost", "progress", "complete", "start"])
@example(["complete", "fail", "lost", "cleanup with failed", "progress", "create", "start"])
def test_any_sequence_of_events_leaves_the_row_that_the_rules_say(kinds):
    manager, row, task_name = get_manager(), Row(), str(uuid4())

    for number, kind in enumerate(kinds, start=1):
        event, payload = build_event(kind, number)
        manager.async_task_lifecycle(event, task_name, **payload)
        row.apply(kind, number)

        values = AsyncTaskRecord.objects.values().filter(task_name=task_name).first()
        assert pick(values) == row.get_values(), kinds[:number]


# --- several processes -------------------------------------------------------------------

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
        "cancelled_at": None,
        "cancel_requested_at": None,
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
        "cancelled_at": None,
        "cancel_requested_at": None,
    },
}


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


@pytest.fixture
def start_peers(databases):
    """Return a function that starts so many processes; none may say that anything went wrong."""
    peers = []

    def start(number):
        peers.extend(Peer(databases) for _ in range(number))
        return peers

    yield start
    assert [peer.close() for peer in peers] == [""] * len(peers)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ending", ENDINGS)
def test_concurrent_processes_leave_the_same_row_for_every_task(start_peers, ending):
    events = ENDINGS[ending]
    peers = start_peers(len(events))
    ready = [peer.call("get_rows") for peer in peers]

    for second, (peer, (event, payload)) in enumerate(zip(peers, events.items(), strict=True)):
        at = AT + timedelta(seconds=second)
        peer.begin("send_to_all", event, NAMES, {**payload, "timestamp": at.isoformat()})
    for peer in peers:
        peer.end()

    rows = peers[0].call("get_rows")
    assert ready == [[]] * len(peers)
    assert sorted(row["task_name"] for row in rows) == NAMES
    for row in rows:
        assert {name: row[name] for name in FIELDS} == EXPECTED[ending]


PEERS = 3


@pytest.fixture
def peers(start_peers):
    return start_peers(PEERS)


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
        event, payload = build_event(kind, number)
        payload["timestamp"] = payload["timestamp"].isoformat()
        values = peers[peer].call("send", event, task_name, payload)
        row.apply(kind, number)

        expected = json.loads(json.dumps(row.get_values(), default=str))
        assert pick(values) == expected, steps[:number]
