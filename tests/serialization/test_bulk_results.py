from time import process_time

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.db.models.signals import pre_delete
from hypothesis import given
from hypothesis import strategies as st
from powercrud.async_manager import AsyncManager
from powercrud.tasks import bulk_delete_task, bulk_update_task

from powercrud_tracking.serialization.bulk_results import (
    describe_bulk_failure,
    describe_bulk_success,
)
from powercrud_tracking.serialization.redaction import DEFAULT_REDACT, compile_redaction
from tests.project.models import Widget

MODEL = "project.Widget"
messages = st.lists(st.text("ab'\"\\é\n“", max_size=20), max_size=3)
some_errors = st.lists(
    st.tuples(st.sampled_from(["price", None]), messages), min_size=1, max_size=5
)


def get_field_data(field, value):
    return [{"field": field, "value": value, "info": {"type": "CharField"}}]


def update(widgets, *fields):
    """Run PowerCRUD's bulk update in this process and return its last progress text."""
    ids = [widget.pk for widget in widgets]
    data = [each for name, value in fields for each in get_field_data(name, value)]
    names = [name for name, value in fields]
    bulk_update_task(MODEL, ids, None, ["name", "price"], names, data, task_key="task")
    return AsyncManager().get_progress("task")


def delete(widgets, model=MODEL):
    """Run PowerCRUD's bulk delete in this process and return its last progress text."""
    bulk_delete_task(model, [widget.pk for widget in widgets], None, task_key="task")
    return AsyncManager().get_progress("task")


@pytest.fixture
def widgets(db):
    return [Widget.objects.create(name=name) for name in ("bolt", "nut")]


@pytest.fixture
def refuse_deletion(widgets):
    """Make the deletion of a widget raise an exception."""
    receivers = []

    def refuse(exc):
        def receiver(**kwargs):
            raise exc

        receivers.append(receiver)
        pre_delete.connect(receiver, sender=Widget)

    yield refuse
    for receiver in receivers:
        pre_delete.disconnect(receiver, sender=Widget)


class TestTextsOfPowercrud:
    def test_a_reason_names_the_invalid_field_with_its_message(self, widgets):
        reason = describe_bulk_failure(update(widgets, ("price", "abc")))

        assert reason == "price: “abc” value must be an integer. Nothing was changed."
        assert not Widget.objects.filter(price=1).exists()

    def test_a_reason_lists_all_invalid_fields(self, widgets):
        reason = describe_bulk_failure(update(widgets, ("price", "abc"), ("name", "")))

        assert sorted(reason.removesuffix(". Nothing was changed.").split("; ")) == [
            "name: This field cannot be blank",
            "price: “abc” value must be an integer",
        ]

    def test_the_reason_of_a_model_s_own_validation_names_no_field(self, widgets):
        Widget.objects.update(broken=True)

        reason = describe_bulk_failure(update(widgets, ("price", "3")))

        assert reason == "bolt is broken and cannot be sold. Nothing was changed."

    def test_a_reason_names_a_field_that_may_not_be_changed(self, widgets):
        reason = describe_bulk_failure(update(widgets, ("broken", "true")))

        assert reason == (
            "Bulk edit request contained invalid fields: broken. Nothing was changed."
        )

    def test_a_reason_names_a_model_that_does_not_exist(self, db):
        reason = describe_bulk_failure(delete([], "project.Gadget"))

        assert reason == "App 'project' doesn't have a 'Gadget' model. Nothing was changed."

    @pytest.mark.parametrize(
        ("exc", "reason"),
        [
            (ValueError("it is\nsold"), "it is sold. Nothing was changed."),
            (
                ProtectedError(
                    "They are referenced by 'Book.author'.", {Widget(pk=1, name="bolt")}
                ),
                "They are referenced by 'Book.author'. Nothing was changed.",
            ),
            (OSError(5, "It is locked"), "[Errno 5] It is locked. Nothing was changed."),
            (Exception(1451, "It is in use"), "It is in use. Nothing was changed."),
            (ValidationError("It is sold."), "It is sold. Nothing was changed."),
        ],
        ids=["text", "protected", "errno", "code and text", "validation"],
    )
    def test_a_refused_deletion_has_the_message_of_its_exception(
        self, widgets, refuse_deletion, exc, reason
    ):
        refuse_deletion(exc)

        assert describe_bulk_failure(delete(widgets)) == reason
        assert Widget.objects.count() == 2

    def test_a_bulk_success_names_the_number_of_rows(self, widgets):
        assert describe_bulk_success(update(widgets, ("price", "3"))) == "2 updated"
        assert describe_bulk_success(delete(widgets)) == "2 deleted"


