"""Validate a configuration.

System checks report every problem; building a manager raises the first, with the same text.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import (
    SETTING_KEYS,
    DashboardConfig,
    get_field_name,
    read_keys,
)
from powercrud_tracking.config.keys import KEYS
from powercrud_tracking.config.problems import Problem, Source, get_suggestion, raise_first
from powercrud_tracking.config.references import find_function_problems, find_reference_problems

SETTING = Source(name=setting.SETTING)


def find_setting_problems() -> Iterator[Problem]:
    """Yield every problem of the setting as it is now."""
    yield from find_problems(setting.get_setting(), base=DashboardConfig(), source=SETTING)


@cache
def require_valid_setting() -> None:
    """Raise an error if the setting is invalid; a valid one is checked only once.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    raise_first(find_setting_problems())


@cache
def get_valid_setting() -> DashboardConfig:
    """Return the setting merged into the defaults, without the keys of a wrong type."""
    return DashboardConfig().merge(_read_valid_keys(setting.get_setting(), SETTING))


def find_problems(values: object, *, base: DashboardConfig, source: Source) -> Iterator[Problem]:
    """Yield every problem of a dict of keys that is merged into ``base``.

    A key of a wrong type is left out, so that it hides no problem of another key. Problems of
    ``base`` itself are not reported.
    """
    yield from find_key_problems(values, source)
    valid = _read_valid_keys(values, source)
    given = set(map(get_field_name, values)) if isinstance(values, Mapping) else set()
    # A record model without its field map, or the reverse, would cause problems that are not real.
    is_table_known = not (given - valid.keys()) & {"record_model", "field_map"}
    find = find_reference_problems if is_table_known else find_function_problems
    known = set(find(base, source))
    yield from (each for each in find(base.merge(valid), source) if each not in known)


def require_valid(
    values: Mapping[str, Any], *, base: DashboardConfig, source: Source
) -> DashboardConfig:
    """Return ``base``, which has been checked, with a dict of keys merged into it.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    raise_first(find_key_problems(values, source))
    config = base.merge(read_keys(values))
    _require_valid_references(config, source)
    return config


@lru_cache(maxsize=128)
def _require_valid_references(config: DashboardConfig, source: Source) -> None:
    raise_first(find_reference_problems(config, source))


setting.clear_when_settings_change(
    require_valid_setting, get_valid_setting, _require_valid_references
)


def find_key_problems(values: object, source: Source) -> Iterator[Problem]:
    """Yield the problems with the names, types and ranges of a dict of keys."""
    if not isinstance(values, Mapping):
        yield Problem(
            id="powercrud_tracking.E001",
            message=f"{source.name} must be a dict, got {values!r}.",
            hint=f"Write {source.name} = {{}} for the defaults.",
        )
        return
    for key, value in values.items():
        problem = _find_key_problem(key, value, source)
        if problem is not None:
            yield problem


def _read_valid_keys(values: object, source: Source) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        return {}
    return read_keys({k: v for k, v in values.items() if _find_key_problem(k, v, source) is None})


def _find_key_problem(key: object, value: object, source: Source) -> Problem | None:
    name = get_field_name(key) if source.in_python or key in SETTING_KEYS else None
    if name is None:
        return Problem(
            id="powercrud_tracking.E002",
            message=f"{source.name} has an unknown key {key!r}.",
            hint=get_suggestion(
                str(key).upper(), source.keys, f"The keys are {', '.join(sorted(source.keys))}."
            ),
        )
    if name.upper() not in source.keys:
        return Problem(
            id="powercrud_tracking.E003",
            message=f"{source.label(name)} cannot be set there: it belongs to the pages, the "
            "maintenance or the class of all managers, which serve the whole project.",
            hint=f"Move it to {setting.SETTING}.",
        )
    if KEYS[name].is_valid(value) or (KEYS[name].function and source.in_python and callable(value)):
        return None
    return Problem(
        id="powercrud_tracking.E004",
        message=f"{source.label(name)} must be {KEYS[name].wanted}, got {value!r}.",
        hint=f"Correct it, or leave it out for the default {getattr(DashboardConfig(), name)!r}.",
    )
