from datetime import timedelta

import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.recording.recorder import RecordedEvent, get_recorder
from powercrud_tracking.signals import task_recorded

# Signals follow a commit.
pytestmark = pytest.mark.django_db(transaction=True)


def make_rows(*task_names, **values):
    given = {"status": Status.IN_PROGRESS, "attempts": 1, **values}
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=name, **given) for name in task_names
    )


def make_task(name, *, success=True, result=None, stopped=None):
    return Task(
        id=name,
        name=name,
        func="math.floor",
        success=success,
        result=result,
        stopped=stopped or timezone.now(),
    )


def make_tasks(*names, **values):
    return {name: make_task(name, **values) for name in names}


def get_rows():
    rows = AsyncTaskRecord.objects.order_by("task_name")
    return list(rows.values_list("task_name", "status", "cleaned_up"))


@pytest.fixture
def sent():
    calls = []

    def listen(*, task_name, event, status, **kwargs):
        calls.append((task_name, str(event), status))

    task_recorded.connect(listen)
    yield calls
    task_recorded.disconnect(listen)


class TestRecordEnds:
    def test_many_ends_cost_one_statement_for_each_shape_of_event(self, manager):
        names = [f"task-{n}" for n in range(20)]
        make_rows(*names)

        records = connections[router.db_for_write(AsyncTaskRecord)]
        with CaptureQueriesContext(records) as queries:
            manager.record_ends(make_tasks(*names))

        updates = [query["sql"] for query in queries if "UPDATE" in query["sql"]]
        assert len(updates) == 2
        assert all(status == "success" and cleaned for _, status, cleaned in get_rows())

    def test_each_row_gets_its_own_result_and_the_time_when_the_task_stopped(self, manager):
        make_rows("a", "b")
        at = timezone.now() - timedelta(hours=3)

        manager.record_ends(
            {
                "a": make_task("a", result={"sum": 3}, stopped=at),
                "b": make_task("b", stopped=at + timedelta(seconds=1)),
            }
        )

        rows = AsyncTaskRecord.objects.order_by("task_name")
        assert [(row.result_payload, row.completed_at) for row in rows] == [
            ({"sum": 3}, at),
            (None, at + timedelta(seconds=1)),
        ]

    def test_a_late_failure_among_many_ends_does_not_overwrite_a_success(self, manager):
        make_rows("a", status=Status.SUCCESS)
        make_rows("b")

        manager.record_ends(make_tasks("a", "b", success=False, result="bad"))

        assert get_rows() == [("a", "success", True), ("b", "failed", True)]
        assert AsyncTaskAttempt.objects.get().task_name == "b"

    def test_a_deleted_row_costs_the_other_ends_nothing(self, manager):
        make_rows("a")

        assert manager.record_ends(make_tasks("a", "gone")) == ["a"]
        assert get_rows() == [("a", "success", True)]

    def test_many_ends_send_one_signal_for_each_event_in_order(self, manager, sent):
        make_rows("a", "b")

        manager.record_ends({"a": make_task("a"), "b": make_task("b", success=False, result="x")})

        assert sent == [
            ("a", "complete", "success"),
            ("b", "fail", "failed"),
            ("a", "cleanup", "success"),
            ("b", "cleanup", "failed"),
        ]

    def test_many_failed_attempts_are_kept_with_one_query_and_one_insert(self, manager):
        names = [f"task-{n}" for n in range(20)]
        make_rows(*names)

        manager.record_ends({n: make_task(n, success=False, result=f"{n} is bad") for n in names})

        kept = AsyncTaskAttempt.objects.values_list("task_name", "message")
        assert dict(kept) == {name: f"{name} is bad" for name in names}

    def test_ends_are_written_to_the_table_of_their_view(self):
        make_rows("a")

        get_manager(field_map={"result": None}).record_ends(make_tasks("a", result="not stored"))

        row = AsyncTaskRecord.objects.get()
        assert (row.status, row.result_payload) == ("success", None)

    def test_an_overridden_lifecycle_sees_each_of_many_ends(self):
        seen = []

        class ShopManager(ModelTrackingAsyncManager):
            def async_task_lifecycle(self, event, task_name, **kwargs):
                seen.append((task_name, str(event)))
                return super().async_task_lifecycle(event, task_name, **kwargs)

        make_rows("a")

        ShopManager().record_ends(make_tasks("a"))

        assert seen == [("a", "complete"), ("a", "cleanup")]
        assert get_rows() == [("a", "success", True)]


def test_a_refused_update_spoils_no_other_end(caplog, monkeypatch):
    make_rows("a", "b")
    recorder = get_recorder(get_manager().config)
    too_long = {"func": "f" * 300, "queue_id": object()}

    written = recorder.update_many(
        [
            RecordedEvent(Event.CREATE, "a", too_long),
            RecordedEvent(Event.CREATE, "b", {"func": "math.floor", "queue_id": "1"}),
        ]
    )

    assert [event.task_name for event in written] == ["b"]
    assert "Could not record create for task a." in caplog.text
