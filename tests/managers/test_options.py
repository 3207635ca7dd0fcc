"""What a manager is built from, and which names its module keeps."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from powercrud.async_manager import AsyncManager

from powercrud_tracking import managers
from powercrud_tracking.config import packing
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.managers import ModelTrackingAsyncManager

pytestmark = pytest.mark.django_db


class TestConfig:
    def test_an_unknown_option_is_refused(self):
        with pytest.raises(ImproperlyConfigured, match="unknown key 'paylod_limit'"):
            ModelTrackingAsyncManager(paylod_limit=100)

    def test_a_config_of_another_type_is_refused(self):
        with pytest.raises(ImproperlyConfigured, match="must be a dict or a DashboardConfig"):
            ModelTrackingAsyncManager(config=3)

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1000})
    def test_later_layers_of_configuration_win(self):
        class Limited(ModelTrackingAsyncManager):
            progress_interval = 5

        assert ModelTrackingAsyncManager().config.payload_limit == 1000
        assert ModelTrackingAsyncManager({"PAYLOAD_LIMIT": 2000}).config.payload_limit == 2000
        assert (
            ModelTrackingAsyncManager({"payload_limit": 2000}, payload_limit=3000)
        ).config.payload_limit == 3000
        assert Limited().config.progress_interval == 5
        assert Limited(progress_interval=6).config.progress_interval == 6

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1000})
    @pytest.mark.parametrize("kind", ["instance", "class"])
    def test_a_dashboard_config_is_not_merged_with_the_settings(self, kind):
        class Mine(DashboardConfig):
            progress_interval = 7

        config = Mine if kind == "class" else Mine()

        resolved = ModelTrackingAsyncManager(config).config

        assert (resolved.progress_interval, resolved.payload_limit) == (7, 16384)

    def test_powercrud_resolves_it_by_its_path_and_a_signed_configuration(self):
        path = "powercrud_tracking.factory.DashboardManager"

        manager = AsyncManager.resolve_manager(
            path, config=packing.sign({"PAYLOAD_LIMIT": 100}, path=path)
        )

        assert isinstance(manager, ModelTrackingAsyncManager)
        assert manager.config.payload_limit == 100


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "ModelTrackingAsyncManager",
            "TaskStillOpenError",
        ],
    )
    def test_public_names_stay_importable(self, name):
        assert hasattr(managers, name)
