"""How a task ends: the row says so whatever else fails, and once."""

from datetime import timedelta

import pytest
from django.core.cache import caches
from django.core.cache.backends.filebased import FileBasedCache
from django.utils import timezone
from django_q.models import OrmQ, Task

from powercrud_tracking import actions
from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.support.marks import uses_worker
from tests.support.queue import deliver_again, report_dead_worker, run_queued_task

pytestmark = pytest.mark.django_db

NAME = "nightly"


def add(a, b, task_key):
    return a + b


def fail(task_key):
    raise ValueError("bad")


def get_row():
    return AsyncTaskRecord.objects.get(task_name=NAME)


class BrokenCache(FileBasedCache):
    """A cache that is down from the moment at which a task has been queued."""

    def _fail(self, *args, **kwargs):
        raise ConnectionError("the cache is down")

    get = set = add = delete = get_many = touch = has_key = _fail


class TestCacheDown:
    @uses_worker
    @pytest.mark.parametrize("save", [True, False], ids=["saved", "not saved"])
    @pytest.mark.parametrize(
        ("function", "args", "status"), [(add, (1, 2), "success"), (fail, (), "failed")]
    )
    def test_an_end_is_recorded_while_the_cache_is_down(
        self, manager, monkeypatch, function, args, status, save
    ):
        manager.launch_async_task(function, *args, task_key=NAME, save=save)
        monkeypatch.setattr(type(caches["default"]), "get", BrokenCache._fail)
        monkeypatch.setattr(type(caches["default"]), "set", BrokenCache._fail)
        monkeypatch.setattr(type(caches["default"]), "delete", BrokenCache._fail)

        run_queued_task()

        row = get_row()
        # Its locks could not be released, and the row says that too.
        assert (row.status, row.cleaned_up) == (status, False)

    def test_reconciling_records_ends_while_the_cache_is_down(self, manager, monkeypatch):
        manager.async_task_lifecycle("create", NAME)
        task = Task(id="1", name=NAME, func="math.floor", success=True, stopped=timezone.now())
        monkeypatch.setattr(type(caches["default"]), "get", BrokenCache._fail)

        assert manager.record_ends({NAME: task}) == [NAME]
        assert get_row().status == "success"


class TestLostTooEarly:
    def lose(self, manager):
        manager.async_task_lifecycle("create", NAME)
        manager.async_task_lifecycle("start", NAME, worker="host:1")
        manager.record_lost({NAME: "no activity"}, silent_since=timezone.now() + timedelta(hours=1))
        assert [each.outcome for each in AsyncTaskAttempt.objects.all()] == ["lost"]

    @pytest.mark.parametrize(
        ("event", "status"),
        [("complete", "success"), ("progress", "in_progress")],
    )
    def test_a_lost_task_that_succeeds_after_all_has_no_lost_attempt(self, manager, event, status):
        self.lose(manager)

        manager.async_task_lifecycle(event, NAME, message="1/2")

        assert get_row().status == status
        assert not AsyncTaskAttempt.objects.exists()

    def test_a_lost_task_that_fails_after_all_has_a_failed_attempt(self, manager):
        self.lose(manager)

        manager.async_task_lifecycle(
            "fail", NAME, result="bad : Traceback (most recent call last):\nValueError: bad\n"
        )

        attempt = AsyncTaskAttempt.objects.get()
        assert (attempt.number, attempt.outcome, attempt.message) == (
            1,
            "failed",
            "ValueError: bad",
        )

    def test_a_lost_attempt_that_another_followed_stays_lost(self, manager):
        self.lose(manager)

        manager.async_task_lifecycle("start", NAME)
        manager.async_task_lifecycle("complete", NAME)

        assert [(each.number, each.outcome) for each in AsyncTaskAttempt.objects.all()] == [
            (1, "lost")
        ]

    def test_where_attempts_are_not_counted_an_earlier_lost_attempt_stays(self):
        manager = get_manager(field_map={"attempts": None})
        self.lose(manager)
        manager.async_task_lifecycle("start", NAME)
        manager.async_task_lifecycle("lost", NAME, message="no activity")

        manager.async_task_lifecycle("complete", NAME)

        assert [each.number for each in AsyncTaskAttempt.objects.all()] == [1]

    def test_an_event_of_a_task_that_is_not_lost_is_one_statement(
        self, manager, django_assert_num_queries
    ):
        manager.async_task_lifecycle("create", NAME)
        manager.async_task_lifecycle("start", NAME)

        # SAVEPOINT, UPDATE, RELEASE SAVEPOINT: a test is a transaction.
        with django_assert_num_queries(3, using="records" if has_records() else "default"):
            manager.async_task_lifecycle("complete", NAME)


