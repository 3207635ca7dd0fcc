"""Read the setting ``POWERCRUD_ASYNC_DASHBOARD``, and some settings of other packages."""

from collections.abc import Callable, Mapping
from typing import Any

from appconf import AppConf
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from powercrud.conf import get_powercrud_setting

SETTING = "POWERCRUD_ASYNC_DASHBOARD"


class PowercrudConf(AppConf):  # type: ignore[misc]
    """Declare the setting, so that it always exists."""

    ASYNC_DASHBOARD: dict[str, Any] = {}

    class Meta:
        prefix = "POWERCRUD"


def get_setting() -> Any:
    """Return the current value of the project's setting; ``{}`` if it is not set."""
    return getattr(settings, SETTING, {})


def get_queue_settings() -> dict[str, Any]:
    """Return django-q2's ``Q_CLUSTER``; ``{}`` if the project has none."""
    return getattr(settings, "Q_CLUSTER", None) or {}


def find_default_manager_path() -> Any:
    """Return PowerCRUD's ``ASYNC_MANAGER_DEFAULT`` setting, or ``None`` if it is not set."""
    try:
        default = get_powercrud_setting("ASYNC_MANAGER_DEFAULT")
    except ImproperlyConfigured:
        # PowerCRUD's setting is not a dict; PowerCRUD itself reports that.
        return None
    return default.get("manager_class") if isinstance(default, Mapping) else None


def clear_when_settings_change(*cached: Callable[..., Any]) -> None:
    """Empty these ``functools`` caches whenever a test overrides a setting.

    Any setting: a configuration names models, fields and dotted paths, and other settings
    (``INSTALLED_APPS``, ``Q_CLUSTER``) decide what those mean.
    """

    def clear(**kwargs: Any) -> None:
        for function in cached:
            function.cache_clear()  # type: ignore[attr-defined]

    setting_changed.connect(clear, weak=False)
