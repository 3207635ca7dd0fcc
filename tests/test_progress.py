from itertools import count

import pytest
from django.db import connections, transaction

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.progress import report, track
from powercrud_tracking.recording.running import (
    RunningTask,
    enter_task,
    find_running_task,
    leave_task,
)
from tests.support.rows import NAME, RECORDS

LATER = "5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de"
in_transactions = pytest.mark.django_db(transaction=True)


def get_progress(task_name=NAME):
    return AsyncTaskRecord.objects.get(task_name=task_name).progress_payload


@pytest.fixture
def start():
    """Let a task run here until the test is over."""
    entered = []

    def start(manager, task_name=NAME, task_key=None):
        task = RunningTask(task_name=task_name, task_key=task_key or task_name, manager=manager)
        enter_task(task)
        entered.append(task_name)
        manager.async_task_lifecycle("start", task_name)
        return task

    yield start
    for task_name in reversed(entered):
        leave_task(task_name)


@in_transactions
class TestInsideATransaction:
    def test_progress_inside_a_transaction_is_written_at_its_commit(self, manager, start):
        start(manager)

        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/2")
            inside = get_progress()

        assert inside == ""
        assert get_progress() == "1/2"

    def test_progress_inside_a_transaction_costs_no_sql_before_its_commit(
        self, manager, start, django_assert_num_queries
    ):
        start(manager)

        with (
            transaction.atomic(using=RECORDS),
            django_assert_num_queries(0, connection=connections[RECORDS]),
        ):
            manager.update_progress(NAME, "1/2")
            manager.update_progress(NAME, "2/2")

    def test_a_commit_writes_only_the_last_of_several_progress_texts(
        self, manager, start, django_assert_num_queries
    ):
        start(manager)

        # BEGIN, COMMIT, and one UPDATE.
        with (
            django_assert_num_queries(3, connection=connections[RECORDS]),
            transaction.atomic(using=RECORDS),
        ):
            for number in range(5):
                manager.update_progress(NAME, f"{number}/4")

        assert get_progress() == "4/4"

    def test_progress_inside_a_transaction_is_in_the_cache_at_once(self, manager, start):
        start(manager)

        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/2")
            cached = manager.get_progress(NAME)

        assert cached == "1/2"

    def test_progress_that_was_rolled_back_is_written_at_the_end_of_the_task(self, manager, start):
        task = start(manager)

        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/2")
            transaction.set_rollback(True, using=RECORDS)
        before = get_progress()
        task.flush()

        assert before == ""
        assert get_progress() == "1/2"

    def test_progress_after_a_rollback_is_written_at_once(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)
        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/3")
            transaction.set_rollback(True, using=RECORDS)

        manager.update_progress(NAME, "2/3")

        assert get_progress() == "2/3"

    def test_progress_in_a_transaction_after_a_rollback_is_written_at_its_commit(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)
        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/3")
            transaction.set_rollback(True, using=RECORDS)

        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "2/3")

        assert get_progress() == "2/3"

    def test_progress_after_a_rolled_back_savepoint_is_written_at_the_commit(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        with transaction.atomic(using=RECORDS):
            with transaction.atomic(using=RECORDS):
                manager.update_progress(NAME, "1/3")
                transaction.set_rollback(True, using=RECORDS)
            manager.update_progress(NAME, "2/3")

        assert get_progress() == "2/3"

    def test_progress_reported_in_an_on_commit_callback_is_written(self, manager, start):
        start(manager)

        with transaction.atomic(using=RECORDS):
            transaction.on_commit(lambda: manager.update_progress(NAME, "committed"), using=RECORDS)

        assert get_progress() == "committed"

    def test_progress_outside_a_running_task_is_written_inside_the_transaction(self, manager):
        with transaction.atomic(using=RECORDS):
            manager.update_progress(NAME, "1/2")
            inside = get_progress()

        assert inside == "1/2"

    def test_progress_of_another_task_is_written_inside_the_transaction(self, manager, start):
        start(manager)

        with transaction.atomic(using=RECORDS):
            manager.update_progress(LATER, "1/2")
            inside = get_progress(LATER)

        assert inside == "1/2"


@pytest.mark.django_db
def test_a_transaction_gets_one_on_commit_callback_however_often_progress_is_reported(
    manager, start, django_capture_on_commit_callbacks
):
    start(manager)

    with django_capture_on_commit_callbacks(using=RECORDS) as callbacks:
        for number in range(5):
            manager.update_progress(NAME, f"{number}/4")

    assert len(callbacks) == 1


@in_transactions
class TestInterval:
    def test_within_the_interval_progress_is_written_once_and_the_last_at_the_end(self, start):
        manager = get_manager(progress_interval=60)
        task = start(manager)
        manager.update_progress(NAME, "1/3")
        manager.update_progress(NAME, "2/3")
        manager.update_progress(NAME, "3/3")
        within = get_progress()

        task.flush()

        assert within == "1/3"
        assert get_progress() == "3/3"

    def test_an_interval_of_zero_writes_every_progress(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)
        manager.update_progress(NAME, "1/2")

        manager.update_progress(NAME, "2/2")

        assert get_progress() == "2/2"

    def test_the_end_of_a_task_costs_no_sql_when_its_last_progress_is_written(
        self, manager, start, django_assert_num_queries
    ):
        task = start(manager)
        manager.update_progress(NAME, "1/2")

        with django_assert_num_queries(0, connection=connections[RECORDS]):
            task.flush()

    def test_late_progress_does_not_reopen_a_finished_task(self, manager):
        manager.async_task_lifecycle("complete", NAME, result=1)

        manager.update_progress(NAME, "2/2")

        row = AsyncTaskRecord.objects.get()
        assert (row.status, row.progress_payload) == ("success", "2/2")


class TestRunningTask:
    def test_outside_a_task_no_task_is_running(self):
        assert find_running_task() is None

    def test_of_nested_tasks_the_innermost_is_the_running_one(self):
        outer = RunningTask(task_name=NAME, task_key=NAME, manager=None)
        inner = RunningTask(task_name=LATER, task_key=LATER, manager=None)
        enter_task(outer)
        enter_task(inner)

        seen = [find_running_task(), leave_task(LATER), find_running_task()]

        assert seen == [inner, inner, outer]
        assert leave_task(NAME) is outer
        assert find_running_task() is None

    def test_leaving_a_task_that_does_not_run_changes_nothing(self):
        task = RunningTask(task_name=NAME, task_key=NAME, manager=None)
        enter_task(task)

        left = leave_task(LATER)

        assert left is None
        assert find_running_task() is task
        assert leave_task(NAME) is task

    @pytest.mark.django_db
    def test_events_under_the_key_of_the_running_task_go_to_its_record(self, manager, start):
        start(manager, task_name=LATER, task_key=NAME)

        manager.async_task_lifecycle("complete", NAME, result=1)

        assert AsyncTaskRecord.objects.get().task_name == LATER
        assert AsyncTaskRecord.objects.get().status == "success"


@pytest.mark.django_db(transaction=True)
class TestReport:
    def test_report_outside_a_task_does_nothing(self):
        report(1, 2)

        assert not AsyncTaskRecord.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ((1, 2), "1/2"),
            ((1, 2, "reading"), "reading: 1/2"),
            ((7, None), "7"),
            ((7, None, "reading"), "reading: 7"),
            ((0.5, 1.5), "0.5/1.5"),
        ],
        ids=["share", "share with words", "unknown total", "unknown total with words", "floats"],
    )
    def test_report_writes_a_text(self, manager, start, arguments, text):
        start(manager)

        report(*arguments)

        assert get_progress() == text


