"""Labels and payloads by functions of the project, and further values for new rows."""

import json

import pytest
from django.test import override_settings

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskAttempt
from tests.project.models import InheritedRecord
from tests.project.tasks import add
from tests.project.tracking import ShoutingManager
from tests.support.rows import NAME, get_row

pytestmark = pytest.mark.django_db


class RaisingManager(ModelTrackingAsyncManager):
    def format_user(self, user):
        raise RuntimeError("no user")

    def format_affected(self, affected_objects):
        raise RuntimeError("no objects")

    def format_payload(self, payload):
        raise RuntimeError("no payload")


class TestFormatting:
    def test_a_formatter_of_a_subclass_that_raises_is_logged_and_replaced_by_the_built_in_one(
        self, caplog, user
    ):
        RaisingManager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a", "b"], task_args=[1]
        )

        row = get_row()
        assert row.user_label == user.get_username()
        assert row.affected_objects == "a, b"
        assert row.task_args == [1]
        assert caplog.text.count("the built-in one is used instead") == 3
        assert "RuntimeError: no user" in caplog.text

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={
            "FORMAT_USER": "tests.project.tracking.broken",
            "FORMAT_OBJECTS": "tests.project.tracking.broken",
            "FORMAT_PAYLOAD": "tests.project.tracking.broken",
        }
    )
    def test_a_formatter_of_the_setting_that_raises_is_logged_and_replaced_by_the_built_in_one(
        self, caplog, user
    ):
        get_manager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a"], task_kwargs={"a": 1}
        )

        row = get_row()
        assert row.user_label == user.get_username()
        assert row.affected_objects == "a"
        assert row.task_kwargs == {"a": 1}
        assert caplog.text.count("RuntimeError: this formatter is broken") == 3

    def test_a_subclass_overrides_the_formatters(self, user):
        ShoutingManager().async_task_lifecycle(
            "create", NAME, user=user, affected_objects=["a"], task_args=[1]
        )

        row = get_row()
        assert (row.user_label, row.affected_objects) == ("WHO", "WHAT")
        assert row.task_args == {"shown": "[1]"}

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FORMAT_USER": "tests.project.tracking.format_user"}
    )
    def test_the_setting_names_a_formatter(self, user):
        get_manager().async_task_lifecycle("create", NAME, user=user)

        assert get_row().user_label == f"user {user.pk}"

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FORMAT_USER": "tests.project.tracking.format_user"}
    )
    def test_format_user_is_called_without_a_user(self):
        get_manager().launch_async_task(add, 1, 2, task_key=NAME)

        row = get_row()
        assert (row.user_label, row.launched_by_id) == ("Anonymous", "")

    def test_the_result_of_a_formatter_is_bounded_and_redacted(self):
        manager = ModelTrackingAsyncManager(
            format_payload=lambda value: {"token": "t", "all": "x" * 5000}, payload_limit=1000
        )

        manager.async_task_lifecycle("create", NAME, task_args=[1])

        stored = get_row().task_args
        assert stored["token"] == "********"
        assert stored["all"].startswith("xxx")
        assert len(json.dumps(stored)) <= 1000

    def test_format_affected_is_format_objects(self, manager):
        class Old(ModelTrackingAsyncManager):
            def format_affected(self, affected_objects):
                return f"{len(affected_objects)} things"

        assert Old().format_objects(["a", "b"]) == "2 things"
        assert manager.format_objects(["a", "b"]) == manager.format_affected(["a", "b"]) == "a, b"


class TestSecrets:
    def test_labels_mask_the_secrets_of_redact(self):
        manager = ModelTrackingAsyncManager(redact=["iban"])

        manager.async_task_lifecycle("create", NAME, affected_objects={"iban": "x", "pin": 1})

        assert get_row().affected_objects == "iban: ********; pin: 1"

    def test_the_built_in_label_masks_secrets_where_a_formatter_raises(self):
        manager = RaisingManager(redact=["iban"])

        manager.async_task_lifecycle("create", NAME, affected_objects=[{"iban": "x"}])

        assert get_row().affected_objects == '{"iban": "********"}'

    def test_message_progress_result_and_attempt_show_no_secret(self, manager):
        text = "redis://ada:hunter2@host is away"
        result = f"{text} : Traceback (most recent call last):\nOSError: {text}\n"

        manager.async_task_lifecycle("create", NAME, message=text)
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, text)
        row = get_row()
        manager.async_task_lifecycle("fail", NAME, message=result, result=result)

        assert (row.message, row.progress_payload) == ("redis://ada:********@host is away",) * 2
        assert get_row().message == "OSError: redis://ada:********@host is away"
        attempt = AsyncTaskAttempt.objects.get()
        stored = (get_row().result_payload, attempt.message, attempt.traceback)
        assert "hunter2" not in str(stored)


class TestCreateDefaults:
    def test_create_defaults_that_raise_are_logged_and_the_row_is_written(self, caplog):
        manager = get_manager(create_defaults="tests.project.tracking.broken")

        manager.async_task_lifecycle("create", NAME)

        assert get_row().status == Status.PENDING
        assert "the built-in one is used instead" in caplog.text

    def test_a_create_defaults_function_sets_columns_of_new_rows(self):
        manager = get_manager(
            record_model="project.InheritedRecord",
            create_defaults="tests.project.tracking.get_defaults",
        )

        manager.async_task_lifecycle("create", NAME)

        assert InheritedRecord.objects.get().tenant == "north"

    def test_a_value_of_the_event_precedes_create_defaults(self):
        manager = get_manager(
            record_model="project.InheritedRecord",
            create_defaults={"tenant": "south", "message": "from the defaults"},
        )

        manager.async_task_lifecycle("create", NAME, message="from the event")

        row = InheritedRecord.objects.get()
        assert (row.tenant, row.message) == ("south", "from the event")
