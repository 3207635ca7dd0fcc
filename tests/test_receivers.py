import os
import socket
from datetime import timedelta

import pytest
from django.db import connections, router
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.signals import post_execute, post_execute_in_worker, pre_enqueue, pre_execute
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from powercrud import async_dashboard
from powercrud.async_manager import AsyncManager

from powercrud_tracking import factory, receivers
from powercrud_tracking.config import packing
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.running import find_running_task, leave_task
from powercrud_tracking.records import missing_table
from tests.project.models import InheritedRecord
from tests.project.tasks import add
from tests.settings import IS_SPLIT
from tests.support.marks import uses_worker
from tests.support.packages import make_ended_package, make_package
from tests.support.queue import run_queued_task
from tests.support.rows import AT, NAME, get_row

pytestmark = pytest.mark.django_db

AGAIN = "green-four-moon-yankee"
PATH = "powercrud_tracking.factory.DashboardManager"


def send_all(package):
    """Send what django-q2 sends in the life of a task, as it sends it."""
    pre_enqueue.send(sender="django_q", task=package)
    pre_execute.send(sender="django_q", func=None, task=package)
    package |= {"stopped": AT, "success": True, "result": 1}
    post_execute_in_worker.send(sender="django_q", func=None, task=package)
    post_execute.send(sender="django_q", task=package)


def count(*args, **kwargs):
    return len(args)


def tell(task_key):
    get_manager().update_progress(task_key, "told: 1/2")
    return task_key


def fail(task_key):
    raise ValueError("bad")


def make_the_table(task_key):
    rename("gone", "powercrud_tracking_asynctaskrecord")


def rename(old, new):
    with connections[router.db_for_write(AsyncTaskRecord)].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


@pytest.fixture
def no_table(transactional_db):
    rename("powercrud_tracking_asynctaskrecord", "gone")
    yield
    using = connections[router.db_for_write(AsyncTaskRecord)]
    if "gone" in using.introspection.table_names():
        rename("gone", "powercrud_tracking_asynctaskrecord")


class TestTasksOfOtherApps:
    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"kwargs": {"task_key": NAME}, "hook": receivers.HOOK},
            {"kwargs": {"task_key": "another"}},
        ],
        ids=["any", "of PowerCRUD's own manager", "with an argument called task_key"],
    )
    def test_a_task_of_another_app_costs_no_sql(self, values, django_assert_num_queries):
        with django_assert_num_queries(0):
            send_all(make_package(**values))

        assert find_running_task() is None

    def test_a_task_of_powercruds_own_manager_is_not_recorded(self):
        send_all(make_package(kwargs={"manager_class": "powercrud.async_manager.AsyncManager"}))

        assert not AsyncTaskRecord.objects.exists()

    @uses_worker
    def test_a_task_of_another_app_runs_and_is_not_recorded(self):
        async_task("math.floor", 1.5, task_name=NAME)

        run_queued_task()

        assert Task.objects.get().result == 1
        assert not AsyncTaskRecord.objects.exists()


