"""PowerCRUD's manager, which keeps one row for each task."""

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.db import DatabaseError, router
from django.urls import include, path
from django.utils.functional import Promise
from django_q.exceptions import TimeoutException
from django_q.models import Task
from powercrud.async_manager import AsyncManager

from powercrud_tracking.config import layers, packing, setting
from powercrud_tracking.config.dashboard_config import get_config, load
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.maintenance.locks import release_ended_tasks
from powercrud_tracking.poll import build_poll
from powercrud_tracking.recording import launches, objects
from powercrud_tracking.recording.bulk import arguments as bulk_arguments
from powercrud_tracking.recording.events import EventRecorder
from powercrud_tracking.recording.launches import QUEUE_OPTIONS, Launch
from powercrud_tracking.recording.lock_limits import limit_waiting
from powercrud_tracking.recording.recorder import TaskStillOpenError
from powercrud_tracking.recording.running import find_running_task
from powercrud_tracking.recording.values import Formatters
from powercrud_tracking.records import cached_progress, missing_table

logger = logging.getLogger("powercrud_tracking")

__all__ = ["ModelTrackingAsyncManager", "TaskStillOpenError"]

_EMPTY_PAYLOAD: Mapping[str, Any] = dict.fromkeys(
    (
        "status",
        "message",
        "progress_payload",
        "user",
        "affected_objects",
        "task_kwargs",
        "task_args",
        "result",
        "timestamp",
        "extra",
    )
)
"""The keyword arguments that PowerCRUD passes with every event."""


def find_named_manager(kwargs: Mapping[str, Any]) -> "ModelTrackingAsyncManager | None":
    """Return the tracking manager named in the arguments of a task, or ``None``.

    Anybody who queues a task can write anything there: a class is imported only if a signature
    or the settings name it.

    Args:
        kwargs: the keyword arguments.
    """
    path, config = kwargs.get("manager_class"), kwargs.get("manager_config")
    if not isinstance(path, str):
        return None
    return (
        build_manager(path, config)
        if packing.is_signed(config, path=path) or _is_known(path)
        else None
    )


def build_manager(path: str, config: Any) -> "ModelTrackingAsyncManager | None":
    """Import a manager class and build it; return ``None`` if it is not a tracking manager."""
    manager = AsyncManager.resolve_manager(path, config=config)
    return manager if isinstance(manager, ModelTrackingAsyncManager) else None


def _is_known(path: str) -> bool:
    """Return whether the settings name this class, or this process has loaded it."""
    if path in (get_config().manager_class, setting.find_default_manager_path()):
        return True
    return any(packing.get_path(each) == path for each in _walk_classes(ModelTrackingAsyncManager))


def _walk_classes(root: Any) -> Iterator[type]:
    yield root
    for each in root.__subclasses__():
        yield from _walk_classes(each)


_RESOLVE_MANAGER = AsyncManager.resolve_manager.__func__.__code__


