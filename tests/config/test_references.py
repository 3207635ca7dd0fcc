import pytest
from django.db import models

from powercrud_tracking.config.dashboard_config import DEFAULT_FIELDS, DashboardConfig
from powercrud_tracking.config.problems import Problem, Source
from powercrud_tracking.config.references import (
    find_field,
    find_mapped_field,
    find_reference_problems,
)
from powercrud_tracking.models import AbstractAsyncTaskRecord, AsyncTaskRecord
from tests.project.models import BespokeRecord, InheritedRecord

SOURCE = Source(name="SHOP")


class ConstrainedRecord(models.Model):
    """Its task name is unique by a constraint of the model."""

    task_name = models.CharField(max_length=64)
    group = models.CharField(max_length=64)

    class Meta:
        app_label = "project"
        managed = False
        constraints = [models.UniqueConstraint(fields=["task_name"], name="unique_task_name")]


class HalfConstrainedRecord(models.Model):
    """Its task name is unique only among some rows, or only together with another field."""

    task_name = models.CharField(max_length=64)
    group = models.CharField(max_length=64)

    class Meta:
        app_label = "project"
        managed = False
        constraints = [
            models.UniqueConstraint(fields=["task_name", "group"], name="unique_both"),
            models.UniqueConstraint(
                fields=["task_name"], condition=models.Q(group="a"), name="unique_in_a"
            ),
        ]


class ProxyRecord(InheritedRecord):
    class Meta:
        app_label = "project"
        proxy = True
        indexes = ()


class LabelledRecord(models.Model):
    """Text without a limit, a foreign key and a property."""

    task_name = models.TextField(primary_key=True)
    status = models.TextField()
    widget = models.ForeignKey("project.Widget", models.DO_NOTHING, related_name="+")

    class Meta:
        app_label = "project"
        managed = False

    @property
    def label(self):
        return self.task_name

    @label.setter
    def label(self, value):
        self.task_name = value


def find(**values):
    return list(find_reference_problems(DashboardConfig(**values), SOURCE))


def get_ids(problems):
    return [problem.id.removeprefix("powercrud_tracking.") for problem in problems]


class TestModels:
    @pytest.mark.parametrize(
        "path",
        [
            "powercrud_tracking.AsyncTaskRecord",
            "powercrud_tracking.asynctaskrecord",
            "project.InheritedRecord",
            "project.NameOnlyRecord",
            "project.ConstrainedRecord",
            "project.LabelledRecord",
        ],
    )
    def test_a_suitable_model_is_no_problem(self, path):
        assert find(record_model=path) == []

    def test_the_hint_for_a_proxy_names_the_concrete_model(self):
        found = find(record_model="project.ProxyRecord")

        assert found == [
            Problem(
                id="powercrud_tracking.E006",
                message="SHOP['RECORD_MODEL'] names 'project.ProxyRecord', which is a proxy and "
                "has no table of its own.",
                hint="Name 'project.InheritedRecord'.",
            )
        ]

    def test_a_conditional_constraint_does_not_make_the_task_name_unique(self):
        assert get_ids(find(record_model="project.HalfConstrainedRecord")) == ["E009"]

    def test_the_abstract_model_is_not_an_installed_model(self):
        assert AbstractAsyncTaskRecord._meta.abstract
        assert get_ids(find(record_model="powercrud_tracking.AbstractAsyncTaskRecord")) == ["E005"]


class TestFields:
    @pytest.mark.parametrize("logical", [name for name in DEFAULT_FIELDS if name != "task_name"])
    def test_every_logical_name_except_task_name_may_be_mapped_to_none(self, logical):
        assert find(field_map={logical: None}) == []

    def test_a_missing_default_field_is_no_problem(self):
        assert find_field(BespokeRecord, DEFAULT_FIELDS["user"]) is None
        assert find(record_model="project.BespokeRecord", field_map={"task_name": "key"}) == []

    def test_a_task_name_mapped_to_a_missing_field_is_reported_once(self):
        found = find(record_model="project.BespokeRecord", field_map={"task_name": "kye"})

        assert get_ids(found) == ["E008"]
        assert found[0].hint == "Did you mean 'key'?"

    def test_every_missing_field_is_reported(self):
        assert get_ids(find(field_map={"user": "usr", "message": "msg"})) == ["E008", "E008"]

    @pytest.mark.parametrize("name", ["widget", "widget_id", "label"])
    def test_create_defaults_may_set_fields_and_properties(self, name):
        assert find(record_model="project.LabelledRecord", create_defaults={name: 1}) == []

    def test_create_defaults_from_a_function_are_not_checked(self):
        assert find(create_defaults="tests.project.tracking.get_defaults") == []

    def test_a_mapped_field_is_a_field_of_the_model_or_none(self):
        config = DashboardConfig(field_map={"user": None, "message": "func", "objects": "nowhere"})

        found = {
            name: find_mapped_field(config, AsyncTaskRecord, name)
            for name in ("task_name", "user", "message", "objects")
        }

        assert found == {
            "task_name": AsyncTaskRecord._meta.get_field("task_name"),
            "user": None,
            "message": AsyncTaskRecord._meta.get_field("func"),
            "objects": None,
        }

    def test_a_reverse_relation_is_not_a_field(self):
        relations = [each.name for each in InheritedRecord._meta.related_objects]

        assert relations == ["spreadrecord"]
        assert find_field(InheritedRecord, "spreadrecord") is None


class TestFunctions:
    @pytest.mark.parametrize(
        "name",
        [
            "create_defaults",
            "format_user",
            "format_objects",
            "format_payload",
            "failed_result",
            "visible",
        ],
    )
    @pytest.mark.parametrize(
        ("path", "number"),
        [
            pytest.param("tests.project.tracking.nobody", "E011", id="not-importable"),
            pytest.param("tests.project.tracking.not_callable", "E012", id="not-callable"),
        ],
    )
    def test_each_function_is_checked(self, name, path, number):
        found = find(**{name: path})

        assert get_ids(found) == [number]
        assert found[0].message.startswith(f"SHOP['{name.upper()}'] names {path!r}, which cannot ")

    def test_a_callable_is_no_problem(self):
        assert find(format_user=len, create_defaults=lambda task_name, payload: {}) == []

    def test_all_problems_of_references_are_reported_at_once(self):
        found = find(
            field_map={"stauts": "status"},
            format_user="nowhere.label",
        )

        assert get_ids(found) == ["E007", "E011"]