class TestNeverRaising:
    def test_a_task_whose_manager_cannot_be_imported_is_not_recorded(self, caplog):
        send_all(make_package(kwargs={"manager_class": "nowhere.Nothing"}))

        assert caplog.records == []
        assert not AsyncTaskRecord.objects.exists()

    @pytest.mark.parametrize(
        "package",
        [
            {},
            {"name": NAME},
            {"name": NAME, "kwargs": None},
            {"name": NAME, "kwargs": {"manager_class": 3}},
            {"name": NAME, "kwargs": {}, "powercrud_tracking": "damaged"},
        ],
        ids=["empty", "only a name", "no kwargs", "a path that is a number", "damaged"],
    )
    @pytest.mark.parametrize(
        "signal",
        [pre_enqueue, pre_execute, post_execute_in_worker, post_execute],
        ids=["pre_enqueue", "pre_execute", "post_execute_in_worker", "post_execute"],
    )
    def test_a_damaged_package_raises_in_no_receiver(self, signal, package):
        signal.send(sender="django_q", task=dict(package), func=None)

        assert find_running_task() is None

    def test_an_error_in_a_receiver_is_logged_with_the_task_name(self, caplog):
        receivers.start(task={"name": NAME})

        assert f"Could not start task {NAME}." in caplog.text
        assert "KeyError: 'kwargs'" in caplog.text

    @uses_worker
    def test_a_task_runs_though_its_manager_cannot_be_imported(self):
        async_task(count, 1, 2, task_name=NAME, manager_class="nowhere.Nothing")

        run_queued_task()

        assert Task.objects.get().result == 2

    def test_a_missing_table_breaks_no_task_and_is_logged_once(self, no_table, manager, caplog):
        missing_table._logged.clear()
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        run_queued_task()

        ours = [record for record in caplog.records if record.name == "powercrud_tracking"]
        database = " --database=records" if IS_SPLIT else ""
        assert Task.objects.get().result == 3
        assert OrmQ.objects.count() == 0
        assert [record.getMessage() for record in ours] == [
            "No task is recorded: the table of powercrud_tracking.AsyncTaskRecord does not exist. "
            f"Run: manage.py migrate powercrud_tracking{database}"
        ]

    def test_a_launch_fills_a_row_that_a_worker_created_first(self, no_table, manager, user):
        def work_first(*, task, **kwargs):
            make_the_table(task["name"])
            manager.async_task_lifecycle("start", task["name"])

        pre_enqueue.connect(work_first)
        try:
            manager.launch_async_task(add, 1, 2, task_key=NAME, user=user)
        finally:
            pre_enqueue.disconnect(work_first)

        row = get_row()
        assert (row.status, row.user_label) == (Status.IN_PROGRESS, user.get_username())
        assert row.task_args == [1, 2]


class TestPackages:
    def test_a_launch_puts_manager_class_and_overrides_into_the_package(self):
        get_manager(payload_limit=1000).launch_async_task(add, 1, 2, task_key=NAME)

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        reference = package["powercrud_tracking"]
        assert reference["manager_class"] == PATH
        assert reference["manager_config"]["PAYLOAD_LIMIT"] == 1000
        assert packing.is_signed(reference["manager_config"], path=PATH)
        assert set(reference["manager_config"]) == {"PAYLOAD_LIMIT", "fingerprint", "signature"}

    def test_a_task_that_is_queued_without_a_manager_gets_nothing(self, manager):
        async_task(add, 1, 2, task_name=NAME, task_key=NAME)

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert "powercrud_tracking" not in package

    def test_the_package_leads_to_the_manager_of_the_launch(self):
        reference = get_manager(payload_limit=1000).get_manager_reference()

        manager = receivers.find_manager(make_package(powercrud_tracking=reference))

        assert type(manager) is factory.get_manager_class()
        assert manager.config.payload_limit == 1000

    def test_signed_arguments_of_powercruds_views_lead_to_their_manager(self):
        config = packing.sign({"PAYLOAD_LIMIT": 500}, path=PATH)

        manager = receivers.find_manager(
            make_package(kwargs={"manager_class": PATH, "manager_config": config})
        )

        assert manager.config.payload_limit == 500

    def test_a_manager_class_that_the_worker_lacks_is_replaced_by_the_configured_one(self, caplog):
        reference = {"manager_class": "gone.Manager", "manager_config": {}}

        manager = receivers.find_manager(make_package(powercrud_tracking=reference))

        assert type(manager) is factory.get_manager_class()
        assert "Failed to import manager 'gone.Manager'" in caplog.text

    def test_no_manager_is_found_for_a_task_of_another_app(self):
        assert receivers.find_manager(make_package()) is None


class TestStart:
    def test_start_records_worker_time_and_attempt(self, manager):
        manager.async_task_lifecycle("create", NAME)

        receivers.start(task=make_package(kwargs={"manager_class": PATH}))
        leave_task(NAME)

        row = get_row()
        assert row.status == Status.IN_PROGRESS
        assert row.worker == f"{socket.gethostname()}:{os.getpid()}"
        assert row.attempts == 1
        assert row.started_at is not None

    def test_start_without_a_row_records_function_and_arguments(self, manager):
        receivers.start(
            task=make_package(kwargs={"manager_class": PATH, "depth": 2}, group="night")
        )
        leave_task(NAME)

        row = get_row()
        assert (row.func, row.task_args, row.task_kwargs) == ("math.floor", [1], {"depth": 2})
        assert (row.task_group, row.queue_id) == ("night", "f" * 32)

    def test_a_started_task_is_the_running_task(self, manager):
        receivers.start(task=make_package(kwargs={"manager_class": PATH}))

        running = leave_task(NAME)

        assert isinstance(running.manager, ModelTrackingAsyncManager)
        assert (running.task_name, running.task_key, running.is_started) == (NAME, NAME, True)


