from datetime import timedelta

import pytest
from django.db import router, transaction
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.recorder import RecordedEvent, get_recorder
from powercrud_tracking.signals import task_recorded
from tests.project.models import BespokeRecord, NameOnlyRecord
from tests.support.rows import AT, NAME

# The signal follows a commit, and a test that is rolled back has none.
pytestmark = pytest.mark.django_db(transaction=True)


def atomic():
    return transaction.atomic(using=router.db_for_write(AsyncTaskRecord))


@pytest.fixture
def heard():
    """Return what was heard so far: the arguments of each signal."""
    calls = []

    def listen(**kwargs):
        calls.append(kwargs)

    task_recorded.connect(listen)
    yield calls
    task_recorded.disconnect(listen)


@pytest.fixture
def raising():
    def explode(**kwargs):
        raise RuntimeError("this receiver is broken")

    task_recorded.connect(explode)
    yield
    task_recorded.disconnect(explode)


class TestArguments:
    def test_the_signal_names_task_event_status_and_values(self, heard):
        recorder = get_recorder(DashboardConfig())

        values = {"message": "no stock", "failed_at": AT}

        recorder.insert(RecordedEvent(Event.FAIL, NAME, values), {})

        assert heard == [
            {
                "signal": task_recorded,
                "sender": AsyncTaskRecord,
                "task_name": NAME,
                "event": Event.FAIL,
                "status": Status.FAILED,
                "values": {"message": "no stock", "failed_at": AT},
            }
        ]

    def test_each_event_of_a_task_is_sent_once(self, manager, heard):
        for event in ("create", "start", "progress", "complete", "cleanup"):
            manager.async_task_lifecycle(event, NAME, message="text")

        assert [(call["event"], call["status"]) for call in heard] == [
            ("create", "pending"),
            ("start", "in_progress"),
            ("progress", "in_progress"),
            ("complete", "success"),
            ("cleanup", "success"),
        ]

    def test_the_status_in_the_signal_is_that_of_the_row(self, manager, heard):
        manager.async_task_lifecycle("complete", NAME)
        manager.async_task_lifecycle("fail", NAME, message="late")

        assert (heard[-1]["event"], heard[-1]["status"]) == (Event.FAIL, Status.SUCCESS)

    def test_lost_tasks_are_sent(self, manager, heard):
        manager.async_task_lifecycle("create", NAME)
        heard.clear()

        manager.record_lost({NAME: "silent"}, silent_since=timezone.now() + timedelta(hours=1))

        assert [(call["task_name"], call["event"], call["status"]) for call in heard] == [
            (NAME, Event.LOST, Status.LOST),
            (NAME, Event.CLEANUP, Status.LOST),
        ]
        assert heard[0]["values"]["message"] == "silent"

    def test_the_sender_is_the_model_that_was_written(self, heard):
        manager = get_manager(
            record_model="project.BespokeRecord", field_map={"task_name": "key", "status": "state"}
        )

        manager.async_task_lifecycle("complete", NAME)

        assert [(call["sender"], call["status"]) for call in heard] == [
            (BespokeRecord, Status.SUCCESS)
        ]

    def test_the_status_is_none_for_a_table_without_one(self, heard):
        get_manager(record_model="project.NameOnlyRecord").async_task_lifecycle("complete", NAME)

        assert [(call["sender"], call["status"]) for call in heard] == [(NameOnlyRecord, None)]

    def test_a_receiver_of_another_sender_is_not_called(self, manager):
        calls = []

        def listen(**kwargs):
            calls.append(kwargs)

        task_recorded.connect(listen, sender=BespokeRecord)
        manager.async_task_lifecycle("create", NAME)
        task_recorded.disconnect(listen, sender=BespokeRecord)

        assert calls == []


class TestCommit:
    def test_the_signal_is_sent_after_the_commit(self, manager, heard):
        with atomic():
            manager.async_task_lifecycle("create", NAME)
            inside = list(heard)

        assert inside == []
        assert [call["event"] for call in heard] == [Event.CREATE]

    def test_after_a_rollback_no_signal_is_sent(self, manager, heard):
        with atomic():
            manager.async_task_lifecycle("create", NAME)
            transaction.set_rollback(True, using=router.db_for_write(AsyncTaskRecord))

        assert heard == []

    def test_the_status_in_the_signal_is_that_at_the_commit(self, manager, heard):
        with atomic():
            manager.async_task_lifecycle("create", NAME)
            manager.async_task_lifecycle("complete", NAME)

        assert [(call["event"], call["status"]) for call in heard] == [
            (Event.CREATE, Status.SUCCESS),
            (Event.COMPLETE, Status.SUCCESS),
        ]

    def test_an_event_that_the_database_refused_is_not_sent(self, heard):
        manager = get_manager(
            record_model="project.InheritedRecord", create_defaults={"tenant": None}
        )

        manager.async_task_lifecycle("create", NAME)

        assert heard == []

    def test_an_event_that_found_no_row_is_not_sent(self, heard):
        recorder = get_recorder(DashboardConfig())

        written = recorder.update(RecordedEvent(Event.LOST, NAME, {"message": "silent"}))

        assert written is None
        assert heard == []


@pytest.mark.usefixtures("raising")
class TestRaisingReceiver:
    def test_an_event_is_recorded_though_a_receiver_raises(self, manager):
        manager.async_task_lifecycle("complete", NAME)

        assert AsyncTaskRecord.objects.get().status == Status.SUCCESS

    def test_the_caller_s_transaction_commits_though_a_receiver_raises(self, manager):
        with atomic():
            AsyncTaskRecord.objects.create(task_name="another")
            manager.async_task_lifecycle("create", NAME)

        assert AsyncTaskRecord.objects.count() == 2

    def test_the_other_receivers_are_called_though_one_raises(self, manager, heard):
        manager.async_task_lifecycle("create", NAME)

        assert [call["event"] for call in heard] == [Event.CREATE]

    def test_django_logs_the_exception_of_a_receiver(self, manager, caplog):
        manager.async_task_lifecycle("create", NAME)

        assert "this receiver is broken" in caplog.text
        assert "Could not record" not in caplog.text

    def test_all_lost_tasks_are_recorded_though_a_receiver_raises(self, manager):
        for name in (NAME, "another"):
            manager.async_task_lifecycle("create", name)

        manager.record_lost(
            {NAME: "silent", "another": "mute"}, silent_since=timezone.now() + timedelta(hours=1)
        )

        assert set(AsyncTaskRecord.objects.values_list("status", flat=True)) == {"lost"}
