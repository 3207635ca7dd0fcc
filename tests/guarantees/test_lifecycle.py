"""What each event does to a row, written out by hand and held against the real database."""

from datetime import UTC, datetime

import pytest
from django.conf import settings

from powercrud_tracking.lifecycle import (
    ALL,
    FINISHED,
    OPEN,
    TABLE,
    Event,
    Status,
    get_status_after,
)
from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import NAME

ZONE = UTC if settings.USE_TZ else None
OLD_TIME = datetime(2025, 1, 1, tzinfo=ZONE)
NEW_TIME = datetime(2026, 2, 2, tzinfo=ZONE)

BEFORE = ("pending", "in_progress", "success", "failed", "lost", "cancelled", None)
"""The status of the row before the event; ``None``: there is no row."""

# The status afterwards, in the order of BEFORE.
AFTERWARDS = {
    "create": "pending in_progress success failed lost cancelled pending",
    "start": "in_progress in_progress success in_progress in_progress cancelled in_progress",
    "progress": "in_progress in_progress success failed in_progress cancelled in_progress",
    "complete": "success success success success success success success",
    "complete, but its result means failure": (
        "failed failed success failed failed cancelled failed"
    ),
    "fail": "failed failed success failed failed cancelled failed",
    "error": "failed failed success failed failed cancelled failed",
    "cleanup": "pending in_progress success failed lost cancelled pending",
    "cleanup with success": "success success success failed lost cancelled success",
    "cleanup with failed": "failed failed success failed lost cancelled failed",
    "cleanup with lost": "lost lost success failed lost cancelled lost",
    "cleanup with success, but its result means failure": (
        "failed failed success failed lost cancelled failed"
    ),
    "lost": "lost lost success failed lost cancelled -",
    "cancel_request": "pending in_progress success failed lost cancelled -",
    "cancel": "cancelled cancelled success failed cancelled cancelled -",
    "retry": "pending in_progress success failed lost cancelled -",
}
# The same where somebody has asked to cancel the task.
AFTERWARDS_IF_REQUESTED = {
    "start": "pending in_progress success failed lost cancelled",
    "progress": "in_progress in_progress success failed in_progress cancelled",
    "complete": "success success success success success success",
    "complete, but its result means failure": (
        "cancelled cancelled success failed cancelled cancelled"
    ),
    "fail": "cancelled cancelled success failed cancelled cancelled",
    "lost": "pending in_progress success failed lost cancelled",
    "cancel": "cancelled cancelled success failed cancelled cancelled",
}
CASES = [
    pytest.param(event, before, after, id=f"{event} on {before}")
    for event, row in AFTERWARDS.items()
    for before, after in zip(BEFORE, row.split(), strict=True)
]
CASES_IF_REQUESTED = [
    pytest.param(event, before, after, id=f"{event} on {before}")
    for event, row in AFTERWARDS_IF_REQUESTED.items()
    for before, after in zip(BEFORE[:6], row.split(), strict=True)
]

