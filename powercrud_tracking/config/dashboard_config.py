"""The configuration as a frozen dataclass, and how its layers are merged."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from powercrud_tracking.config import setting
from powercrud_tracking.serialization.redaction import DEFAULT_REDACT

DEFAULT_FIELDS: Mapping[str, str] = {
    "task_name": "task_name",
    "status": "status",
    "message": "message",
    "progress": "progress_payload",
    "user": "user_label",
    "objects": "affected_objects",
    "args": "task_args",
    "kwargs": "task_kwargs",
    "result": "result_payload",
    "cleaned": "cleaned_up",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "started_at": "started_at",
    "completed_at": "completed_at",
    "failed_at": "failed_at",
    "cancelled_at": "cancelled_at",
    "cancel_requested_at": "cancel_requested_at",
    "attempts": "attempts",
    "func": "func",
    "group": "task_group",
    "queue_id": "queue_id",
    "cluster": "cluster",
    "worker": "worker",
    "launched_by_id": "launched_by_id",
    "retry_of": "retry_of",
    "retried_by": "retried_by",
    "extra": "extra",
}
"""Logical name to the field that it has by default."""

FIELD_ALIASES: Mapping[str, str] = {"affected": "objects"}
"""PowerCRUD's logical names to those of this package."""

KEY_ALIASES: Mapping[str, str] = {
    "record_model_path": "record_model",
    "format_affected": "format_objects",
}
"""Keys of PowerCRUD's ``AsyncDashboardConfig`` that have another name here."""

FINGERPRINT = "fingerprint"
"""The reserved key that marks a configuration as packed into a task."""


MAX_DAYS = 36_500
"""The longest retention. Longer ones reach beyond the dates that Python or a database can hold."""

MAX_SECONDS = MAX_DAYS * 86_400
"""The same in seconds, for ``LOST_AFTER``."""


def _default_lost_after() -> float:
    # django-q2 delivers a task again after `retry` seconds (60 unless set). After twice that
    # without activity no delivery is under way.
    retry = setting.get_queue_settings().get("retry", 60)
    return min(max(300, 2 * retry), MAX_SECONDS) if isinstance(retry, int | float) else 300


@dataclass(frozen=True, kw_only=True)
class DashboardConfig:
    """Everything that can be configured: one field for each key of the setting.

    A subclass sets keys as plain class attributes, without ``@dataclass``::

        class TenantTracking(DashboardConfig):
            record_model = "tenants.TaskRecord"

    ``None`` for a function means the built-in one. The settings page of the documentation
    says what each key means.
    """

    record_model: str = "powercrud_tracking.AsyncTaskRecord"
    field_map: Mapping[str, str | None] = field(default_factory=dict)
    create_defaults: Mapping[str, Any] | str | Callable[..., Any] = field(default_factory=dict)
    format_user: str | Callable[..., Any] | None = None
    format_objects: str | Callable[..., Any] | None = None
    format_payload: str | Callable[..., Any] | None = None
    failed_result: str | Callable[..., Any] | None = None
    redact: tuple[str, ...] = DEFAULT_REDACT
    payload_limit: int = 16384
    progress_interval: float = 1.0
    manager_class: str = "powercrud_tracking.managers.ModelTrackingAsyncManager"
    lost_after: float = field(default_factory=_default_lost_after)
    retention_days: Mapping[str, int | None] | int | None = field(
        default_factory=lambda: {
            "success": 30,
            "failed": 180,
            "lost": 180,
            "cancelled": 180,
            "actions": 365,
        }
    )
    base_template: str = "powercrud_tracking/base.html"
    visible: str | Callable[..., Any] | None = None
    objects_of: str | Callable[..., Any] | None = None
    objects_limit: int = 10_000
    allowed: str | Callable[..., Any] | None = None
    retry: str | Callable[..., Any] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_unknown_keys(cls)
        own = {name: vars(cls)[name] for name in FIELD_NAMES if name in vars(cls)}
        above = cls.__init__

        def __init__(self: DashboardConfig, **values: Any) -> None:  # noqa: N807
            above(self, **{**own, **values})

        cls.__init__ = __init__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        # Settings and JSON contain lists; equal settings must compare equal.
        if isinstance(self.redact, list):
            object.__setattr__(self, "redact", tuple(self.redact))
        if isinstance(self.field_map, Mapping):
            names = {FIELD_ALIASES.get(k, k): v for k, v in self.field_map.items()}
            object.__setattr__(self, "field_map", names)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """Return a short hash that is the same in every process with equal settings."""
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        text = json.dumps(_describe(values), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def merge(self, layer: Mapping[str, Any]) -> "DashboardConfig":
        """Return this configuration with another layer merged into it.

        Args:
            layer: field names to values. Dicts merge, other values replace; where the
                record model becomes another, the field map and the create defaults start
                empty, because they described the previous model.
        """
        values = {name: getattr(self, name) for name in FIELD_NAMES}
        if layer.get("record_model", self.record_model) != self.record_model:
            values |= {"field_map": {}, "create_defaults": {}}
        for name, value in layer.items():
            below = values[name]
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                if name == "field_map":
                    value = {FIELD_ALIASES.get(key, key): field for key, field in value.items()}
                values[name] = {**below, **value}
            else:
                values[name] = value
        return DashboardConfig(**values)

    def get_differences(self, base: "DashboardConfig") -> dict[str, Any]:
        """Return the fields that differ from another configuration, with the values of this one."""
        return {
            name: getattr(self, name)
            for name in FIELD_NAMES
            if getattr(self, name) != getattr(base, name)
        }

    def replace(self, values: Mapping[str, Any]) -> "DashboardConfig":
        """Return this configuration with these fields replaced; dicts are not merged."""
        return DashboardConfig(**{name: getattr(self, name) for name in FIELD_NAMES} | dict(values))


FIELD_NAMES: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(DashboardConfig))
SETTING_KEYS: tuple[str, ...] = tuple(name.upper() for name in FIELD_NAMES)


