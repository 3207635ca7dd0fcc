import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.module_loading import import_string
from django_q.models import Task
from powercrud.async_hooks import task_completion_hook
from powercrud.async_manager import AsyncManager

from powercrud_tracking import factory
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord

ROOT = Path(__file__).parent.parent
PATH = "powercrud_tracking.factory.DashboardManager"
TASK_NAME = "6f1c2a34-0000-4000-8000-000000000001"


class ShopManager(ModelTrackingAsyncManager):
    payload_limit = 2048


class OtherManager(ModelTrackingAsyncManager):
    pass


SHOP = {"MANAGER_CLASS": "tests.test_factory.ShopManager"}
OTHER = {"MANAGER_CLASS": "tests.test_factory.OtherManager"}

BAD_SETTINGS = [
    pytest.param(3, id="no-dict"),
    pytest.param({"PAYLOAD_LIMIT": 1}, id="out-of-range"),
    pytest.param({"RECORD_MODEL": 3, "FIELD_MAP": 3, "LOST_AFTER": "x"}, id="wrong-types"),
    pytest.param({"RECORD_MODEL": "nowhere.Record"}, id="no-model"),
    pytest.param({"MANAGER_CLASS": 3}, id="manager-no-text"),
    pytest.param({"MANAGER_CLASS": None}, id="manager-none"),
    pytest.param({"MANAGER_CLASS": "Manager"}, id="manager-no-path"),
    pytest.param({"MANAGER_CLASS": "."}, id="manager-only-a-dot"),
    pytest.param({"MANAGER_CLASS": "nowhere.Manager"}, id="manager-not-importable"),
    pytest.param({"MANAGER_CLASS": "powercrud.async_manager.AsyncManager"}, id="manager-plain"),
    pytest.param({"MANAGER_CLASS": "tests.project.tracking.not_callable"}, id="manager-no-class"),
    pytest.param({"MANAGER_CLASS": PATH}, id="manager-of-itself"),
]


