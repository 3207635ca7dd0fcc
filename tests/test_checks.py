import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django_q.models import Schedule
from powercrud.async_dashboard import ModelTrackingAsyncManager as PowercrudsTracker
from powercrud.async_manager import AsyncManager
from powercrud.mixins.async_mixin import AsyncMixin

from powercrud_tracking.checks import (
    POWERCRUD_CLEANUP,
    check_cache,
    check_manager_class,
    check_migration,
    check_schedules,
    check_setting,
    check_views,
    check_wiring,
)
from powercrud_tracking.factory import get_manager
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin

ROOT = Path(__file__).parent.parent
SETTING = "POWERCRUD_ASYNC_DASHBOARD"
CORRECT = "Correct it, or leave it out for the default"
KEYS = (
    "BASE_TEMPLATE, CREATE_DEFAULTS, FAILED_RESULT, FIELD_MAP, FORMAT_OBJECTS, FORMAT_PAYLOAD, "
    "FORMAT_USER, LOST_AFTER, MANAGER_CLASS, PAYLOAD_LIMIT, PROGRESS_INTERVAL, RECORD_MODEL, "
    "REDACT, RETENTION_DAYS, VISIBLE"
)
UNIQUE = "Use models.CharField(max_length=255, unique=True)."
SPELLING = "Check the spelling of the path, and that its module imports."
BASE = "powercrud_tracking.managers.ModelTrackingAsyncManager"
NAME_A_SUBCLASS = f"Name a subclass of {BASE}, or leave it out."
BESPOKE = {"RECORD_MODEL": "project.BespokeRecord"}
BESPOKE_FIELDS = "Its fields are id, key, state, note, payload, touched, touched_on."

