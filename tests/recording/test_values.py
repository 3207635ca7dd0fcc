import functools
import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.lifecycle import TABLE, Event, Status
from powercrud_tracking.recording.values import (
    PLUMBING,
    Formatters,
    ValueBuilder,
    call_or_fall_back,
    get_failure,
)
from powercrud_tracking.records.mapping import get_record_map
from tests.project.models import Widget
from tests.support.rows import AT

BESPOKE = DashboardConfig(
    record_model="project.BespokeRecord",
    field_map={"task_name": "key", "status": "state", "message": "note", "args": "payload"},
)


def explode(value):
    raise RuntimeError("no payload")


def make_builder(config=None, **formatters):
    config = config or DashboardConfig()
    return ValueBuilder(config, get_record_map(config).fields, Formatters(**formatters))


class TestFit:
    @pytest.mark.parametrize(
        ("name", "value", "fitted"),
        [
            ("message", None, ""),
            ("result", None, None),
            ("attempts", None, 0),
            ("message", "as it is", "as it is"),
            ("message", {"a": 1}, '{"a": 1}'),
            ("message", "a\x00b", "a\ufffdb"),
            ("func", "f" * 256, "f" * 254 + "…"),
            ("func", "f" * 255, "f" * 255),
            ("result", {"a": {1}}, {"a": [1]}),
            ("result", float("nan"), "NaN"),
            ("extra", {"password": "x"}, {"password": "********"}),
            ("started_at", AT, AT),
            ("cleaned", True, True),
        ],
        ids=[
            "nothing in text",
            "nothing in a field that takes NULL",
            "nothing in a number",
            "a string",
            "a dict in text is JSON",
            "a NUL, which PostgreSQL refuses",
            "text longer than the field",
            "text as long as the field",
            "a set in JSON",
            "not a number, which JSON does not know",
            "a secret",
            "a time",
            "a truth",
        ],
    )
    def test_values_are_converted_for_their_field(self, name, value, fitted):
        assert make_builder().fit(name, value) == fitted

    def test_a_value_whose_field_the_table_lacks_is_none(self):
        assert make_builder(BESPOKE).fit("worker", "host:1") is None

    def test_json_in_a_text_field_is_text(self):
        assert make_builder(BESPOKE).fit("args", [1, "a"]) == '[1, "a"]'

    def test_no_value_is_longer_than_payload_limit(self):
        builder = make_builder(DashboardConfig(payload_limit=100))

        text = builder.fit("message", "ä" * 500)
        stored = builder.fit("result", ["x" * 500])

        assert len(text.encode()) <= 100
        assert len(json.dumps(stored)) <= 100

    def test_values_are_redacted_by_the_configured_patterns(self):
        builder = make_builder(DashboardConfig(redact=("colou?r",)))

        stored = builder.fit("extra", {"Color": 1, "password": 2})

        assert stored == {"Color": "********", "password": 2}


