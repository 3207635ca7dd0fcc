"""Pack a configuration into a task, so that the worker builds the same manager.

PowerCRUD's hook and bulk workers read it from the arguments of the task, where anybody who queues
a task can write anything. Therefore it is signed, and not used without a valid signature: it could
name any function to be called, or any table to be written.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signing import BadSignature, Signer

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
"""The top-level key of a queued package. No argument of ``async_task()`` can set it, and django-q2
signs the package and hands it to the worker and the monitor."""

SIGNATURE = "signature"
"""The reserved key that holds the signature of a packed configuration."""

_SALT = "powercrud_tracking.manager_config"
_SOURCE = Source(name="The configuration in a task", keys=VIEW_KEYS, in_python=True)
_RECORDING = tuple(name for name in FIELD_NAMES if name.upper() in VIEW_KEYS)

_TABLE = ("record_model", "field_map")
_OTHERS = tuple(name for name in _RECORDING if name not in _TABLE)


def get_path(manager_class: type) -> str:
    """Return the dotted path under which a worker finds a manager class."""
    return f"{manager_class.__module__}.{manager_class.__qualname__}"


def pack(config: DashboardConfig, base: DashboardConfig, *, path: str) -> dict[str, Any]:
    """Return the keys of ``config`` that differ from ``base``, as plain JSON, and the fingerprint.

    Only the keys that recording uses. The worker compares the fingerprint with that of the
    configuration it has built.

    Args:
        config: the configuration of the manager that launches.
        base: the configuration of the worker: the settings and the attributes of the manager's
            class.
        path: the dotted path of the manager's class.

    Raises:
        ImproperlyConfigured: a value is not JSON, so that no worker could build the manager.
    """
    differing = config.get_differences(base)
    overrides = {name: differing[name] for name in _RECORDING if name in differing}
    for name, value in overrides.items():
        if not _is_json(value):
            raise ImproperlyConfigured(
                f"A task cannot be launched by a manager whose {name.upper()} is {value!r}: "
                "the worker could not build the same manager. "
                "Name a function by its dotted path, such as 'shop.tracking.label'."
            )
    packed = {
        name.upper(): list(value) if isinstance(value, tuple) else value
        for name, value in overrides.items()
    }
    fingerprint = base.replace(overrides).fingerprint
    return sign({**packed, FINGERPRINT: fingerprint}, path=path)


def sign(packed: Mapping[str, Any], *, path: str) -> dict[str, Any]:
    """Return a configuration with its signature.

    Args:
        packed: the configuration; never one that was read from the arguments of a task.
        path: the dotted path of the manager's class, which is signed too.
    """
    unsigned = {key: value for key, value in packed.items() if key != SIGNATURE}
    return {**unsigned, SIGNATURE: Signer(salt=_SALT).signature(_write(unsigned, path))}


def is_signed(packed: object, *, path: str) -> bool:
    """Return whether a configuration was signed by ``sign()`` for this path and not changed since.

    A signature made with one of ``SECRET_KEY_FALLBACKS`` is valid.
    """
    if not isinstance(packed, Mapping) or SIGNATURE not in packed:
        return False
    unsigned = {key: value for key, value in packed.items() if key != SIGNATURE}
    try:
        Signer(salt=_SALT).unsign(f"{_write(unsigned, path)}:{packed[SIGNATURE]}")
    except (BadSignature, TypeError, ValueError, RecursionError):
        # Not signed, or no JSON.
        return False
    return True


def _write(unsigned: Mapping[str, Any], path: str) -> str:
    return json.dumps([path, unsigned], sort_keys=True)


def unpack(packed: Mapping[str, Any], base: DashboardConfig, *, path: str) -> DashboardConfig:
    """Return the configuration that was packed, as far as this process knows its keys and paths.

    It never raises for a packed value: during a rolling deploy a worker may not know a key or a
    path yet. Unknown keys and paths are left out and logged.

    Args:
        packed: the result of ``pack()``. Of an unsigned configuration at most ``RECORD_MODEL`` is
            used, so that a task that was queued by an older version ends in its row.
        base: the settings, and the attributes of the manager's class.
        path: the dotted path of the manager's class.
    """
    if not is_signed(packed, path=path):
        return _merge_unsigned(packed, base, path)
    values: dict[str, Any] = {}
    for key, value in packed.items():
        if key in {FINGERPRINT, SIGNATURE}:
            continue
        if not _is_left_out(key, find_key_problems({key: value}, _SOURCE)):
            values |= read_keys({key: value})
    if "field_map" in values:
        values["field_map"] = _read_field_map(values["field_map"])
    config = _merge_table(base, values)
    for name in _OTHERS:
        if name in values:
            candidate = config.replace({name: values[name]})
            # The layers below have been checked: a problem here is one of the packed value.
            if not _is_left_out(name.upper(), find_reference_problems(candidate, _SOURCE)):
                config = candidate
    launched_with = packed.get(FINGERPRINT, config.fingerprint)
    if config.fingerprint != launched_with:
        _warn_of_other_settings(str(launched_with), config.fingerprint)
    return config


def _merge_unsigned(packed: Mapping[str, Any], base: DashboardConfig, path: str) -> DashboardConfig:
    if packed.keys() - {FINGERPRINT, SIGNATURE}:
        logger.warning(
            "Ignored the configuration that a task names for %s: it is not signed, or it has been "
            "changed. The settings are used instead.",
            path,
        )
    table = {k: v for k, v in read_keys(packed).items() if k == "record_model"}
    if any(find_key_problems(table, _SOURCE)):
        return base
    # Without a field map only a model with a unique field task_name is valid, so that an attacker
    # cannot insert a row into a table of users.
    config = base.merge(table)
    return base if any(find_reference_problems(config, _SOURCE)) else config


def _merge_table(base: DashboardConfig, values: dict[str, Any]) -> DashboardConfig:
    """Return ``base`` with the record model and the field map of the task, both or neither.

    Also set the create defaults for that model in ``values``, or remove them.
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
    """Return whether there is a problem; log the first one."""
    for problem in problems:
        logger.warning("Left out %s of a task's configuration: %s", what, problem)
        return True
    return False


def _read_field_map(field_map: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the entries whose logical names this process knows."""
    names = {name: FIELD_ALIASES.get(name, name) for name in field_map}
    return {
        names[name]: field
        for name, field in field_map.items()
        if names[name] in DEFAULT_FIELDS
        or not _is_left_out(f"FIELD_MAP[{name!r}]", ["there is no such logical name here."])
    }


@lru_cache(maxsize=128)
def _warn_of_other_settings(launched_with: str, here: str) -> None:
    """Log a warning once for each pair of fingerprints, not for every task."""
    logger.warning(
        "A task was launched with the tracking configuration %s, this process has %s: "
        "the settings of web and worker differ.",
        launched_with,
        here,
    )


def _is_json(value: Any) -> bool:
    try:
        read = json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return False
    return bool(read == (list(value) if isinstance(value, tuple) else value))