# What an event changes on a row of which every field is filled, beside the status.
ATTEMPT = {"started_at", "worker", "attempts"}
AGAIN = ATTEMPT | {"failed_at", "cleaned"}
CALL = {"func", "args", "kwargs", "group"}
LAUNCH = CALL | {"user", "objects", "extra", "retry_of"}
CANCELLED = {"message", "cancelled_at"}
COMPLETED = {"result", "message", "completed_at", "failed_at", "cancelled_at"}
CHANGES_OF_A_FULL_ROW = {
    "create": (set(), set(), set(), set(), set(), set()),
    "start": (ATTEMPT, ATTEMPT, {"attempts"}, AGAIN, AGAIN, set()),
    "progress": ({"progress"}, {"progress"}, set(), set(), {"progress", "failed_at"}, set()),
    "complete": (COMPLETED,) * 6,
    "fail": (
        {"result", "message", "failed_at"},
        {"result", "message", "failed_at"},
        set(),
        {"result", "message", "failed_at"},
        {"result", "message", "failed_at"},
    ),
    "cleanup": ({"message", "result"}, {"message", "result"}, set(), set(), set()),
    "cleanup with success": (
        {"message", "result", "completed_at"},
        {"message", "result", "completed_at"},
        set(),
        set(),
        set(),
    ),
    "cleanup with failed": (
        {"message", "result", "failed_at"},
        {"message", "result", "failed_at"},
        set(),
        set(),
        set(),
    ),
    "lost": ({"message", "failed_at"}, {"message", "failed_at"}, set(), set(), set()),
    "cancel_request": (set(), {"cancel_requested_at"}, set(), {"cancel_requested_at"}, set()),
    "cancel": (CANCELLED, CANCELLED, set(), set(), CANCELLED | {"failed_at"}),
}
# The same on a row of which every field is empty.
STARTED = ATTEMPT | CALL
CHANGES_OF_AN_EMPTY_ROW = {
    "create": (LAUNCH | {"message"},) * 6,
    "start": (*[STARTED] * 5, set()),
    "progress": ({"progress"},) * 6,
    "complete": ({"result", "message", "completed_at"},) * 6,
    "fail": (
        {"result", "message", "failed_at"},
        {"result", "message", "failed_at"},
        set(),
        {"result", "message", "failed_at"},
        {"result", "message", "failed_at"},
    ),
    "cleanup": (
        {"cleaned", "message", "result"},
        {"cleaned", "message", "result"},
        {"cleaned"},
        {"cleaned"},
        {"cleaned"},
    ),
    "cleanup with success": (
        {"cleaned", "message", "result", "completed_at"},
        {"cleaned", "message", "result", "completed_at"},
        {"cleaned"},
        {"cleaned"},
        {"cleaned"},
    ),
    "lost": ({"message", "failed_at"}, {"message", "failed_at"}, set(), set(), set()),
    "cancel_request": (set(), {"cancel_requested_at"}, set(), {"cancel_requested_at"}, set()),
    "cancel": (CANCELLED, CANCELLED, set(), set(), CANCELLED),
    "retry": (
        set(),
        set(),
        {"retried_by"},
        {"retried_by", "cancel_requested_at"},
        {"retried_by", "cancel_requested_at"},
        {"retried_by"},
    ),
}
NAMES = {
    "message": "message",
    "progress": "progress_payload",
    "user": "user_label",
    "objects": "affected_objects",
    "args": "task_args",
    "kwargs": "task_kwargs",
    "result": "result_payload",
    "cleaned": "cleaned_up",
    "started_at": "started_at",
    "completed_at": "completed_at",
    "failed_at": "failed_at",
    "cancelled_at": "cancelled_at",
    "cancel_requested_at": "cancel_requested_at",
    "retry_of": "retry_of",
    "retried_by": "retried_by",
    "attempts": "attempts",
    "func": "func",
    "group": "task_group",
    "worker": "worker",
    "extra": "extra",
    "created_at": "created_at",
}
FULL = {
    **dict.fromkeys(
        ("message", "progress", "user", "objects", "args", "kwargs", "result", "func", "group"),
        "old",
    ),
    **dict.fromkeys(("worker", "extra", "retry_of"), "old"),
    **dict.fromkeys(
        ("started_at", "completed_at", "failed_at", "cancelled_at", "created_at"), OLD_TIME
    ),
    "cleaned": True,
    "attempts": 1,
}
PAYLOAD = {
    "message": "new message",
    "progress_payload": "new progress",
    "user": "new",
    "affected_objects": "new",
    "task_args": ["new"],
    "task_kwargs": {"new": 1},
    "func": "shop.tasks.new",
    "group": "new",
    "extra": {"new": 1},
    "worker": "new",
    "retry_of": "new",
    "retried_by": "new",
    "result": {"new": 1},
    "timestamp": NEW_TIME,
}


def expand(table):
    return [
        pytest.param(event, before, changed, id=f"{event} on {before}")
        for event, row in table.items()
        for before, changed in zip(BEFORE[: len(row)], row, strict=True)
    ]


def send(manager, words):
    """Send an event as the tables above call it."""
    event, _, rest = words.partition(" with ")
    event, _, failure = event.partition(", but")
    brought, _, other_failure = rest.partition(", but")
    payload = {**PAYLOAD, "status": brought or None}
    if failure or other_failure:
        payload |= {"func": "powercrud.tasks.bulk_update_task", "result": False}
    manager.async_task_lifecycle(event, NAME, **payload)