class TestBuild:
    @pytest.mark.parametrize(
        ("event", "values"),
        [
            (Event.CREATE, make_builder().build_create({})),
            (Event.START, make_builder().build_start({})),
            (Event.PROGRESS, make_builder().build_progress({})),
            (Event.COMPLETE, make_builder().build_end(Status.SUCCESS, "m", {})),
            (Event.FAIL, make_builder().build_end(Status.FAILED, "m", {})),
            (Event.CLEANUP, make_builder().build_cleanup(Status.LOST, "m", {"result": 1})),
            (Event.LOST, make_builder().build_lost("m", AT)),
            (Event.CANCEL_REQUEST, make_builder().build_cancel_request({})),
            (Event.CANCEL, make_builder().build_cancel("m", AT)),
            (Event.RETRY, make_builder().build_retry({})),
        ],
        ids=[str(event) for event in Event],
    )
    def test_only_values_that_the_rules_write_are_built(self, event, values):
        assert values.keys() <= TABLE[event].writes.keys()

    def test_values_of_create(self):
        user = get_user_model()(pk=7, username="ada")

        values = make_builder().build_create(
            {
                "user": user,
                "affected_objects": ["a", "b"],
                "task_args": [1],
                "task_kwargs": {"depth": 2},
                "func": "shop.tasks.sort",
                "group": "night",
                "cluster": "large",
                "extra": {"why": "stock"},
                "message": "Task queued",
                "django_q2_task_id": "f" * 32,
                "timestamp": AT,
            },
        )

        assert values == {
            "user": "ada",
            "launched_by_id": "7",
            "objects": "a, b",
            "args": [1],
            "kwargs": {"depth": 2},
            "func": "shop.tasks.sort",
            "group": "night",
            "cluster": "large",
            "extra": {"why": "stock"},
            "message": "Task queued",
            "queue_id": "f" * 32,
            "created_at": AT,
        }

    def test_values_of_create_without_a_payload(self):
        values = make_builder().build_create({"timestamp": AT})

        assert values == {
            "user": "",
            "launched_by_id": "",
            "objects": "",
            "args": None,
            "kwargs": None,
            "func": "",
            "group": "",
            "cluster": "",
            "extra": None,
            "message": "",
            "created_at": AT,
        }

    def test_an_anonymous_user_has_no_launched_by_id(self):
        values = make_builder().build_create({"user": AnonymousUser()})

        assert (values["user"], values["launched_by_id"]) == ("", "")

    def test_internal_arguments_are_left_out(self):
        kwargs = {**dict.fromkeys(PLUMBING, "x"), "depth": 2}

        values = make_builder().build_create({"task_kwargs": kwargs})

        assert values["kwargs"] == {"depth": 2}

    def test_a_function_is_stored_as_its_path(self):
        values = make_builder().build_create({"func": get_failure})

        assert values["func"] == "powercrud_tracking.recording.values.get_failure"

    def test_a_queryset_in_the_arguments_is_not_evaluated(self, django_assert_num_queries, db):
        with django_assert_num_queries(0):
            values = make_builder().build_create(
                {"affected_objects": Widget.objects.all(), "task_args": [Widget.objects.all()]},
            )

        assert values["objects"] == "widgets (queryset)"

    def test_a_generator_in_the_arguments_is_not_consumed(self):
        numbers = iter([1, 2])

        make_builder().build_create({"affected_objects": numbers, "task_args": [numbers]})

        assert list(numbers) == [1, 2]

    def test_values_of_start(self):
        values = make_builder().build_start(
            {"worker": "host:1", "func": "math.floor", "timestamp": AT}
        )

        assert (values["started_at"], values["worker"], values["func"]) == (
            AT,
            "host:1",
            "math.floor",
        )

    def test_progress_has_no_message(self):
        values = make_builder().build_progress(
            {"message": "1/2", "progress_payload": "2/2", "timestamp": AT}
        )

        assert values == {"progress": "2/2"}

    def test_progress_without_a_payload_is_its_message(self):
        values = make_builder().build_progress({"message": "1/2"})

        assert values == {"progress": "1/2"}

    def test_values_of_complete(self):
        values = make_builder().build_end(
            Status.SUCCESS, "done", {"result": {"n": 1}, "timestamp": AT}
        )

        assert values == {"result": {"n": 1}, "message": "done", "completed_at": AT}

    def test_complete_without_a_message_leaves_that_of_the_row(self):
        values = make_builder().build_end(Status.SUCCESS, None, {"timestamp": AT})

        assert values == {"result": None, "completed_at": AT}

    def test_fail_has_the_reason_as_message_and_the_whole_result(self):
        text = "bad : Traceback (most recent call last):\n  File\nValueError: bad\n"

        values = make_builder().build_end(
            Status.FAILED, "ValueError: bad", {"result": text, "timestamp": AT}
        )

        assert values == {"result": text, "message": "ValueError: bad", "failed_at": AT}

    def test_values_of_lost(self):
        assert make_builder().build_lost("Lost.", AT) == {"message": "Lost.", "failed_at": AT}

    @pytest.mark.parametrize(
        ("incoming", "end_time"),
        [
            (None, {}),
            (Status.SUCCESS, {"completed_at": AT}),
            (Status.FAILED, {"failed_at": AT}),
            (Status.LOST, {"failed_at": AT}),
        ],
        ids=str,
    )
    def test_cleanup_has_the_end_time_of_its_status(self, incoming, end_time):
        values = make_builder().build_cleanup(incoming, None, {"timestamp": AT})

        assert values == {"cleaned": True, **end_time}

    def test_cleanup_has_message_and_result_if_given(self):
        values = make_builder().build_cleanup(None, "gone", {"result": 0, "timestamp": AT})

        assert values == {"cleaned": True, "message": "gone", "result": 0}

    def test_a_payload_whose_formatter_raises_is_stored_as_it_is(self, caplog):
        values = make_builder(payload=explode).build_create({"task_args": [{"token": "t"}]})

        assert values["args"] == [{"token": "********"}]
        assert "RuntimeError: no payload" in caplog.text

    def test_a_formatter_may_be_any_callable(self):
        formatter = functools.partial("{} of {}".format, "king")

        values = make_builder(user=formatter).build_create({"user": "Wales"})

        assert values["user"] == "king of Wales"

    def test_objects_whose_formatter_raises_get_the_built_in_label(self):
        values = make_builder(objects=explode).build_create({"affected_objects": ["a", "b"]})

        assert values["objects"] == "a, b"


class TestCallOrFallBack:
    def test_a_function_of_the_project_that_raises_is_logged_by_name(self, caplog):
        result = call_or_fall_back(int, str, "x")

        assert result == "x"
        assert "<class 'int'> raised; the built-in one is used instead." in caplog.text

    def test_a_function_of_the_project_that_works_is_used(self):
        assert call_or_fall_back(int, str, "3") == 3


class TestGetFailure:
    TEXT = "bad : Traceback (most recent call last):\n  File\nValueError: bad\n"

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            ({}, "Task failed"),
            ({"message": None, "result": TEXT}, "ValueError: bad"),
            ({"message": TEXT, "result": TEXT}, "ValueError: bad"),
            ({"message": "no\nstock", "result": TEXT}, "no stock"),
            ({"message": "no stock"}, "no stock"),
            ({"message": "False", "result": False}, "Task failed"),
            ({"message": ""}, "Task failed"),
        ],
        ids=[
            "nothing",
            "a result only",
            "PowerCRUD's hook, which repeats the result",
            "a message of its own",
            "a message only",
            "a result without words",
            "an empty message",
        ],
    )
    def test_the_reason_of_a_failure_is_one_line(self, payload, reason):
        assert get_failure(payload).reason == reason

    def test_a_failure_with_a_message_keeps_class_and_traceback(self):
        failure = get_failure({"message": "no stock", "result": self.TEXT})

        assert failure.exception_class == "ValueError"
        assert failure.traceback == self.TEXT.removeprefix("bad : ")
