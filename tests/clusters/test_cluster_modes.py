"""The ways in which django-q2 can be told to run a task, each with a real cluster."""

import pytest

from tests.support import cluster_tasks as tasks
from tests.support.cluster import running_project, visit

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("one cluster")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One project and one cluster for all: no test here breaks them."""
    with running_project(tmp_path_factory.mktemp("project")) as project:
        project.start_cluster(queue={"retry": 60})
        yield project


@pytest.fixture(scope="module")
def address(project):
    """The address of its web server, whose views each run in a transaction."""
    with project.serve(ATOMIC_REQUESTS=True) as address:
        yield address


class TestResultsThatAreNotSaved:
    @pytest.mark.parametrize("options", [{"save": False}, {"cached": True}], ids=str)
    def test_a_success_that_django_q2_does_not_save_is_recorded(self, project, options):
        name = project.ask(tasks.launch, tasks.add, 1, 2, **options)

        row = project.wait_for(tasks.find_row, name, "success")

        assert row["result_payload"] == 3
        assert project.ask(tasks.count_results, name) == 0

    @pytest.mark.parametrize("options", [{"save": False}, {"cached": True}], ids=str)
    def test_a_failure_that_django_q2_does_not_save_is_recorded(self, project, options):
        name = project.ask(tasks.launch, tasks.fail, ack_failure=True, **options)

        row = project.wait_for(tasks.find_row, name, "failed")

        assert row["message"] == "ValueError: the price is wrong"

    def test_a_success_is_recorded_with_a_save_limit_below_zero(self, tmp_path):
        with running_project(tmp_path, queue={"save_limit": -1}) as project:
            project.start_cluster()
            name = project.ask(tasks.launch, tasks.add, 1, 2)

            row = project.wait_for(tasks.find_row, name, "success")

            assert row["result_payload"] == 3
            assert project.ask(tasks.count_results, name) == 0


class TestSync:
    def test_a_success_of_a_sync_task_is_recorded_before_the_launch_returns(self, project):
        _, row = project.ask(tasks.launch_sync, tasks.add, 1, 2)

        assert (row["status"], row["result_payload"], row["attempts"]) == ("success", 3, 1)

    def test_a_failure_of_a_sync_task_is_recorded_and_raised(self, project):
        _, row = project.ask(tasks.launch_sync, tasks.fail)

        assert (row["status"], row["message"]) == ("failed", "ValueError: the price is wrong")


class TestCodeOfTheProjectThatRaises:
    @pytest.mark.parametrize(
        ("func", "args", "status"),
        [(tasks.add, (1, 2), "success"), (tasks.fail, (), "failed")],
        ids=["success", "failure"],
    )
    def test_the_end_of_a_task_is_recorded_though_its_hook_raises(
        self, project, func, args, status
    ):
        hook = "tests.support.cluster_tasks.raise_in_hook"
        name = project.ask(tasks.launch, func, *args, hook=hook, ack_failure=True)

        row = project.wait_for(tasks.find_row, name, status)

        assert row["attempts"] == 1

    def test_a_task_runs_though_a_receiver_in_its_worker_raises(self, project):
        name = project.ask(tasks.launch, tasks.report_to_a_broken_receiver)

        row = project.wait_for(tasks.find_row, name, "success")

        assert row["progress_payload"] == "1/1"
        assert row["result_payload"] == ["progress"], "what the receiver behind it heard"

    def test_the_end_of_a_task_is_recorded_though_a_receiver_of_it_raises(self, project):
        launch = tasks.launch_sync_with_a_broken_receiver

        row, heard = project.ask(launch, tasks.add, 1, 2)

        assert (row["status"], row["result_payload"]) == ("success", 3)
        assert heard == ["create", "start", "complete", "cleanup", "create"]


class TestResubmitted:
    def test_a_resubmitted_task_has_a_record_of_its_own_and_leaves_the_old_one(self, project):
        name = project.ask(tasks.launch, tasks.add, 1, 2)
        project.wait_for(tasks.is_done, name)
        before = project.wait_for(tasks.find_cleaned_row, name)
        known = project.ask(tasks.get_names)

        project.ask(tasks.resubmit, name)

        row = project.wait_for(tasks.find_new_row, known, "success")
        assert row["task_name"] != name
        assert (row["result_payload"], row["attempts"]) == (3, 1)
        assert project.ask(tasks.get_row, name) == before


class TestAtomicRequests:
    def test_a_task_whose_launching_request_commits_runs(self, project, address):
        code, seen = visit(f"{address}/launch/")

        row = project.wait_for(tasks.find_row, seen["task_name"], "success")

        assert (code, seen["in_transaction"], seen["status"]) == (200, True, "pending")
        assert (row["result_payload"], row["attempts"]) == (3, 1)

    def test_a_request_that_is_rolled_back_leaves_neither_task_nor_row(self, project, address):
        code, seen = visit(f"{address}/launch/?fail")

        # What is launched after it has run: it would have run too.
        _, later = visit(f"{address}/launch/")
        project.wait_for(tasks.is_done, later["task_name"])

        assert (code, seen["in_transaction"], seen["status"]) == (500, True, "pending")
        assert project.ask(tasks.get_row, seen["task_name"]) is None
        assert project.ask(tasks.count_results, seen["task_name"]) == 0
