"""What the arguments of a task name is neither imported nor called unless our launch put it there.

Whoever calls ``async_task()`` with keyword arguments from outside, or edits a schedule, writes
what PowerCRUD's hook and bulk workers build their manager from.
"""

import sys

import pytest
from django.contrib.auth import get_user_model
from django_q.models import OrmQ, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from powercrud.async_hooks import task_completion_hook
from powercrud.async_manager import AsyncManager

from powercrud_tracking import receivers
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.factory import PATH, get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.signals import task_recorded
from tests.project.models import BespokeRecord, InheritedRecord
from tests.support.marks import uses_worker
from tests.support.packages import make_ended_package, make_package
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, get_row

pytestmark = pytest.mark.django_db(databases="__all__")

OTHER_MANAGER = "powercrud_tracking.managers.ModelTrackingAsyncManager"
HOOK = receivers.HOOK
calls = []


def evil(*args):
    calls.append(args)
    return {"stolen": True}


EVIL = f"{__name__}.evil"

ATTACKS = {
    "a function": {"FORMAT_PAYLOAD": EVIL},
    "a function of the standard library": {"FORMAT_PAYLOAD": "subprocess.getoutput"},
    "in PowerCRUD's words": {"format_payload": EVIL},
    "with a fingerprint": {"FORMAT_PAYLOAD": EVIL, "fingerprint": "0" * 12},
    "with a made-up signature": {"FORMAT_PAYLOAD": EVIL, "signature": "A" * 43},
    "with a signature that is no text": {"FORMAT_PAYLOAD": EVIL, "signature": {"a": 1}},
    "defaults of a row": {"CREATE_DEFAULTS": EVIL},
    "a label": {"FORMAT_USER": EVIL},
    "objects": {"format_affected": EVIL},
    "a judgement": {"FAILED_RESULT": EVIL},
    "a table of the project": {
        "RECORD_MODEL": get_user_model()._meta.label,
        "FIELD_MAP": {"task_name": "username", "status": None},
        "CREATE_DEFAULTS": {"is_superuser": True, "is_staff": True},
    },
    "a table of the project, in PowerCRUD's words": {
        "record_model_path": get_user_model()._meta.label,
        "field_map": {"task_name": "username", "status": None},
        "create_defaults": {"is_superuser": True},
    },
    "no redaction": {"REDACT": []},
}

