"""What goes wrong while a task runs: with real clusters, real kills and a real database."""

import os
import signal

import pytest

from tests.support import cluster_tasks as tasks
from tests.support.cluster import running_project

pytestmark = pytest.mark.cluster

TABLE = "powercrud_tracking_asynctaskrecord"


@pytest.fixture
def project(tmp_path):
    with running_project(tmp_path) as project:
        yield project


class TestWorkerKilled:
    def test_a_task_whose_worker_was_killed_succeeds_in_a_second_attempt(self, project, tmp_path):
        project.start_cluster()
        name = project.ask(tasks.launch, tasks.die_once, str(tmp_path / "died"))

        row = project.wait_for(tasks.find_row, name, "success")

        assert (row["attempts"], row["result_payload"]) == (2, "survived")
        assert row["failed_at"] is None

    def test_a_task_whose_worker_was_killed_stays_in_progress_while_it_is_queued(
        self, project, tmp_path
    ):
        cluster = project.start_cluster(queue={"workers": 1, "retry": 60})
        name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
        row = project.wait_for(tasks.find_row, name, "in_progress")
        os.kill(int(row["worker"].rpartition(":")[2]), signal.SIGKILL)
        cluster.wait_for_log("after death")

        _, lost, left = project.ask(tasks.reconcile)

        assert (lost, left) == ([], {name: "it is in the queue"})
        assert project.ask(tasks.get_row, name)["status"] == "in_progress"


class TestClusterKilled:
    @pytest.fixture
    def orphan(self, project, tmp_path):
        """A task whose cluster is gone."""
        cluster = project.start_cluster(queue={"retry": 60})
        name = project.ask(tasks.launch, tasks.wait_for_file, str(tmp_path / "go"))
        project.wait_for(tasks.find_row, name, "in_progress")
        cluster.kill()
        return name

    def test_the_next_cluster_runs_a_task_whose_cluster_was_killed(self, project, tmp_path, orphan):
        (tmp_path / "go").touch()
        project.ask(tasks.redeliver_now)
        project.start_cluster()

        row = project.wait_for(tasks.find_row, orphan, "success")

        assert (row["attempts"], row["result_payload"]) == (2, "seen")

    def test_a_task_that_left_the_queue_with_its_cluster_is_lost(self, project, orphan):
        project.ask(tasks.drop_queue)

        project.wait_for(tasks.is_found_lost, orphan)

        row = project.ask(tasks.get_row, orphan)
        assert row["status"] == "lost"
        assert f"its worker {row['worker']} is in no live cluster" in row["message"]
        assert [a["outcome"] for a in project.ask(tasks.get_attempts, orphan)] == ["lost"]


class TestTimeout:
    def test_a_timeout_fails_the_task_and_is_its_reason(self, project):
        project.start_cluster(queue={"retry": 60})
        name = project.ask(tasks.launch, tasks.sleep, 20, timeout=1)

        row = project.wait_for(tasks.find_row, name, "failed")

        assert "Task exceeded maximum timeout value (1 seconds)" in row["message"]
        assert row["progress_payload"] == "sleeping: 1/2"
        assert [a["outcome"] for a in project.wait_for(tasks.get_attempts, name)] == ["failed"]


class TestResultThatCannotBePickled:
    def test_a_task_whose_result_cannot_be_pickled_stays_open_until_its_queue_is_dropped(
        self, project
    ):
        cluster = project.start_cluster(queue={"retry": 60})
        name = project.ask(tasks.launch, tasks.return_a_lock)
        cluster.wait_for_log("cannot pickle")
        left = project.ask(tasks.reconcile)[2]
        project.ask(tasks.drop_queue)
        cluster.kill()

        project.wait_for(tasks.is_found_lost, name)

        assert left == {name: "it is in the queue"}
        assert project.ask(tasks.get_row, name)["status"] == "lost"


class TestExceptionWithoutText:
    def test_a_task_whose_exception_kills_its_worker_succeeds_in_a_second_attempt(
        self, project, tmp_path
    ):
        project.start_cluster()
        path = str(tmp_path / "failed")
        name = project.ask(tasks.launch, tasks.fail_without_text, path)

        row = project.wait_for(tasks.find_row, name, "success")

        assert (row["attempts"], row["result_payload"]) == (2, "survived")


