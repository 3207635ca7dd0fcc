"""The manager class that the settings name, built on demand.

``DashboardManager`` is an attribute of this module that is computed at each access, so that a
worker and a web process that import the same dotted path build identical managers.
"""

import logging
from collections.abc import Iterator
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import get_config, load
from powercrud_tracking.config.problems import Problem, raise_first
from powercrud_tracking.config.validation import SETTING, require_valid_setting

if TYPE_CHECKING:
    from powercrud_tracking.managers import ModelTrackingAsyncManager

    DashboardManager = ModelTrackingAsyncManager

logger = logging.getLogger("powercrud_tracking")

NAME = "DashboardManager"
PATH = f"{__name__}.{NAME}"


def _get_built_in_class() -> "type[ModelTrackingAsyncManager]":
    # Django demands it: importing the managers imports models, and a settings module or a URLconf
    # may import this module before the apps are ready.
    from powercrud_tracking.managers import ModelTrackingAsyncManager

    return ModelTrackingAsyncManager


def find_manager_class_problems() -> Iterator[Problem]:
    """Yield what is wrong with the class that ``MANAGER_CLASS`` names.

    A value of a wrong type is left to the validation of the setting.
    """
    path, label = get_config().manager_class, SETTING.label("manager_class")
    if not isinstance(path, str):
        return
    message = f"{label} names {path!r}, which"
    try:
        found = load(path, label)
    except ImportError as exc:
        message = str(exc)
    else:
        if not _is_manager_class(found):
            message += " is no subclass of powercrud_tracking.managers.ModelTrackingAsyncManager"
        elif f"{found.__module__}.{found.__qualname__}" == PATH:
            message += " is itself built on the class that is named here"
        else:
            return
    yield Problem(
        id="powercrud_tracking.E013",
        message=f"{message}.",
        hint="Name a subclass of powercrud_tracking.managers.ModelTrackingAsyncManager, "
        "or leave it out.",
    )


def _is_manager_class(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, _get_built_in_class())


@cache
def _require_valid_settings() -> None:
    """Refuse bad settings, ``MANAGER_CLASS`` included; good ones are checked once."""
    require_valid_setting()
    raise_first(find_manager_class_problems())


setting.clear_when_settings_change(_require_valid_settings)


def get_manager_class() -> "type[ModelTrackingAsyncManager]":
    """Return ``DashboardManager`` as the settings have it now.

    It does not check the settings, since projects use it in their URLs, which must load for
    ``manage.py check`` to run. With a bad ``MANAGER_CLASS`` it is built on the built-in class.
    Building an instance checks them.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the app is not in ``INSTALLED_APPS``.
    """
    if apps.apps_ready and not apps.is_installed("powercrud_tracking"):
        raise ImproperlyConfigured(
            "powercrud_tracking is not in INSTALLED_APPS. Add it there, then run: "
            "python manage.py migrate."
        )
    path = get_config().manager_class
    base: Any = _get_built_in_class()
    if path != PATH:
        try:
            found = load(path, "MANAGER_CLASS")
        except ImportError as exc:
            logger.debug("%s; the system checks report it too.", exc)
        else:
            base = found if _is_manager_class(found) else base
    return _build(base)


@cache
def _build(base: "type[ModelTrackingAsyncManager]") -> "type[ModelTrackingAsyncManager]":
    @wraps(base.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        _require_valid_settings()
        base.__init__(self, *args, **kwargs)

    return type(
        NAME,
        (base,),
        {
            "__init__": __init__,
            "__module__": __name__,
            "__qualname__": NAME,
            "__doc__": base.__doc__,
        },
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
