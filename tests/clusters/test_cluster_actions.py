"""Cancelling and retrying with real clusters: what a worker holds, and what is delivered again.

``TEST_DATABASE`` chooses where: SQLite or MariaDB with django-q2's ORM broker, or PostgreSQL with
Redis as broker. All but those with SQLite need the servers on 127.0.0.1.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support import cluster_tasks as tasks
from tests.support.cluster import running_project
from tests.support.cluster_services import project_on_mariadb, project_on_postgresql

pytestmark = pytest.mark.cluster

DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
IS_REDIS = DATABASE == "postgresql"
needs_redelivery = pytest.mark.skipif(IS_REDIS, reason="Redis delivers no task twice")
needs_redis = pytest.mark.skipif(not IS_REDIS, reason="needs Redis as broker")

PRICE = 7
SECRETS = {"REDACT": ["password", "price"]}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """One project for all tests, without a cluster."""
    directory = tmp_path_factory.mktemp("project")
    options = {"dashboard": SECRETS}
    match DATABASE:
        case "postgresql":
            opened = project_on_postgresql(directory, with_redis_broker=True, **options)
        case "mariadb":
            opened = project_on_mariadb(directory, **options)
        case _:
            queue = {"timeout": 60, "retry": 120}
            opened = running_project(directory, queue=queue, **options)
    with opened as project:
        yield project


@pytest.fixture
def project(services):
    """The project with an empty queue; the clusters of a test end with it."""
    yield services
    for cluster in services.clusters:
        cluster.kill()
    services.clusters.clear()
    services.ask(tasks.drop_queue)


def start_cluster(project, **queue):
    return project.start_cluster(queue={**project.given["queue"], "workers": 2, **queue})


def run_another(project):
    """Let one more task run to its end: whatever was queued before has been taken by then."""
    name = project.ask(tasks.launch, tasks.add, 1, 2)
    project.wait_for(tasks.find_row, name, "success")


class TestQueued:
    def test_a_task_that_was_cancelled_in_the_queue_is_not_run(self, project, tmp_path):
        path = tmp_path / "run"
        locks = {"project.widget": {1, 2}}
        name = project.ask(tasks.launch, tasks.touch, str(path), conflict_ids=locks)

        result = project.ask(tasks.cancel, name, by="ada", reason="wrong file")
        cancelled = project.ask(tasks.get_row, name)
        # Its objects are free at once.
        other = project.ask(tasks.launch, tasks.add, 1, 2, conflict_ids=locks)
        start_cluster(project)
        row = project.wait_for(tasks.find_cleaned_row, name)
        project.wait_for(tasks.find_row, other, "success")

        assert result[0] == "done"
        assert (cancelled["status"], cancelled["cleaned_up"]) == ("cancelled", False)
        assert (row["status"], row["message"]) == ("cancelled", "Cancelled by ada: wrong file")
        assert (row["attempts"], row["started_at"], row["failed_at"]) == (0, None, None)
        project.wait_for(tasks.is_nothing_queued)
        assert not path.exists()

    def test_a_task_that_a_cluster_had_in_its_memory_is_not_run(self, project, tmp_path):
        go, path = tmp_path / "go", tmp_path / "run"
        start_cluster(project, workers=1, queue_limit=4)
        first = project.ask(tasks.launch, tasks.wait_for_file, str(go))
        project.wait_for(tasks.find_row, first, "in_progress")
        name = project.ask(tasks.launch, tasks.touch, str(path))
        project.wait_for(tasks.is_everything_delivered)

        result = project.ask(tasks.cancel, name)
        go.touch()
        row = project.wait_for(tasks.find_cleaned_row, name)
        run_another(project)

        assert result[0] == "done"
        assert (row["status"], row["attempts"]) == ("cancelled", 0)
        assert project.ask(tasks.get_row, first)["status"] == "success"
        project.wait_for(tasks.is_nothing_queued)
        assert not path.exists()

    def test_the_rest_of_its_chain_is_not_run(self, project, tmp_path):
        path = tmp_path / "run"
        chain = [("tests.support.cluster_tasks.touch", (str(path),))]
        name = project.ask(tasks.launch, tasks.add, 1, 2, chain=chain)

        project.ask(tasks.cancel, name)
        start_cluster(project, workers=1)
        project.wait_for(tasks.find_cleaned_row, name)
        run_another(project)

        assert not path.exists()


class TestRunning:
    def test_a_function_that_reports_progress_stops(self, project):
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.report_until_cancelled)
        project.wait_for(tasks.find_row, name, "in_progress")

        result = project.ask(tasks.cancel, name, by="ada", reason="wrong file")
        row = project.wait_for(tasks.find_cleaned_row, name)
        run_another(project)

        assert result[0] == "requested"
        assert (row["status"], row["message"]) == ("cancelled", "Cancelled by ada: wrong file")
        assert (row["attempts"], row["failed_at"]) == (1, None)
        assert row["cancelled_at"] is not None
        assert project.ask(tasks.get_attempts, name) == []
        project.wait_for(tasks.is_nothing_queued)

    def test_the_rest_of_its_chain_is_not_run(self, project, tmp_path):
        path = tmp_path / "run"
        start_cluster(project, workers=1)
        chain = [("tests.support.cluster_tasks.touch", (str(path),))]
        name = project.ask(tasks.launch, tasks.report_until_cancelled, chain=chain)
        project.wait_for(tasks.find_row, name, "in_progress")

        project.ask(tasks.cancel, name)
        project.wait_for(tasks.find_row, name, "cancelled")
        run_another(project)

        assert not path.exists()

    def test_a_bulk_update_changes_nothing_and_is_not_run_again(self, project):
        number, retry = 400, 8
        before = project.ask(tasks.count_priced, PRICE)
        name = project.ask(tasks.launch_bulk_update, number, PRICE)
        start_cluster(project, timeout=retry - 1, retry=retry)
        began = project.wait_for(tasks.find_row, name, "in_progress")["started_at"]
        project.wait_for(tasks.is_half_done, name)

        result = project.ask(tasks.cancel, name, by="ada", reason="wrong price")
        row = project.wait_for(tasks.find_cleaned_row, name)

        # On SQLite it could be written only when the task had stopped.
        assert result[0] in ({"requested", "done"} if DATABASE == "sqlite" else {"requested"})
        assert (row["status"], row["attempts"]) == ("cancelled", 1)
        assert row["message"] == "Cancelled by ada: wrong price. Nothing was changed."
        assert (row["failed_at"], row["completed_at"]) == (None, None)
        assert project.ask(tasks.count_priced, PRICE) == before
        assert project.ask(tasks.lock_widgets) >= number
        assert project.ask(tasks.find_locked, name) == 0
        assert project.ask(tasks.is_nothing_queued)

        project.wait_for(tasks.is_past, began + timedelta(seconds=retry + 0.5))
        run_another(project)
        assert project.ask(tasks.get_row, name) == row
        assert project.ask(tasks.count_priced, PRICE) == before


class TestDeliveredAgain:
    @needs_redelivery
    def test_a_task_that_kills_its_worker_is_not_run_at_its_next_delivery(self, project, tmp_path):
        path = tmp_path / "deaths"
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.die, str(path))
        for attempts in (1, 2):
            project.wait_for(has_lines, str(path), attempts)
            assert project.ask(tasks.get_row, name)["attempts"] == attempts
            if attempts == 1:
                project.ask(tasks.redeliver_now)

        result = project.ask(tasks.cancel, name, by="ada", reason="it kills the worker")
        project.ask(tasks.redeliver_now)
        row = project.wait_for(tasks.find_row, name, "cancelled")
        run_another(project)

        assert result[0] == "requested"
        assert (row["message"], row["attempts"]) == ("Cancelled by ada: it kills the worker", 2)
        project.wait_for(tasks.is_nothing_queued)
        assert has_lines(str(path), 2)

    @needs_redis
    def test_a_task_that_killed_its_worker_is_cancelled_by_reconciling(self, project, tmp_path):
        path = tmp_path / "deaths"
        cluster = start_cluster(project)
        name = project.ask(tasks.launch, tasks.die, str(path))
        cluster.wait_for_log("after death")

        result = project.ask(tasks.cancel, name, by="ada", reason="it kills the worker")
        row = project.wait_for(find_reconciled, name, "cancelled")

        assert result[0] == "requested"
        assert (row["message"], row["attempts"]) == ("Cancelled by ada: it kills the worker", 1)
        assert project.ask(tasks.get_attempts, name) == []
        assert has_lines(str(path), 1)

    @needs_redelivery
    def test_a_failed_task_is_not_run_again(self, project, tmp_path):
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.fail_once, str(tmp_path / "failed"))
        project.wait_for(tasks.find_row, name, "failed")
        # Its attempt, which says that it will be delivered again, is written after the row.
        project.wait_for(tasks.get_attempts, name)

        result = project.ask(tasks.cancel, name)
        project.ask(tasks.redeliver_now)
        project.wait_for(tasks.is_nothing_queued)
        run_another(project)

        assert result[:2] == ("done", "It will not be run again.")
        row = project.ask(tasks.get_row, name)
        assert (row["status"], row["attempts"]) == ("failed", 1)
        assert row["message"] == "ValueError: the first time"

    @needs_redis
    def test_a_failed_task_that_redis_does_not_deliver_again_has_ended(self, project, tmp_path):
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.fail_once, str(tmp_path / "failed"))
        project.wait_for(tasks.find_row, name, "failed")

        result = project.ask(tasks.cancel, name)

        assert result[:2] == ("refused", "It has ended already.")


class TestRetry:
    def test_a_function_gets_its_real_arguments(self, project):
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.is_password, password=tasks.PASSWORD)
        first = project.wait_for(tasks.find_cleaned_row, name)

        outcome, _, new_name = project.ask(tasks.retry, name)
        row = project.wait_for(tasks.find_cleaned_row, new_name)

        assert (outcome, new_name != name) == ("done", True)
        assert (first["result_payload"], row["result_payload"]) == (True, True)
        assert row["task_kwargs"] == first["task_kwargs"] == {"password": "********"}
        assert (row["status"], row["attempts"], row["retry_of"]) == ("success", 1, name)
        assert project.ask(tasks.get_row, name)["retried_by"] == new_name

    def test_a_bulk_update_gets_its_real_arguments_and_new_locks(self, project):
        number, price = 5, 1234
        name = project.ask(tasks.launch_bulk_update, number, price)
        cluster = start_cluster(project)
        first = project.wait_for(tasks.find_cleaned_row, name)
        project.ask(change_prices, price, 0)
        cluster.kill()

        outcome, _, new_name = project.ask(tasks.retry, name)
        locked = project.ask(tasks.find_locked, name)
        start_cluster(project)
        row = project.wait_for(tasks.find_cleaned_row, new_name)

        assert (outcome, locked) == ("done", number)
        assert (row["status"], row["message"]) == ("success", f"{number} updated")
        assert project.ask(tasks.count_priced, price) == number
        assert project.ask(tasks.find_locked, name) == 0
        assert row["task_args"] == first["task_args"]
        assert row["task_args"][-1] == [{"field": "price", "value": "********"}]

    def test_a_cancelled_bulk_update_can_be_retried(self, project):
        number, price = 400, 4321
        name = project.ask(tasks.launch_bulk_update, number, price)
        start_cluster(project)
        project.wait_for(tasks.is_half_done, name)
        project.ask(tasks.cancel, name)
        cancelled = project.wait_for(tasks.find_cleaned_row, name)
        before = project.ask(tasks.count_priced, price)
        project.ask(let_no_widget_be_slow)

        outcome, _, new_name = project.ask(tasks.retry, name)
        row = project.wait_for(tasks.find_cleaned_row, new_name)

        assert (cancelled["status"], before) == ("cancelled", 0)
        assert (outcome, row["status"]) == ("done", "success")
        assert project.ask(tasks.count_priced, price) == number

    def test_a_task_that_fails_again_leaves_the_first_as_it_was(self, project):
        start_cluster(project)
        name = project.ask(tasks.launch, tasks.fail)
        project.wait_for(tasks.find_row, name, "failed")
        attempts = project.wait_for(tasks.get_attempts, name)

        _, _, second = project.ask(tasks.retry, name)
        project.wait_for(tasks.find_row, second, "failed")
        again, _, third = project.ask(tasks.retry, second)
        project.wait_for(tasks.find_row, third, "failed")
        if not IS_REDIS:
            project.ask(tasks.redeliver_now)
        run_another(project)

        rows = [project.ask(tasks.get_row, each) for each in (name, second, third)]
        assert again == "done"
        assert [row["status"] for row in rows] == ["failed"] * 3
        assert [row["attempts"] for row in rows[:2]] == [1, 1]
        assert [row["retry_of"] for row in rows] == ["", name, second]
        assert [row["retried_by"] for row in rows] == [second, third, ""]
        assert project.ask(tasks.get_attempts, name) == attempts

    def test_one_that_cannot_be_queued_leaves_nothing_and_can_be_repeated(self, project):
        cluster = start_cluster(project)
        name = project.ask(tasks.launch, tasks.add, 1, 2)
        first = project.wait_for(tasks.find_cleaned_row, name)
        cluster.kill()
        gone = {"redis": "redis://127.0.0.1:1/0"} if IS_REDIS else {"orm": "nowhere"}
        web = project.start_web(queue={**project.given["queue"], **gone})

        refused = web.ask(tasks.retry, name)
        between = project.ask(tasks.get_row, name), project.ask(tasks.find_retries, name)
        web.kill()
        outcome, _, new_name = project.ask(tasks.retry, name)

        assert refused[0] == "refused"
        assert refused[1].startswith("The task could not be queued: ")
        assert between == (first, [])
        assert outcome == "done"
        assert project.ask(tasks.find_retries, name) == [new_name]
        assert project.ask(tasks.count_queued) == 1

    def test_of_two_processes_that_retry_a_task_at_once_one_does(self, project):
        cluster = start_cluster(project)
        names = [project.ask(tasks.launch, tasks.add, number, 1) for number in range(5)]
        for name in names:
            project.wait_for(tasks.find_cleaned_row, name)
        cluster.kill()
        webs = [project.start_web(), project.start_web()]

        results = []
        for name in names:
            at = time.time() + 0.1
            for web in webs:
                web.begin(tasks.retry, name, at=at)
            results.append([web.end() for web in webs])
        retries = [project.ask(tasks.find_retries, name) for name in names]

        assert [sorted(each[0] for each in pair) for pair in results] == [["done", "refused"]] * 5
        assert [len(each) for each in retries] == [1] * 5
        done = [each[2] for pair in results for each in pair if each[0] == "done"]
        assert [each[0] for each in retries] == done
        assert project.ask(tasks.count_queued) == 5


# --- what the process that stands for the web is asked ------------------------------------


def has_lines(path, number):
    """Return whether a file has so many lines."""
    file = Path(path)
    return file.exists() and len(file.read_text().splitlines()) == number


def find_reconciled(name, status):
    tasks.reconcile()
    return tasks.find_row(name, status)


def change_prices(old, new):
    from tests.project.models import Widget

    Widget.objects.filter(price=old).update(price=new)


def let_no_widget_be_slow():
    from tests.project.models import Widget

    Widget.objects.update(name="quick")
