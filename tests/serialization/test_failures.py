import traceback
from time import process_time

import pytest
from powercrud import tasks

from powercrud_tracking.serialization import failures
from powercrud_tracking.serialization.failures import (
    BULK_WORKERS,
    Failure,
    describe_result,
    is_failed_result,
    parse_failure,
)
from powercrud_tracking.serialization.redaction import BUILT_IN
from powercrud_tracking.serialization.tracebacks import parse_traceback
from tests.project.models import Widget

HEADER = "Traceback (most recent call last):\n"


class BrokenError(Exception):
    pass


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def repr_or_type(value):
    return type(value).__name__ if isinstance(value, Exception) else repr(value)


def make_result(raise_):
    """Return the result that django-q2's worker makes of an exception."""
    try:
        raise_()
    except Exception as exc:  # noqa: BLE001 - as django-q2's worker does
        return f"{exc} : {traceback.format_exc()}"


def raise_value_error(message="bad price"):
    raise ValueError(message)


def raise_chain():
    try:
        raise KeyError("inner")
    except KeyError as exc:
        raise BrokenError("outer") from exc


def raise_group():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def raise_syntax_error():
    compile("a b", "shop.py", "exec")


def raise_nothing_said():
    raise BrokenError


def raise_with_a_traceback_in_the_message():
    raise BrokenError(make_result(raise_value_error))


class TestBulkWorkers:
    def test_the_paths_of_the_bulk_workers_are_powercrud_s(self):
        names = {
            f"powercrud.tasks.{function.__name__}"
            for function in (tasks.bulk_update_task, tasks.bulk_delete_task)
        }

        assert names == BULK_WORKERS

    @pytest.mark.parametrize(
        ("func", "result", "failed"),
        [
            ("powercrud.tasks.bulk_update_task", False, True),
            ("powercrud.tasks.bulk_delete_task", False, True),
            ("powercrud.tasks.bulk_update_task", True, False),
            ("powercrud.tasks.bulk_update_task", None, False),
            ("powercrud.tasks.bulk_update_task", 0, False),
            ("shop.tasks.is_in_stock", False, False),
            ("", False, False),
        ],
    )
    def test_only_false_from_a_bulk_worker_is_a_failed_result(self, func, result, failed):
        assert is_failed_result(func, result) is failed


class TestNoException:
    @pytest.mark.parametrize("result", [None, False, "", "  \n "], ids=repr)
    def test_the_reason_is_never_empty(self, result):
        assert parse_failure(result) == Failure(reason="Task failed")

    def test_the_reason_of_another_result_is_its_json_without_secrets(self):
        assert parse_failure({"code": 3, "token": "t"}).reason == '{"code": 3, "token": "********"}'


class TestDescribeResult:
    @pytest.mark.parametrize(
        ("result", "sentence"),
        [
            (False, "The task returned False."),
            (None, "The task returned None."),
            (0, "The task returned 0."),
            ("no\nstock", "The task returned no stock."),
            ({"errors": [3]}, 'The task returned {"errors": [3]}.'),
            ({"token": "hunter2"}, 'The task returned {"token": "********"}.'),
            ("amqp://a:hunter2@host", "The task returned amqp://a:********@host."),
            (UnprintableError(), f"The task returned <{__name__}.UnprintableError (unprintable)>."),
        ],
        ids=repr_or_type,
    )
    def test_a_result_is_described_in_a_sentence_without_secrets(self, result, sentence):
        assert describe_result(result, limit=1000, redact=BUILT_IN) == sentence

    @pytest.mark.parametrize("limit", [64, 100, 1000])
    @pytest.mark.parametrize(
        "result",
        ["é" * 99_999, [["“"] * 99] * 99, {"a": "b" * 99_999}],
        ids=["text", "list", "dict"],
    )
    def test_the_description_of_a_result_keeps_its_limit(self, result, limit):
        sentence = describe_result(result, limit=limit, redact=BUILT_IN)

        assert sentence.startswith("The task returned ")
        assert len(sentence.encode()) <= limit