class TestFailure:
    @pytest.mark.parametrize(
        ("errors", "reason"),
        [
            ("[('general', ['boom'])]", "boom. Nothing was changed."),
            ("[('a', ['One.', 'two'])]", "a: One. two. Nothing was changed."),
            (
                "[('a', ['One.']), ('__all__', ['Two']), ('b', ['Three!'])]",
                "a: One; Two; b: Three! Nothing was changed.",
            ),
            ("[('a', [])]", "a. Nothing was changed."),
            ("[(None, ['é \\u2028 \\x00 \\'\\\\\\n'])]", "é '\\. Nothing was changed."),
            ("""[(None, ["it's"])]""", "it's. Nothing was changed."),
            ("[('a', ['It is cut of", "a: It is cut of. Nothing was changed."),
            ("[('a', ['It is cut\\", "a: It is cut. Nothing was changed."),
            ("[('a', ['It … [99 more]", "a: It … [99 more]. Nothing was changed."),
            ("[('a', ['b']", "a: b. Nothing was changed."),
            ("{'a': ['b']}", "{'a': ['b']}. Nothing was changed."),
            ("[]", "The update failed. Nothing was changed."),
            ("[(", "The update failed. Nothing was changed."),
            ("None", "The update failed. Nothing was changed."),
            ("", "The update failed. Nothing was changed."),
        ],
    )
    def test_powercrud_s_list_of_errors_becomes_a_sentence(self, errors, reason):
        assert describe_bulk_failure(f"failed update: {errors}") == reason

    @pytest.mark.parametrize("text", ["", "updating: 3/10", "starting update", "failed later"])
    def test_a_text_of_no_failed_bulk_operation_stays_as_it_is(self, text):
        assert describe_bulk_failure(text) == text

    def test_without_a_rollback_a_reason_does_not_claim_that_nothing_was_changed(self):
        reason = describe_bulk_failure("failed update: [('a', ['b'])]", rolled_back=False)

        assert reason == "a: b"

    def test_the_message_of_a_secret_field_is_masked(self):
        redact = compile_redaction(DEFAULT_REDACT)
        text = "failed update: [('api_key', ['“hunter2” is wrong.']), ('price', ['Too high.'])]"

        reason = describe_bulk_failure(text, redact=redact)

        assert reason == "api_key: ********; price: Too high. Nothing was changed."

    @pytest.mark.parametrize(
        "text",
        [
            "failed update: " + piece * 1_000_000
            for piece in ("(", "[('", "'\\", "x", "(1, ", "None", "('a', 'b'), ", "\\x", "“")
        ],
        ids=lambda text: text[15:22],
    )
    def test_of_a_huge_text_only_the_beginning_is_read(self, text):
        started = process_time()

        reason = describe_bulk_failure(text, redact=compile_redaction(DEFAULT_REDACT))

        assert process_time() - started < 1
        assert len(reason) <= 1000
        assert reason.endswith("Nothing was changed.")

    @given(text=st.text() | st.text("[(',\"\\)]ux0nN.: "))
    def test_the_reason_for_any_text_is_one_line(self, text):
        reason = describe_bulk_failure(f"failed delete: {text}")

        assert reason.splitlines() == [reason]

    @given(errors=some_errors)
    def test_the_reason_has_the_words_of_all_messages(self, errors):
        reason = describe_bulk_failure(f"failed update: {errors}")

        for _, messages in errors:
            for message in messages:
                assert all(word in reason for word in message.split())


class TestSuccess:
    @pytest.mark.parametrize(
        ("progress", "words"),
        [
            ("completed update: 480 processed", "480 updated"),
            ("completed delete: 12480 processed", "12,480 deleted"),
            ("completed update: 0 processed", "0 updated"),
            ("updating: 7/7", "7 updated"),
            ("deleting: 7/7", "7 deleted"),
            ("updating: 7/71", None),
            ("updating: 7/8", None),
            ("starting update", None),
            ("completed import: 3 processed", None),
            ("completed update: " + "9" * 400, None),
            ("", None),
        ],
    )
    def test_the_number_of_rows_is_read_from_the_last_progress(self, progress, words):
        assert describe_bulk_success(progress) == words