class TestAttempts:
    def test_a_failed_attempt_is_kept_when_the_second_succeeds(self, project, tmp_path):
        project.start_cluster(queue={"retry": 2, "timeout": 1})
        name = project.ask(tasks.launch, tasks.fail_once, str(tmp_path / "failed"))

        row = project.wait_for(tasks.find_row, name, "success")

        attempts = project.ask(tasks.get_attempts, name)
        assert (row["attempts"], row["result_payload"]) == (2, "the second time")
        assert row["failed_at"] is None
        assert [(a["number"], a["message"]) for a in attempts] == [
            (1, "ValueError: the first time")
        ]

    def test_each_of_two_failed_attempts_is_kept(self, project):
        project.start_cluster(queue={"retry": 2, "timeout": 1, "max_attempts": 2})
        name = project.ask(tasks.launch, tasks.fail)

        row = project.wait_for(tasks.find_attempted_row, name, "failed", 2)

        project.wait_for(tasks.is_queue_empty)
        attempts = project.wait_for(tasks.get_attempts, name)
        assert row["message"] == "ValueError: the price is wrong"
        assert [(a["number"], a["outcome"]) for a in attempts] == [(1, "failed"), (2, "failed")]


class TestDeliveredTwice:
    def test_a_task_delivered_twice_has_one_successful_row_with_two_attempts(self, project):
        project.start_cluster()
        name = project.ask(tasks.launch_twice_at_once, tasks.add, 1, 2)

        row = project.wait_for(tasks.find_attempted_row, name, "success", 2)

        assert row["result_payload"] == 3
        assert project.ask(tasks.get_attempts, name) == []


class TestCacheEmptied:
    def test_a_task_that_empties_the_cache_keeps_its_last_progress(self, project):
        project.start_cluster()
        name = project.ask(tasks.launch, tasks.empty_the_cache)

        row = project.wait_for(tasks.find_row, name, "success")

        assert (row["result_payload"], row["progress_payload"]) == ("emptied", "emptying: 2/2")


class TestRecordTableMissing:
    def test_without_the_record_table_tasks_run_and_each_process_logs_it_once(self, project):
        project.ask(tasks.rename_table, TABLE, "gone")
        cluster = project.start_cluster(queue={"workers": 1})
        first = project.ask(tasks.launch, tasks.add, 1, 2)
        second = project.ask(tasks.launch, tasks.add, 3, 4)

        project.wait_for(tasks.is_done, first)
        project.wait_for(tasks.is_done, second)

        log = cluster.read_log()
        told = log.count("No task is recorded: the table of powercrud_tracking.AsyncTaskRecord")
        assert 1 <= told <= 2, "the worker's process and the monitor's"
        assert "Traceback" not in log


class TestTwoClusters:
    def test_two_clusters_on_one_queue_run_each_task_once(self, project):
        project.start_cluster(queue={"workers": 1})
        project.start_cluster(queue={"workers": 1})
        names = [project.ask(tasks.launch, tasks.add, n, n) for n in range(10)]

        rows = [project.wait_for(tasks.find_row, name, "success") for name in names]

        assert [row["result_payload"] for row in rows] == [2 * n for n in range(10)]
        assert {row["attempts"] for row in rows} == {1}
        assert all(row["worker"].rpartition(":")[2].isdigit() for row in rows)


class TestOtherSettings:
    def test_a_worker_with_other_settings_records_by_those_of_the_launch_and_logs_the_difference(
        self, tmp_path
    ):
        with running_project(tmp_path, dashboard={"PAYLOAD_LIMIT": 1000}) as project:
            cluster = project.start_cluster(dashboard={"PAYLOAD_LIMIT": 2000})
            name = project.ask(tasks.launch, tasks.add, 1, 2)

            row = project.wait_for(tasks.find_row, name, "success")

            assert row["result_payload"] == 3
            assert "web and worker differ" in cluster.read_log()