attacks = pytest.mark.parametrize("config", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level("WARNING", "powercrud_tracking")
    calls.clear()
    return caplog


def get_warnings(log):
    return [each.getMessage() for each in log.records if each.name == "powercrud_tracking"]


def describe(path=PATH):
    return (
        f"Ignored the configuration that a task names for {path}: it is not signed, or it has "
        "been changed. The settings are used instead."
    )


def make_result(**kwargs):
    return Task(
        id="f" * 32,
        name=NAME,
        func="math.floor",
        args=(1,),
        kwargs=kwargs,
        success=True,
        result={"password": "hunter2"},
    )


class TestUnsignedConfiguration:
    @attacks
    @pytest.mark.parametrize("path", [PATH, OTHER_MANAGER], ids=["configured", "built-in"])
    def test_powercrud_s_resolver_builds_a_manager_of_the_settings(self, config, path, log):
        manager = AsyncManager.resolve_manager(path, config=config)

        assert manager.config == get_config()
        assert get_warnings(log) == [describe(path)]

    @attacks
    def test_powercrud_s_completion_hook_ends_the_row_with_built_in_functions(self, config, log):
        get_manager().async_task_lifecycle("create", NAME)

        task_completion_hook(make_result(manager_class=PATH, manager_config=config))

        row = get_row()
        assert (row.status, row.result_payload) == (Status.SUCCESS, {"password": "********"})
        assert calls == []
        assert not get_user_model().objects.exists()
        assert get_warnings(log) == [describe()]

    @attacks
    def test_receivers_record_with_built_in_functions(self, config, log):
        package = make_ended_package(kwargs={"manager_class": PATH, "manager_config": config})

        receivers.start(task=package)
        receivers.leave(task=package)
        receivers.end(task=package)

        assert get_row().status == Status.SUCCESS
        assert calls == []
        assert not get_user_model().objects.exists()
        assert get_warnings(log) == [describe()]

    @attacks
    @uses_worker
    def test_a_whole_life_is_recorded_with_one_warning(self, config, log):
        async_task(
            "powercrud.tasks.bulk_delete_task",
            "project.Widget",
            [],
            None,
            task_name=NAME,
            hook=HOOK,
            task_key=NAME,
            manager_class=PATH,
            manager_config=config,
        )

        run_queued_task()

        row = get_row()
        assert (row.status, row.attempts) == (Status.SUCCESS, 1)
        assert row.progress_payload == "completed delete: 0 processed"
        assert calls == []
        assert not get_user_model().objects.exists()
        assert get_warnings(log) == [describe()]


class TestTasksQueuedBefore:
    """An earlier version signed nothing, and wrote the key of the package all the same."""

    @uses_worker
    def test_a_task_of_an_earlier_version_ends_in_its_row_of_another_table(self, log):
        manager = get_manager(
            record_model="project.BespokeRecord",
            field_map={"task_name": "key", "status": "state"},
        )
        reference = manager.get_manager_reference()
        manager.launch_async_task(
            "powercrud.tasks.bulk_delete_task", "project.Widget", [], None, NAME, **reference
        )
        queued = OrmQ.objects.get()
        package = SignedPackage.loads(queued.payload)
        del package["kwargs"]["manager_config"]["signature"]
        del package[receivers.PACKAGE_KEY]["manager_config"]["signature"]
        queued.payload = SignedPackage.dumps(package)
        queued.save()

        run_queued_task()

        row = BespokeRecord.objects.get()
        assert (row.key, row.state) == (NAME, Status.SUCCESS)
        assert not AsyncTaskRecord.objects.exists()
        assert get_warnings(log) == []

    @uses_worker
    def test_a_class_that_powercrud_s_worker_imports_records_from_the_start_on(self, manager):
        assert "tests.project.late" not in sys.modules
        AsyncManager().launch_async_task(
            "powercrud.tasks.bulk_delete_task",
            "project.Widget",
            [],
            None,
            NAME,
            manager_class="tests.project.late.LateManager",
            manager_config=None,
        )
        seen = []

        def look(event, status, **kwargs):
            seen.append((event, status))

        task_recorded.connect(look)
        run_queued_task()
        task_recorded.disconnect(look)
        del sys.modules["tests.project.late"]

        row = get_row()
        assert (row.status, row.attempts, row.cleaned_up) == (Status.SUCCESS, 1, True)
        assert (bool(row.started_at), bool(row.worker)) == (True, True)
        assert [event for event, _ in seen] == [
            "start",
            "progress",
            "progress",
            "complete",
            "cleanup",
        ]

    @pytest.mark.parametrize(
        "config",
        [
            {"RECORD_MODEL": "project.InheritedRecord", "FORMAT_USER": EVIL, "fingerprint": "f"},
            {"record_model_path": "project.InheritedRecord", "create_defaults": {"tenant": "n"}},
        ],
        ids=["ours", "PowerCRUD's"],
    )
    def test_the_completion_hook_ends_a_row_of_another_table_of_tasks(self, config):
        InheritedRecord.objects.create(task_name=NAME, tenant="north")

        task_completion_hook(make_result(manager_class=PATH, manager_config=config))

        row = InheritedRecord.objects.get()
        assert (row.status, row.tenant) == (Status.SUCCESS, "north")
        assert (calls, AsyncTaskRecord.objects.count()) == ([], 0)


class TestManagerClass:
    @pytest.mark.parametrize(
        "path", ["os.system", "antigravity.Manager", "tests.project.unused.Manager", "", "x", 3]
    )
    @pytest.mark.parametrize("config", [None, {}, {"FORMAT_USER": EVIL}], ids=str)
    def test_receivers_import_nothing_that_only_arguments_name(self, path, config, log):
        kwargs = {"manager_class": path, "manager_config": config}

        manager = receivers.find_manager(make_package(kwargs=kwargs))

        assert manager is None
        assert not {"antigravity", "tests.project.unused"} & sys.modules.keys()
        assert calls == []

    def test_a_result_names_no_class_that_would_be_imported(self):
        manager = get_manager()

        found = manager.get_manager_for(make_result(manager_class="antigravity.Manager"))

        assert found is manager
        assert "antigravity" not in sys.modules


class TestPackageKey:
    @pytest.mark.parametrize(
        "options",
        [
            {"powercrud_tracking": {"manager_class": "os.system"}},
            {"q_options": {"powercrud_tracking": {"manager_class": "os.system"}}},
        ],
        ids=["keyword", "option"],
    )
    def test_async_task_gives_nobody_the_key_of_the_package(self, options):
        async_task("math.floor", 1, task_name=NAME, **options)

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert receivers.PACKAGE_KEY not in package

    def test_a_receiver_of_somebody_else_does_not_either(self):
        package = make_package(powercrud_tracking={"manager_class": "os.system"})

        receivers.add_manager_reference(task=package)

        assert receivers.PACKAGE_KEY not in package
