"""What of a configuration travels with a task, so that the worker builds the same manager."""

import json
import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config.dashboard_config import (
    DEFAULT_FIELDS,
    FIELD_ALIASES,
    FIELD_NAMES,
    FINGERPRINT,
    DashboardConfig,
    read_keys,
)
from powercrud_tracking.config.keys import VIEW_KEYS
from powercrud_tracking.config.problems import Source
from powercrud_tracking.config.references import find_reference_problems
from powercrud_tracking.config.validation import find_key_problems

logger = logging.getLogger("powercrud_tracking")

PACKAGE_KEY = "powercrud_tracking"
"""The top-level key of a queued package; django-q2 carries it to the worker and the monitor."""

_SOURCE = Source(name="The configuration that came with a task", keys=VIEW_KEYS, in_python=True)
_RECORDING = tuple(name for name in FIELD_NAMES if name.upper() in VIEW_KEYS)

_TABLE = ("record_model", "field_map")
_STANDING_ALONE = tuple(name for name in _RECORDING if name not in _TABLE)


def pack(config: DashboardConfig, base: DashboardConfig) -> dict[str, Any]:
    """Return as plain JSON what a worker that has ``base`` needs to build ``config``.

    Only what recording uses; the fingerprint tells the worker whether it arrived at the same.

    Raises:
        ImproperlyConfigured: a value is not JSON, so that no worker could build the manager.
    """
    differing = config.get_differences(base)
    travelling = {name: differing[name] for name in _RECORDING if name in differing}
    for name, value in travelling.items():
        if not _is_json(value):
            raise ImproperlyConfigured(
                f"A task cannot be launched by a manager whose {name.upper()} is {value!r}: "
                "the worker could not build the same manager. "
                "Name a function by its dotted path, such as 'shop.tracking.label'."
            )
    fingerprint = base.replace(travelling).fingerprint
    packed = {
        name.upper(): list(value) if isinstance(value, tuple) else value
        for name, value in travelling.items()
    }
    return {**packed, FINGERPRINT: fingerprint}


def unpack(packed: Mapping[str, Any], base: DashboardConfig) -> DashboardConfig:
    """Return the configuration that travelled, as far as this process understands it.

    It never raises for what travelled: during a rolling deploy a worker may not know a key
    or a path yet. What it does not know it leaves out and logs.
    """
    values: dict[str, Any] = {}
    for key, value in packed.items():
        if key != FINGERPRINT and not _is_left_out(key, find_key_problems({key: value}, _SOURCE)):
            values |= read_keys({key: value})
    if "field_map" in values:
        values["field_map"] = _read_field_map(values["field_map"])
    config = _lay_table(base, values)
    for name in _STANDING_ALONE:
        if name in values:
            candidate = config.replace({name: values[name]})
            # What is below has been judged: what is wrong now came with the task.
            if not _is_left_out(name.upper(), find_reference_problems(candidate, _SOURCE)):
                config = candidate
    if config.fingerprint != packed[FINGERPRINT]:
        _warn_of_other_settings(str(packed[FINGERPRINT]), config.fingerprint)
    return config


def _lay_table(base: DashboardConfig, values: dict[str, Any]) -> DashboardConfig:
    """Return ``base`` with the table that travelled, whose map means nothing without its model.

    What the create defaults are then is put into ``values``, or taken out of them.
    """
    table = {name: values[name] for name in _TABLE if name in values}
    if not table:
        return base
    config = base.replace({**table, "create_defaults": {}})
    if _is_left_out("RECORD_MODEL and FIELD_MAP", find_reference_problems(config, _SOURCE)):
        values.pop("create_defaults", None)
        return base
    values.setdefault("create_defaults", base.create_defaults)
    return config


def _is_left_out(what: object, problems: Iterable[object]) -> bool:
    """Whether there is a problem; the first is logged."""
    for problem in problems:
        logger.warning("Left out %s of a task's configuration: %s", what, problem)
        return True
    return False


def _read_field_map(field_map: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the part whose logical names this process knows; a map is of use without the rest."""
    names = {name: FIELD_ALIASES.get(name, name) for name in field_map}
    return {
        names[name]: field
        for name, field in field_map.items()
        if names[name] in DEFAULT_FIELDS
        or not _is_left_out(f"FIELD_MAP[{name!r}]", ["there is no such logical name here."])
    }


@lru_cache(maxsize=128)
def _warn_of_other_settings(theirs: str, ours: str) -> None:
    """Say so once for each pair: every task of a deployment would say the same."""
    logger.warning(
        "A task was launched with the tracking configuration %s, this process has %s: "
        "the settings of web and worker differ.",
        theirs,
        ours,
    )


def _is_json(value: Any) -> bool:
    try:
        read = json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return False
    return bool(read == (list(value) if isinstance(value, tuple) else value))