def has_records():
    from django.conf import settings

    return "records" in settings.DATABASES


class TestTimes:
    def test_a_task_that_reconciling_ends_ended_when_it_stopped(self, manager):
        manager.async_task_lifecycle("create", NAME)
        stopped = timezone.now() - timedelta(hours=3)
        task = Task(id="1", name=NAME, func="math.floor", success=True, stopped=stopped)

        manager.record_ends({NAME: task})

        assert get_row().completed_at == stopped


class TestTaskName:
    @uses_worker
    def test_the_keyword_of_django_q2_names_the_row_and_the_task(self, manager):
        name = manager.launch_async_task(add, 1, 2, task_name=NAME)
        run_queued_task()

        assert name == NAME
        assert get_row().status == "success"
        assert (AsyncTaskRecord.objects.count(), OrmQ.objects.count()) == (1, 0)

    def test_the_task_key_precedes_the_keyword_of_django_q2(self, manager):
        name = manager.launch_async_task(add, 1, 2, task_name="other", task_key=NAME)

        assert name == NAME
        assert AsyncTaskRecord.objects.get().task_name == NAME


def reject(func, result):
    return True


class Secretive:
    def __init__(self):
        self.password = "hunter2"

    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class TestFailedResult:
    @pytest.mark.parametrize(
        "result",
        [{"password": "hunter2"}, Secretive(), "x" * 1_000_000],
        ids=["a secret", "no repr", "long"],
    )
    def test_a_rejected_result_is_bounded_and_redacted_in_the_message(self, settings, result):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FAILED_RESULT": f"{__name__}.reject"}
        manager = get_manager()
        manager.async_task_lifecycle("create", NAME)

        manager.async_task_lifecycle("complete", NAME, result=result)

        row = get_row()
        assert row.status == "failed"
        assert row.message.startswith("The task returned ")
        assert "hunter2" not in row.message
        assert len(row.message.encode()) <= 16384


@uses_worker
class TestDeadWorkerReported:
    """A dead worker that the cluster reports as a failure, as a change of django-q2 would."""

    @pytest.mark.parametrize("save", [True, False], ids=["saved", "not saved"])
    def test_its_task_fails_once(self, manager, save):
        manager.launch_async_task(add, 1, 2, task_key=NAME, save=save)

        report_dead_worker()

        row, attempt = get_row(), AsyncTaskAttempt.objects.get()
        assert (row.status, row.attempts, row.cleaned_up) == ("failed", 1, True)
        assert row.message == f"Worker died while processing task {NAME}"
        assert (attempt.number, attempt.outcome) == (1, "failed")
        assert attempt.message == row.message

    def test_its_task_succeeds_at_the_next_delivery(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        report_dead_worker()
        deliver_again()
        run_queued_task()

        row = get_row()
        assert (row.status, row.attempts, row.failed_at) == ("success", 2, None)
        assert [each.number for each in AsyncTaskAttempt.objects.all()] == [1]

    def test_a_task_that_was_found_lost_before_fails_once(self, manager):
        def lose():
            cutoff = timezone.now() + timedelta(hours=1)
            assert manager.record_lost({NAME: "no activity"}, silent_since=cutoff) == [NAME]

        manager.launch_async_task(add, 1, 2, task_key=NAME)

        report_dead_worker(meanwhile=lose)

        assert (get_row().status, get_row().attempts) == ("failed", 1)
        assert [each.outcome for each in AsyncTaskAttempt.objects.all()] == ["failed"]

    def test_a_task_that_was_asked_to_stop_is_cancelled_and_not_run_again(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        report_dead_worker(meanwhile=lambda: actions.cancel(NAME, by="ada"))
        before = get_row()
        deliver_again()
        run_queued_task()

        row = get_row()
        assert (before.status, before.message) == ("cancelled", "Cancelled by ada.")
        assert (row.status, row.attempts, row.failed_at) == ("cancelled", 1, None)
        assert (AsyncTaskAttempt.objects.count(), OrmQ.objects.count()) == (0, 0)
