import json
import logging

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from powercrud_tracking import factory
from powercrud_tracking.config import packing
from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord
from tests.project import tracking

BASE = DashboardConfig()
OTHER_TABLE = {
    "record_model": "project.BespokeRecord",
    "field_map": {"task_name": "key", "status": "state", "affected": "note"},
}
PATH = "tests.project.tracking.format_user"
MANAGER = "powercrud_tracking.managers.ModelTrackingAsyncManager"


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.WARNING, "powercrud_tracking")
    return caplog


def pack(config, base):
    return packing.pack(config, base, path=MANAGER)


def unpack(packed, base):
    """Sign and unpack a configuration."""
    return packing.unpack(packing.sign(packed, path=MANAGER), base, path=MANAGER)


def say(log):
    return [record.getMessage() for record in log.records]


def get_other_settings(launched_with, here):
    return (
        f"A task was launched with the tracking configuration {launched_with}, this process "
        f"has {here}: the settings of web and worker differ."
    )


class TestPack:
    def test_only_differences_are_packed_as_plain_json(self):
        config = BASE.merge(
            {**OTHER_TABLE, "redact": ["pin"], "format_user": PATH, "lost_after": 9}
        )

        packed = pack(config, BASE)

        assert json.loads(json.dumps(packed)) == packed
        assert packed.pop("fingerprint") == config.replace({"lost_after": 300}).fingerprint
        assert len(packed.pop("signature")) == 43
        assert packed == {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "objects": "note"},
            "REDACT": ["pin"],
            "FORMAT_USER": PATH,
        }

    def test_without_differences_only_fingerprint_and_signature_are_packed(self):
        packed = pack(BASE, BASE)

        assert packed == packing.sign({"fingerprint": BASE.fingerprint}, path=MANAGER)

    def test_every_launch_packs_the_same(self):
        config = BASE.merge({"format_user": PATH})

        assert pack(config, BASE) == pack(config, BASE)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            pytest.param("format_user", tracking.format_user, id="function"),
            pytest.param("format_payload", lambda value: value, id="lambda"),
            pytest.param("create_defaults", {"extra": {1, 2}}, id="set"),
            pytest.param("create_defaults", {"extra": {1: 2}}, id="key-no-text"),
            pytest.param("create_defaults", {"extra": float("nan")}, id="nan"),
        ],
    )
    def test_a_value_that_is_not_json_is_an_error_that_names_it(self, key, value):
        config = BASE.merge({key: value})

        with pytest.raises(ImproperlyConfigured) as refusal:
            pack(config, BASE)

        assert str(refusal.value) == (
            f"A task cannot be launched by a manager whose {key.upper()} is {value!r}: "
            "the worker could not build the same manager. "
            "Name a function by its dotted path, such as 'shop.tracking.label'."
        )


