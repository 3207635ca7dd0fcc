"""The one judge of a configuration: system checks print what it finds, use refuses at the first.

The same words reach the person who runs ``manage.py check`` and the one who reads a traceback.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import (
    SETTING_KEYS,
    DashboardConfig,
    get_field_name,
    read_keys,
)
from powercrud_tracking.config.problems import Problem, Source, get_guess, refuse
from powercrud_tracking.config.references import find_reference_problems
from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.serialization.redaction import compile_redaction

VIEW_KEYS = frozenset(
    {
        "RECORD_MODEL",
        "FIELD_MAP",
        "CREATE_DEFAULTS",
        "FORMAT_USER",
        "FORMAT_OBJECTS",
        "FORMAT_PAYLOAD",
        "FAILED_RESULT",
        "REDACT",
        "PAYLOAD_LIMIT",
        "PROGRESS_INTERVAL",
    }
)
"""What recording uses, and so what a view may override."""

SETTING = Source(name=setting.SETTING)


def find_setting_problems() -> Iterator[Problem]:
    """Yield whatever is wrong with the setting as it is now."""
    yield from find_problems(setting.get_setting(), base=DashboardConfig(), source=SETTING)


@cache
def require_valid_setting() -> None:
    """Refuse a bad setting; a good one is judged once.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    refuse(find_setting_problems())


setting.clear_when_settings_change(require_valid_setting)


def find_problems(values: object, *, base: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield whatever is wrong with a dict of keys, laid over ``base``.

    The models and paths that it names are looked at only if its keys and types are right.
    """
    shape = list(find_shape_problems(values, source))
    yield from shape
    if not shape and isinstance(values, Mapping):
        yield from find_reference_problems(base.lay(read_keys(values)), source)


def require_valid(
    values: Mapping[str, Any], *, base: DashboardConfig, source: Source
) -> DashboardConfig:
    """Return a dict of keys laid over ``base``.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    refuse(find_shape_problems(values, source))
    config = base.lay(read_keys(values))
    _require_valid_references(config, source)
    return config


@lru_cache(maxsize=128)
def _require_valid_references(config: DashboardConfig, source: Source) -> None:
    refuse(find_reference_problems(config, source))


setting.clear_when_settings_change(_require_valid_references)


# --- keys, types and ranges ------------------------------------------------------------


def find_shape_problems(values: object, source: Source) -> Iterator[Problem]:
    """Yield whatever is wrong with the keys, types and ranges of a dict of keys."""
    if not isinstance(values, Mapping):
        yield Problem(
            id="powercrud_tracking.E001",
            message=f"{source.name} must be a dict, got {values!r}.",
            hint=f"Write {source.name} = {{}} for the defaults.",
        )
        return
    for key, value in values.items():
        known = get_field_name(key) if source.in_python or key in SETTING_KEYS else None
        if known is None:
            yield _get_unknown_key_problem(key, source)
        elif known.upper() not in source.keys:
            yield Problem(
                id="powercrud_tracking.E003",
                message=f"{source.label(known)} cannot be set there: it belongs to the pages, "
                "the upkeep or the class of all managers, which serve the whole project.",
                hint=f"Move it to {setting.SETTING}.",
            )
        else:
            yield from _find_value_problems(known, value, source)


def _get_unknown_key_problem(key: object, source: Source) -> Problem:
    return Problem(
        id="powercrud_tracking.E002",
        message=f"{source.name} has an unknown key {key!r}.",
        hint=get_guess(
            str(key).upper(), source.keys, f"The keys are {', '.join(sorted(source.keys))}."
        ),
    )


def _is_number(value: object, least: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value < float("inf")
    )


def _is_days(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_model_path(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w+\.\w+", value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_field_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and (field is None or isinstance(field, str))
        for key, field in value.items()
    )


def _is_dict_of_fields(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_retention(value: object) -> bool:
    if not isinstance(value, Mapping):
        return _is_days(value)
    return set(value) <= {str(status) for status in FINISHED} and all(map(_is_days, value.values()))


def _is_redaction(value: object) -> bool:
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        return False
    try:
        # As they are used: some that compile alone do not fit together.
        compile_redaction(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


_FUNCTION = "a dotted path such as 'shop.tracking.label'"
_SHAPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "record_model": (_is_model_path, "'app_label.ModelName'"),
    "field_map": (_is_field_map, "a dict of logical names to field names or None"),
    "redact": (_is_redaction, "a list of regular expressions"),
    "payload_limit": (
        lambda value: isinstance(value, int) and _is_number(value, 64),
        "a whole number of bytes, 64 or more",
    ),
    "progress_interval": (
        lambda value: _is_number(value, 0),
        "a number of seconds, 0 or more",
    ),
    "manager_class": (_is_text, "the dotted path of a class"),
    "lost_after": (lambda value: _is_number(value, 1), "a number of seconds, 1 or more"),
    "retention_days": (
        _is_retention,
        "a number of days, None, or a dict of success, failed and lost to such",
    ),
    "base_template": (_is_text, "the name of a template"),
}


def _find_value_problems(name: str, value: object, source: Source) -> Iterator[Problem]:
    if name in _SHAPES:
        is_right, wanted = _SHAPES[name]
    elif name == "create_defaults":
        is_right, wanted = (
            lambda v: _is_dict_of_fields(v) or _is_function(v, source),
            f"a dict of field names to values or {_FUNCTION}",
        )
    else:
        is_right, wanted = lambda v: v is None or _is_function(v, source), f"{_FUNCTION} or None"
    if not is_right(value):
        yield Problem(
            id="powercrud_tracking.E004",
            message=f"{source.label(name)} must be {wanted}, got {value!r}.",
            hint=f"Correct it, or leave it out for the default "
            f"{getattr(DashboardConfig(), name)!r}.",
        )


def _is_function(value: object, source: Source) -> bool:
    if source.in_python and callable(value):
        return True
    return isinstance(value, str) and "." in value
