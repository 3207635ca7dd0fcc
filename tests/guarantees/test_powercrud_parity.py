"""What a project had from PowerCRUD's own tracker it has from ours."""

from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from django_q.models import Task
from powercrud import async_dashboard
from powercrud.async_dashboard import AsyncDashboardConfig
from powercrud.async_hooks import task_completion_hook
from powercrud.async_manager import AsyncManager

from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord
from tests.support.rows import AT

THEIRS = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
OURS = "5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de"
FIELD_MAP = {
    "task_name": "key",
    "status": "state",
    "message": "note",
    "progress": "payload",
    "user": None,
    "affected": None,
    "kwargs": None,
    "args": None,
    "result": None,
    "cleaned": None,
    "completed_at": None,
    "failed_at": None,
}
SAMPLE = (
    "status",
    "message",
    "progress_payload",
    "user_label",
    "affected_objects",
    "task_args",
    "task_kwargs",
    "result_payload",
    "cleaned_up",
    "completed_at",
    "failed_at",
)
"""The fields of PowerCRUD's sample model that both trackers write."""


def full_name(user):
    return f"{user.first_name} {user.last_name}" if user else "Anonymous"


def count(objects):
    return f"{len(objects or ())} objects"


def wrap(payload):
    return {"wrapped": payload}


def get_config():
    """Return a configuration in PowerCRUD's words."""
    return {
        "record_model_path": "project.InheritedRecord",
        "field_map": {"affected": "affected_objects"},
        "create_defaults": {"tenant": "north"},
        "format_user": full_name,
        "format_affected": count,
        "format_payload": wrap,
    }


def make_old_subclass(base):
    """Return a subclass of PowerCRUD's tracker as projects have it, on another base."""

    class ShopManager(base):
        record_model_path = "project.InheritedRecord"
        field_map = {"affected": "affected_objects"}
        create_defaults = {"tenant": "south"}
        seen = []

        def format_affected(self, affected_objects):
            return "things"

        def format_user(self, user):
            return "somebody"

        def async_task_lifecycle(self, event, task_name, **kwargs):
            self.seen.append(str(event))
            super().async_task_lifecycle(event, task_name, **kwargs)

    return ShopManager


class ParityCase(TestCase):
    databases = "__all__"

    def setUp(self):
        self.user = get_user_model()(pk=7, username="ada", first_name="Ada", last_name="King")

    def send(self, manager, task_name, *events):
        for event, payload in events:
            manager._emit_lifecycle(event=event, task_name=task_name, **payload)

    def get_values(self, task_name, model=InheritedRecord):
        return model.objects.values(*SAMPLE).get(task_name=task_name)

    def assert_same(self, *events, config=None):
        """Both trackers write the same into the fields that both know."""
        config = config or get_config()
        theirs = async_dashboard.ModelTrackingAsyncManager(AsyncDashboardConfig(**config))
        ours = ModelTrackingAsyncManager(config)

        self.send(theirs, THEIRS, *events)
        self.send(ours, OURS, *events)

        assert self.get_values(OURS) == self.get_values(THEIRS)
        return self.get_values(OURS)

    def make_create(self, **payload):
        return (
            "create",
            {
                "status": "pending",
                "message": "Task queued",
                "user": self.user,
                "affected_objects": ["a", "b"],
                "task_args": [1],
                "task_kwargs": {"depth": 2},
                "timestamp": AT,
                **payload,
            },
        )