class TestLeave:
    def test_progress_within_the_interval_is_written_when_the_task_leaves(self):
        manager = get_manager(progress_interval=60)
        reference = manager.get_manager_reference()
        package = make_ended_package(powercrud_tracking=reference)
        receivers.start(task=package)
        manager.update_progress(NAME, "1/3")
        manager.update_progress(NAME, "3/3")

        receivers.leave(task=package)

        assert get_row().progress_payload == "3/3"
        assert find_running_task() is None

    def test_a_start_that_could_not_be_written_is_written_when_the_task_leaves(
        self, no_table, manager
    ):
        manager.launch_async_task(make_the_table, task_key=NAME)

        run_queued_task()

        row = get_row()
        assert (row.status, row.attempts) == (Status.SUCCESS, 1)
        assert row.func == "tests.test_receivers.make_the_table"

    def test_leave_of_a_task_that_did_not_run_here_does_nothing(self):
        receivers.leave(task=make_ended_package())

        assert find_running_task() is None


class TestEnd:
    def test_without_a_hook_the_signal_records_the_end(self, manager):
        manager.async_task_lifecycle("create", NAME)

        receivers.end(task=make_ended_package(powercrud_tracking=manager.get_manager_reference()))

        row = get_row()
        assert (row.status, row.result_payload, row.cleaned_up) == (Status.SUCCESS, 1, True)

    def test_after_the_hook_the_signal_costs_no_sql(self, manager, django_assert_num_queries):
        package = make_ended_package(kwargs={"manager_class": PATH})
        known = {name: package[name] for name in ("id", "name", "func", "kwargs")}
        Task.objects.create(
            **known, hook=receivers.HOOK, started=AT, stopped=AT, success=True, result=1
        )

        with django_assert_num_queries(0):
            receivers.end(task=package)

        assert get_row().status == Status.SUCCESS

    def test_a_failure_recorded_by_hand_does_not_hide_the_end(self, manager):
        reference = manager.get_manager_reference()
        manager.async_task_lifecycle("fail", NAME, message="it never left")

        receivers.end(task=make_ended_package(powercrud_tracking=reference))

        assert get_row().status == Status.SUCCESS


@uses_worker
class TestResubmittedTask:
    def resubmit(self, task):
        """Queue a task again as the action of django-q2's admin does."""
        async_task(
            task.func,
            *task.args or (),
            hook=task.hook,
            group=task.group,
            cluster=task.cluster,
            task_name=AGAIN,
            **task.kwargs or {},
        )

    def test_a_resubmitted_task_has_a_row_of_its_own(self, manager):
        manager.launch_async_task(tell, task_key=NAME)
        run_queued_task()
        before = AsyncTaskRecord.objects.values().get(task_name=NAME)

        self.resubmit(Task.objects.get())
        run_queued_task()

        row = get_row(AGAIN)
        assert AsyncTaskRecord.objects.values().get(task_name=NAME) == before
        assert (row.status, row.result_payload) == (Status.SUCCESS, NAME)
        assert row.progress_payload == "told: 1/2"
        assert row.func == "tests.test_receivers.tell"
        assert (row.task_args, row.task_kwargs) == ([], {})
        assert manager.get_progress(NAME) is None

    def test_the_failure_of_a_resubmitted_task_leaves_the_first_row(self, manager):
        manager.async_task_lifecycle("complete", NAME, result=1)

        async_task(fail, hook=receivers.HOOK, task_name=AGAIN, task_key=NAME)
        run_queued_task()

        assert get_row(NAME).status == Status.SUCCESS
        assert (get_row(AGAIN).status, get_row(AGAIN).message) == (
            Status.FAILED,
            "ValueError: bad",
        )

    def test_a_resubmitted_task_that_was_never_recorded_is_not_recorded(self):
        async_task(fail, hook=receivers.HOOK, task_name=AGAIN, task_key=NAME)

        run_queued_task()

        assert not AsyncTaskRecord.objects.exists()


