from functools import cache
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

import powercrud_tracking
from powercrud_tracking.config import setting

PACKAGE = Path(powercrud_tracking.__file__).parent


class TestGetSetting:
    def test_an_unset_setting_is_an_empty_dict(self):
        assert django_settings.POWERCRUD_ASYNC_DASHBOARD == {}
        assert setting.get_setting() == {}

    def test_get_setting_returns_the_current_value(self):
        with override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 1024}):
            assert setting.get_setting() == {"PAYLOAD_LIMIT": 1024}
            with override_settings():
                del django_settings.POWERCRUD_ASYNC_DASHBOARD
                assert setting.get_setting() == {}
        assert setting.get_setting() == {}

    def test_only_one_module_reads_the_setting(self):
        quoted = f'"{setting.SETTING}"'

        named = [
            path.name
            for path in PACKAGE.rglob("*.py")
            if quoted in path.read_text(encoding="utf-8")
        ]
        attribute = [
            path.name
            for path in PACKAGE.rglob("*.py")
            if f"settings.{setting.SETTING}" in path.read_text(encoding="utf-8")
        ]

        assert named == ["setting.py"]
        assert attribute == []


class TestGetQueueSettings:
    @pytest.mark.parametrize("value", [None, {}])
    def test_an_unset_q_cluster_is_an_empty_dict(self, settings, value):
        settings.Q_CLUSTER = value

        assert setting.get_queue_settings() == {}

    def test_get_queue_settings_returns_q_cluster(self, settings):
        settings.Q_CLUSTER = {"retry": 90}

        assert setting.get_queue_settings() == {"retry": 90}


class TestClearWhenSettingsChange:
    def test_a_cache_is_cleared_when_any_setting_is_overridden(self):
        calls = []

        @cache
        def look():
            calls.append(django_settings.LANGUAGE_CODE)
            return calls[-1]

        setting.clear_when_settings_change(look)

        look()
        look()
        with override_settings(LANGUAGE_CODE="de"):
            look()
        look()

        assert calls == ["en-us", "de", "en-us"]
