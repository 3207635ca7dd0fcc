from collections import deque
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject

from powercrud_tracking.serialization.labels import SHOWN, format_objects, format_user
from powercrud_tracking.serialization.redaction import compile_redaction
from tests.project.models import Widget


class Broken:
    username = "broken"

    def get_username(self):
        raise RuntimeError("no name")

    def __repr__(self):
        return "<Broken>"


class Named:
    def __str__(self):
        return "Ada Lovelace"


class TestFormatUser:
    @pytest.mark.parametrize(
        "user", [None, AnonymousUser(), ""], ids=["none", "anonymous", "empty text"]
    )
    def test_the_label_of_nobody_is_empty(self, user):
        assert format_user(user) == ""

    def test_a_user_whose_methods_raise_is_described(self):
        assert format_user(Broken()) == "<Broken>"

    def test_get_username_is_the_label_of_a_user(self):
        user = get_user_model()(username="ada", first_name="Ada")

        assert format_user(user) == "ada"

    def test_a_lazy_user_has_the_label_of_its_user(self):
        user = SimpleLazyObject(lambda: get_user_model()(username="ada"))

        assert format_user(user) == "ada"

    def test_without_get_username_the_username_is_the_label(self):
        assert format_user(SimpleNamespace(username="grace")) == "grace"

    def test_without_a_username_the_text_is_the_label(self):
        assert format_user("cron") == "cron"
        assert format_user(Named()) == "Ada Lovelace"

    def test_the_label_of_a_user_is_one_line_of_200_characters(self):
        assert format_user("a\nb") == "a b"
        assert format_user("x" * 500) == "x" * 199 + "…"


class TestFormatObjects:
    @pytest.mark.parametrize(
        ("objects", "label"),
        [
            (None, ""),
            ("", ""),
            ([], ""),
            ("3 widgets", "3 widgets"),
            (["a", "b"], "a, b"),
            (("a", 1), "a, 1"),
            ({2, 1}, "1, 2"),
            pytest.param(frozenset({"b", "a"}), "a, b", id="frozenset"),
            (deque([1, 2]), "1, 2"),
            ({"shop.Book": {2, 1}}, "shop.Book: 1, 2"),
            ({"shop.Book": [1], "shop.Author": [2, 3]}, "shop.Book: 1; shop.Author: 2, 3"),
            (7, "7"),
            (Widget(name="Bolt"), "Bolt"),
            ([Widget(name="Bolt"), Widget(name="Nut")], "Bolt, Nut"),
            (["a\nb"], "a b"),
        ],
        ids=repr,
    )
    def test_objects_have_one_line_as_label(self, objects, label):
        assert format_objects(objects) == label

    @pytest.mark.parametrize(
        ("objects", "label"),
        [
            ({"password": "hunter2", "id": 3}, "password: ********; id: 3"),
            ([{"password": "hunter2"}], '{"password": "********"}'),
            ([("password", "hunter2")], '["password", "********"]'),
            (
                [{"field": "api_key", "value": "hunter2"}],
                '{"field": "api_key", "value": "********"}',
            ),
            (["redis://ada:hunter2@host"], "redis://ada:********@host"),
            ([Widget(name="amqp://a:hunter2@host")], "amqp://a:********@host"),
        ],
        ids=["dict", "list of dicts", "pair", "field and value", "text", "instance"],
    )
    def test_labels_of_objects_show_no_secrets(self, objects, label):
        assert format_objects(objects) == label

    def test_labels_of_objects_mask_what_the_project_calls_a_secret(self):
        redact = compile_redaction(["iban"])

        assert format_objects({"iban": "x", "pin": 1}, redact=redact) == "iban: ********; pin: 1"
        assert format_objects([{"iban": "x"}], redact=redact) == '{"iban": "********"}'
        assert format_objects({"pin": 1}, redact=None) == "pin: 1"

    def test_of_many_objects_the_first_are_named_and_the_rest_counted(self):
        label = format_objects([*range(SHOWN), *range(1234)])

        assert label == ", ".join(map(str, range(SHOWN))) + ", … and 1,234 more"

    def test_a_queryset_is_neither_evaluated_nor_counted(self, db, django_assert_num_queries):
        with django_assert_num_queries(0):
            label = format_objects(Widget.objects.all())

        assert label == "widgets (queryset)"

    def test_a_model_manager_is_described(self):
        assert format_objects(Widget.objects) == "widgets (queryset)"

    def test_an_iterator_is_not_consumed(self):
        numbers = iter([1, 2])

        format_objects(numbers)

        assert list(numbers) == [1, 2]

    @isolate_apps("tests.project")
    def test_an_object_whose_str_raises_is_described(self):
        class BrokenWidget(models.Model):
            class Meta:
                app_label = "project"

            def __str__(self):
                raise RuntimeError("no name")

        assert format_objects([BrokenWidget(pk=3), "b"]) == "project.BrokenWidget:3, b"


@pytest.mark.parametrize("name", ["field", "name", "key"])
def test_the_value_of_a_secret_field_is_masked_in_a_label(name):
    assert "hunter2" not in format_objects({name: "api_key", "value": "hunter2"})
