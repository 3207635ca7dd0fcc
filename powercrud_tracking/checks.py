"""System checks of the settings, the views and the installation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.cache.backends.base import InvalidCacheBackendError
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string
from django_q.models import Schedule
from powercrud.async_dashboard import ModelTrackingAsyncManager as PowerCRUDTracker
from powercrud.async_manager import AsyncManager
from powercrud.mixins.async_mixin import AsyncMixin

from powercrud_tracking.actions import availability
from powercrud_tracking.config import setting
from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config, load
from powercrud_tracking.config.layers import find_class_problems
from powercrud_tracking.config.problems import Problem, get_suggestion
from powercrud_tracking.config.validation import (
    SETTING,
    find_setting_problems,
    get_valid_setting,
)
from powercrud_tracking.factory import PATH, find_manager_class_problems, get_manager_class
from powercrud_tracking.lifecycle import Action
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin
from powercrud_tracking.records.mapping import get_record_map

POWERCRUD_CLEANUP = "powercrud.schedules.cleanup_async_artifacts"


def register() -> None:
    """Register the checks; called once, when the app is ready."""
    checks.register(check_setting)
    checks.register(check_manager_class)
    checks.register(check_base_template)
    checks.register(check_columns)
    checks.register(check_action_columns)
    checks.register(check_action_permissions)
    checks.register(check_views)
    checks.register(check_cache)
    checks.register(check_default_manager)
    checks.register(check_wiring)
    checks.register(check_poll)
    checks.register(check_migration)
    checks.register(check_schedules, checks.Tags.database)


def check_setting(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report every problem of the setting."""
    return _build_errors([*find_setting_problems(), *find_manager_class_problems()])


