import pytest
from django.core.exceptions import ImproperlyConfigured
from powercrud.async_dashboard import AsyncDashboardConfig

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.managers import ModelTrackingAsyncManager

SHOP_MAP = {"task_name": "key", "status": "state"}


class ClassManager(ModelTrackingAsyncManager):
    payload_limit = 1024
    progress_interval = 5


class OldManager(ModelTrackingAsyncManager):
    """A subclass of PowerCRUD's tracker as it was written, with only its import changed."""

    record_model_path = "project.BespokeRecord"
    field_map = SHOP_MAP
    create_defaults = {"note": "new"}


class TestLayers:
    def test_the_built_in_defaults_are_the_lowest_layer(self):
        assert ModelTrackingAsyncManager().config == DashboardConfig()

    def test_the_setting_overrides_the_built_in_defaults(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 2048}

        config = ModelTrackingAsyncManager().config

        assert config == DashboardConfig(payload_limit=2048)

    def test_attributes_of_the_class_override_the_setting(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 2048, "LOST_AFTER": 600}

        config = ClassManager().config

        assert config == DashboardConfig(payload_limit=1024, progress_interval=5, lost_after=600)

    def test_the_config_argument_overrides_the_class(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"LOST_AFTER": 600}

        config = ClassManager({"PAYLOAD_LIMIT": 512}).config

        assert config == DashboardConfig(payload_limit=512, progress_interval=5, lost_after=600)

    def test_keywords_override_the_config_argument(self):
        config = ClassManager({"PAYLOAD_LIMIT": 512, "LOST_AFTER": 600}, payload_limit=256).config

        assert config == DashboardConfig(payload_limit=256, progress_interval=5, lost_after=600)

    def test_a_zero_in_a_higher_layer_overrides(self, settings):
        class Eager(ModelTrackingAsyncManager):
            progress_interval = 0
            redact = ()

        config = Eager().config

        assert config == DashboardConfig(progress_interval=0, redact=())

    def test_dicts_of_all_layers_are_merged(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "FIELD_MAP": {"user": None, "worker": None},
            "CREATE_DEFAULTS": {"task_group": "setting", "func": "setting"},
            "RETENTION_DAYS": {"success": 1},
        }

        class Manager(ModelTrackingAsyncManager):
            field_map = {"worker": "func", "func": None, "group": None}
            create_defaults = {"func": "class"}

        config = Manager(
            {"FIELD_MAP": {"affected": None}, "RETENTION_DAYS": {"lost": 2}},
            field_map={"group": "task_group"},
            create_defaults={"worker": "keyword"},
        ).config

        assert config.field_map == {
            "user": None,
            "worker": "func",
            "func": None,
            "group": "task_group",
            "objects": None,
        }
        assert config.create_defaults == {
            "task_group": "setting",
            "func": "class",
            "worker": "keyword",
        }
        assert config.retention_days == {
            "success": 1,
            "failed": 180,
            "lost": 2,
            "cancelled": 180,
            "actions": 365,
        }

    def test_another_record_model_starts_with_empty_field_map_and_create_defaults(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.InheritedRecord",
            "FIELD_MAP": {"user": "tenant"},
            "CREATE_DEFAULTS": {"tenant": "north"},
        }

        below = ModelTrackingAsyncManager().config
        above = OldManager().config
        highest = OldManager(record_model="project.NameOnlyRecord").config

        assert (below.field_map, below.create_defaults) == ({"user": "tenant"}, {"tenant": "north"})
        assert (above.field_map, above.create_defaults) == (SHOP_MAP, {"note": "new"})
        assert (highest.field_map, highest.create_defaults) == ({}, {})

    def test_a_method_of_the_class_chooses_the_record_model(self):
        class Manager(ModelTrackingAsyncManager):
            def get_record_model_path(self):
                return "project.NameOnlyRecord"

        assert Manager().config.record_model == "project.NameOnlyRecord"

    def test_formatters_of_a_class_are_methods_and_not_a_layer(self):
        class Manager(ModelTrackingAsyncManager):
            def format_user(self, user):
                return "somebody"

        manager = Manager()

        assert manager.config == DashboardConfig()
        assert manager.format_user(None) == "somebody"


class Archive(DashboardConfig):
    payload_limit = 1024