WAYS_TO_BE_WRONG = [
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "key", "message": "note", "result": "note"}},
        "E015",
        f"{SETTING}['FIELD_MAP'] stores both 'message' and 'result' in 'note'.",
        "Give each a field of its own, or map one of them to None.",
        id="two-names-in-one-field",
    ),
    pytest.param(
        {"FIELD_MAP": {"user": "message"}},
        "E015",
        f"{SETTING}['FIELD_MAP'] stores both 'message' and 'user' in 'message'.",
        "Give each a field of its own, or map one of them to None.",
        id="a-name-in-the-field-of-a-default",
    ),
    pytest.param(
        ["FORMAT_USER"],
        "E001",
        f"{SETTING} must be a dict, got ['FORMAT_USER'].",
        f"Write {SETTING} = {{}} for the defaults.",
        id="no-dict",
    ),
    pytest.param(
        {"PAYLOAD_LIMT": 4096},
        "E002",
        f"{SETTING} has an unknown key 'PAYLOAD_LIMT'.",
        "Did you mean 'PAYLOAD_LIMIT'?",
        id="unknown-key",
    ),
    pytest.param(
        {"payload_limit": 4096},
        "E002",
        f"{SETTING} has an unknown key 'payload_limit'.",
        "Did you mean 'PAYLOAD_LIMIT'?",
        id="key-in-lower-case",
    ),
    pytest.param(
        {"COLOUR": "red"},
        "E002",
        f"{SETTING} has an unknown key 'COLOUR'.",
        f"The keys are {KEYS}.",
        id="unknown-key-like-none",
    ),
    pytest.param(
        {3: 4},
        "E002",
        f"{SETTING} has an unknown key 3.",
        f"The keys are {KEYS}.",
        id="key-no-text",
    ),
    pytest.param(
        {"PAYLOAD_LIMIT": "4096"},
        "E004",
        f"{SETTING}['PAYLOAD_LIMIT'] must be a whole number of bytes, 64 or more, got '4096'.",
        f"{CORRECT} 16384.",
        id="wrong-type",
    ),
    pytest.param(
        {"PROGRESS_INTERVAL": -1},
        "E004",
        f"{SETTING}['PROGRESS_INTERVAL'] must be a number of seconds, 0 or more, got -1.",
        f"{CORRECT} 1.0.",
        id="out-of-range",
    ),
    pytest.param(
        {"RECORD_MODEL": "project.InheritdRecord"},
        "E005",
        f"{SETTING}['RECORD_MODEL'] names 'project.InheritdRecord', which is no installed model.",
        "Did you mean 'project.InheritedRecord'?",
        id="no-model",
    ),
    pytest.param(
        {"RECORD_MODEL": "nowhere.X"},
        "E005",
        f"{SETTING}['RECORD_MODEL'] names 'nowhere.X', which is no installed model.",
        "Add its app to INSTALLED_APPS and check the spelling of the model.",
        id="no-app",
    ),
    pytest.param(
        {"RECORD_MODEL": "project.SpreadRecord"},
        "E006",
        f"{SETTING}['RECORD_MODEL'] names 'project.SpreadRecord', which inherits from a concrete "
        "model: its row would be spread over two tables.",
        "Inherit from powercrud_tracking.models.AbstractAsyncTaskRecord, or from models.Model.",
        id="concrete-parent",
    ),
    pytest.param(
        {"FIELD_MAP": {"stauts": "status"}},
        "E007",
        f"{SETTING}['FIELD_MAP'] has an unknown logical name 'stauts'.",
        "Did you mean 'status'?",
        id="unknown-logical-name",
    ),
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "key", "message": "nte"}},
        "E008",
        f"{SETTING}['FIELD_MAP'] stores 'message' in 'nte', but project.BespokeRecord has no such "
        "field.",
        "Did you mean 'note'?",
        id="no-field",
    ),
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "key", "user": "whom"}},
        "E008",
        f"{SETTING}['FIELD_MAP'] stores 'user' in 'whom', but project.BespokeRecord has no such "
        "field.",
        f"{BESPOKE_FIELDS} None means: do not store.",
        id="no-field-like-it",
    ),
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "key"}, "CREATE_DEFAULTS": {"tenant": "north"}},
        "E008",
        f"{SETTING}['CREATE_DEFAULTS'] sets 'tenant', but project.BespokeRecord has no such field.",
        BESPOKE_FIELDS,
        id="no-field-for-a-default",
    ),
    pytest.param(
        BESPOKE,
        "E009",
        "project.BespokeRecord has no field for 'task_name', by which every row is found.",
        "Add task_name = models.CharField(max_length=255, unique=True) to it, or name its field in "
        f"{SETTING}['FIELD_MAP'].",
        id="task-name-unmapped",
    ),
    pytest.param(
        {"FIELD_MAP": {"task_name": None}},
        "E009",
        "powercrud_tracking.AsyncTaskRecord has no field for 'task_name', by which every row is "
        "found.",
        "Add task_name = models.CharField(max_length=255, unique=True) to it, or name its field in "
        f"{SETTING}['FIELD_MAP'].",
        id="task-name-not-stored",
    ),
    pytest.param(
        {"RECORD_MODEL": "project.LooseRecord"},
        "E009",
        "project.LooseRecord.task_name, which holds 'task_name', must be unique text of at least "
        "36 characters.",
        UNIQUE,
        id="task-name-not-unique",
    ),
    pytest.param(
        {"RECORD_MODEL": "project.ShortRecord", "FIELD_MAP": {"status": None}},
        "E009",
        "project.ShortRecord.task_name, which holds 'task_name', must be unique text of at least "
        "36 characters.",
        UNIQUE,
        id="task-name-too-short",
    ),
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "id"}},
        "E009",
        "project.BespokeRecord.id, which holds 'task_name', must be unique text of at least 36 "
        "characters.",
        UNIQUE,
        id="task-name-no-text",
    ),
    pytest.param(
        {**BESPOKE, "FIELD_MAP": {"task_name": "key", "status": "touched"}},
        "E010",
        "project.BespokeRecord.touched must be a text field of at least 11 characters to hold "
        "every status.",
        f"Use models.CharField(max_length=16), or map 'status' to None in {SETTING}['FIELD_MAP'].",
        id="status-no-text",
    ),
    pytest.param(
        {"FORMAT_USER": "tests.project.trackin.format_user"},
        "E011",
        f"{SETTING}['FORMAT_USER'] names 'tests.project.trackin.format_user', which cannot be "
        "imported: No module named 'tests.project.trackin'.",
        SPELLING,
        id="no-module",
    ),
    pytest.param(
        {"VISIBLE": "tests.project.tracking.nobody"},
        "E011",
        f"{SETTING}['VISIBLE'] names 'tests.project.tracking.nobody', which cannot be imported: "
        'Module "tests.project.tracking" does not define a "nobody" attribute/class.',
        SPELLING,
        id="no-function",
    ),
    pytest.param(
        {"FORMAT_OBJECTS": ".label"},
        "E011",
        f"{SETTING}['FORMAT_OBJECTS'] names '.label', which cannot be imported: "
        "ValueError: Empty module name.",
        SPELLING,
        id="no-path",
    ),
    pytest.param(
        {"FORMAT_USER": "tests.project.tracking.not_callable"},
        "E012",
        f"{SETTING}['FORMAT_USER'] names 'tests.project.tracking.not_callable', which cannot be "
        "called: it is 3.",
        "Name a function.",
        id="not-callable",
    ),
    pytest.param(
        {"MANAGER_CLASS": "powercrud.async_manager.AsyncManager"},
        "E013",
        f"{SETTING}['MANAGER_CLASS'] names 'powercrud.async_manager.AsyncManager', which is no "
        f"subclass of {BASE}.",
        NAME_A_SUBCLASS,
        id="another-manager",
    ),
    pytest.param(
        {"MANAGER_CLASS": "tests.project.tracking.format_user"},
        "E013",
        f"{SETTING}['MANAGER_CLASS'] names 'tests.project.tracking.format_user', which is no "
        f"subclass of {BASE}.",
        NAME_A_SUBCLASS,
        id="manager-no-class",
    ),
    pytest.param(
        {"MANAGER_CLASS": "tests.project.tracking.Manager"},
        "E013",
        f"{SETTING}['MANAGER_CLASS'] names 'tests.project.tracking.Manager', which cannot be "
        'imported: Module "tests.project.tracking" does not define a "Manager" attribute/class.',
        NAME_A_SUBCLASS,
        id="no-manager",
    ),
    pytest.param(
        {"MANAGER_CLASS": "powercrud_tracking.factory.DashboardManager"},
        "E013",
        f"{SETTING}['MANAGER_CLASS'] names 'powercrud_tracking.factory.DashboardManager', which is "
        "itself built on the class that is named here.",
        NAME_A_SUBCLASS,
        id="manager-of-itself",
    ),
]