class TestConnect:
    def test_connecting_twice_records_once(self, manager):
        receivers.connect()

        manager.launch_async_task(add, 1, 2, task_key=NAME, sync=True)

        assert get_row().attempts == 1
        assert timezone.now() - get_row().started_at < timedelta(minutes=1)


def get_manager_class_of(task_key, manager_class=None, manager_config=None):
    # As PowerCRUD's bulk workers do.
    manager = AsyncManager.resolve_manager(manager_class, config=manager_config)
    manager.update_progress(task_key, "1/1")
    return manager_class


@uses_worker
class TestTasksThatPowerCRUDTrackerLaunched:
    """Queued before the settings changed, run after it."""

    CONFIG = {"record_model_path": "project.InheritedRecord", "create_defaults": {"tenant": "n"}}
    MINE = {"RECORD_MODEL": "project.InheritedRecord"}

    def launch(self, config=CONFIG):
        theirs = async_dashboard.ModelTrackingAsyncManager(
            async_dashboard.AsyncDashboardConfig(**config)
        )
        theirs.launch_async_task(
            get_manager_class_of,
            task_key=NAME,
            manager_class=receivers.POWERCRUD_TRACKER,
            manager_config=config,
        )

    def test_the_path_of_powercruds_tracker_is_still_right(self):
        theirs = async_dashboard.ModelTrackingAsyncManager

        assert f"{theirs.__module__}.{theirs.__qualname__}" == receivers.POWERCRUD_TRACKER

    def test_a_task_queued_by_powercruds_tracker_is_recorded_where_its_table_is_ours(
        self, settings
    ):
        self.launch()

        settings.POWERCRUD_ASYNC_DASHBOARD = self.MINE
        run_queued_task()

        row = InheritedRecord.objects.get()
        assert (row.status, row.result_payload) == (Status.SUCCESS, PATH)
        assert (row.attempts, row.progress_payload, row.cleaned_up) == (1, "1/1", True)
        assert row.started_at is not None

    def test_a_task_queued_by_powercruds_tracker_stays_with_it_on_another_table(self):
        self.launch()

        run_queued_task()

        row = InheritedRecord.objects.get()
        assert (row.status, row.result_payload) == (Status.SUCCESS, receivers.POWERCRUD_TRACKER)
        assert (row.attempts, row.started_at) == (0, None)
        assert not AsyncTaskRecord.objects.exists()

    def test_of_the_configuration_of_powercruds_tracker_only_the_table_counts(
        self, settings, caplog
    ):
        self.launch({**self.CONFIG, "field_map": {"user": "nobody"}})

        settings.POWERCRUD_ASYNC_DASHBOARD = self.MINE
        run_queued_task()

        row = InheritedRecord.objects.get()
        assert (row.status, row.result_payload) == (Status.SUCCESS, PATH)
        assert "powercrud_tracking" not in {each.name for each in caplog.records}

    def test_where_ours_is_misconfigured_it_stays_with_powercruds(self, settings, caplog):
        self.launch()

        settings.POWERCRUD_ASYNC_DASHBOARD = {**self.MINE, "PAYLOAD_LIMIT": 1}
        run_queued_task()

        assert InheritedRecord.objects.get().result_payload == receivers.POWERCRUD_TRACKER
        assert f"Task {NAME} stays with PowerCRUD's tracker: " in caplog.text

    def test_a_task_queued_by_powercruds_tracker_has_its_launcher_as_owner(self, settings, user):
        config = {"record_model_path": "project.InheritedRecord"}
        theirs = async_dashboard.ModelTrackingAsyncManager(
            async_dashboard.AsyncDashboardConfig(**config)
        )
        theirs.launch_async_task(
            "powercrud.tasks.bulk_update_task",
            "project.Widget",
            [],
            user.pk,
            [],
            task_key=NAME,
            manager_class=receivers.POWERCRUD_TRACKER,
            manager_config=config,
        )
        before = InheritedRecord.objects.get().launched_by_id

        settings.POWERCRUD_ASYNC_DASHBOARD = self.MINE
        run_queued_task()

        row = InheritedRecord.objects.get()
        assert (before, row.launched_by_id) == ("", str(user.pk))
        assert row.user_label == "ada"
