"""PowerCRUD's cleanup of its locks and its progress, through our manager."""

import pytest
from django.utils import timezone
from powercrud.async_manager import AsyncManager

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.models import InheritedRecord
from tests.project.tasks import add, return_no
from tests.support.maintenance import GONE, TWO_HOURS, make_row
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, OTHER, get_row

pytestmark = pytest.mark.django_db


class TestCleanup:
    def test_cleanup_leaves_the_locks_of_a_queued_task(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)

        summary = manager.cleanup_completed_tasks()

        assert summary == {
            "active_tasks": 1,
            "cleaned": {},
            "skipped": {NAME: "it has not ended"},
        }
        assert manager.check_conflict(locks) == {1}

    def test_cleanup_releases_what_is_held_for_a_finished_task(self, manager):
        locks = {"project.widget": {1}}
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)
        manager.async_task_lifecycle("complete", NAME, result=3)

        summary = manager.cleanup_completed_tasks()

        released = {
            "reason": "success",
            "conflict_lock_keys": 1,
            "progress_entries": 1,
            "dashboard_records": 0,
        }
        assert summary == {"active_tasks": 1, "cleaned": {NAME: released}, "skipped": {}}
        assert manager.check_conflict(locks) == set()
        assert get_row().cleaned_up is True

    @uses_worker
    def test_cleanup_releases_a_task_without_a_record_once_django_q2_has_its_result(self, manager):
        AsyncManager().launch_async_task(return_no, task_key=NAME)
        manager.add_active_task(OTHER)
        run_queued_task()
        manager.add_active_task(NAME)

        summary = manager.cleanup_completed_tasks()

        assert summary["cleaned"][NAME]["reason"] == "success"
        assert summary["skipped"] == {OTHER: "it has not ended"}
        assert manager.get_active_tasks() == {OTHER}
        assert not AsyncTaskRecord.objects.exists()

    def test_cleanup_by_a_manager_with_a_table_of_its_own_reconciles_that_table(self):
        manager = get_manager(record_model="project.InheritedRecord")
        InheritedRecord.objects.create(task_name=NAME, status="in_progress", worker=GONE)
        InheritedRecord.objects.update(updated_at=timezone.now() - TWO_HOURS)
        make_row(NAME, worker=GONE)

        manager.cleanup_completed_tasks()

        assert InheritedRecord.objects.get().status == "lost"
        assert get_row().status == "in_progress"

    def test_cleanup_leaves_the_locks_of_a_queued_task_whose_table_keeps_no_status(self):
        locks = {"project.widget": {1}}
        manager = get_manager(record_model="project.NameOnlyRecord")
        manager.launch_async_task(add, 1, 2, task_key=NAME, conflict_ids=locks)

        summary = manager.cleanup_completed_tasks()

        assert summary["skipped"] == {NAME: "it has not ended"}
        assert manager.check_conflict(locks) == {1}

    @uses_worker
    def test_cleanup_releases_such_a_task_once_django_q2_has_its_result(self):
        manager = get_manager(record_model="project.NameOnlyRecord")
        manager.launch_async_task(add, 1, 2, task_key=NAME)
        run_queued_task()
        manager.add_active_task(NAME)

        summary = manager.cleanup_completed_tasks()

        assert summary["cleaned"][NAME]["reason"] == "success"
