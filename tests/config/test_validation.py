import re
from datetime import timedelta
from types import MappingProxyType

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from powercrud_tracking.config.dashboard_config import (
    MAX_DAYS,
    MAX_SECONDS,
    SETTING_KEYS,
    DashboardConfig,
)
from powercrud_tracking.config.keys import VIEW_KEYS
from powercrud_tracking.config.problems import Problem, Source, get_suggestion, raise_first
from powercrud_tracking.config.validation import (
    find_key_problems,
    find_problems,
    find_setting_problems,
    require_valid,
    require_valid_setting,
)

SETTING = Source(name="SHOP")
VIEW = Source(name="BookView.async_dashboard", keys=VIEW_KEYS)
PYTHON = Source(name="Manager config", in_python=True)
NAN = float("nan")
INFINITY = float("inf")

FUNCTION = "a dotted path such as 'shop.tracking.label' or None"
DEFAULTS = "a dict of field names to values or a dotted path such as 'shop.tracking.label'"
MAP = "a dict of logical names to field names or None"
DAYS = (
    "a whole number of days up to 36500, None, or a dict of "
    "actions, cancelled, failed, lost, success to numbers of days"
)


def params(key, wanted, *values):
    return [pytest.param(key, value, wanted, id=f"{key}-{value!r:.30}") for value in values]


WRONG_VALUES = [
    *params("RECORD_MODEL", "'app_label.ModelName'", None, 3, "", "Record", "a.b.Record", "a."),
    *params("FIELD_MAP", MAP, None, [], {3: "status"}, {"status": 3}),
    *params("CREATE_DEFAULTS", DEFAULTS, None, [], "get_defaults", {3: "north"}, len),
    *params("FORMAT_USER", FUNCTION, 3, "", "format_user", len),
    *params("FORMAT_OBJECTS", FUNCTION, {}, "format_objects", len),
    *params("FORMAT_PAYLOAD", FUNCTION, [], "format_payload", len),
    *params("FAILED_RESULT", FUNCTION, False, "is_failed", len),
    *params("VISIBLE", FUNCTION, True, "visible", len),
    *params("OBJECTS_OF", FUNCTION, 3, "objects", len),
    *params("OBJECTS_LIMIT", "a whole number, 0 or more", None, -1, 1.5, True, "9"),
    *params("ALLOWED", FUNCTION, True, "allowed", len),
    *params("RETRY", FUNCTION, 3, "retry", len),
    *params(
        "REDACT",
        "a list of regular expressions",
        None,
        "pin",
        ["("],
        [3],
        [None],
        ["a{99999999999999999999}"],
        ["(?P<a>x)", "(?P<a>y)"],
    ),
    *params(
        "PAYLOAD_LIMIT",
        "a whole number of bytes, 64 or more",
        None,
        "4096",
        63,
        64.5,
        True,
        INFINITY,
    ),
    *params(
        "PROGRESS_INTERVAL", "a number of seconds, 0 or more", None, "1", -0.1, False, NAN, INFINITY
    ),
    *params(
        "LOST_AFTER",
        "a number of seconds from 1 to 3153600000",
        None,
        "300",
        0,
        True,
        NAN,
        INFINITY,
        1e12,
        10**12,
    ),
    *params(
        "RETENTION_DAYS",
        DAYS,
        "30",
        1.5,
        -1,
        True,
        {"open": 3},
        {"pending": 3},
        {"success": -1},
        [3],
        36_501,
        999_999,
        {"failed": 999_999},
    ),
    *params("MANAGER_CLASS", "the dotted path of a class", None, "", dict),
    *params("BASE_TEMPLATE", "the name of a template", None, "", 3),
]