class EventsTest(ParityCase):
    PROGRESS = ("progress", {"status": "in_progress", "message": "1/2", "progress_payload": "1/2"})
    COMPLETE = (
        "complete",
        {"status": "success", "message": "Task completed", "result": 3, "timestamp": AT},
    )
    FAIL = ("fail", {"status": "failed", "message": "bad", "result": "bad", "timestamp": AT})
    CLEANUP = ("cleanup", {"status": None})

    def test_create_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create())

        assert values["status"] == "pending"
        assert values["message"] == "Task queued"
        assert values["user_label"] == "Ada King"
        assert values["affected_objects"] == "2 objects"
        assert values["task_args"] == {"wrapped": [1]}
        assert values["task_kwargs"] == {"wrapped": {"depth": 2}}

    def test_create_without_a_user_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create(user=None))

        assert values["user_label"] == "Anonymous"

    def test_create_without_formatters_writes_what_powercrud_writes(self):
        config = {
            "record_model_path": "project.InheritedRecord",
            "create_defaults": {"tenant": "north"},
        }

        values = self.assert_same(self.make_create(), config=config)

        assert values["user_label"] == "ada"
        assert values["affected_objects"] == "a, b"
        assert values["task_args"] == [1]

    def test_progress_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create(), self.PROGRESS)

        assert values["status"] == "in_progress"
        assert values["progress_payload"] == "1/2"
        assert values["message"] == "Task queued"

    def test_complete_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create(), self.PROGRESS, self.COMPLETE)

        assert values["status"] == "success"
        assert values["message"] == "Task completed"
        assert values["result_payload"] == {"wrapped": 3}
        assert values["completed_at"] == AT

    def test_fail_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create(), self.PROGRESS, self.FAIL)

        assert values["status"] == "failed"
        assert values["message"] == "bad"
        assert values["result_payload"] == {"wrapped": "bad"}
        assert values["failed_at"] == AT

    def test_cleanup_after_the_end_writes_what_powercrud_writes(self):
        values = self.assert_same(self.make_create(), self.COMPLETE, self.CLEANUP)

        assert values["status"] == "success"
        assert values["cleaned_up"] is True

    def test_the_completion_hook_writes_what_powercrud_writes(self):
        for number, task_name in enumerate((THEIRS, OURS)):
            manager = (async_dashboard.ModelTrackingAsyncManager, ModelTrackingAsyncManager)[number]
            path = f"{manager.__module__}.{manager.__qualname__}"
            config = {
                "record_model_path": "project.InheritedRecord",
                "create_defaults": {"tenant": "north"},
            }
            AsyncManager.resolve_manager(path, config=config)._emit_lifecycle(
                event="create", task_name=task_name, status="pending"
            )

            task_completion_hook(
                Task(
                    name=task_name,
                    func="math.floor",
                    success=True,
                    result=3,
                    kwargs={"manager_class": path, "manager_config": config},
                )
            )

        theirs, ours = self.get_values(THEIRS), self.get_values(OURS)
        assert ours | {"completed_at": None} == theirs | {"completed_at": None}
        assert ours["status"] == "success"
        assert ours["result_payload"] == 3
        assert ours["cleaned_up"] is True


class FieldMapTest(ParityCase):
    def test_a_field_map_with_other_names_and_none_is_understood(self):
        config = {"record_model_path": "project.BespokeRecord", "field_map": FIELD_MAP}
        events = [
            self.make_create(user=self.user),
            ("progress", {"status": "in_progress", "progress_payload": "1/2"}),
            ("complete", {"status": "success", "message": "done", "result": 3, "timestamp": AT}),
            ("cleanup", {}),
        ]

        self.send(
            async_dashboard.ModelTrackingAsyncManager(AsyncDashboardConfig(**config)),
            THEIRS,
            *events,
        )
        self.send(ModelTrackingAsyncManager(config), OURS, *events)

        fields = ("state", "note", "payload")
        theirs = BespokeRecord.objects.values(*fields).get(key=THEIRS)
        ours = BespokeRecord.objects.values(*fields).get(key=OURS)
        assert ours == theirs
        assert ours == {"state": "success", "note": "done", "payload": "1/2"}


class WaysToConfigureTest(ParityCase):
    def test_a_config_object_of_powercrud_is_accepted(self):
        manager = ModelTrackingAsyncManager(config=AsyncDashboardConfig(**get_config()))

        self.send(manager, OURS, self.make_create())

        row = InheritedRecord.objects.get()
        assert (row.tenant, row.user_label) == ("north", "Ada King")
        assert (row.affected_objects, row.task_args) == ("2 objects", {"wrapped": [1]})

    def test_create_defaults_may_be_a_dict(self):
        manager = ModelTrackingAsyncManager(get_config())

        self.send(manager, OURS, self.make_create())

        assert InheritedRecord.objects.get().tenant == "north"

    def test_the_setting_leads_to_the_same_row_as_powercruds_config(self):
        setting = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": {"tenant": "north"},
            "FORMAT_USER": "tests.guarantees.test_powercrud_parity.full_name",
            "FORMAT_OBJECTS": "tests.guarantees.test_powercrud_parity.count",
            "FORMAT_PAYLOAD": "tests.guarantees.test_powercrud_parity.wrap",
        }

        with override_settings(POWERCRUD_ASYNC_DASHBOARD=setting):
            self.send(ModelTrackingAsyncManager(), OURS, self.make_create())
        self.send(
            async_dashboard.ModelTrackingAsyncManager(AsyncDashboardConfig(**get_config())),
            THEIRS,
            self.make_create(),
        )

        assert self.get_values(OURS) == self.get_values(THEIRS)


