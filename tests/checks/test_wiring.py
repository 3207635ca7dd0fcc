"""The checks of the manager, the cache, the URLs and the schedules of a project."""

import pytest
from django.core import checks
from django.core.management import call_command
from django_q.models import Schedule

from powercrud_tracking.checks import (
    POWERCRUD_CLEANUP,
    check_base_template,
    check_cache,
    check_manager_class,
    check_schedules,
    check_setting,
    check_wiring,
)
from powercrud_tracking.factory import get_manager
from powercrud_tracking.managers import ModelTrackingAsyncManager


class WrongManager(ModelTrackingAsyncManager):
    field_map = {"message": "mesage"}


class WorseManager(WrongManager):
    payload_limit = 1


class TenantManager(ModelTrackingAsyncManager):
    def __init__(self, *args, **kwargs):
        self.table = "project.NameOnlyRecord"
        super().__init__(*args, **kwargs)

    def get_record_model_path(self):
        return self.table


class TestCheckManagerClass:
    WRONG = {"MANAGER_CLASS": f"{__name__}.WrongManager"}

    def test_a_problem_of_a_class_attribute_is_reported(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = self.WRONG

        found = check_manager_class()

        assert found == [
            checks.Error(
                "DashboardManager['FIELD_MAP'] stores 'message' in 'mesage', but "
                "powercrud_tracking.AsyncTaskRecord has no such field.",
                hint="Did you mean 'message'?",
                id="powercrud_tracking.E008",
            )
        ]
        assert check_setting() == []

    @pytest.mark.parametrize(
        "bad",
        [{"PAYLOAD_LIMIT": 1}, {"PAYLOAD_LIMT": 4096}, {"FORMAT_USER": "nowhere.label"}],
        ids=["out-of-range", "unknown", "function"],
    )
    def test_a_problem_of_the_setting_is_not_repeated_for_the_class_and_hides_no_attribute(
        self, settings, bad
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {**self.WRONG, **bad}

        assert [error.id for error in check_manager_class()] == ["powercrud_tracking.E008"]

    def test_the_problems_of_all_class_attributes_are_reported(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"MANAGER_CLASS": f"{__name__}.WorseManager"}

        found = check_manager_class()

        assert [error.id[-4:] for error in found] == ["E004", "E008"]

    def test_a_cache_that_powercrud_rejects_is_not_reported_for_the_class(self, settings):
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        }

        assert check_manager_class() == []

    def test_a_class_that_chooses_its_table_in_init_is_skipped(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"MANAGER_CLASS": f"{__name__}.TenantManager"}

        assert check_manager_class() == []
        assert get_manager().config.record_model == "project.NameOnlyRecord"

    def test_the_built_in_class_has_no_problem(self):
        assert check_manager_class() == []


class TestCheckBaseTemplate:
    @pytest.mark.parametrize("name", [None, "project/base.html", "powercrud_tracking/base.html"])
    def test_an_existing_base_template_is_no_problem(self, settings, name):
        settings.POWERCRUD_ASYNC_DASHBOARD = {} if name is None else {"BASE_TEMPLATE": name}

        assert check_base_template() == []

    def test_a_missing_base_template_is_an_error_and_does_not_stop_recording(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": "project/bse.html"}

        assert check_base_template() == [
            checks.Error(
                "POWERCRUD_ASYNC_DASHBOARD['BASE_TEMPLATE'] names 'project/bse.html', which does "
                "not exist.",
                hint="Name a template of your project, or leave it out.",
                id="powercrud_tracking.E017",
            )
        ]
        assert get_manager().config.base_template == "project/bse.html"

    def test_a_base_template_of_a_wrong_type_is_reported_by_the_check_of_the_setting(
        self, settings
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": 3}

        assert check_base_template() == []


class TestCheckCache:
    HINT = (
        "Point POWERCRUD_SETTINGS['CACHE_NAME'] at a cache that all processes share, such as "
        "django.core.cache.backends.db.DatabaseCache or Redis."
    )

    def test_a_cache_of_one_process_is_an_error_with_powercruds_message(self, settings):
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        }

        found = check_cache()

        assert found == [
            checks.Error(
                "PowerCRUD refuses its cache: POWERCRUD async progress tracking requires a shared "
                "cache backend. Alias 'default' currently resolves to "
                "'django.core.cache.backends.locmem.LocMemCache', which is single-process only. "
                "Configure a shared backend such as "
                "django.core.cache.backends.db.DatabaseCache, django_redis, or Memcached.",
                hint=self.HINT,
                id="powercrud_tracking.E014",
            )
        ]

    def test_an_undefined_cache_is_an_error(self, settings):
        settings.POWERCRUD_SETTINGS = {**settings.POWERCRUD_SETTINGS, "CACHE_NAME": "shared"}

        found = check_cache()

        assert found == [
            checks.Error(
                "PowerCRUD refuses its cache: The connection 'shared' doesn't exist.",
                hint=self.HINT,
                id="powercrud_tracking.E014",
            )
        ]

    def test_a_file_cache_is_no_problem(self):
        assert check_cache() == []


class TestCheckWiring:
    def test_powercrud_settings_that_are_not_a_dict_raise_nothing(self, settings):
        settings.POWERCRUD_SETTINGS = []

        assert check_wiring() == []
        assert [error.msg for error in check_cache()] == [
            "PowerCRUD refuses its cache: POWERCRUD_SETTINGS must be a dict if defined; found "
            "list instead."
        ]

    @pytest.mark.parametrize(
        "default",
        [
            pytest.param(None, id="none"),
            pytest.param("powercrud_tracking.factory.DashboardManager", id="no-dict"),
            pytest.param({"manager_class": "nowhere.Manager"}, id="no-module"),
            pytest.param({"manager_class": "."}, id="no-path"),
            pytest.param({"manager_class": 3}, id="no-text"),
        ],
    )
    def test_an_invalid_default_manager_of_powercrud_raises_nothing(self, settings, default):
        settings.POWERCRUD_SETTINGS = {"ASYNC_MANAGER_DEFAULT": default}

        # A view of the test project uses the mixin.
        assert check_wiring() == []


@pytest.mark.django_db
class TestDefaultManager:
    @pytest.mark.parametrize(
        ("path", "hint"),
        [
            ("powercrud_tracking.factory.DashbordManager", "Did you mean"),
            ("shop.nowhere.Manager", "To record tasks, name"),
        ],
    )
    def test_a_default_manager_that_cannot_be_imported_is_an_error_with_a_suggestion(
        self, settings, path, hint
    ):
        settings.POWERCRUD_SETTINGS = {
            **settings.POWERCRUD_SETTINGS,
            "ASYNC_MANAGER_DEFAULT": {"manager_class": path},
        }

        found = [each for each in checks.run_checks() if each.id == "powercrud_tracking.E016"]

        assert [each.msg for each in found] == [
            f"POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT'] names {path!r}, which cannot be "
            "imported: PowerCRUD will refuse every bulk operation."
        ]
        assert found[0].hint.startswith(hint)

    def test_dashboard_manager_as_default_is_no_problem(self):
        assert not [each for each in checks.run_checks() if each.id == "powercrud_tracking.E016"]


@pytest.mark.django_db
class TestPoll:
    def test_missing_urls_of_powercrud_are_a_warning(self, settings):
        settings.ROOT_URLCONF = "tests.project.urls_with_admin_only"

        found = [each for each in checks.run_checks() if each.id == "powercrud_tracking.W004"]

        assert [each.msg for each in found] == [
            "PowerCRUD's URLs are not among the project's: its dialog will say that a task could "
            "not be queued, although it is queued and runs."
        ]
        assert "DashboardManager.get_urlpatterns()" in found[0].hint

    def test_included_urls_of_powercrud_are_no_problem(self):
        assert not [each for each in checks.run_checks() if each.id == "powercrud_tracking.W004"]


@pytest.mark.django_db(databases="__all__")
class TestCheckSchedules:
    def test_a_schedule_of_powercruds_clean_up_is_a_warning_with_a_hint(self):
        Schedule.objects.create(name="nightly", func=POWERCRUD_CLEANUP)
        Schedule.objects.create(name="ours", func="powercrud_tracking.upkeep.reconcile")

        found = check_schedules(databases=["default"])

        assert found == [
            checks.Warning(
                "The schedule 'nightly' runs PowerCRUD's own clean-up, which takes the locks of "
                "queued and running tasks.",
                hint="Delete that schedule, and schedule powercrud_tracking.upkeep.reconcile "
                "instead.",
                id="powercrud_tracking.W002",
            )
        ]

    def test_the_path_of_powercruds_clean_up_can_be_imported(self):
        from powercrud import schedules

        assert f"{schedules.__name__}.cleanup_async_artifacts" == POWERCRUD_CLEANUP
        assert callable(schedules.cleanup_async_artifacts)

    def test_schedules_are_checked_only_with_a_database(self, capsys, django_assert_num_queries):
        Schedule.objects.create(name="nightly", func=POWERCRUD_CLEANUP)

        with django_assert_num_queries(0):
            assert check_schedules() == []
        call_command("check", "powercrud_tracking")
        without = capsys.readouterr()
        call_command("check", "powercrud_tracking", databases=["default"])
        with_database = capsys.readouterr()

        assert "W002" not in without.err
        assert "(powercrud_tracking.W002) The schedule 'nightly' runs" in with_database.err