class TestCheckSetting:
    @pytest.mark.parametrize(("setting", "number", "message", "hint"), WAYS_TO_BE_WRONG)
    def test_each_way_to_be_wrong_has_its_id_its_words_and_what_to_type(
        self, settings, setting, number, message, hint
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        found = check_setting()

        assert found == [checks.Error(message, hint=hint, id=f"powercrud_tracking.{number}")]

    @pytest.mark.parametrize(("setting", "number", "message", "hint"), WAYS_TO_BE_WRONG)
    def test_use_refuses_in_the_words_of_the_check(self, settings, setting, number, message, hint):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        with pytest.raises(ImproperlyConfigured) as refusal:
            get_manager()

        assert str(refusal.value) == f"{message} {hint}"

    def test_all_that_is_wrong_is_printed_at_once(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 10, "FIELD_MPA": {}, "REDACT": "pin"}

        found = check_setting()

        assert [(error.id[-4:], error.msg.split(" must")[0]) for error in found] == [
            ("E004", f"{SETTING}['PAYLOAD_LIMIT']"),
            ("E002", f"{SETTING} has an unknown key 'FIELD_MPA'."),
            ("E004", f"{SETTING}['REDACT']"),
        ]

    def test_a_table_that_is_wrong_in_two_ways_is_told_both(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.ShortRecord"}

        found = check_setting()

        assert found == [
            checks.Error(
                "project.ShortRecord.task_name, which holds 'task_name', must be unique text of "
                "at least 36 characters.",
                hint=UNIQUE,
                id="powercrud_tracking.E009",
            ),
            checks.Error(
                "project.ShortRecord.status must be a text field of at least 11 characters to "
                "hold every status.",
                hint="Use models.CharField(max_length=16), or map 'status' to None in "
                f"{SETTING}['FIELD_MAP'].",
                id="powercrud_tracking.E010",
            ),
        ]

    def test_a_module_that_raises_at_import_is_named_with_what_it_raised(
        self, settings, tmp_path, monkeypatch
    ):
        (tmp_path / "raising_module.py").write_text("1 / 0\n")
        monkeypatch.syspath_prepend(tmp_path)
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "FORMAT_USER": "raising_module.label",
            "MANAGER_CLASS": "raising_module.Manager",
        }

        found = check_setting()

        assert [(error.id[-4:], error.msg) for error in found] == [
            (
                "E011",
                f"{SETTING}['FORMAT_USER'] names 'raising_module.label', which cannot be "
                "imported: ZeroDivisionError: division by zero.",
            ),
            (
                "E013",
                f"{SETTING}['MANAGER_CLASS'] names 'raising_module.Manager', which cannot be "
                "imported: ZeroDivisionError: division by zero.",
            ),
        ]

    @pytest.mark.parametrize(
        "setting",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"RECORD_MODEL": "project.NameOnlyRecord"}, id="nothing-but-a-name"),
            pytest.param(
                {
                    "RECORD_MODEL": "project.BespokeRecord",
                    "FIELD_MAP": {"task_name": "key", "status": "state", "affected": "note"},
                },
                id="other-names",
            ),
            pytest.param(
                {
                    "RECORD_MODEL": "project.InheritedRecord",
                    "CREATE_DEFAULTS": {"tenant": "north"},
                    "FORMAT_USER": "tests.project.tracking.format_user",
                    "FAILED_RESULT": "tests.project.tracking.is_failed",
                },
                id="inherited",
            ),
        ],
    )
    def test_right_settings_print_nothing(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        assert check_setting() == []


class WrongManager(ModelTrackingAsyncManager):
    field_map = {"message": "mesage"}


class TestCheckManagerClass:
    WRONG = {"MANAGER_CLASS": "tests.test_checks.WrongManager"}

    def test_what_its_attributes_are_refused_for_is_printed(self, settings):
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

    def test_what_another_check_says_is_not_said_twice(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {**self.WRONG, "PAYLOAD_LIMIT": 1}

        assert check_manager_class() == []

        settings.POWERCRUD_ASYNC_DASHBOARD = {}
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        }

        assert check_manager_class() == []

    def test_the_built_in_class_is_right(self):
        assert check_manager_class() == []


def find_of(view):
    """Return what check_views says of one view; views of other tests may still be alive."""
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
                "['RETENTION_DAYS'] cannot be set there: it belongs to the pages, the upkeep or "
                "the class of all managers, which serve the whole project.",
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
    def test_a_view_is_named_with_what_is_wrong(self, overrides, number, message, hint):
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

    def test_a_view_of_the_project_urls_is_right(self):
        from tests.project.views import WidgetView

        assert find_of(WidgetView) == []

    def test_a_view_that_inherits_twice_is_told_once(self):
        class Left(AsyncDashboardMixin):
            pass

        class Right(AsyncDashboardMixin):
            pass

        class Both(Left, Right):
            async_dashboard = {"LOST_AFTER": 3}

        assert len(find_of(Both)) == 1

    @pytest.mark.parametrize(
        "setting",
        [
            pytest.param({"FIELD_MAP": 3}, id="wrong-type"),
            pytest.param({"RECORD_MODEL": "nowhere.X"}, id="no-model"),
            pytest.param([], id="no-dict"),
        ],
    )
    def test_a_view_is_not_blamed_for_the_setting(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        class Good(AsyncDashboardMixin):
            async_dashboard = {"PAYLOAD_LIMIT": 4096}

        class Bad(AsyncDashboardMixin):
            async_dashboard = {"PAYLOAD_LIMIT": 1}

        assert find_of(Good) == []
        assert [error.id for error in find_of(Bad)] == ["powercrud_tracking.E004"]


class TestCheckCache:
    HINT = (
        "Point POWERCRUD_SETTINGS['CACHE_NAME'] at a cache that all processes share, such as "
        "django.core.cache.backends.db.DatabaseCache or Redis."
    )

    def test_a_cache_of_one_process_is_refused_in_powercruds_words(self, settings):
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

    def test_a_cache_that_is_not_there_is_refused(self, settings):
        settings.POWERCRUD_SETTINGS = {**settings.POWERCRUD_SETTINGS, "CACHE_NAME": "shared"}

        found = check_cache()

        assert found == [
            checks.Error(
                "PowerCRUD refuses its cache: The connection 'shared' doesn't exist.",
                hint=self.HINT,
                id="powercrud_tracking.E014",
            )
        ]

    def test_a_cache_of_files_is_right(self):
        assert check_cache() == []


class TestCheckWiring:
    def test_powercrud_settings_that_are_no_dict_are_no_traceback(self, settings):
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
    def test_a_bad_default_of_powercrud_is_no_traceback(self, settings, default):
        settings.POWERCRUD_SETTINGS = {"ASYNC_MANAGER_DEFAULT": default}

        # A view of the test project uses the mixin.
        assert check_wiring() == []


class OldTracker(PowercrudsTracker):
    """A project's subclass of PowerCRUD's own tracker."""

    record_model_path = "project.InheritedRecord"


class TestCheckMigration:
    HINT = (
        "Move it over as docs/migrating-from-powercrud.md says: by an import or by settings, and "
        "no row is lost. If both shall stay for a while, silence this check."
    )
    OURS = {"manager_class": "powercrud_tracking.factory.DashboardManager"}

    def find_of(self, name):
        return [found for found in check_migration() if found.msg.startswith(f"{name} ")]

    @pytest.mark.parametrize("tracker", [PowercrudsTracker, OldTracker])
    def test_the_default_is_named_with_its_class_and_the_guide(self, settings, tracker):
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
            {"async_manager_class_path": "tests.test_checks.OldTracker"},
        ],
        ids=lambda attributes: next(iter(attributes)),
    )
    def test_a_view_is_named_whichever_attribute_it_uses(self, attributes):
        view = type("OldView", (AsyncMixin,), attributes)

        assert [found.msg for found in self.find_of(view.__name__)][-1] == (
            "OldView still records with PowerCRUD's own tracker, tests.test_checks.OldTracker, "
            "beside powercrud_tracking."
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
        ids=["none", "ours", "plain", "nowhere", "no-text"],
    )
    def test_any_other_manager_of_a_view_is_no_matter(self, attributes):
        view = type("OtherView", (AsyncMixin,), attributes)

        assert self.find_of(view.__name__) == []

    def test_a_view_with_our_mixin_is_no_matter(self):
        class MovedView(AsyncDashboardMixin, AsyncMixin):
            async_manager_class = OldTracker

        assert self.find_of("MovedView") == []

    @pytest.mark.parametrize("default", [None, "x", {}, OURS, {"manager_class": "nowhere.X"}])
    def test_another_default_is_no_matter(self, settings, default):
        settings.POWERCRUD_SETTINGS = {"ASYNC_MANAGER_DEFAULT": default}

        assert self.find_of("POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT']") == []

    def test_the_guide_is_there(self):
        assert (ROOT / "docs" / "migrating-from-powercrud.md").exists()