def _refuse_unknown_keys(cls: type[DashboardConfig]) -> None:
    """Reject a class attribute that is not a configuration key, such as a typo.

    Raises:
        ImproperlyConfigured: an attribute is not a key; the message suggests a similar key.
    """
    for name, value in vars(cls).items():
        if name.startswith("_") or name in FIELD_NAMES or callable(value):
            continue
        if hasattr(value, "__get__"):
            continue
        guesses = get_close_matches(name.lower(), FIELD_NAMES, n=1)
        known = f"The keys are {', '.join(FIELD_NAMES)}."
        hint = f"Did you mean {guesses[0]!r}?" if guesses else known
        raise ImproperlyConfigured(f"{cls.__name__} has an unknown key {name!r}. {hint}")


def _describe(value: Any) -> Any:
    """Return JSON that is the same in every process that runs the same code."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _describe(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    named = value if hasattr(value, "__qualname__") else type(value)
    # A method that is written in C, such as str.upper, belongs to no module.
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def get_field_name(key: object) -> str | None:
    """Return the field for a key of this package or of PowerCRUD, or ``None``."""
    if not isinstance(key, str):
        return None
    name = KEY_ALIASES.get(key, key).lower()
    return name if name in FIELD_NAMES else None


def read_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known keys of a dict as field names; unknown keys are left out."""
    named = ((get_field_name(key), value) for key, value in values.items())
    return {name: value for name, value in named if name is not None}


@cache
def get_config() -> DashboardConfig:
    """Return the setting merged into the defaults.

    It does not validate: ``validation`` does, and no manager can be built with invalid settings.
    What cannot be read at all is left out here, so that URLs and checks can be loaded.
    """
    values = setting.get_setting()
    return DashboardConfig().merge(read_keys(values) if isinstance(values, Mapping) else {})


def load(target: str | Callable[..., Any], key: str) -> Any:
    """Import a dotted path, or return the callable itself.

    Args:
        target: a dotted path, or a callable from Python code.
        key: the configuration key, for the error message.

    Raises:
        ImportError: the path cannot be imported; the message names the key.
    """
    if not isinstance(target, str):
        return target
    try:
        return import_string(target)
    except Exception as exc:
        # A wrong path raises ImportError; a path such as ".label", or a module that fails while it
        # is imported, may raise anything.
        reason = exc if isinstance(exc, ImportError) else f"{type(exc).__name__}: {exc}"
        raise ImportError(f"{key} names {target!r}, which cannot be imported: {reason}") from exc


setting.clear_when_settings_change(get_config)