RIGHT_VALUES = [
    ("RECORD_MODEL", "project.NameOnlyRecord"),
    ("FIELD_MAP", {"message": None, "user": "user_label"}),
    ("FIELD_MAP", MappingProxyType({"affected": None})),
    ("CREATE_DEFAULTS", {"task_group": "shop"}),
    ("CREATE_DEFAULTS", "tests.project.tracking.get_defaults"),
    ("FORMAT_USER", None),
    ("FORMAT_USER", "tests.project.tracking.format_user"),
    ("FAILED_RESULT", "tests.project.tracking.is_failed"),
    ("VISIBLE", None),
    ("ALLOWED", None),
    ("RETRY", None),
    ("REDACT", []),
    ("REDACT", ["(?i)pin", "(pass|word)$"]),
    ("REDACT", ("pin",)),
    ("PAYLOAD_LIMIT", 64),
    ("PROGRESS_INTERVAL", 0),
    ("PROGRESS_INTERVAL", 0.5),
    ("LOST_AFTER", 1),
    ("LOST_AFTER", 90.5),
    ("LOST_AFTER", 3_153_600_000),
    ("RETENTION_DAYS", None),
    ("RETENTION_DAYS", 0),
    ("RETENTION_DAYS", {"success": 3, "failed": None, "lost": 0, "cancelled": 1, "actions": 9}),
    ("RETENTION_DAYS", {}),
    ("RETENTION_DAYS", 36_500),
    ("MANAGER_CLASS", "powercrud_tracking.managers.ModelTrackingAsyncManager"),
    ("BASE_TEMPLATE", "shop/base.html"),
]


def find(values, source=SETTING):
    return list(find_problems(values, base=DashboardConfig(), source=source))


def get_numbers(problems):
    return [problem.id.removeprefix("powercrud_tracking.") for problem in problems]


class TestValues:
    @pytest.mark.parametrize(("key", "value", "wanted"), WRONG_VALUES)
    def test_the_message_for_a_wrong_value_names_the_valid_and_the_given_one(
        self, key, value, wanted
    ):
        found = find({key: value})

        default = getattr(DashboardConfig(), key.lower())
        assert found == [
            Problem(
                id="powercrud_tracking.E004",
                message=f"SHOP['{key}'] must be {wanted}, got {value!r}.",
                hint=f"Correct it, or leave it out for the default {default!r}.",
            )
        ]

    @pytest.mark.parametrize(
        ("key", "value"),
        [pytest.param(key, value, id=f"{key}-{value!r:.30}") for key, value in RIGHT_VALUES],
    )
    def test_a_valid_value_is_no_problem(self, key, value):
        assert find({key: value}) == []

    @pytest.mark.parametrize("key", SETTING_KEYS)
    def test_each_default_is_valid(self, key):
        assert find({key: getattr(DashboardConfig(), key.lower())}) == []

    @pytest.mark.parametrize("key", SETTING_KEYS)
    def test_each_key_has_an_invalid_value(self, key):
        assert key in {param.values[0] for param in WRONG_VALUES}

    @pytest.mark.parametrize("longest", [{"days": MAX_DAYS}, {"seconds": MAX_SECONDS}])
    def test_the_longest_duration_reaches_back_to_a_date_that_every_database_holds(self, longest):
        assert (timezone.now() - timedelta(**longest)).year > 1900


class TestSeveralProblems:
    @pytest.mark.parametrize(
        ("bad", "number"),
        [
            pytest.param({"PAYLOAD_LIMIT": 1}, "E004", id="out-of-range"),
            pytest.param({"PAYLOAD_LIMT": 4096}, "E002", id="unknown"),
        ],
    )
    @pytest.mark.parametrize(
        ("other", "other_number"),
        [
            pytest.param({"RECORD_MODEL": "nowhere.Record"}, "E005", id="model"),
            pytest.param({"FIELD_MAP": {"user": "usr"}}, "E008", id="field"),
            pytest.param({"FORMAT_USER": "nowhere.label"}, "E011", id="function"),
        ],
    )
    def test_one_bad_key_hides_no_problem_of_another(self, bad, number, other, other_number):
        assert get_numbers(find({**bad, **other})) == [number, other_number]

    @pytest.mark.parametrize(
        "values",
        [
            {"RECORD_MODEL": "project.BespokeRecord", "FIELD_MAP": ["task_name"]},
            {"RECORD_MODEL": 3, "FIELD_MAP": {"task_name": "key"}},
        ],
        ids=["map", "model"],
    )
    def test_an_invalid_field_map_causes_no_further_problems_of_the_table(self, values):
        assert get_numbers(find(values)) == ["E004"]

    def test_problems_of_a_lower_layer_are_not_reported_again(self):
        base = DashboardConfig(record_model="nowhere.Record", format_user="nowhere.label")

        found = find_problems({"FORMAT_OBJECTS": "nowhere.name"}, base=base, source=VIEW)

        assert [problem.message[:42] for problem in found] == [
            "BookView.async_dashboard['FORMAT_OBJECTS']"
        ]


