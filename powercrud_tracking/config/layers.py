"""The layers of a manager's configuration: defaults, setting, class, argument, keywords."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config import packing
from powercrud_tracking.config.dashboard_config import (
    FIELD_NAMES,
    FINGERPRINT,
    DashboardConfig,
    get_config,
)
from powercrud_tracking.config.problems import Problem, Source
from powercrud_tracking.config.validation import (
    find_problems,
    get_valid_setting,
    require_valid,
    require_valid_setting,
)


def build_config(
    manager: Any, config: Any, overrides: Mapping[str, Any], *, is_from_task: bool = False
) -> DashboardConfig:
    """Return the configuration of a manager that is being built.

    Args:
        manager: the manager; the attributes of its class are one of the layers.
        config: a complete ``DashboardConfig``, a dict that overrides the settings, a packed
            configuration, PowerCRUD's ``AsyncDashboardConfig``, or ``None``.
        overrides: further keys, by their field names.
        is_from_task: whether ``config`` was read from the arguments of a task, where anybody who
            queues one can write anything.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    source = Source(name=f"{type(manager).__name__} config", in_python=True)
    if isinstance(config, type) and issubclass(config, DashboardConfig):
        config = config()
    if isinstance(config, DashboardConfig):
        differing = config.get_differences(DashboardConfig())
        require_valid(differing, base=DashboardConfig(), source=source)
        base = config
    else:
        base = get_class_config(manager)
        layer = _read_layer(config)
        if is_from_task or FINGERPRINT in layer:
            base = packing.unpack(layer, base, path=packing.get_path(type(manager)))
        elif layer:
            base = require_valid(layer, base=base, source=source)
    return require_valid(overrides, base=base, source=source) if overrides else base


def get_class_config(manager: Any) -> DashboardConfig:
    """Return the settings with the attributes of the manager's class on top.

    Raises:
        ImproperlyConfigured: at the first problem.
    """
    require_valid_setting()
    layer = _read_class(manager)
    if not layer:
        return get_config()
    return require_valid(layer, base=get_config(), source=_get_class_source(manager))


def find_class_problems(manager: Any) -> Iterator[Problem]:
    """Yield every problem of the attributes of a manager's class.

    Args:
        manager: an instance, which need not be initialised.
    """
    yield from find_problems(
        _read_class(manager), base=get_valid_setting(), source=_get_class_source(manager)
    )


def _get_class_source(manager: Any) -> Source:
    return Source(name=type(manager).__name__, in_python=True)


def _read_class(manager: Any) -> dict[str, Any]:
    """Return the attributes of the manager's class that are keys, by their field names."""
    attributes = {
        name: getattr(manager, name, None)
        for name in FIELD_NAMES
        # Formatters are methods of a manager, and not a layer.
        if not name.startswith("format_")
    }
    layer = {name: value for name, value in attributes.items() if value not in (None, {})}
    if manager.get_record_model_path() != get_config().record_model:
        layer["record_model"] = manager.get_record_model_path()
    return layer


def _read_layer(config: Any) -> Mapping[str, Any]:
    """Return the ``config`` argument of a manager as a dict of keys."""
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if is_dataclass(config) and hasattr(config, "record_model_path"):
        # PowerCRUD's AsyncDashboardConfig, recognised by an attribute: importing its tracker
        # for an isinstance() would cost every process that does not use it.
        values = {part.name: getattr(config, part.name) for part in fields(config)}
        return {name: value for name, value in values.items() if value is not None}
    raise ImproperlyConfigured(
        f"A manager's config must be a dict or a DashboardConfig, got {config!r}."
    )
