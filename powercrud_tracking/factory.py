"""The manager class that the settings name, built when somebody asks for it.

``DashboardManager`` is an attribute of this module that is made at each access, so that a
worker and a web process that import the same dotted path build identical managers.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config.dashboard_config import get_config, load

if TYPE_CHECKING:
    # The managers need a ready registry; see get_manager_class().
    from powercrud_tracking.managers import ModelTrackingAsyncManager

    DashboardManager = ModelTrackingAsyncManager

logger = logging.getLogger("powercrud_tracking")

NAME = "DashboardManager"
PATH = f"{__name__}.{NAME}"


def get_manager_class() -> "type[ModelTrackingAsyncManager]":
    """Return ``DashboardManager`` as the settings have it now.

    It never judges the settings, since projects ask for it in their URLs, which must load for
    ``manage.py check`` to speak. With a bad ``MANAGER_CLASS`` it stands on the built-in base,
    and refuses when an instance is built.
    """
    if apps.apps_ready and not apps.is_installed("powercrud_tracking"):
        raise ImproperlyConfigured(
            "powercrud_tracking is not in INSTALLED_APPS. Add it there, then run: "
            "python manage.py migrate."
        )
    # The managers need a ready registry; this module is named in settings and read early.
    from powercrud_tracking.managers import ModelTrackingAsyncManager

    path = get_config().manager_class
    try:
        base = ModelTrackingAsyncManager if path == PATH else load(path, "MANAGER_CLASS")
    except ImportError as exc:
        logger.debug("%s; the system checks say so too.", exc)
        base = ModelTrackingAsyncManager
    if not (isinstance(base, type) and issubclass(base, ModelTrackingAsyncManager)):
        base = ModelTrackingAsyncManager
    return _build(base)


@cache
def _build(base: "type[ModelTrackingAsyncManager]") -> "type[ModelTrackingAsyncManager]":
    return type(
        NAME, (base,), {"__module__": __name__, "__qualname__": NAME, "__doc__": base.__doc__}
    )


def get_manager(**overrides: Any) -> "ModelTrackingAsyncManager":
    """Return a manager as the settings have it now.

    Args:
        **overrides: keys by their field names, such as ``payload_limit=1024``.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the settings or the overrides are wrong.
    """
    return get_manager_class()(**overrides)


def __getattr__(name: str) -> Any:
    if name == NAME:
        return get_manager_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