def _is_built_for_task() -> bool:
    """Return whether PowerCRUD builds a manager from the arguments of a task.

    It hands on their ``manager_config`` as a plain dict (``AsyncManager.resolve_manager()``,
    django-powercrud 0.9.16), which looks like one from Python code: only the stack tells.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not _RESOLVE_MANAGER:
        frame = frame.f_back
    return frame is not None


class ModelTrackingAsyncManager(AsyncManager):  # type: ignore[misc]
    """Queue tasks like PowerCRUD's ``AsyncManager`` and record each task's events in one row.

    Args:
        config: a ``DashboardConfig`` (instance, or a subclass of it as class or instance),
            which is complete; or a dict of keys, or PowerCRUD's ``AsyncDashboardConfig``,
            which override the settings and the class attributes.
        **overrides: further keys by their field names, such as ``payload_limit=1024``.

    Raises:
        django.core.exceptions.ImproperlyConfigured: the configuration is wrong, in the words
            of ``manage.py check``; or PowerCRUD refuses the cache.

    The class attributes of PowerCRUD's own tracker keep working, and so do its hooks.
    """

    record_model_path: ClassVar[str | None] = None
    field_map: ClassVar[Mapping[str, str | None]] = {}
    create_defaults: ClassVar[Any] = {}

    def __init__(self, config: Any = None, **overrides: Any) -> None:
        super().__init__()
        self.config = layers.build_config(
            self,
            config,
            overrides,
            is_from_task=config is not None and _is_built_for_task(),
        )
        has_defaults = self.config.create_defaults or self._is_overridden("get_create_defaults")
        self.defaults_function = self.get_create_defaults if has_defaults else None
        self.formatters = Formatters(
            user=self._find_formatter("format_user"),
            objects=self._find_formatter("format_objects", "format_affected"),
            payload=self._find_formatter("format_payload"),
        )
        self._events = EventRecorder(
            self.config,
            formatters=self.formatters,
            get_defaults=self.defaults_function,
            find_cached_progress=self.find_cached_progress,
        )

    # --- configuration -----------------------------------------------------------------

    def get_record_model_path(self) -> str:
        """Return the record model of this class, as ``app_label.ModelName``."""
        return self.record_model_path or get_config().record_model

    def get_database(self) -> str:
        """Return the alias of the database to which rows are written now."""
        return router.db_for_write(self._events.recorder.model)

    def get_manager_reference(self) -> dict[str, Any]:
        """Return what a worker needs to build this manager: its class path and differences.

        Raises:
            django.core.exceptions.ImproperlyConfigured: a value is not JSON, such as a callable.
        """
        path = packing.get_path(type(self))
        return {
            "manager_class": path,
            "manager_config": packing.pack(self.config, layers.get_class_config(self), path=path),
        }

    def get_manager_for(self, task: Task) -> "ModelTrackingAsyncManager":
        """Return the manager that records the end of a task in this table.

        It is the one that the task's arguments name, if its table is the same, or this one.

        Args:
            task: django-q2's result. Arguments that can no longer be unpickled are text.
        """
        kwargs = task.kwargs if isinstance(task.kwargs, Mapping) else {}
        named = find_named_manager(kwargs)
        is_same = named is not None and named.config.record_model == self.config.record_model
        return named if named is not None and is_same else self

    # --- formatting hooks --------------------------------------------------------------

    def format_user(self, user: Any) -> Any:
        """Return the label of a user for the row; ``user`` may be ``None``."""
        return self._get_function("format_user", self._events.values.format_user)(user)

    def format_objects(self, objects: Any) -> Any:
        """Return the label of the objects that a task works on."""
        return self.format_affected(objects)

    def format_affected(self, affected_objects: Any) -> Any:
        """PowerCRUD's name of ``format_objects``, kept for subclasses that override it."""
        return self._get_function("format_objects", self._events.values.format_objects)(
            affected_objects
        )

    def format_payload(self, payload: Any) -> Any:
        """Return arguments or a result in the form to store; it is then bounded and redacted."""
        return self._get_function("format_payload", lambda value: value)(payload)

    def _find_formatter(self, name: str, *other_names: str) -> Callable[[Any], Any] | None:
        if getattr(self.config, name) is None and not self._is_overridden(name, *other_names):
            return None
        function: Callable[[Any], Any] = getattr(self, name)
        return function

    def _get_function(self, key: str, built_in: Callable[..., Any]) -> Callable[..., Any]:
        target = getattr(self.config, key)
        return built_in if target is None else load(target, key.upper())

    # --- events ------------------------------------------------------------------------

    def _emit_lifecycle(self, event: str, task_name: str, **payload: Any) -> None:
        """Call ``async_task_lifecycle`` with a complete payload; what it raises is logged.

        PowerCRUD's own makes plain JSON of the arguments first, which recurses without end on
        a circular value (seen with 0.9.16). Recording bounds them anyway.
        """
        if payload.get("timestamp") is None:
            payload["timestamp"] = self._current_timestamp()
        try:
            self.async_task_lifecycle(event, task_name, **{**_EMPTY_PAYLOAD, **payload})
        except Exception:
            logger.exception("Could not record %s for task %s.", event, task_name)

    def async_task_lifecycle(self, event: str, task_name: str, **payload: Any) -> None:
        """Record an event. An error is logged with its traceback and not raised.

        A task that django-q2's admin queued again runs under a new name, but carries the
        ``task_key`` of its predecessor, and its code reports under that: such an event is
        recorded under the name of the running task.

        Args:
            event: a ``lifecycle.Event`` or its value; ``"error"`` means ``fail``.
            task_name: the task's name.
            **payload: what PowerCRUD sends (``status``, ``message``, ``progress_payload``,
                ``user``, ``affected_objects``, ``task_args``, ``task_kwargs``, ``result``,
                ``timestamp``, ``extra``, ``django_q2_task_id``), and ``func``, ``group``,
                ``cluster`` and ``worker``.

        Raises:
            TaskStillOpenError: a launch, and the task of that name has not ended.
        """
        try:
            running = find_running_task()
            if running is not None and running.task_key == task_name:
                task_name = running.task_name
                if running.manager is None:
                    running.manager = self
                    self.async_task_lifecycle(Event.START, task_name, **running.start)
            self._events.record(event, task_name, payload)
        except TaskStillOpenError:
            raise
        except Exception as exc:
            model = self._events.recorder.model
            if not (isinstance(exc, DatabaseError) and missing_table.is_known(model)):
                logger.exception("Could not record %s for task %s.", event, task_name)

    def update_progress(self, task_name: str, progress_data: str) -> None:
        """Update the cached progress and the row; see PowerCRUD's ``AsyncManager``.

        Raises:
            TaskCancelled: the task runs here, and somebody has asked to cancel it.
        """
        running = find_running_task()
        if running is not None and running.task_key == task_name:
            task_name = running.task_name
        if running is not None and running.task_name == task_name and running.manager is not None:
            running.raise_if_cancelled(progress_data)
        super().update_progress(task_name, progress_data)

    def link(self, task_name: str, touches: Any) -> None:
        """Link a running task to further objects; an error of the database is logged.

        Args:
            task_name: the name of the task.
            touches: as in ``launch_async_task()``.

        Raises:
            TypeError: ``touches`` is something else.
        """
        limit = self.config.objects_limit
        found = objects.collect(touches, limit=limit)
        try:
            if found:
                objects.link_more(task_name, found, limit=limit)
        except DatabaseError:
            logger.exception("Could not link task %s to its objects.", task_name)

    def get_create_defaults(self, task_name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of further fields for a new row, as ``CREATE_DEFAULTS`` says.

        Args:
            task_name: the task's name.
            payload: the event's data, by the names of PowerCRUD and of this package.
        """
        defaults = self.config.create_defaults
        if isinstance(defaults, Mapping):
            return defaults
        function = load(defaults, "CREATE_DEFAULTS")
        found = function(task_name, payload)
        if not isinstance(found, Mapping):
            logger.error("%r must return a dict, got %r; nothing of it is stored.", function, found)
            return {}
        names = {field.name for field in self._events.recorder.model._meta.concrete_fields}
        if unknown := sorted(map(str, found.keys() - names)):
            logger.error("%r returned unknown fields, left out: %s.", function, ", ".join(unknown))
        return {name: value for name, value in found.items() if name in names}

    # --- the end of a task ---------------------------------------------------------------

    def handle_task_completion(self, task: Task, task_name: str) -> None:
        """Record how a task ended, and release what PowerCRUD holds for it.

        PowerCRUD's completion hook calls this, and django-q2's ``post_execute`` where no hook
        came. PowerCRUD's own releases first, and records nothing if the cache is down.

        Args:
            task: django-q2's result; it need not be saved.
            task_name: the name of the task.
        """
        # It runs in the monitor, which handles the tasks of all workers.
        with limit_waiting(self.get_database()):
            payload = self._get_end(task)
            event = Event.FAIL if payload["status"] == Status.FAILED else Event.COMPLETE
            self._emit_lifecycle(event, task_name, **payload)
            if self.release(task_name):
                self._emit_lifecycle(Event.CLEANUP, task_name, status=self.STATUSES.UNKNOWN)

    def record_ends(self, tasks: Mapping[str, Task]) -> list[str]:
        """Record how many tasks ended, and release what PowerCRUD holds for them.

        Args:
            tasks: task name to django-q2's result.

        Returns:
            The names of those whose end has been recorded.
        """
        if self._is_overridden("async_task_lifecycle", "handle_task_completion"):
            for task_name, task in tasks.items():
                self.handle_task_completion(task, task_name)
            return list(tasks)
        recorded = self._events.record_many_ends(
            {task_name: self._get_end(task) for task_name, task in tasks.items()}
        )
        self._release_many(recorded)
        return recorded

    def record_lost(self, messages: Mapping[str, str], *, silent_since: datetime) -> list[str]:
        """Record that tasks are lost, and release what PowerCRUD holds for them.

        Args:
            messages: task name to the evidence.
            silent_since: a task with an event after this is not lost.

        Returns:
            The names of those that are lost now; the others ended or continued meanwhile.
        """
        lost = self._events.record_many_lost(
            messages, at=self._current_timestamp(), silent_since=silent_since
        )
        self._release_many(lost)
        return lost

    def record_cancelled(self, task_names: Iterable[str], *, silent_since: datetime) -> list[str]:
        """Record that tasks are cancelled which were asked to stop and are gone; release them.

        Args:
            task_names: the names of the tasks.
            silent_since: a task with an event after this is left alone.

        Returns:
            The names of those that are cancelled now; the others ended or continued meanwhile.
        """
        cancelled = self._events.record_many_cancelled(
            task_names, at=self._current_timestamp(), silent_since=silent_since
        )
        self._release_many(cancelled)
        return cancelled

    def _get_end(self, task: Task) -> dict[str, Any]:
        """Return the data of an end event, by the names of PowerCRUD and of this package."""
        is_failed = task.success is False
        return {
            "status": Status.FAILED if is_failed else Status.SUCCESS,
            "message": None if is_failed else "Task completed successfully",
            "result": task.result,
            "timestamp": task.stopped,
            "func": task.func,
            "django_q2_task_id": task.id,
            "rolled_back": bulk_arguments.is_rolled_back(task.kwargs),
            # PowerCRUD deletes it with the locks.
            "last_progress": self.find_cached_progress(task.name),
        }

    def find_cached_progress(self, task_name: str) -> str | None:
        """Return the last progress text that PowerCRUD's cache holds of a task."""
        return cached_progress.find_cached_progress(task_name, self) or None

    def _release_many(self, task_names: Iterable[str]) -> None:
        released = [task_name for task_name in task_names if self.release(task_name)]
        self._events.record_many_cleanups(released)

    def release(self, task_name: str) -> bool:
        """Release what PowerCRUD holds for a task, and return whether its cache did."""
        try:
            self.remove_active_task(task_name)
        except Exception:
            logger.exception("Could not release the locks of task %s.", task_name)
            return False
        return True

    def _is_overridden(self, *names: str) -> bool:
        return any(
            getattr(type(self), name) is not getattr(ModelTrackingAsyncManager, name)
            for name in names
        )

    def cleanup_completed_tasks(self) -> dict[str, Any]:
        """Reconcile, and release the locks and progress of tasks that have ended.

        Returns:
            PowerCRUD's summary: ``active_tasks``, ``cleaned`` and ``skipped``.
        """
        return release_ended_tasks(self)

    # --- launching ---------------------------------------------------------------------

    def launch_async_task(
        self,
        func: Any,
        *args: Any,
        conflict_ids: Any = None,
        user: Any = None,
        affected_objects: Any = None,
        task_key: str | None = None,
        group: str | None = None,
        touches: Any = None,
        title: str | Promise | None = None,
        **kwargs: Any,
    ) -> str:
        """Queue a task; see PowerCRUD's ``AsyncManager``, whose arguments these are.

        The row is written ahead of the enqueue, so that no worker can be faster.

        A launch under the name of a finished task starts its row over.

        Args:
            touches: the objects that the task works on: a model instance, a queryset,
                ``("shop.book", keys)``, or a list of these. The function does not see it.
            title: what the task does, for the pages, in place of the function's name. The
                function does not see it.

        Raises:
            TypeError: ``touches`` or ``title`` is something else.
            TaskStillOpenError: the name belongs to a task that has not ended; nothing changes.
            django.core.exceptions.ImproperlyConfigured: this manager could not be built by a
                worker.
            Exception: PowerCRUD could not queue the task; the row says ``failed`` and why.
        """
        self.get_manager_reference()
        # Without this, django-q2 would queue the task under one name and PowerCRUD know it by
        # another (seen with django-q2 1.11 and django-powercrud 0.9.16).
        name = kwargs.pop("task_name", None)
        name, args = launches.take_task_name(task_key or name, args)
        task_name = name or self.generate_task_name()
        args = tuple(bulk_arguments.without_controls(value) for value in args)
        touched = objects.collect(touches, limit=self.config.objects_limit)
        if not isinstance(title, str | Promise | None):
            raise TypeError(f"title must be text, got {title!r}.")
        with launches.begin(self, task_name) as launch:
            self._emit_create(
                task_name,
                status=Status.PENDING,
                message="Task queued",
                timestamp=self._current_timestamp(),
                user=user,
                affected_objects=affected_objects,
                task_args=[bulk_arguments.without_info(value) for value in args],
                task_kwargs={k: v for k, v in kwargs.items() if k not in QUEUE_OPTIONS},
                func=func,
                group=group,
                cluster=launches.get_cluster(kwargs),
                touches=touched,
                conflict_ids=conflict_ids,
                title=title,
                extra=launches.describe_options(func, kwargs, conflict_ids),
            )
            try:
                queued: str = super().launch_async_task(
                    func,
                    *args,
                    conflict_ids=conflict_ids,
                    user=user,
                    affected_objects=affected_objects,
                    task_key=task_name,
                    group=group,
                    **kwargs,
                )
                return queued
            except (Exception, TimeoutException) as exc:
                self._record_failed_launch(launch, exc)
                raise

    def _emit_create(self, task_name: str, **payload: Any) -> None:
        # Not through _emit_lifecycle(), which would swallow the exception.
        try:
            self.async_task_lifecycle(Event.CREATE, task_name, **payload)
        except TaskStillOpenError:
            raise
        except Exception:
            logger.exception("Could not record create for task %s.", task_name)

    def _record_failed_launch(self, launch: Launch, exc: BaseException) -> None:
        message, result = launch.describe_failure(exc)
        self._emit_lifecycle(
            Event.FAIL, launch.task_name, status=Status.FAILED, message=message, result=result
        )
        if launch.is_started:
            # After a timeout PowerCRUD would keep the locks.
            self.release(launch.task_name)

    # --- pages -------------------------------------------------------------------------

    @classmethod
    def as_view(cls, template_name: str | None = None) -> Callable[..., Any]:
        """Return the view that PowerCRUD's modal polls; it answers from the record."""
        return build_poll(cls)

    @classmethod
    def get_urlpatterns(cls, prefix: str = "powercrud/") -> Any:
        """Return the URL patterns that replace the include of PowerCRUD's own URLs.

        Everything else that PowerCRUD mounts, such as the URLs of its favourites app, is kept.

        Args:
            prefix: the path under which the ``powercrud`` namespace is mounted.
        """
        # A URLconf imports views and forms; Django loads it only when all apps are ready.
        from powercrud.urls import urlpatterns

        poll = cls.get_url(name="async_progress")
        # An include has no name.
        others = [each for each in urlpatterns if getattr(each, "name", None) != poll.name]
        return path(prefix, include(([poll, *others], "powercrud"), namespace="powercrud"))
