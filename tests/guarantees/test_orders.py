"""Events arrive in any order, since they come from several processes; the row ends the same."""

from datetime import timedelta
from itertools import permutations

import pytest

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.support.rows import AT, NAME

pytestmark = pytest.mark.django_db

TRACE = "no stock : Traceback (most recent call last):\nValueError: no stock\n"
CREATE = {
    "user": "ada",
    "affected_objects": "2 widgets",
    "task_args": [1, "two"],
    "task_kwargs": {"three": 3},
    "func": "shop.tasks.sort",
    "group": "nightly",
    "cluster": "night",
    "extra": {"tenant": "north"},
    "message": "Task queued",
    "django_q2_task_id": "4c1b",
}
PROGRESS = {"message": "sorting: 1/2", "progress_payload": "sorting: 1/2"}

SUCCESS = {
    "create": CREATE,
    "start": {"worker": "host:7", "cluster": "night"},
    "progress": PROGRESS,
    "complete": {"result": {"sorted": 2}, "message": "Completed successfully"},
    "cleanup": {"status": "success", "message": "Cleaned up"},
}
FAILURE = {
    "create": CREATE,
    "progress": PROGRESS,
    "fail": {"result": TRACE, "message": "no stock"},
    "cleanup": {"status": "failed", "message": "Cleaned up"},
}
LAUNCHED = {
    "task_name": NAME,
    "progress_payload": "sorting: 1/2",
    "user_label": "ada",
    "affected_objects": "2 widgets",
    "task_args": [1, "two"],
    "task_kwargs": {"three": 3},
    "cleaned_up": True,
    "func": "shop.tasks.sort",
    "task_group": "nightly",
    "cluster": "night",
    "queue_id": "4c1b",
    "launched_by_id": "",
    "cancelled_at": None,
    "cancel_requested_at": None,
    "retry_of": "",
    "retried_by": "",
    "extra": {"tenant": "north"},
}
SUCCEEDED = {
    **LAUNCHED,
    "status": "success",
    "message": "Completed successfully",
    "result_payload": {"sorted": 2},
    "started_at": AT + timedelta(seconds=1),
    "completed_at": AT + timedelta(seconds=3),
    "failed_at": None,
    "attempts": 1,
    "worker": "host:7",
}
FAILED = {
    **LAUNCHED,
    "status": "failed",
    "message": "no stock",
    "result_payload": TRACE,
    "started_at": None,
    "completed_at": None,
    "failed_at": AT + timedelta(seconds=2),
    "attempts": 0,
    "worker": "",
}


CANCELLATION = {
    "create": CREATE,
    "progress": PROGRESS,
    "cancel": {"message": "Cancelled by ada."},
    "cleanup": {"message": "Cleaned up"},
}


def send_in_order(manager, order, payloads):
    """Send each event with the time at which it happened, whenever it arrives."""
    seconds = {event: number for number, event in enumerate(payloads)}
    for event in order:
        at = AT + timedelta(seconds=seconds[event])
        manager.async_task_lifecycle(event, NAME, timestamp=at, **payloads[event])


def get_row():
    row = AsyncTaskRecord.objects.values().get()
    return {name: row[name] for name in row.keys() - {"id", "created_at", "updated_at"}}


@pytest.mark.parametrize("order", list(permutations(SUCCESS)), ids=" ".join)
def test_a_success_ends_in_the_same_row_in_every_order(manager, order):
    send_in_order(manager, order, SUCCESS)

    assert get_row() == SUCCEEDED


@pytest.mark.parametrize("order", list(permutations(FAILURE)), ids=" ".join)
def test_a_failure_ends_in_the_same_row_in_every_order(manager, order):
    send_in_order(manager, order, FAILURE)

    assert get_row() == FAILED


@pytest.mark.parametrize(
    "order", list(permutations(["create", "progress", "cancel", "cleanup"])), ids=" ".join
)
def test_a_started_task_that_is_cancelled_ends_in_the_same_row_in_every_order(manager, order):
    send_in_order(manager, ["start"], SUCCESS)

    send_in_order(manager, order, CANCELLATION)

    row = get_row()
    assert (row["status"], row["message"]) == ("cancelled", "Cancelled by ada.")
    assert (row["attempts"], row["progress_payload"]) == (1, "sorting: 1/2")
    assert (row["cancelled_at"], row["failed_at"]) == (AT + timedelta(seconds=2), None)


@pytest.mark.parametrize("order", list(permutations(["cancel", "complete"])), ids=" ".join)
def test_a_function_that_finished_is_a_success_whatever_was_cancelled(manager, order):
    send_in_order(manager, ["create", "start", "progress"], SUCCESS)

    send_in_order(manager, order, {**SUCCESS, "cancel": CANCELLATION["cancel"]})
    send_in_order(manager, ["cleanup"], SUCCESS)

    assert get_row() == SUCCEEDED


@pytest.mark.parametrize(
    "order", list(permutations(["create", "progress", "cleanup"])), ids=" ".join
)
def test_the_other_events_of_a_failed_attempt_may_come_in_any_order(manager, order):
    send_in_order(manager, ["start", "fail"], {"start": SUCCESS["start"], **FAILURE})

    send_in_order(manager, order, FAILURE)

    row = get_row()
    assert (row["status"], row["message"], row["attempts"]) == ("failed", "no stock", 1)
    assert (row["progress_payload"], row["cleaned_up"]) == ("sorting: 1/2", True)
    assert list(AsyncTaskAttempt.objects.values_list("number", "outcome", "message")) == [
        (1, "failed", "no stock")
    ]


def test_a_second_attempt_that_succeeds_is_a_success(manager):
    payloads = {**SUCCESS, "fail": FAILURE["fail"]}

    send_in_order(manager, ["create", "start", "fail"], payloads)
    manager.async_task_lifecycle("cleanup", NAME, status="failed")
    send_in_order(manager, ["start", "progress", "complete", "cleanup"], payloads)

    assert get_row() == {**SUCCEEDED, "attempts": 2}


@pytest.mark.parametrize("first", ["complete", "fail"])
def test_complete_and_fail_of_one_task_are_a_success_in_either_order(manager, first):
    payloads = {**SUCCESS, "fail": FAILURE["fail"]}
    last = {"complete": "fail", "fail": "complete"}[first]

    send_in_order(manager, ["create", "start", "progress", first, last, "cleanup"], payloads)

    assert get_row() == SUCCEEDED