class TestUnpack:
    @pytest.mark.parametrize(
        "layer",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"payload_limit": 1024, "progress_interval": 0}, id="numbers"),
            pytest.param({"redact": ["pin"]}, id="expressions"),
            pytest.param({"redact": []}, id="no-expressions"),
            pytest.param({"format_user": PATH}, id="path"),
            pytest.param({"record_model": "project.NameOnlyRecord"}, id="model"),
            pytest.param(OTHER_TABLE, id="model-that-needs-its-map"),
            pytest.param(
                {**OTHER_TABLE, "create_defaults": {"note": "new"}}, id="table-and-defaults"
            ),
            pytest.param({"create_defaults": {"func": "x"}}, id="defaults"),
            pytest.param({"field_map": {"user": None}}, id="map"),
        ],
    )
    @pytest.mark.parametrize(
        "below",
        [
            pytest.param({}, id="on-defaults"),
            pytest.param(
                {
                    "record_model": "project.InheritedRecord",
                    "field_map": {"user": "tenant"},
                    "create_defaults": {"tenant": "north"},
                    "format_user": "tests.project.tracking.broken",
                },
                id="on-settings",
            ),
        ],
    )
    def test_unpack_returns_the_packed_configuration(self, log, below, layer):
        base = BASE.merge(below)
        config = base.merge(layer)

        arrived = unpack(json.loads(json.dumps(pack(config, base))), base)

        assert arrived == config
        assert say(log) == []

    def test_an_unknown_key_is_left_out_and_logged(self, log):
        arrived = unpack(
            {"COLOUR": "red", "PAYLOAD_LIMIT": 1024, "fingerprint": "f1"},
            BASE,
        )

        assert arrived == BASE.replace({"payload_limit": 1024})
        assert say(log)[0].startswith(
            "Left out COLOUR of a task's configuration: "
            "The configuration in a task has an unknown key 'COLOUR'. The keys are"
        )
        assert say(log)[1:] == [get_other_settings("f1", arrived.fingerprint)]

    def test_an_unknown_logical_name_is_left_out_and_the_others_are_used(self, log):
        packed = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "colour": "note"},
            "fingerprint": "f2",
        }

        arrived = unpack(packed, BASE)

        assert arrived.record_model == "project.BespokeRecord"
        assert arrived.field_map == {"task_name": "key"}
        assert say(log)[0] == (
            "Left out FIELD_MAP['colour'] of a task's configuration: "
            "there is no such logical name here."
        )

    def test_an_unknown_record_model_is_left_out_with_its_field_map_and_create_defaults(self, log):
        base = BASE.merge(
            {"record_model": "project.InheritedRecord", "create_defaults": {"tenant": "north"}}
        )
        packed = {
            "RECORD_MODEL": "shop.NewRecord",
            "FIELD_MAP": {"task_name": "key"},
            "CREATE_DEFAULTS": {},
            "PAYLOAD_LIMIT": 1024,
            "fingerprint": "f3",
        }

        arrived = unpack(packed, base)

        assert arrived == base.replace({"payload_limit": 1024})
        assert say(log)[0].startswith(
            "Left out RECORD_MODEL and FIELD_MAP of a task's configuration: The configuration "
            "in a task['RECORD_MODEL'] names 'shop.NewRecord', which is no installed "
            "model."
        )

    def test_create_defaults_with_an_unknown_field_are_left_out(self, log):
        packed = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": {"tenant": "north", "region": "x"},
            "fingerprint": "f4",
        }

        arrived = unpack(packed, BASE)

        assert arrived == BASE.merge({"record_model": "project.InheritedRecord"})
        assert say(log)[0].startswith(
            "Left out CREATE_DEFAULTS of a task's configuration: The configuration in "
            "a task['CREATE_DEFAULTS'] sets 'region', but project.InheritedRecord has no such "
            "field."
        )

    def test_create_defaults_of_the_setting_are_not_used_for_another_table(self):
        base = BASE.merge(
            {"record_model": "project.InheritedRecord", "create_defaults": {"tenant": "north"}}
        )

        arrived = unpack({"RECORD_MODEL": "project.NameOnlyRecord", "fingerprint": "f5"}, base)

        assert arrived == BASE.merge({"record_model": "project.NameOnlyRecord"})

    def test_different_settings_are_logged_once_with_both_fingerprints(self, log):
        unpack({"fingerprint": "f6"}, BASE)
        unpack({"fingerprint": "f6"}, BASE)

        assert say(log) == [get_other_settings("f6", BASE.fingerprint)]

    @pytest.mark.parametrize(
        "packed",
        [
            pytest.param({"PAYLOAD_LIMIT": "many"}, id="wrong-type"),
            pytest.param({"PAYLOAD_LIMIT": 1}, id="out-of-range"),
            pytest.param({"FORMAT_USER": "shop.later.label"}, id="path"),
            pytest.param({"FORMAT_USER": "."}, id="no-path"),
            pytest.param({"CREATE_DEFAULTS": "shop.later.defaults"}, id="defaults-path"),
            pytest.param({"FIELD_MAP": {"user": "whom"}}, id="field"),
            pytest.param({"FIELD_MAP": {"colour": "whom"}, "COLOUR": 1}, id="names"),
            pytest.param({"FIELD_MAP": None}, id="no-map"),
            pytest.param({"RECORD_MODEL": "project.SpreadRecord"}, id="model"),
            pytest.param({"RECORD_MODEL": "project.BespokeRecord"}, id="model-without-its-map"),
            pytest.param({"MANAGER_CLASS": "shop.Manager", "LOST_AFTER": 3}, id="not-of-a-view"),
            pytest.param({"REDACT": ["("]}, id="expression"),
        ],
    )
    @pytest.mark.parametrize("manager", [ModelTrackingAsyncManager, factory.get_manager_class()])
    def test_building_a_manager_from_a_packed_configuration_never_raises(
        self, log, manager, packed
    ):
        packed = {**packed, "fingerprint": ["odd"]}

        config = manager(packing.sign(packed, path=packing.get_path(manager))).config

        assert config == get_config()
        assert any(text.startswith("Left out ") for text in say(log))


