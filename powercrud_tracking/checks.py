"""System checks: what the judge finds, said by ``manage.py check``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.cache.backends.base import InvalidCacheBackendError
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.utils.module_loading import import_string
from django_q.models import Schedule
from powercrud.async_manager import AsyncManager
from powercrud.conf import get_powercrud_setting

from powercrud_tracking.config import load
from powercrud_tracking.factory import PATH, get_manager
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin
from powercrud_tracking.problems import ConfigurationError
from powercrud_tracking.validation import find_setting_problems

POWERCRUD_CLEANUP = "powercrud.schedules.cleanup_async_artifacts"


def register() -> None:
    """Register the checks; called once, when the app is ready."""
    checks.register(check_setting)
    checks.register(check_manager_class)
    checks.register(check_views)
    checks.register(check_cache)
    checks.register(check_wiring)
    checks.register(check_schedules, checks.Tags.database)


def check_setting(**kwargs: Any) -> list[checks.CheckMessage]:
    """Print everything that is wrong with the setting."""
    return [
        checks.Error(problem.message, hint=problem.hint, id=problem.id)
        for problem in find_setting_problems()
    ]


def check_manager_class(**kwargs: Any) -> list[checks.CheckMessage]:
    """Print what the attributes of ``MANAGER_CLASS`` are refused for, if the setting is right."""
    if any(find_setting_problems()):
        return []
    try:
        get_manager()
    except ConfigurationError as exc:
        return [checks.Error(exc.problem.message, hint=exc.problem.hint, id=exc.problem.id)]
    except ImproperlyConfigured:
        # PowerCRUD refuses its cache, which has a check of its own.
        return []
    return []


def check_views(**kwargs: Any) -> list[checks.CheckMessage]:
    """Print everything that is wrong with the overrides of the views that are loaded."""
    _load_urls()
    return [
        checks.Error(problem.message, hint=problem.hint, obj=view, id=problem.id)
        for view in _get_tracked_views()
        for problem in view.find_async_dashboard_problems()
    ]


def check_cache(**kwargs: Any) -> list[checks.CheckMessage]:
    """Say so if PowerCRUD will refuse the cache."""
    try:
        AsyncManager()
    except (ImproperlyConfigured, InvalidCacheBackendError) as exc:
        return [
            checks.Error(
                f"PowerCRUD refuses its cache: {exc}",
                hint="Point POWERCRUD_SETTINGS['CACHE_NAME'] at a cache that all processes share, "
                "such as django.core.cache.backends.db.DatabaseCache or Redis.",
                id="powercrud_tracking.E014",
            )
        ]
    return []


def check_wiring(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if the app is installed and nothing uses it."""
    _load_urls()
    if _is_default_tracked() or any(_get_tracked_views()):
        return []
    return [
        checks.Warning(
            "powercrud_tracking is installed, but no task will be recorded: neither PowerCRUD's "
            "default manager nor any view that is loaded uses it.",
            hint="Set POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT'] = "
            f"{{'manager_class': '{PATH}'}}, or put "
            "powercrud_tracking.mixins.AsyncDashboardMixin on a view.",
            id="powercrud_tracking.W001",
        )
    ]


def check_schedules(databases: Sequence[str] | None = None, **kwargs: Any) -> list[Any]:
    """Warn if PowerCRUD's own clean-up is scheduled beside ours.

    It asks the database, and so runs with ``manage.py check --database default`` and before
    ``migrate``.
    """
    if not databases:
        return []
    try:
        names = Schedule.objects.filter(func=POWERCRUD_CLEANUP).values_list("name", flat=True)
        found = [str(name) for name in names]
    except DatabaseError:
        # django-q2 has not been migrated yet.
        return []
    return [
        checks.Warning(
            f"The schedule {name!r} runs PowerCRUD's own clean-up, which takes the locks of queued "
            "and running tasks.",
            hint="Delete that schedule, and schedule powercrud_tracking.upkeep.reconcile instead.",
            id="powercrud_tracking.W002",
        )
        for name in found
    ]


def _is_default_tracked() -> bool:
    try:
        default = get_powercrud_setting("ASYNC_MANAGER_DEFAULT")
        path = default.get("manager_class") if isinstance(default, Mapping) else None
        found = load(path, "ASYNC_MANAGER_DEFAULT") if isinstance(path, str) else None
    except (ImportError, ImproperlyConfigured):
        # No dict of settings at all: the check of the cache has said so.
        return False
    return isinstance(found, type) and issubclass(found, ModelTrackingAsyncManager)


def _get_tracked_views() -> Iterator[type[AsyncDashboardMixin]]:
    waiting = AsyncDashboardMixin.__subclasses__()
    seen = set()
    while waiting:
        view = waiting.pop(0)
        if view not in seen:
            seen.add(view)
            waiting += view.__subclasses__()
            yield view


def _load_urls() -> None:
    """Load the project's URLs, and with them its views, as far as they can be loaded."""
    try:
        import_string(f"{settings.ROOT_URLCONF}.urlpatterns")
    except Exception:  # noqa: BLE001 - Django's own URL check says what is wrong with them
        return