class OldSubclassTest(ParityCase):
    """A subclass of which only the import has changed."""

    def test_class_attributes_and_methods_of_an_old_subclass_are_used(self):
        theirs = make_old_subclass(async_dashboard.ModelTrackingAsyncManager)()
        ours = make_old_subclass(ModelTrackingAsyncManager)()
        events = [
            self.make_create(),
            ("progress", {"progress_payload": "1/2"}),
            ("complete", {"message": "done", "result": 3, "timestamp": AT}),
            ("cleanup", {}),
        ]

        self.send(theirs, THEIRS, *events)
        self.send(ours, OURS, *events)

        assert self.get_values(OURS) == self.get_values(THEIRS)
        assert self.get_values(OURS)["user_label"] == "somebody"
        assert self.get_values(OURS)["affected_objects"] == "things"
        assert InheritedRecord.objects.get(task_name=OURS).tenant == "south"

    def test_the_overridden_lifecycle_of_an_old_subclass_sees_every_event(self):
        manager = make_old_subclass(ModelTrackingAsyncManager)()

        manager.launch_async_task("math.floor", 1.5, task_key=OURS)
        manager.update_progress(OURS, "1/2")
        manager.handle_task_completion(Task(name=OURS, func="math.floor", success=True), OURS)

        assert manager.seen == ["create", "create", "progress", "complete", "cleanup"]
        assert InheritedRecord.objects.get().status == "success"

    def test_get_record_model_path_of_an_old_subclass_is_used(self):
        class ShopManager(ModelTrackingAsyncManager):
            create_defaults = {"tenant": "west"}

            def get_record_model_path(self):
                return "project.InheritedRecord"

        self.send(ShopManager(), OURS, self.make_create())

        assert InheritedRecord.objects.get().tenant == "west"
        assert not AsyncTaskRecord.objects.exists()

    def test_an_overridden_lifecycle_may_call_super_by_position(self):
        class ShopManager(ModelTrackingAsyncManager):
            def async_task_lifecycle(self, event, task_name, **kwargs):
                kwargs["message"] = f"{event}: {kwargs.get('message')}"
                return super().async_task_lifecycle(event, task_name, **kwargs)

        ShopManager().launch_async_task("math.floor", 1.5, task_key=OURS)

        assert AsyncTaskRecord.objects.get().message == "create: Task queued"

    def test_an_overridden_lifecycle_that_raises_breaks_no_launch(self):
        class ShopManager(ModelTrackingAsyncManager):
            def async_task_lifecycle(self, event, task_name, **kwargs):
                raise RuntimeError("broken")

        task_name = ShopManager().launch_async_task("math.floor", 1.5, task_key=OURS)

        assert task_name == OURS


class DifferencesTest(ParityCase):
    """Where ours differs from PowerCRUD's on purpose."""

    def test_progress_that_arrives_first_is_not_the_message(self):
        progress = ("progress", {"message": "1/2", "progress_payload": "1/2"})

        self.send(ModelTrackingAsyncManager(get_config()), OURS, progress)

        row = InheritedRecord.objects.get()
        assert (row.status, row.progress_payload) == ("in_progress", "1/2")
        assert row.message == ""

    def test_late_progress_does_not_reopen_a_finished_task(self):
        events = [
            self.make_create(),
            ("complete", {"message": "done", "result": 3, "timestamp": AT}),
            ("progress", {"status": "in_progress", "progress_payload": "2/2"}),
        ]

        self.send(ModelTrackingAsyncManager(get_config()), OURS, *events)

        assert InheritedRecord.objects.get().status == "success"

    def test_a_traceback_is_not_the_message(self):
        text = "bad : Traceback (most recent call last):\n  File\nValueError: bad\n"
        events = [self.make_create(), ("fail", {"message": text, "result": text, "timestamp": AT})]

        self.send(ModelTrackingAsyncManager(get_config()), OURS, *events)

        row = InheritedRecord.objects.get()
        assert row.message == "ValueError: bad"
        assert row.result_payload == {"wrapped": text}