class TestSignature:
    SIGNED = packing.sign({"FORMAT_USER": PATH, "PAYLOAD_LIMIT": 4096}, path=MANAGER)

    def test_a_signed_configuration_is_used(self, log):
        config = packing.unpack(self.SIGNED, BASE, path=MANAGER)

        assert config == BASE.merge({"format_user": PATH, "payload_limit": 4096})
        assert say(log) == []

    @pytest.mark.parametrize(
        "changed",
        [
            {"FORMAT_USER": "subprocess.getoutput"},
            {"FORMAT_PAYLOAD": "subprocess.getoutput"},
            {"PAYLOAD_LIMIT": 4097},
            {"signature": SIGNED["signature"][:-1]},
            {"signature": SIGNED["signature"].swapcase()},
            {"signature": ""},
            {"signature": None},
            {"signature": [SIGNED["signature"]]},
            {"FORMAT_USER": {1, 2}},
            {1: 2},
        ],
        ids=str,
    )
    def test_a_changed_configuration_is_not_used(self, changed, log):
        config = packing.unpack({**self.SIGNED, **changed}, BASE, path=MANAGER)

        assert config == BASE
        assert len(say(log)) == 1

    def test_a_configuration_with_a_removed_key_is_not_signed(self):
        packed = {key: value for key, value in self.SIGNED.items() if key != "PAYLOAD_LIMIT"}

        assert not packing.is_signed(packed, path=MANAGER)

    def test_a_signature_of_another_configuration_is_invalid(self):
        other = packing.sign({"FORMAT_USER": PATH}, path=MANAGER)

        assert not packing.is_signed({**self.SIGNED, "signature": other["signature"]}, path=MANAGER)

    def test_a_signature_for_another_class_is_invalid(self):
        assert not packing.is_signed(self.SIGNED, path=factory.PATH)

    def test_a_circular_value_is_not_signed(self):
        circular = {"signature": self.SIGNED["signature"]}
        circular["CREATE_DEFAULTS"] = circular

        assert not packing.is_signed(circular, path=MANAGER)

    def test_a_fallback_secret_key_is_valid_and_a_removed_one_is_not(self, settings):
        settings.SECRET_KEY, old = "new", settings.SECRET_KEY
        without = packing.is_signed(self.SIGNED, path=MANAGER)
        settings.SECRET_KEY_FALLBACKS = [old]

        assert not without
        assert packing.is_signed(self.SIGNED, path=MANAGER)

    def test_the_order_of_keys_does_not_change_the_signature(self):
        assert packing.is_signed(dict(reversed(self.SIGNED.items())), path=MANAGER)

    @pytest.mark.parametrize("key", ["RECORD_MODEL", "record_model_path"])
    def test_of_an_unsigned_configuration_only_a_table_of_tasks_is_used(self, log, key):
        packed = {
            key: "project.InheritedRecord",
            "FIELD_MAP": {"user": "message"},
            "CREATE_DEFAULTS": {"tenant": "north"},
            "FORMAT_USER": PATH,
            "fingerprint": "f7",
        }

        config = packing.unpack(packed, BASE, path=MANAGER)

        assert config == BASE.merge({"record_model": "project.InheritedRecord"})
        assert len(say(log)) == 1

    @pytest.mark.parametrize(
        "model",
        ["auth.Group", "project.BespokeRecord", "project.SpreadRecord", "nowhere.X", "x", 3, [3]],
        ids=str,
    )
    @pytest.mark.parametrize("key", ["RECORD_MODEL", "record_model_path"])
    def test_of_an_unsigned_configuration_no_other_table_is_used(self, model, key):
        packed = {key: model, "FIELD_MAP": {"task_name": "name"}}

        assert packing.unpack(packed, BASE, path=MANAGER) == BASE

    @pytest.mark.parametrize("packed", [{}, {"fingerprint": BASE.fingerprint}], ids=str)
    def test_an_unsigned_configuration_without_keys_is_not_logged(self, packed, log):
        assert packing.unpack(packed, BASE, path=MANAGER) == BASE
        assert say(log) == []


class TestLaunch:
    def test_launching_with_a_callable_is_an_error_that_names_it(self):
        manager = ModelTrackingAsyncManager(format_user=tracking.format_user)

        with pytest.raises(ImproperlyConfigured) as refusal:
            manager.launch_async_task("tests.project.tasks.add", 1, 2)

        assert str(refusal.value) == (
            "A task cannot be launched by a manager whose FORMAT_USER is "
            f"{tracking.format_user!r}: the worker could not build the same manager. "
            "Name a function by its dotted path, such as 'shop.tracking.label'."
        )

    @pytest.mark.django_db(databases="__all__")
    def test_a_manager_with_a_callable_records(self):
        manager = ModelTrackingAsyncManager(format_user=lambda user: "somebody")

        manager.async_task_lifecycle("create", "a" * 36, status="pending")

        assert AsyncTaskRecord.objects.get().user_label == "somebody"

    def test_a_callable_of_the_class_is_not_packed(self):
        class Manager(ModelTrackingAsyncManager):
            def failed_result(self, func, result):
                return result == "no"

        travelling = Manager().get_manager_reference()["manager_config"]

        assert set(travelling) == {"fingerprint", "signature"}

    def test_the_packed_configuration_overrides_the_class_in_the_worker(self, log):
        class Manager(ModelTrackingAsyncManager):
            record_model_path = "project.BespokeRecord"
            field_map = {"task_name": "key"}

        launching = Manager(field_map={"message": "note"}, payload_limit=1024)

        arrived = Manager(launching.get_manager_reference()["manager_config"])

        assert arrived.config == launching.config
        assert say(log) == []

    def test_a_complete_configuration_is_the_same_in_the_worker(self, log):
        with override_settings(POWERCRUD_ASYNC_DASHBOARD={"PAYLOAD_LIMIT": 4096}):
            launching = ModelTrackingAsyncManager(DashboardConfig(**OTHER_TABLE))

            arrived = ModelTrackingAsyncManager(launching.get_manager_reference()["manager_config"])

        assert arrived.config == launching.config
        assert say(log) == []