def make_row(status, **values):
    AsyncTaskRecord.objects.create(
        task_name=NAME, status=status, **{NAMES[name]: value for name, value in values.items()}
    )


def get_values():
    row = AsyncTaskRecord.objects.get()
    return {name: getattr(row, field) for name, field in NAMES.items()}


def find_changes(before, after):
    return {name for name in NAMES if before[name] != after[name]}


@pytest.mark.django_db
class TestTable:
    @pytest.mark.parametrize(("event", "before", "after"), CASES)
    def test_each_event_changes_each_status_as_the_table_says(self, manager, event, before, after):
        if before is not None:
            make_row(before)

        send(manager, event)

        assert AsyncTaskRecord.objects.values_list("status", flat=True).first() == (
            None if after == "-" else after
        )

    @pytest.mark.parametrize(("event", "before", "after"), CASES_IF_REQUESTED)
    def test_a_task_that_somebody_has_asked_to_cancel_is_not_run_again(
        self, manager, event, before, after
    ):
        make_row(before, cancel_requested_at=OLD_TIME)

        send(manager, event)

        row = AsyncTaskRecord.objects.get()
        assert (row.status, row.attempts) == (after, 0)

    @pytest.mark.parametrize(("event", "before", "changed"), expand(CHANGES_OF_A_FULL_ROW))
    def test_on_a_full_row_an_event_changes_only_the_listed_fields(
        self, manager, event, before, changed
    ):
        make_row(before, **FULL)
        values = get_values()

        send(manager, event)

        assert find_changes(values, get_values()) == changed

    @pytest.mark.parametrize(("event", "before", "changed"), expand(CHANGES_OF_AN_EMPTY_ROW))
    def test_on_an_empty_row_an_event_changes_only_the_listed_fields(
        self, manager, event, before, changed
    ):
        make_row(before)
        values = get_values()

        send(manager, event)

        assert find_changes(values, get_values()) == changed

    @pytest.mark.parametrize("before", ["failed", "lost"])
    def test_a_start_clears_the_end_of_the_attempt_before(self, manager, before):
        make_row(before, **FULL)

        send(manager, "start")

        values = get_values()
        assert (values["failed_at"], values["cleaned"], values["attempts"]) == (None, False, 2)
        assert (values["started_at"], values["worker"]) == (NEW_TIME, "new")

    def test_a_success_clears_the_failure(self, manager):
        make_row("failed", **FULL)

        send(manager, "complete")

        values = get_values()
        assert (values["failed_at"], values["completed_at"]) == (None, NEW_TIME)
        assert (values["message"], values["result"]) == ("new message", {"new": 1})

    def test_progress_never_writes_the_message(self, manager):
        make_row("in_progress")

        send(manager, "progress")

        values = get_values()
        assert (values["message"], values["progress"]) == ("", "new progress")

    def test_a_success_that_means_failure_has_no_completed_at(self, manager):
        make_row("in_progress", progress="failed update: the price is wrong")

        send(manager, "complete, but its result means failure")

        values = get_values()
        assert (values["completed_at"], values["failed_at"]) == (None, NEW_TIME)
        assert values["message"] == "the price is wrong. Nothing was changed."


class TestVocabulary:
    def test_every_status_is_either_open_or_finished(self):
        assert {"pending", "in_progress"} == OPEN
        assert {"success", "failed", "lost", "cancelled"} == FINISHED
        assert set(Status.values) == ALL == OPEN | FINISHED

    def test_error_is_an_alias_of_fail(self):
        assert Event("error") is Event.FAIL

    def test_an_unknown_event_is_refused(self):
        with pytest.raises(ValueError, match="'explode' is not a valid Event"):
            Event("explode")

    def test_every_event_has_a_rule(self):
        assert set(TABLE) == set(Event)

    @pytest.mark.parametrize("event", [event for event in Event if event is not Event.CLEANUP])
    @pytest.mark.parametrize("status", Status)
    def test_only_cleanup_takes_a_status_from_its_payload(self, event, status):
        after = get_status_after(event, status)

        assert get_status_after(event, status, Status.LOST) is after