class TestSources:
    @pytest.mark.parametrize("key", sorted(VIEW_KEYS))
    def test_a_view_may_set_the_keys_that_recording_uses(self, key):
        value = getattr(DashboardConfig(), key.lower())

        assert list(find_key_problems({key: value}, VIEW)) == []

    @pytest.mark.parametrize("key", sorted(set(SETTING_KEYS) - VIEW_KEYS))
    def test_a_view_may_not_set_keys_of_pages_and_maintenance(self, key):
        value = getattr(DashboardConfig(), key.lower())

        found = list(find_key_problems({key: value}, VIEW))

        assert found == [
            Problem(
                id="powercrud_tracking.E003",
                message=f"BookView.async_dashboard['{key}'] cannot be set there: it belongs to the "
                "pages, the maintenance or the class of all managers, which serve the whole "
                "project.",
                hint="Move it to POWERCRUD_ASYNC_DASHBOARD.",
            )
        ]

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({"record_model_path": "project.NameOnlyRecord"}, id="record_model_path"),
            pytest.param({"format_affected": len}, id="format_affected"),
            pytest.param({"format_user": len}, id="format_user"),
            pytest.param({"FORMAT_USER": len}, id="upper-case"),
            pytest.param({"create_defaults": lambda task_name, payload: {}}, id="create_defaults"),
        ],
    )
    def test_python_code_may_use_callables_and_the_key_names_of_powercrud(self, values):
        assert find(values, PYTHON) == []
        assert find(values, SETTING) != []

    def test_an_unknown_key_in_python_code_is_an_error(self):
        found = find({"payload_limt": 3}, PYTHON)

        assert found == [
            Problem(
                id="powercrud_tracking.E002",
                message="Manager config has an unknown key 'payload_limt'.",
                hint="Did you mean 'PAYLOAD_LIMIT'?",
            )
        ]


class TestRequireValid:
    def test_require_valid_merges_the_layer_into_the_base(self):
        base = DashboardConfig(payload_limit=1024)

        config = require_valid({"progress_interval": 5}, base=base, source=PYTHON)

        assert config == DashboardConfig(payload_limit=1024, progress_interval=5)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            pytest.param(
                {"payload_limit": 1, "progress_interval": -1},
                "Manager config['PAYLOAD_LIMIT'] must be a whole number of bytes, 64 or more, "
                "got 1. Correct it, or leave it out for the default 16384.",
                id="shape",
            ),
            pytest.param(
                {"record_model": "project.LooseRecrd"},
                "Manager config['RECORD_MODEL'] names 'project.LooseRecrd', which is no installed "
                "model. Did you mean 'project.LooseRecord'?",
                id="reference",
            ),
        ],
    )
    def test_require_valid_raises_the_first_problem(self, values, message):
        with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(message)}$"):
            require_valid(values, base=DashboardConfig(), source=PYTHON)

    def test_a_corrected_path_is_valid_after_the_settings_change(
        self, settings, tmp_path, monkeypatch
    ):
        values = {"format_user": "later_module.label"}
        with pytest.raises(ImproperlyConfigured, match="No module named 'later_module'"):
            require_valid(values, base=DashboardConfig(), source=PYTHON)

        (tmp_path / "later_module.py").write_text("def label(user):\n    return 'later'\n")
        monkeypatch.syspath_prepend(tmp_path)

        config = require_valid(values, base=DashboardConfig(), source=PYTHON)

        assert config.format_user == "later_module.label"


class TestRequireValidSetting:
    def test_a_changed_setting_is_validated_again(self, settings):
        require_valid_setting()

        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1}

        with pytest.raises(ImproperlyConfigured, match=re.escape("['PAYLOAD_LIMIT'] must be")):
            require_valid_setting()

        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1024}

        require_valid_setting()
        assert list(find_setting_problems()) == []


class TestProblems:
    def test_a_problem_as_text_has_message_and_hint(self):
        problem = Problem(id="shop.E001", message="It is red.", hint="Paint it.")

        assert str(problem) == "It is red. Paint it."

    def test_raise_first_without_a_problem_raises_nothing(self):
        assert raise_first([]) is None

    @pytest.mark.parametrize(
        ("word", "hint"),
        [
            pytest.param("stauts", "Did you mean 'status'?", id="near"),
            pytest.param("colour", "Look it up.", id="far"),
            pytest.param("", "Look it up.", id="empty"),
        ],
    )
    def test_a_name_is_suggested_only_if_it_is_similar(self, word, hint):
        assert get_suggestion(word, {"status", "message"}, "Look it up.") == hint
