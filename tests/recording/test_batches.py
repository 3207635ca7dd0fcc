from datetime import timedelta

import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.recording.batches import Batch, HeldWrite, find_batch, write_together
from powercrud_tracking.signals import task_recorded

# What is told follows a commit.
pytestmark = pytest.mark.django_db(transaction=True)


def make_rows(*task_names, **values):
    given = {"status": Status.IN_PROGRESS, "attempts": 1, **values}
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=name, **given) for name in task_names
    )


def get_rows():
    rows = AsyncTaskRecord.objects.order_by("task_name")
    return list(rows.values_list("task_name", "status", "cleaned_up"))


def end(manager, task_name, event=Event.COMPLETE, **payload):
    manager.async_task_lifecycle(event, task_name, **payload)
    manager.async_task_lifecycle(Event.CLEANUP, task_name)


@pytest.fixture
def heard():
    calls = []

    def listen(*, task_name, event, status, **kwargs):
        calls.append((task_name, str(event), status))

    task_recorded.connect(listen)
    yield calls
    task_recorded.disconnect(listen)


class TestWriteTogether:
    def test_outside_nothing_is_held_back(self):
        assert find_batch() is None

    def test_until_its_end_nothing_is_written(self, manager):
        make_rows("a")

        with write_together():
            end(manager, "a")
            inside = get_rows()

        assert inside == [("a", "in_progress", False)]
        assert get_rows() == [("a", "success", True)]

    def test_each_shape_of_event_is_one_statement(self, manager):
        names = [f"task-{n}" for n in range(20)]
        make_rows(*names)

        records = connections[router.db_for_write(AsyncTaskRecord)]
        with CaptureQueriesContext(records) as queries, write_together():
            for name in names:
                end(manager, name)

        updates = [query["sql"] for query in queries if "UPDATE" in query["sql"]]
        assert len(updates) == 2
        assert all(status == "success" and cleaned for _, status, cleaned in get_rows())

    def test_each_row_gets_what_its_own_event_brought(self, manager):
        make_rows("a", "b")
        at = timezone.now()

        with write_together():
            end(manager, "a", result={"sum": 3}, timestamp=at)
            end(manager, "b", result=None, timestamp=at + timedelta(seconds=1))

        rows = AsyncTaskRecord.objects.order_by("task_name")
        assert [(row.result_payload, row.completed_at) for row in rows] == [
            ({"sum": 3}, at),
            (None, at + timedelta(seconds=1)),
        ]

    def test_the_row_as_it_is_at_the_end_decides(self, manager):
        make_rows("a", "b")

        with write_together():
            end(manager, "a", Event.FAIL, result="late")
            end(manager, "b", Event.FAIL, result="bad")
            AsyncTaskRecord.objects.filter(task_name="a").update(status=Status.SUCCESS)

        assert get_rows() == [("a", "success", True), ("b", "failed", True)]
        assert AsyncTaskAttempt.objects.get().task_name == "b"

    def test_managers_with_other_settings_write_together_as_alone(self, manager):
        make_rows("a", "b")

        with write_together():
            end(manager, "a", result="long enough")
            end(get_manager(field_map={"result": None}), "b", result="not stored")

        rows = AsyncTaskRecord.objects.order_by("task_name")
        assert [(row.status, row.result_payload) for row in rows] == [
            ("success", "long enough"),
            ("success", None),
        ]

    def test_a_row_that_is_missing_spoils_no_other(self, manager):
        make_rows("a")

        with write_together():
            end(manager, "a")
            end(manager, "missing")

        assert get_rows() == [("a", "success", True), ("missing", "success", True)]

    def test_a_receiver_hears_each_event_once_and_in_the_order_of_a_life(self, manager, heard):
        make_rows("a", "b")

        with write_together():
            end(manager, "a")
            end(manager, "b", Event.FAIL, result="bad")

        assert heard == [
            ("a", "complete", "success"),
            ("b", "fail", "failed"),
            ("a", "cleanup", "success"),
            ("b", "cleanup", "failed"),
        ]

    def test_what_had_to_be_written_alone_is_heard_once_too(self, manager, heard):
        make_rows("a")

        with write_together():
            end(manager, "a")
            end(manager, "missing")

        assert sorted(heard) == [
            ("a", "cleanup", "success"),
            ("a", "complete", "success"),
            ("missing", "cleanup", "success"),
            ("missing", "complete", "success"),
        ]

    def test_failed_attempts_are_kept_with_one_reading_and_one_insert(self, manager):
        names = [f"task-{n}" for n in range(20)]
        make_rows(*names)

        with write_together():
            for name in names:
                end(manager, name, Event.FAIL, result=f"{name} is bad")

        kept = AsyncTaskAttempt.objects.values_list("task_name", "message")
        assert dict(kept) == {name: f"{name} is bad" for name in names}


class TestSend:
    def test_where_the_database_refuses_each_is_written_alone_and_said(self, caplog):
        batch, written = Batch(), []

        def hold(task_name, write_alone):
            batch.hold(
                HeldWrite(
                    event=Event.COMPLETE,
                    task_name=task_name,
                    using=router.db_for_write(AsyncTaskRecord),
                    sql="UPDATE no_such_table SET x = %s",
                    parameters=[1],
                    write_alone=write_alone,
                    tell=lambda: written.append("told"),
                )
            )

        def refuse():
            raise RuntimeError("refused alone too")

        hold("refused", refuse)
        hold("taken", lambda: written.append("taken"))

        batch.send()

        assert written == ["taken"]
        assert "Could not record complete for task refused." in caplog.text