class TestDashboardManager:
    def test_dashboard_manager_can_be_imported_by_its_path(self):
        cls = factory.DashboardManager

        path = f"{cls.__module__}.{cls.__name__}"

        assert path == factory.PATH == PATH
        assert import_string(path) is cls
        assert f"{cls.__module__}.{cls.__qualname__}" == PATH

    def test_dashboard_manager_inherits_from_the_class_in_the_settings(self):
        seen = []

        def look():
            seen.append(factory.DashboardManager.__bases__[0])

        look()
        with override_settings(POWERCRUD_ASYNC_DASHBOARD=SHOP):
            look()
            with override_settings(POWERCRUD_ASYNC_DASHBOARD=OTHER):
                look()
            look()
        look()

        assert seen == [
            ModelTrackingAsyncManager,
            ShopManager,
            OtherManager,
            ShopManager,
            ModelTrackingAsyncManager,
        ]

    def test_dashboard_manager_on_the_same_base_is_the_same_class(self, settings):
        first = factory.DashboardManager

        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1024}

        assert factory.DashboardManager is first

    def test_an_instance_follows_settings_that_change_after_the_import_of_its_class(self, settings):
        cls = factory.DashboardManager

        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1024}

        assert cls().config.payload_limit == 1024

    @pytest.mark.parametrize("setting", [{}, SHOP], ids=["built-in", "shop"])
    def test_dashboard_manager_can_be_pickled(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        copy = pickle.loads(pickle.dumps(factory.DashboardManager))

        assert copy is factory.DashboardManager

    def test_an_unknown_attribute_of_the_module_raises_attribute_error(self):
        with pytest.raises(AttributeError) as error:
            factory.DashbordManager  # noqa: B018

        assert str(error.value) == (
            "module 'powercrud_tracking.factory' has no attribute 'DashbordManager'"
        )

    def test_a_manager_class_may_inherit_from_dashboard_manager(
        self, settings, tmp_path, monkeypatch
    ):
        (tmp_path / "shop_managers.py").write_text(
            "from powercrud_tracking.factory import DashboardManager\n\n\n"
            "class ShopManager(DashboardManager):\n    payload_limit = 512\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        settings.POWERCRUD_ASYNC_DASHBOARD = {"MANAGER_CLASS": "shop_managers.ShopManager"}

        manager = factory.get_manager()

        assert manager.config.payload_limit == 512
        assert type(manager) is factory.DashboardManager


class TestBadSettings:
    @pytest.mark.parametrize("setting", BAD_SETTINGS)
    def test_the_class_resolves_and_gives_urls_but_no_instance_is_built(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        cls = import_string(PATH)
        urls = cls.get_urlpatterns()

        assert cls.__bases__ == (ModelTrackingAsyncManager,)
        assert urls.namespace == "powercrud"
        assert [str(each.pattern) for each in urls.url_patterns] == [
            "powercrud/async/progress/",
            "favourites/",
        ]
        with pytest.raises(ImproperlyConfigured, match=r"^POWERCRUD_ASYNC_DASHBOARD"):
            cls()

    def test_a_module_that_raises_at_import_does_not_stop_the_urls(
        self, settings, tmp_path, monkeypatch
    ):
        (tmp_path / "raising_managers.py").write_text("1 / 0\n")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        settings.POWERCRUD_ASYNC_DASHBOARD = {"MANAGER_CLASS": "raising_managers.Manager"}

        cls = factory.DashboardManager

        assert cls.__bases__ == (ModelTrackingAsyncManager,)
        with pytest.raises(ImproperlyConfigured) as refusal:
            cls()
        assert str(refusal.value).startswith(
            "POWERCRUD_ASYNC_DASHBOARD['MANAGER_CLASS'] names 'raising_managers.Manager', which "
            "cannot be imported: ZeroDivisionError: division by zero."
        )


class TestGetManager:
    def test_get_manager_takes_overrides_by_their_field_names(self):
        assert factory.get_manager(payload_limit=1024).config == DashboardConfig(payload_limit=1024)

    def test_get_manager_returns_an_instance_of_dashboard_manager(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = SHOP

        manager = factory.get_manager()

        assert type(manager) is factory.get_manager_class()
        assert isinstance(manager, ShopManager)
        assert manager.config.payload_limit == 2048


class TestWayOfPowercrud:
    def test_resolve_manager_builds_the_manager_in_the_settings(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = SHOP

        manager = AsyncManager.resolve_manager(PATH)

        assert isinstance(manager, ShopManager)

    def test_resolve_manager_uses_the_packed_configuration(self):
        reference = factory.get_manager(payload_limit=1024).get_manager_reference()

        manager = AsyncManager.resolve_manager(
            reference["manager_class"], config=reference["manager_config"]
        )

        assert reference["manager_class"] == PATH
        assert type(manager) is factory.DashboardManager
        assert manager.config == DashboardConfig(payload_limit=1024)

    @pytest.mark.django_db(databases="__all__")
    @pytest.mark.parametrize(
        ("is_success", "result", "status"),
        [
            pytest.param(True, 3, "success", id="success"),
            pytest.param(False, "no", "failed", id="f"),
        ],
    )
    def test_the_completion_hook_ends_the_row(self, is_success, result, status):
        manager = factory.get_manager()
        manager.async_task_lifecycle("create", TASK_NAME, status="pending")
        task = Task(
            name=TASK_NAME,
            func="tests.project.tasks.add",
            kwargs={"task_key": TASK_NAME, **manager.get_manager_reference()},
            success=is_success,
            result=result,
        )

        task_completion_hook(task)

        record = AsyncTaskRecord.objects.get()
        assert (record.status, record.cleaned_up) == (status, True)


class TestEarlyImport:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("import powercrud_tracking.factory as f; print(f.PATH)", id="alone"),
            pytest.param(
                "import powercrud_tracking.factory as f, django; django.setup(); "
                "c = f.DashboardManager; f.get_manager(); print(f'{c.__module__}.{c.__name__}')",
                id="before-the-registry",
            ),
        ],
    )
    def test_the_factory_can_be_imported_before_the_apps_are_ready(self, script):
        result = run(script, DJANGO_SETTINGS_MODULE="tests.settings")

        assert result.stderr == ""
        assert result.stdout == f"{PATH}\n"

    def test_the_settings_module_may_import_the_factory(self, tmp_path):
        (tmp_path / "importing_settings.py").write_text(
            "import powercrud_tracking.factory\n"
            "from tests.settings import *\n"
            "POWERCRUD_ASYNC_DASHBOARD = {'PAYLOAD_LIMIT': 4096}\n"
        )

        result = run(
            "import django; django.setup(); from powercrud_tracking.factory import get_manager; "
            "print(get_manager().config.payload_limit)",
            DJANGO_SETTINGS_MODULE="importing_settings",
            PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
        )

        assert result.stderr == ""
        assert result.stdout == "4096\n"


def run(script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