class TestText:
    @pytest.mark.parametrize(
        ("raise_", "reason", "exception_class"),
        [
            (raise_value_error, "ValueError: bad price", "ValueError"),
            (
                lambda: raise_value_error("the price\nis : wrong"),
                "ValueError: the price is : wrong",
                "ValueError",
            ),
            (
                raise_chain,
                "tests.serialization.test_failures.BrokenError: outer",
                "tests.serialization.test_failures.BrokenError",
            ),
            (
                raise_group,
                "ExceptionGroup: several (2 sub-exceptions)",
                "ExceptionGroup",
            ),
            (
                raise_nothing_said,
                "tests.serialization.test_failures.BrokenError",
                "tests.serialization.test_failures.BrokenError",
            ),
            (
                raise_syntax_error,
                "SyntaxError: invalid syntax (shop.py, line 1)",
                "SyntaxError",
            ),
        ],
        ids=["one line", "several lines", "a chain", "a group", "no message", "a syntax error"],
    )
    def test_reason_and_class_are_read_from_the_text(self, raise_, reason, exception_class):
        failure = parse_failure(make_result(raise_))

        assert failure.reason == reason
        assert failure.exception_class == exception_class

    def test_the_traceback_follows_the_message(self):
        result = make_result(raise_value_error)

        assert parse_failure(result).traceback == result.removeprefix("bad price : ")

    def test_a_traceback_inside_the_message_belongs_to_the_message(self):
        failure = parse_failure(make_result(raise_with_a_traceback_in_the_message))

        assert failure.exception_class == "tests.serialization.test_failures.BrokenError"
        assert failure.reason.startswith(f"{__name__}.BrokenError: bad price : Traceback")

    def test_a_text_without_a_traceback_is_the_reason(self):
        assert parse_failure("out of paper") == Failure(reason="out of paper")

    def test_a_reason_has_at_most_a_thousand_characters(self):
        reason = parse_failure(make_result(lambda: raise_value_error("x" * 5000))).reason

        assert len(reason) == 1000
        assert reason.endswith("x…")

    @pytest.mark.parametrize(
        "text",
        [
            " : ValueError: x\n" * 20_000,
            # Each colon of the traceback might be where the message begins again.
            f"::{'\n' * 250_000} : {HEADER}{':' * 250_000}{'\n' * 500_000}",
        ],
        ids=["many splits", "many places for the message"],
    )
    def test_a_text_with_many_places_to_split_is_read_in_two_seconds(self, text):
        started = process_time()

        parse_failure(text)

        assert process_time() - started < 2


class TestException:
    def test_a_built_in_exception_has_its_name(self):
        failure = parse_failure(ValueError("bad\nprice"))

        assert failure == Failure(reason="ValueError: bad price", exception_class="ValueError")

    def test_another_exception_has_its_dotted_path(self):
        failure = parse_failure(BrokenError("bad"))

        assert failure.exception_class == "tests.serialization.test_failures.BrokenError"

    def test_a_raised_exception_has_a_traceback(self):
        try:
            raise_chain()
        except BrokenError as exc:
            failure = parse_failure(exc)

        assert failure.reason == "tests.serialization.test_failures.BrokenError: outer"
        assert failure.traceback.startswith("Traceback (most recent call last):\n")
        assert "KeyError: 'inner'" in failure.traceback

    @pytest.mark.parametrize(
        "args",
        [
            lambda: (Widget.objects.all(),),
            lambda: ("no widgets", Widget.objects.all()),
            lambda: ({"widgets": [Widget.objects.all()]},),
        ],
        ids=["alone", "second", "nested"],
    )
    def test_a_queryset_among_the_arguments_of_an_exception_is_not_evaluated(
        self, db, args, django_assert_num_queries
    ):
        try:
            try:
                raise ValueError(*args())
            except ValueError as cause:
                raise KeyError(*args()) from cause
        except KeyError as exc:
            with django_assert_num_queries(0):
                failure = parse_failure(exc)

        assert "<QuerySet of project.Widget>" in failure.reason
        assert failure.traceback.count("<QuerySet of project.Widget>") == 2
        assert [
            each.exception.partition(":")[0] for each in parse_traceback(failure.traceback)
        ] == [
            "KeyError",
            "ValueError",
        ]

    def test_secrets_among_the_arguments_of_an_exception_are_masked(self):
        try:
            raise ValueError("no", {"password": "hunter2", "price": 3})
        except ValueError as exc:
            failure = parse_failure(exc)

        assert failure.reason == 'ValueError: ["no", {"password": "********", "price": 3}]'
        assert failure.traceback.endswith(f"\n{failure.reason}\n")

    def test_a_circular_chain_of_exceptions_ends(self):
        one, two = ValueError({"a": 1}), KeyError("b")
        one.__context__, two.__context__ = two, one

        assert parse_failure(one).traceback.count("KeyError") == 1

    def test_an_exception_whose_str_raises_is_unprintable(self):
        reason = parse_failure(UnprintableError()).reason

        assert reason == "tests.serialization.test_failures.UnprintableError: (unprintable)"

    @pytest.mark.parametrize("name", ["args", "__class__", "__str__"])
    def test_an_exception_whose_attributes_raise_has_a_reason_and_a_traceback(self, name):
        def raise_an_error(*args):
            raise RuntimeError

        kind = type("OddError", (Exception,), {name: property(raise_an_error)})
        try:
            raise kind("bad")
        except Exception as exc:  # noqa: BLE001 - each is another class
            failure = parse_failure(exc)

        assert failure.reason.startswith(f"{__name__}.OddError")
        assert "raise kind" in failure.traceback

    def test_an_exception_with_a_blank_message_has_its_class_as_reason(self):
        assert parse_failure(ValueError(" \n ")).reason == "ValueError"


def test_an_unknown_reason_is_in_powercrud_s_words():
    assert failures.UNKNOWN == "Task failed"
