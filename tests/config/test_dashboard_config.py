import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from powercrud_tracking.config.dashboard_config import (
    DEFAULT_FIELDS,
    FIELD_NAMES,
    MAX_SECONDS,
    SETTING_KEYS,
    DashboardConfig,
    get_config,
    get_field_name,
    load,
)
from powercrud_tracking.models import AsyncTaskRecord
from tests.project import tracking

ROOT = Path(__file__).parents[2]


class TestDashboardConfig:
    def test_the_defaults_are_those_of_the_documentation(self):
        config = DashboardConfig()

        assert config.record_model == "powercrud_tracking.AsyncTaskRecord"
        assert config.field_map == {}
        assert config.create_defaults == {}
        assert config.payload_limit == 16384
        assert config.progress_interval == 1.0
        assert config.manager_class == "powercrud_tracking.managers.ModelTrackingAsyncManager"
        assert config.lost_after == 300
        assert config.retention_days == {
            "success": 30,
            "failed": 180,
            "lost": 180,
            "cancelled": 180,
            "actions": 365,
        }
        assert config.base_template == "powercrud_tracking/base.html"
        functions = (
            *("format_user", "format_objects", "format_payload", "failed_result"),
            *("visible", "objects_of", "allowed", "retry"),
        )
        assert {getattr(config, name) for name in functions} == {None}

    def test_each_default_field_is_a_field_of_the_built_in_model(self):
        names = {field.name for field in AsyncTaskRecord._meta.concrete_fields}

        assert set(DEFAULT_FIELDS.values()) == names - {"id"}

    def test_a_configuration_is_frozen(self):
        config = DashboardConfig()

        with pytest.raises(dataclasses.FrozenInstanceError):
            config.payload_limit = 3

    @pytest.mark.parametrize(
        ("queue", "seconds"),
        [
            pytest.param({"retry": 60}, 300, id="at-least-300"),
            pytest.param({"retry": 1000}, 2000, id="twice-retry"),
            pytest.param({}, 300, id="no-retry"),
            pytest.param({"retry": None}, 300, id="retry-none"),
            pytest.param({"retry": 1e12}, MAX_SECONDS, id="retry-never"),
        ],
    )
    def test_lost_after_is_twice_the_retry_of_the_queue(self, settings, queue, seconds):
        settings.Q_CLUSTER = queue

        assert DashboardConfig().lost_after == seconds

    def test_a_list_of_redaction_patterns_equals_a_tuple(self):
        assert DashboardConfig(redact=["pin"]) == DashboardConfig(redact=("pin",))

    def test_a_logical_name_of_powercrud_means_the_same_field(self):
        expected = DashboardConfig(field_map={"objects": "note"})

        assert DashboardConfig(field_map={"affected": "note"}) == expected


class TestSubclass:
    def test_a_subclass_sets_keys_as_plain_attributes(self):
        class Archive(DashboardConfig):
            payload_limit = 1024
            field_map = {"affected": "note"}

        config = Archive()

        assert config.payload_limit == 1024
        assert config.field_map == {"objects": "note"}
        assert config.progress_interval == 1.0

    def test_an_argument_overrides_an_attribute_of_the_subclass(self):
        class Archive(DashboardConfig):
            payload_limit = 1024

        assert Archive(payload_limit=2048).payload_limit == 2048

    def test_a_subclass_of_a_subclass_overrides_its_attributes(self):
        class Archive(DashboardConfig):
            payload_limit = 1024
            progress_interval = 5

        class Smaller(Archive):
            payload_limit = 512

        config = Smaller()

        assert (config.payload_limit, config.progress_interval) == (512, 5)

    def test_a_function_in_the_body_of_a_subclass_is_a_value(self):
        class Named(DashboardConfig):
            format_user = tracking.format_user

        assert Named().format_user is tracking.format_user

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            pytest.param("payload_limt", "Did you mean 'payload_limit'?", id="typo"),
            pytest.param("PAYLOAD_LIMIT", "Did you mean 'payload_limit'?", id="upper-case"),
            pytest.param("colour", f"The keys are {', '.join(FIELD_NAMES)}.", id="like-none"),
        ],
    )
    def test_an_unknown_attribute_of_a_subclass_is_an_error_with_a_suggestion(self, name, hint):
        with pytest.raises(ImproperlyConfigured) as refusal:
            type("Archive", (DashboardConfig,), {name: 1024})

        assert str(refusal.value) == f"Archive has an unknown key {name!r}. {hint}"

    def test_a_subclass_may_have_methods_and_properties(self):
        class Archive(DashboardConfig):
            _note = "a note"

            @property
            def is_small(self):
                return self.payload_limit < 2048

            def get_note(self):
                return self._note

        config = Archive(payload_limit=1024)

        assert config.is_small
        assert config.get_note() == "a note"