@pytest.mark.django_db(transaction=True)
class TestTrack:
    def test_track_yields_every_item_in_order(self):
        assert list(track([3, 1, 2])) == [3, 1, 2]

    def test_track_reports_at_the_end_that_all_items_are_done(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        list(track(["a", "b", "c"], message="reading"))

        assert get_progress() == "reading: 3/3"

    def test_track_reports_at_first_that_no_item_is_done(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        next(track(["a", "b"]))

        assert get_progress() == "0/2"

    def test_track_of_a_generator_reports_no_total(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        list(track(letter for letter in "abc"))

        assert get_progress() == "3"

    def test_track_takes_a_total(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        list(track((letter for letter in "abc"), total=3))

        assert get_progress() == "3/3"

    def test_track_of_an_empty_iterable_reports_zero_of_zero(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        list(track([]))

        assert get_progress() == "0/0"

    def test_a_break_out_of_track_leaves_the_last_report(self, start):
        manager = get_manager(progress_interval=0)
        start(manager)

        for item in track(count(), total=10):
            if item == 2:
                break

        assert get_progress() == "0/10"

    def test_track_of_many_quick_items_costs_few_writes(self, start, django_assert_max_num_queries):
        start(get_manager(progress_interval=0))

        with django_assert_max_num_queries(6, connection=connections[RECORDS]):
            list(track(range(10_000)))

        assert get_progress() == "10000/10000"
