"""The valid values of each setting key, and where the key is allowed: one row for each key."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from powercrud_tracking.config.dashboard_config import MAX_DAYS, MAX_SECONDS
from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.serialization.redaction import compile_redaction


@dataclass(frozen=True, kw_only=True)
class Key:
    """The valid values of one key.

    Args:
        wanted: a description of the valid values, for error messages.
        is_valid: whether a value written in the setting has the right type and range.
        on_views: whether a view may override it; recording uses such keys, the others serve the
            whole project.
        function: whether it may be the dotted path of a function, and in Python a callable.
    """

    wanted: str
    is_valid: Callable[[object], bool]
    on_views: bool = False
    function: bool = False


ACTIONS = "actions"
"""What ``RETENTION_DAYS`` calls the rows of what people did with tasks."""

RETAINED = frozenset({ACTIONS, *map(str, FINISHED)})
"""The keys of ``RETENTION_DAYS``."""


def _is_number(value: object, least: float, most: float = float("inf")) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value <= most
        and value != float("inf")
    )


def _is_days(value: object) -> bool:
    return value is None or (isinstance(value, int) and _is_number(value, 0, MAX_DAYS))


def _is_retention(value: object) -> bool:
    if not isinstance(value, Mapping):
        return _is_days(value)
    return set(value) <= RETAINED and all(map(_is_days, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_dotted_path(value: object) -> bool:
    return isinstance(value, str) and "." in value


def _is_model_path(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w+\.\w+", value) is not None


def _is_field_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and (field is None or isinstance(field, str))
        for key, field in value.items()
    )


def _is_dict_of_fields(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_redaction(value: object) -> bool:
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        return False
    try:
        # Compile them together, as they are used: valid patterns may not combine.
        compile_redaction(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


_PATH = "a dotted path such as 'shop.tracking.label'"


def _optional_function(*, on_views: bool = False) -> Key:
    return Key(
        wanted=f"{_PATH} or None",
        is_valid=lambda value: value is None or _is_dotted_path(value),
        on_views=on_views,
        function=True,
    )


KEYS: Mapping[str, Key] = {
    "record_model": Key(
        wanted="'app_label.ModelName'",
        is_valid=_is_model_path,
        on_views=True,
    ),
    "field_map": Key(
        wanted="a dict of logical names to field names or None",
        is_valid=_is_field_map,
        on_views=True,
    ),
    "create_defaults": Key(
        wanted=f"a dict of field names to values or {_PATH}",
        is_valid=lambda value: _is_dict_of_fields(value) or _is_dotted_path(value),
        on_views=True,
        function=True,
    ),
    "format_user": _optional_function(on_views=True),
    "format_objects": _optional_function(on_views=True),
    "format_payload": _optional_function(on_views=True),
    "failed_result": _optional_function(on_views=True),
    "redact": Key(
        wanted="a list of regular expressions",
        is_valid=_is_redaction,
        on_views=True,
    ),
    "payload_limit": Key(
        wanted="a whole number of bytes, 64 or more",
        is_valid=lambda value: isinstance(value, int) and _is_number(value, 64),
        on_views=True,
    ),
    "progress_interval": Key(
        wanted="a number of seconds, 0 or more",
        is_valid=lambda value: _is_number(value, 0),
        on_views=True,
    ),
    "manager_class": Key(
        wanted="the dotted path of a class",
        is_valid=_is_text,
    ),
    "lost_after": Key(
        wanted=f"a number of seconds from 1 to {MAX_SECONDS}",
        is_valid=lambda value: _is_number(value, 1, MAX_SECONDS),
    ),
    "retention_days": Key(
        wanted=f"a whole number of days up to {MAX_DAYS}, None, or a dict of "
        f"{', '.join(sorted(RETAINED))} to numbers of days",
        is_valid=_is_retention,
    ),
    "base_template": Key(
        wanted="the name of a template",
        is_valid=_is_text,
    ),
    "visible": _optional_function(),
    "objects_of": _optional_function(on_views=True),
    "objects_limit": Key(
        wanted="a whole number, 0 or more",
        is_valid=lambda value: isinstance(value, int) and _is_number(value, 0),
        on_views=True,
    ),
    "allowed": _optional_function(),
    "retry": _optional_function(),
}
"""Field name of ``DashboardConfig`` to what it may hold."""

VIEW_KEYS = frozenset(name.upper() for name, key in KEYS.items() if key.on_views)
"""The keys that a view may override."""

FUNCTION_NAMES = tuple(name for name, key in KEYS.items() if key.function)
"""The fields of ``DashboardConfig`` that may hold the dotted path of a function."""