FINGERPRINT_SCRIPT = """
import django
django.setup()
from powercrud_tracking.factory import get_manager
from tests.project import tracking
config = {
    "RECORD_MODEL": "project.InheritedRecord",
    "FIELD_MAP": {"user": "user_label", "message": None, "objects": "affected_objects"},
    "CREATE_DEFAULTS": {"tenant": "north", "extra": {"a": {"x", "y", "z"}, 1: object()}},
    "FORMAT_USER": tracking.format_user,
}
print(get_manager(config=config).config.fingerprint)
"""


class TestFingerprint:
    def test_two_processes_with_equal_settings_have_the_same_fingerprint(self):
        printed = [
            subprocess.run(
                [sys.executable, "-c", FINGERPRINT_SCRIPT],
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.settings",
                    "PYTHONPATH": str(ROOT),
                    "PYTHONHASHSEED": seed,
                },
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
            for seed in ("1", "2")
        ]

        assert len(printed[0].strip()) == 12
        assert printed[0] == printed[1]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param(
                {"field_map": {"user": "a", "message": "b"}},
                {"field_map": {"message": "b", "user": "a"}},
                id="order",
            ),
            pytest.param({"redact": ["pin"]}, {"redact": ("pin",)}, id="list-and-tuple"),
            pytest.param(
                {"create_defaults": {"tenant": "north"}},
                {"create_defaults": types.MappingProxyType({"tenant": "north"})},
                id="mapping",
            ),
            pytest.param(
                {"format_user": lambda user: 1}, {"format_user": lambda user: 2}, id="callables"
            ),
        ],
    )
    def test_equal_configurations_have_the_same_fingerprint(self, one, other):
        assert DashboardConfig(**one).fingerprint == DashboardConfig(**other).fingerprint

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param({"payload_limit": 1024}, {"payload_limit": 1025}, id="number"),
            pytest.param(
                {"create_defaults": types.MappingProxyType({"tenant": "north"})},
                {"create_defaults": types.MappingProxyType({"tenant": "south"})},
                id="mapping",
            ),
            pytest.param(
                {"format_user": tracking.format_user},
                {"format_user": tracking.broken},
                id="callables",
            ),
            pytest.param({"format_user": str.upper}, {"format_user": str.lower}, id="methods-in-c"),
            pytest.param(
                {"format_user": "{}".format}, {"format_user": "{}".join}, id="bound-methods-in-c"
            ),
            pytest.param({"field_map": {}}, {"field_map": {"user": None}}, id="none"),
        ],
    )
    def test_different_configurations_have_different_fingerprints(self, one, other):
        assert DashboardConfig(**one).fingerprint != DashboardConfig(**other).fingerprint

    def test_the_fingerprint_of_a_subclass_is_that_of_its_values(self):
        class Archive(DashboardConfig):
            payload_limit = 1024

        assert Archive().fingerprint == DashboardConfig(payload_limit=1024).fingerprint


