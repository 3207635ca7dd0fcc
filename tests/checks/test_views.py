"""The check of the overrides of views."""

import pytest
from django.core import checks

from powercrud_tracking.checks import (
    check_views,
)
from powercrud_tracking.mixins import AsyncDashboardMixin
from tests.project.views import WidgetView

SETTING = "POWERCRUD_ASYNC_DASHBOARD"
CORRECT = "Correct it, or leave it out for the default"


def find_of(view):
    """Return the messages of check_views for one view; views of other tests may still exist."""
    return [error for error in check_views() if error.obj is view]


class TestCheckViews:
    @pytest.mark.parametrize(
        ("overrides", "number", "message", "hint"),
        [
            pytest.param(
                [],
                "E001",
                " must be a dict, got [].",
                "Write {} = {{}} for the defaults.",
                id="list",
            ),
            pytest.param(
                {"FIELD_MPA": {}},
                "E002",
                " has an unknown key 'FIELD_MPA'.",
                "Did you mean 'FIELD_MAP'?",
                id="unknown-key",
            ),
            pytest.param(
                {"record_model_path": "project.BespokeRecord"},
                "E002",
                " has an unknown key 'record_model_path'.",
                "Did you mean 'RECORD_MODEL'?",
                id="word-of-powercrud",
            ),
            pytest.param(
                {"RETENTION_DAYS": 3},
                "E003",
                "['RETENTION_DAYS'] cannot be set there: it belongs to the pages, the "
                "maintenance or the class of all managers, which serve the whole project.",
                f"Move it to {SETTING}.",
                id="key-of-the-project",
            ),
            pytest.param(
                {"FORMAT_USER": str},
                "E004",
                "['FORMAT_USER'] must be a dotted path such as 'shop.tracking.label' or None, "
                "got <class 'str'>.",
                f"{CORRECT} None.",
                id="callable",
            ),
            pytest.param(
                {"RECORD_MODEL": "project.InheritdRecord"},
                "E005",
                "['RECORD_MODEL'] names 'project.InheritdRecord', which is no installed model.",
                "Did you mean 'project.InheritedRecord'?",
                id="no-model",
            ),
        ],
    )
    def test_a_problem_names_the_view_and_the_key(self, overrides, number, message, hint):
        class BookView(AsyncDashboardMixin):
            async_dashboard = overrides

        found = find_of(BookView)

        name = "BookView.async_dashboard"
        assert found == [
            checks.Error(
                name + message,
                hint=hint.format(name),
                obj=BookView,
                id=f"powercrud_tracking.{number}",
            )
        ]

    def test_a_view_of_the_project_urls_has_no_problem(self):
        assert find_of(WidgetView) == []

    def test_a_view_that_inherits_twice_is_reported_once(self):
        class Left(AsyncDashboardMixin):
            pass

        class Right(AsyncDashboardMixin):
            pass

        class Both(Left, Right):
            async_dashboard = {"LOST_AFTER": 3}

        assert len(find_of(Both)) == 1

    def test_a_bad_setting_hides_no_problem_of_a_view(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMT": 4096}

        class BookView(AsyncDashboardMixin):
            async_dashboard = {"FIELD_MAP": {"user": "usr"}, "FORMAT_USER": "nowhere.label"}

        assert [error.id[-4:] for error in find_of(BookView)] == ["E008", "E011"]

    @pytest.mark.parametrize(
        "setting",
        [
            pytest.param({"FIELD_MAP": 3}, id="wrong-type"),
            pytest.param({"RECORD_MODEL": "nowhere.X"}, id="no-model"),
            pytest.param([], id="no-dict"),
        ],
    )
    def test_a_problem_of_the_setting_is_not_reported_for_a_view(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        class Good(AsyncDashboardMixin):
            async_dashboard = {"PAYLOAD_LIMIT": 4096}

        class Bad(AsyncDashboardMixin):
            async_dashboard = {"PAYLOAD_LIMIT": 1}

        assert find_of(Good) == []
        assert [error.id for error in find_of(Bad)] == ["powercrud_tracking.E004"]