class TestCompleteConfig:
    @pytest.fixture(autouse=True)
    def setting(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PROGRESS_INTERVAL": 9, "PAYLOAD_LIMIT": 4096}

    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(DashboardConfig(payload_limit=1024), id="instance"),
            pytest.param(Archive, id="subclass"),
            pytest.param(Archive(), id="instance-of-subclass"),
        ],
    )
    @pytest.mark.parametrize("manager", [ModelTrackingAsyncManager, ClassManager, OldManager])
    def test_a_complete_configuration_ignores_the_settings(self, manager, config):
        found = manager(config).config

        assert found.get_differences(DashboardConfig()) == {"payload_limit": 1024}

    def test_the_class_dashboard_config_means_the_defaults(self):
        assert ModelTrackingAsyncManager(DashboardConfig).config == DashboardConfig()

    def test_keywords_override_a_complete_configuration(self):
        found = ModelTrackingAsyncManager(Archive, payload_limit=256).config

        assert found.get_differences(DashboardConfig()) == {"payload_limit": 256}

    def test_a_complete_configuration_is_validated(self):
        with pytest.raises(ImproperlyConfigured) as refusal:
            ModelTrackingAsyncManager(DashboardConfig(payload_limit=1))

        assert str(refusal.value) == (
            "ModelTrackingAsyncManager config['PAYLOAD_LIMIT'] must be a whole number of bytes, "
            "64 or more, got 1. Correct it, or leave it out for the default 16384."
        )


def label(value):
    return "a label"


class TestKeysOfPowercrud:
    WORDS = {
        "record_model_path": "project.BespokeRecord",
        "field_map": {**SHOP_MAP, "affected": "note"},
        "create_defaults": {"payload": "none"},
        "format_user": label,
        "format_affected": label,
        "format_payload": label,
    }
    EXPECTED = DashboardConfig(
        record_model="project.BespokeRecord",
        field_map={**SHOP_MAP, "objects": "note"},
        create_defaults={"payload": "none"},
        format_user=label,
        format_objects=label,
        format_payload=label,
    )

    def test_a_dict_may_use_the_key_names_of_powercrud(self):
        assert ModelTrackingAsyncManager(self.WORDS).config == self.EXPECTED

    def test_keywords_may_use_the_key_names_of_powercrud(self):
        assert ModelTrackingAsyncManager(**self.WORDS).config == self.EXPECTED

    def test_the_configuration_object_of_powercrud_is_accepted(self):
        assert ModelTrackingAsyncManager(AsyncDashboardConfig(**self.WORDS)).config == self.EXPECTED

    def test_unset_values_of_powercruds_object_leave_the_lower_layers(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"FORMAT_USER": "tests.project.tracking.format_user"}

        config = ModelTrackingAsyncManager(AsyncDashboardConfig("project.NameOnlyRecord")).config

        assert config.record_model == "project.NameOnlyRecord"
        assert config.format_user == "tests.project.tracking.format_user"

    def test_class_attributes_of_powercruds_tracker_keep_working(self):
        config = OldManager().config

        assert config == DashboardConfig(
            record_model="project.BespokeRecord",
            field_map=SHOP_MAP,
            create_defaults={"note": "new"},
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            pytest.param(
                lambda: ModelTrackingAsyncManager({"payload_limt": 3}),
                "ModelTrackingAsyncManager config has an unknown key 'payload_limt'. "
                "Did you mean 'PAYLOAD_LIMIT'?",
                id="dict",
            ),
            pytest.param(
                lambda: ClassManager(payload_limt=3),
                "ClassManager config has an unknown key 'payload_limt'. "
                "Did you mean 'PAYLOAD_LIMIT'?",
                id="keyword",
            ),
            pytest.param(
                lambda: type("Shop", (OldManager,), {"field_map": {"task_name": "kye"}})(),
                "Shop['FIELD_MAP'] stores 'task_name' in 'kye', but project.BespokeRecord has no "
                "such field. Did you mean 'key'?",
                id="class-attribute",
            ),
            pytest.param(
                lambda: ModelTrackingAsyncManager(3),
                "A manager's config must be a dict or a DashboardConfig, got 3.",
                id="something-else",
            ),
            pytest.param(
                lambda: ModelTrackingAsyncManager(dict),
                "A manager's config must be a dict or a DashboardConfig, got <class 'dict'>.",
                id="another-class",
            ),
        ],
    )
    def test_an_error_names_the_layer(self, build, message):
        with pytest.raises(ImproperlyConfigured) as refusal:
            build()

        assert str(refusal.value) == message

    def test_an_invalid_setting_is_an_error_for_every_configuration_argument(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1}

        with pytest.raises(ImproperlyConfigured) as refusal:
            ModelTrackingAsyncManager({"PAYLOAD_LIMIT": 1024})

        assert str(refusal.value).startswith("POWERCRUD_ASYNC_DASHBOARD['PAYLOAD_LIMIT'] must be")
