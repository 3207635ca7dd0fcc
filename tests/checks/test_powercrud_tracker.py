"""The check for views and settings that still use PowerCRUD's own tracker."""

from pathlib import Path

import pytest
from django.core import checks
from powercrud.async_dashboard import ModelTrackingAsyncManager as PowerCRUDTracker
from powercrud.async_manager import AsyncManager
from powercrud.mixins.async_mixin import AsyncMixin

from powercrud_tracking.checks import (
    check_migration,
)
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin

ROOT = Path(__file__).parents[2]


class OldTracker(PowerCRUDTracker):
    """A subclass of PowerCRUD's tracker in a project."""

    record_model_path = "project.InheritedRecord"


class TestCheckMigration:
    HINT = (
        "Move it over as docs/migrating-from-powercrud.md says: by an import or by settings, and "
        "no row is lost. If both shall stay for a while, silence this check."
    )
    DASHBOARD_MANAGER = {"manager_class": "powercrud_tracking.factory.DashboardManager"}

    def find_of(self, name):
        return [found for found in check_migration() if found.msg.startswith(f"{name} ")]

    @pytest.mark.parametrize("tracker", [PowerCRUDTracker, OldTracker])
    def test_the_warning_for_the_default_manager_names_class_and_guide(self, settings, tracker):
        path = f"{tracker.__module__}.{tracker.__qualname__}"
        settings.POWERCRUD_SETTINGS = {"ASYNC_MANAGER_DEFAULT": {"manager_class": path}}

        name = "POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT']"
        assert self.find_of(name) == [
            checks.Warning(
                f"{name} still records with PowerCRUD's own tracker, {path}, beside "
                "powercrud_tracking.",
                hint=self.HINT,
                id="powercrud_tracking.W003",
            )
        ]

    @pytest.mark.parametrize(
        "attributes",
        [
            {"async_manager_class": OldTracker},
            {"async_manager_class_path": "tests.checks.test_powercrud_tracker.OldTracker"},
        ],
        ids=lambda attributes: next(iter(attributes)),
    )
    def test_a_view_that_sets_either_attribute_is_a_warning(self, attributes):
        view = type("OldView", (AsyncMixin,), attributes)

        assert [found.msg for found in self.find_of(view.__name__)][-1] == (
            "OldView still records with PowerCRUD's own tracker, "
            "tests.checks.test_powercrud_tracker.OldTracker, beside powercrud_tracking."
        )

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"async_manager_class": ModelTrackingAsyncManager},
            {"async_manager_class": AsyncManager},
            {"async_manager_class_path": "nowhere.Manager"},
            {"async_manager_class_path": 3},
        ],
        ids=["none", "dashboard-manager", "plain", "nowhere", "no-text"],
    )
    def test_a_view_with_another_manager_is_no_warning(self, attributes):
        view = type("OtherView", (AsyncMixin,), attributes)

        assert self.find_of(view.__name__) == []

    def test_views_that_inherit_the_tracker_are_reported_once_at_their_base(self):
        class BaseView(AsyncMixin):
            async_manager_class = OldTracker

        inheriting = type("InheritingView", (BaseView,), {})
        further = type("FurtherView", (inheriting,), {"async_manager_class": PowerCRUDTracker})

        assert len(self.find_of("BaseView")) == 1
        assert self.find_of(inheriting.__name__) == []
        assert len(self.find_of(further.__name__)) == 1

    def test_a_view_with_the_mixin_is_no_warning(self):
        class MovedView(AsyncDashboardMixin, AsyncMixin):
            async_manager_class = OldTracker

        assert self.find_of("MovedView") == []

    @pytest.mark.parametrize(
        "default", [None, "x", {}, DASHBOARD_MANAGER, {"manager_class": "nowhere.X"}]
    )
    def test_another_default_manager_is_no_warning(self, settings, default):
        settings.POWERCRUD_SETTINGS = {"ASYNC_MANAGER_DEFAULT": default}

        assert self.find_of("POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT']") == []

    def test_the_guide_that_the_warning_names_exists(self):
        assert (ROOT / "docs" / "migrating-from-powercrud.md").exists()