def check_manager_class(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report every problem of the class attributes of ``MANAGER_CLASS``."""
    manager_class = get_manager_class()
    # Not initialised, since that would raise at the first problem.
    manager = manager_class.__new__(manager_class)
    try:
        return _build_errors(find_class_problems(manager))
    except AttributeError:
        # Its get_record_model_path() needs an initialised instance.
        return []


def check_base_template(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report a ``BASE_TEMPLATE`` that cannot be loaded: then no page can be rendered."""
    name = get_valid_setting().base_template
    if name == DashboardConfig.base_template:
        return []
    try:
        get_template(name)
    except (TemplateDoesNotExist, TemplateSyntaxError) as exc:
        reason = "does not exist" if isinstance(exc, TemplateDoesNotExist) else f"is wrong: {exc}"
        return [
            checks.Error(
                f"{SETTING.label('base_template')} names {name!r}, which {reason}.",
                hint="Name a template of your project, or leave it out.",
                id="powercrud_tracking.E017",
            )
        ]
    return []


def check_columns(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if the record table lacks a column on which a feature depends."""
    if any(find_setting_problems()):
        return []
    config = get_config()
    table = get_record_map(config)
    # A name that FIELD_MAP maps to None is left out on purpose.
    lacking = [
        name for name in _FEATURES if name not in table.fields and name not in config.field_map
    ]
    if not lacking:
        return []
    missing = "; ".join(f"{name}: {_FEATURES[name]}" for name in lacking)
    return [
        checks.Warning(
            f"{table.model._meta.label} has no field for some logical names, and so there will be "
            f"no such features. {missing}.",
            hint="Add the fields (docs/tables.md has them), name those that the model has in "
            "FIELD_MAP, or map a name to None there.",
            id="powercrud_tracking.W005",
        )
    ]


_FEATURES: Mapping[str, str] = {
    "launched_by_id": "My tasks, and in PowerCRUD's dialog the reason and the link for the user "
    "who queued the task",
    "func": "titles, the filter by function, run times by function",
    "started_at": "queue times and run times",
    "worker": "whether the worker of a silent task is alive",
    "attempts": "the number of attempts",
}
"""Logical name to what is missing without it."""


def check_action_columns(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if the record table lacks a column without which people cannot act on tasks."""
    if any(find_setting_problems()):
        return []
    lacking = {action: availability.find_missing(action) for action in _get_wanted_actions()}
    names = sorted({name for missing in lacking.values() for name in missing})
    if not names:
        return []
    missing = "; ".join(
        f"{_ACTIONS[action]}: {', '.join(missing)}"
        for action, missing in lacking.items()
        if missing
    )
    fields = ", ".join(f"{name} = {_ACTION_FIELDS[name]}" for name in names)
    return [
        checks.Warning(
            f"{get_record_map(get_config()).model._meta.label} has no field for some logical "
            f"names, and so its tasks cannot be acted on in every way. {missing}.",
            hint=f"Add the fields and migrate: {fields}. Or name those that the model has in "
            "FIELD_MAP, or map a name to None there.",
            id="powercrud_tracking.W006",
        )
    ]


def check_action_permissions(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if the record model has no permission for an action, so that nobody can hold it."""
    if any(find_setting_problems()) or get_config().allowed is not None:
        return []
    meta = get_record_map(get_config()).model._meta
    known = {f"{name}_{meta.model_name}" for name in meta.default_permissions}
    known |= {codename for codename, _ in meta.permissions}
    asked = [f"{action}_{meta.model_name}" for action in _get_wanted_actions()]
    lacking = [f"{meta.app_label}.{name}" for name in asked if name not in known]
    if not lacking:
        return []
    return [
        checks.Warning(
            f"{meta.label} has no permission {' and no '.join(lacking)}: nobody but a superuser "
            "can be allowed to do this with tasks of others.",
            hint="Inherit the Meta of AbstractAsyncTaskRecord, or write there: default_permissions "
            '= ("add", "change", "delete", "view", "cancel", "retry"); then makemigrations and '
            "migrate. Or decide by a function of your own in ALLOWED.",
            id="powercrud_tracking.W007",
        )
    ]


def _get_wanted_actions() -> list[Action]:
    """Return the actions of which FIELD_MAP maps no name to ``None``, which leaves them out."""
    field_map = get_config().field_map
    return [
        action
        for action, names in availability.NEEDED.items()
        if all(field_map.get(name, name) is not None for name in names)
    ]


_ACTIONS: Mapping[Action, str] = {
    Action.CANCEL: "cancel a running task",
    Action.RETRY: "retry",
    Action.DELETE: "delete",
}

_ACTION_FIELDS: Mapping[str, str] = {
    "status": "models.CharField(max_length=16)",
    "cancel_requested_at": "models.DateTimeField(null=True)",
    "retried_by": 'models.CharField(max_length=255, default="", db_default="")',
    "queue_id": 'models.CharField(max_length=64, default="", db_default="")',
}
"""Logical name to the field to add."""


def check_views(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report every problem in the ``async_dashboard`` overrides of the loaded views."""
    _load_urls()
    return [
        error
        for view in _walk_subclasses(AsyncDashboardMixin)
        for error in _build_errors(view.find_async_dashboard_problems(), obj=view)
    ]


def _build_errors(problems: Iterable[Problem], *, obj: Any = None) -> list[checks.CheckMessage]:
    return [checks.Error(each.message, hint=each.hint, obj=obj, id=each.id) for each in problems]


def check_cache(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report a cache that PowerCRUD rejects."""
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


def check_default_manager(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report a PowerCRUD default manager that cannot be imported: no bulk view works then."""
    path = setting.find_default_manager_path()
    if not isinstance(path, str) or _find(path) is not None:
        return []
    return [
        checks.Error(
            f"POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT'] names {path!r}, which cannot be "
            "imported: PowerCRUD will refuse every bulk operation.",
            hint=get_suggestion(path, [PATH], f"To record tasks, name {PATH!r}."),
            id="powercrud_tracking.E016",
        )
    ]


def check_poll(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if PowerCRUD's URLs are missing: its dialog then reports queued tasks as not queued."""
    _load_urls()
    views = [each for each in _walk_subclasses(AsyncMixin) if not _is_from_powercrud(each)]
    if not views:
        return []
    try:
        reverse("powercrud:async_progress")
    except NoReverseMatch:
        return [
            checks.Warning(
                "PowerCRUD's URLs are not among the project's: its dialog will say that a task "
                "could not be queued, although it is queued and runs.",
                hint="Add DashboardManager.get_urlpatterns() to urlpatterns "
                "(from powercrud_tracking.factory import DashboardManager).",
                id="powercrud_tracking.W004",
            )
        ]
    except Exception:  # noqa: BLE001 - a URLconf that cannot be loaded has checks of Django's own
        return []
    return []


def check_wiring(**kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if the app is installed and nothing uses it."""
    _load_urls()
    managers = [_find_default_manager(), *map(_find_manager_of_view, _walk_subclasses(AsyncMixin))]
    is_used = any(_is_subclass(each, ModelTrackingAsyncManager) for each in managers)
    if is_used or any(_walk_subclasses(AsyncDashboardMixin)):
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


def check_migration(**kwargs: Any) -> list[checks.CheckMessage]:
    """Suggest migrating if PowerCRUD's own tracker is still configured as well."""
    _load_urls()
    default = _find_default_manager()
    places: list[tuple[str, Any]] = []
    if _is_subclass(default, PowerCRUDTracker):
        places.append(("POWERCRUD_SETTINGS['ASYNC_MANAGER_DEFAULT']", default))
    trackers = {}
    for view in _walk_subclasses(AsyncMixin):
        # AsyncDashboardMixin ignores a view's own PowerCRUD attributes.
        found = None if issubclass(view, AsyncDashboardMixin) else _find_manager_of_view(view)
        if _is_subclass(found, PowerCRUDTracker):
            trackers[view] = found
    places += [
        (view.__name__, found)
        for view, found in trackers.items()
        # A view that inherits its manager is migrated by changing the base class.
        if all(trackers.get(base) is not found for base in view.__mro__[1:])
    ]
    return [
        checks.Warning(
            f"{place} still records with PowerCRUD's own tracker, {found.__module__}."
            f"{found.__qualname__}, beside powercrud_tracking.",
            hint="Move it over as docs/migrating-from-powercrud.md says: by an import or by "
            "settings, and no row is lost. If both shall stay for a while, silence this check.",
            id="powercrud_tracking.W003",
        )
        for place, found in places
    ]


def check_schedules(databases: Sequence[str] | None = None, **kwargs: Any) -> list[Any]:
    """Warn if PowerCRUD's own clean-up is scheduled as well.

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


def _is_from_powercrud(view: type) -> bool:
    return view.__module__.partition(".")[0] == "powercrud"


def _find_default_manager() -> Any:
    """Return the manager class in PowerCRUD's setting, or ``None`` if it cannot be imported."""
    return _find(setting.find_default_manager_path())


def _find(path: Any) -> Any:
    try:
        return load(path, "ASYNC_MANAGER_DEFAULT") if isinstance(path, str) else None
    except ImportError:
        return None


def _find_manager_of_view(view: type) -> Any:
    """Return the manager class that a view sets through either PowerCRUD attribute."""
    named = getattr(view, "async_manager_class", None)
    return named or _find(getattr(view, "async_manager_class_path", None))


def _is_subclass(found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)


def _walk_subclasses[T](base: type[T]) -> Iterator[type[T]]:
    waiting = base.__subclasses__()
    seen = set()
    while waiting:
        found = waiting.pop(0)
        if found not in seen:
            seen.add(found)
            waiting += found.__subclasses__()
            yield found


def _load_urls() -> None:
    """Import the project's URLs and with them its views, if that is possible."""
    try:
        import_string(f"{settings.ROOT_URLCONF}.urlpatterns")
    except Exception:  # noqa: BLE001 - Django's own URL check reports it
        return
