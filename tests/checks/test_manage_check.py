"""`manage.py check` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTING = "POWERCRUD_ASYNC_DASHBOARD"
SPELLING = "Check the spelling of the path, and that its module imports."
BASE = "powercrud_tracking.managers.ModelTrackingAsyncManager"
NAME_A_SUBCLASS = f"Name a subclass of {BASE}, or leave it out."


def run_check(tmp_path, *lines, arguments=()):
    """Run `manage.py check` in a process of its own, warnings being errors."""
    source = "\n".join(["from tests.settings import *", *lines])
    (tmp_path / "other_settings.py").write_text(f"{source}\n")
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check", *arguments],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "other_settings",
            # Django warns of an index of django-q2 on MariaDB, which is not the matter here.
            "TEST_DATABASE": "sqlite",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


NOTHING_WIRED = (
    "POWERCRUD_SETTINGS = {}",
    # It has a check of its own for PowerCRUD's URLs.
    "INSTALLED_APPS.remove('powercrud.contrib.favourites')",
    "ROOT_URLCONF = 'empty_urls'",
    "import sys, types",
    "sys.modules['empty_urls'] = types.SimpleNamespace(urlpatterns=[])",
)


class TestManageCheck:
    def test_invalid_settings_are_printed_without_a_traceback_if_the_urls_import_the_factory(
        self, tmp_path
    ):
        result = run_check(
            tmp_path,
            f"{SETTING} = {{'MANAGER_CLASS': 'nowhere.Manager', 'FORMAT_USER': 'tests.no.label'}}",
        )

        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert (
            f"(powercrud_tracking.E011) {SETTING}['FORMAT_USER'] names 'tests.no.label', which "
            f"cannot be imported: No module named 'tests.no'.\n\tHINT: {SPELLING}\n"
        ) in result.stderr
        assert (
            f"(powercrud_tracking.E013) {SETTING}['MANAGER_CLASS'] names 'nowhere.Manager', which "
            f"cannot be imported: No module named 'nowhere'.\n\tHINT: {NAME_A_SUBCLASS}\n"
        ) in result.stderr
        assert "System check identified 2 issues (0 silenced)." in result.stderr

    def test_values_of_a_wrong_type_are_printed_without_a_traceback(self, tmp_path):
        result = run_check(
            tmp_path,
            f"{SETTING} = {{'MANAGER_CLASS': 3, 'FIELD_MAP': 3, 'RECORD_MODEL': 3, 'VISIBLE': 3}}",
        )

        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert "System check identified 4 issues (0 silenced)." in result.stderr

    def test_valid_settings_print_no_problem(self, tmp_path):
        result = run_check(tmp_path)

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"
        assert result.stderr == ""

    def test_an_installed_app_that_nothing_uses_is_a_warning(self, tmp_path):
        result = run_check(tmp_path, *NOTHING_WIRED)

        assert result.returncode == 0
        assert (
            "?: (powercrud_tracking.W001) powercrud_tracking is installed, but no task will be "
            "recorded: neither PowerCRUD's default manager nor any view that is loaded uses it.\n"
            "\tHINT: Set POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT'] = {'manager_class': "
            "'powercrud_tracking.factory.DashboardManager'}, or put "
            "powercrud_tracking.mixins.AsyncDashboardMixin on a view.\n"
        ) in result.stderr

    def test_the_warning_of_an_unused_app_can_be_silenced(self, tmp_path):
        result = run_check(
            tmp_path, *NOTHING_WIRED, "SILENCED_SYSTEM_CHECKS = ['powercrud_tracking.W001']"
        )

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (1 silenced).\n"
        assert result.stderr == ""

    def test_with_the_default_manager_there_is_no_warning(self, tmp_path):
        result = run_check(tmp_path, *NOTHING_WIRED[1:])

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"

    @pytest.mark.parametrize(
        "attribute",
        [
            f"async_manager_class_path = '{BASE}'",
            "async_manager_class = import_string(settings.TRACKED)",
        ],
        ids=["path", "class"],
    )
    def test_with_a_view_that_names_a_subclass_of_the_manager_there_is_no_warning(
        self, tmp_path, attribute
    ):
        (tmp_path / "view_urls.py").write_text(
            "from django.conf import settings\n"
            "from django.utils.module_loading import import_string\n"
            "from powercrud.mixins.async_mixin import AsyncMixin\n"
            "class BookView(AsyncMixin):\n"
            f"    {attribute}\n"
            "urlpatterns = []\n"
        )

        result = run_check(
            tmp_path, *NOTHING_WIRED[:2], "ROOT_URLCONF = 'view_urls'", f"TRACKED = '{BASE}'"
        )

        assert result.returncode == 0
        assert "W001" not in result.stderr

    def test_with_a_view_that_has_the_mixin_there_is_no_warning(self, tmp_path):
        result = run_check(tmp_path, "POWERCRUD_SETTINGS = {}")

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"

    def test_a_database_without_tables_raises_nothing(self, tmp_path):
        result = run_check(
            tmp_path,
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}",
            arguments=["--database", "default"],
        )

        assert result.returncode == 0
        assert result.stderr == ""
