"""The check of the setting."""

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.checks import (
    check_setting,
)
from powercrud_tracking.factory import get_manager

SETTING = "POWERCRUD_ASYNC_DASHBOARD"
CORRECT = "Correct it, or leave it out for the default"
KEYS = (
    "ALLOWED, BASE_TEMPLATE, CREATE_DEFAULTS, FAILED_RESULT, FIELD_MAP, FORMAT_OBJECTS, "
    "FORMAT_PAYLOAD, FORMAT_USER, LOST_AFTER, MANAGER_CLASS, OBJECTS_LIMIT, OBJECTS_OF, "
    "PAYLOAD_LIMIT, PROGRESS_INTERVAL, RECORD_MODEL, REDACT, RETENTION_DAYS, RETRY, VISIBLE"
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
    def test_each_problem_has_an_id_a_message_and_a_hint(
        self, settings, setting, number, message, hint
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        found = check_setting()

        assert found == [checks.Error(message, hint=hint, id=f"powercrud_tracking.{number}")]

    @pytest.mark.parametrize(("setting", "number", "message", "hint"), WAYS_TO_BE_WRONG)
    def test_using_an_invalid_setting_raises_the_message_of_the_check(
        self, settings, setting, number, message, hint
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        with pytest.raises(ImproperlyConfigured) as refusal:
            get_manager()

        assert str(refusal.value) == f"{message} {hint}"

    def test_all_problems_are_reported_at_once(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 10, "FIELD_MPA": {}, "REDACT": "pin"}

        found = check_setting()

        assert [(error.id[-4:], error.msg.split(" must")[0]) for error in found] == [
            ("E004", f"{SETTING}['PAYLOAD_LIMIT']"),
            ("E002", f"{SETTING} has an unknown key 'FIELD_MPA'."),
            ("E004", f"{SETTING}['REDACT']"),
        ]

    def test_two_problems_of_a_table_are_both_reported(self, settings):
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

    def test_an_unknown_key_does_not_hide_a_manager_class_that_cannot_be_imported(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMT": 1, "MANAGER_CLASS": "nowhere.X"}

        assert [error.id[-4:] for error in check_setting()] == ["E002", "E013"]

    def test_the_error_for_a_module_that_cannot_be_imported_names_its_exception(
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
    def test_valid_settings_have_no_problem(self, settings, setting):
        settings.POWERCRUD_ASYNC_DASHBOARD = setting

        assert check_setting() == []