@pytest.mark.django_db(databases="__all__")
class TestCheckSchedules:
    def test_powercruds_own_clean_up_is_named_with_what_to_do(self):
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

    def test_the_path_of_powercruds_clean_up_is_still_right(self):
        from powercrud import schedules

        assert f"{schedules.__name__}.cleanup_async_artifacts" == POWERCRUD_CLEANUP
        assert callable(schedules.cleanup_async_artifacts)

    def test_check_with_a_database_asks_and_without_one_does_not(
        self, capsys, django_assert_num_queries
    ):
        Schedule.objects.create(name="nightly", func=POWERCRUD_CLEANUP)

        with django_assert_num_queries(0):
            assert check_schedules() == []
        call_command("check", "powercrud_tracking")
        without = capsys.readouterr()
        call_command("check", "powercrud_tracking", databases=["default"])
        with_database = capsys.readouterr()

        assert "W002" not in without.err
        assert "(powercrud_tracking.W002) The schedule 'nightly' runs" in with_database.err


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
    def test_bad_settings_are_printed_and_no_traceback_though_the_urls_import_the_factory(
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

    def test_values_of_the_wrong_type_are_printed_and_no_traceback(self, tmp_path):
        result = run_check(
            tmp_path,
            f"{SETTING} = {{'MANAGER_CLASS': 3, 'FIELD_MAP': 3, 'RECORD_MODEL': 3, 'VISIBLE': 3}}",
        )

        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert "System check identified 4 issues (0 silenced)." in result.stderr

    def test_right_settings_print_nothing(self, tmp_path):
        result = run_check(tmp_path)

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"
        assert result.stderr == ""

    def test_nothing_wired_is_a_warning(self, tmp_path):
        result = run_check(tmp_path, *NOTHING_WIRED)

        assert result.returncode == 0
        assert (
            "?: (powercrud_tracking.W001) powercrud_tracking is installed, but no task will be "
            "recorded: neither PowerCRUD's default manager nor any view that is loaded uses it.\n"
            "\tHINT: Set POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT'] = {'manager_class': "
            "'powercrud_tracking.factory.DashboardManager'}, or put "
            "powercrud_tracking.mixins.AsyncDashboardMixin on a view.\n"
        ) in result.stderr

    def test_the_warning_can_be_silenced(self, tmp_path):
        result = run_check(
            tmp_path, *NOTHING_WIRED, "SILENCED_SYSTEM_CHECKS = ['powercrud_tracking.W001']"
        )

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (1 silenced).\n"
        assert result.stderr == ""

    def test_the_default_manager_is_wiring_enough(self, tmp_path):
        result = run_check(tmp_path, *NOTHING_WIRED[1:])

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"

    def test_a_view_with_the_mixin_is_wiring_enough(self, tmp_path):
        result = run_check(tmp_path, "POWERCRUD_SETTINGS = {}")

        assert result.returncode == 0
        assert result.stdout == "System check identified no issues (0 silenced).\n"

    def test_a_database_without_tables_is_no_traceback(self, tmp_path):
        result = run_check(
            tmp_path,
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}",
            arguments=["--database", "default"],
        )

        assert result.returncode == 0
        assert result.stderr == ""


@pytest.mark.django_db
class TestDefaultManager:
    @pytest.mark.parametrize(
        ("path", "hint"),
        [
            ("powercrud_tracking.factory.DashbordManager", "Did you mean"),
            ("shop.nowhere.Manager", "To record tasks, name"),
        ],
    )
    def test_one_that_cannot_be_imported_is_said_with_a_guess(self, settings, path, hint):
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

    def test_ours_is_right(self):
        assert not [each for each in checks.run_checks() if each.id == "powercrud_tracking.E016"]


@pytest.mark.django_db
class TestPoll:
    def test_without_powercrud_s_urls_its_dialog_would_lie(self, settings):
        settings.ROOT_URLCONF = "tests.project.urls_with_admin_only"

        found = [each for each in checks.run_checks() if each.id == "powercrud_tracking.W004"]

        assert [each.msg for each in found] == [
            "PowerCRUD's URLs are not among the project's: its dialog will say that a task could "
            "not be queued, although it is queued and runs."
        ]
        assert "DashboardManager.get_urlpatterns()" in found[0].hint

    def test_with_them_nothing_is_said(self):
        assert not [each for each in checks.run_checks() if each.id == "powercrud_tracking.W004"]