class TestMerge:
    def test_merge_merges_dicts_and_replaces_other_values(self):
        below = DashboardConfig(
            field_map={"user": "a", "objects": "b"}, retention_days={"success": 1}, redact=["pin"]
        )

        config = below.merge(
            {
                "field_map": {"affected": "c", "message": None},
                "retention_days": {"lost": 2},
                "redact": ["pwd"],
            }
        )

        assert config.field_map == {"user": "a", "objects": "c", "message": None}
        assert config.retention_days == {"success": 1, "lost": 2}
        assert config.redact == ("pwd",)

    @pytest.mark.parametrize(
        ("below", "above", "days"),
        [
            pytest.param({"success": 1}, 5, 5, id="number-on-dict"),
            pytest.param(5, {"success": 1}, {"success": 1}, id="dict-on-number"),
            pytest.param({"success": 1}, None, None, id="none-on-dict"),
        ],
    )
    def test_merge_replaces_a_dict_by_another_type(self, below, above, days):
        config = DashboardConfig(retention_days=below).merge({"retention_days": above})

        assert config.retention_days == days

    def test_another_record_model_starts_with_empty_field_map_and_create_defaults(self):
        below = DashboardConfig(
            record_model="project.InheritedRecord",
            field_map={"user": "tenant"},
            create_defaults={"tenant": "north"},
            payload_limit=1024,
        )

        config = below.merge(
            {"record_model": "project.BespokeRecord", "field_map": {"user": "note"}}
        )

        assert config.field_map == {"user": "note"}
        assert config.create_defaults == {}
        assert config.payload_limit == 1024

    def test_the_same_record_model_keeps_field_map_and_create_defaults(self):
        below = DashboardConfig(
            record_model="project.InheritedRecord", create_defaults={"tenant": "north"}
        )

        config = below.merge({"record_model": "project.InheritedRecord"})

        assert config == below

    def test_merge_does_not_change_the_lower_layer(self):
        below = DashboardConfig(field_map={"user": "a"})

        below.merge({"field_map": {"message": "b"}})

        assert below.field_map == {"user": "a"}

    def test_replace_does_not_merge_dicts(self):
        below = DashboardConfig(field_map={"user": "a"})

        assert below.replace({"field_map": {"message": "b"}}).field_map == {"message": "b"}

    def test_differences_have_the_values_of_the_first_configuration(self):
        base = DashboardConfig()

        differences = base.merge({"payload_limit": 1024}).get_differences(base)

        assert differences == {"payload_limit": 1024}


class TestGetFieldName:
    @pytest.mark.parametrize(
        ("key", "name"),
        [
            *[pytest.param(name, name, id=name) for name in FIELD_NAMES],
            *[pytest.param(name.upper(), name, id=name.upper()) for name in FIELD_NAMES],
            pytest.param("record_model_path", "record_model", id="record_model_path"),
            pytest.param("format_affected", "format_objects", id="format_affected"),
            pytest.param("RECORD_MODEL_PATH", None, id="no-word-of-powercrud"),
            pytest.param("colour", None, id="unknown"),
            pytest.param(3, None, id="no-text"),
        ],
    )
    def test_a_key_name_becomes_a_field_name(self, key, name):
        assert get_field_name(key) == name

    def test_setting_keys_are_the_fields_in_upper_case(self):
        fields = [field.name.upper() for field in dataclasses.fields(DashboardConfig)]

        assert list(SETTING_KEYS) == fields


class TestGetConfig:
    def test_get_config_follows_nested_override_settings(self):
        limits = []

        def look():
            limits.append(get_config().payload_limit)

        look()
        with override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1024}):
            look()
            with override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 512}):
                look()
            look()
        look()

        assert limits == [16384, 1024, 512, 1024, 16384]

    def test_get_config_follows_q_cluster(self):
        assert get_config().lost_after == 300
        with override_settings(Q_CLUSTER={"retry": 1000}):
            assert get_config().lost_after == 2000
        assert get_config().lost_after == 300

    def test_get_config_is_cached(self):
        assert get_config() is get_config()

    @pytest.mark.parametrize(
        "setting",
        [
            pytest.param(None, id="none"),
            pytest.param([], id="list"),
            pytest.param({"COLOUR": "red", 3: 4}, id="unknown-keys"),
            pytest.param({"FIELD_MAP": 3, "RECORD_MODEL": None, "REDACT": 1}, id="wrong-types"),
        ],
    )
    def test_get_config_does_not_validate(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        assert get_config().payload_limit == 16384


class TestLoad:
    def test_load_imports_a_path(self):
        assert load("tests.project.tracking.format_user", "KEY") is tracking.format_user

    def test_load_returns_a_callable_unchanged(self):
        assert load(len, "KEY") is len

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            pytest.param("nowhere.label", "No module named 'nowhere'", id="no-module"),
            pytest.param(
                "tests.project.tracking.nobody",
                'Module "tests.project.tracking" does not define a "nobody" attribute/class',
                id="no-attribute",
            ),
            pytest.param("label", "label doesn't look like a module path", id="no-dot"),
            pytest.param(".label", "ValueError: Empty module name", id="no-module-name"),
        ],
    )
    def test_an_import_error_names_the_key_and_keeps_the_cause(self, path, reason):
        with pytest.raises(ImportError) as error:
            load(path, "SETTING['FORMAT_USER']")

        assert str(error.value) == (
            f"SETTING['FORMAT_USER'] names {path!r}, which cannot be imported: {reason}"
        )
        assert error.value.__cause__ is not None
