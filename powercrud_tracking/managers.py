"""PowerCRUD's manager, keeping one true row for each task."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.db import DatabaseError, router
from django.urls import include, path
from django_q.exceptions import TimeoutException
from django_q.models import Task
from powercrud.async_manager import AsyncManager

from powercrud_tracking.config import layers, travel
from powercrud_tracking.config.dashboard_config import get_config, load
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.maintenance.reconcile import reconcile
from powercrud_tracking.poll import build_poll
from powercrud_tracking.recording import attempts, bulk_arguments, endings, launches
from powercrud_tracking.recording.attempts import Ended
from powercrud_tracking.recording.batches import keep_attempt
from powercrud_tracking.recording.endings import take_ended
from powercrud_tracking.recording.launches import QUEUE_OPTIONS, Launch, find_launching_manager
from powercrud_tracking.recording.lock_limits import MOST_SECONDS, limit_waiting
from powercrud_tracking.recording.recorder import TaskStillOpenError, get_recorder
from powercrud_tracking.recording.running import find_running_task
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.recording.values import ValueBuilder, call_or_fall_back, get_failure
from powercrud_tracking.records import missing_table, reading
from powercrud_tracking.serialization import failures, labels

logger = logging.getLogger("powercrud_tracking")

__all__ = [
    "QUEUE_OPTIONS",
    "ModelTrackingAsyncManager",
    "TaskStillOpenError",
    "find_launching_manager",
    "take_ended",
]


def find_named_manager(travelling: Mapping[str, Any]) -> "ModelTrackingAsyncManager | None":
    """Return the manager that a task names, or ``None`` if it names none of this package.

    Args:
        travelling: what the launch added to the queued package, or the task's arguments.
    """
    path = travelling.get("manager_class")
    if not path:
        return None
    manager = AsyncManager.resolve_manager(path, config=travelling.get("manager_config"))
    return manager if isinstance(manager, ModelTrackingAsyncManager) else None


class ModelTrackingAsyncManager(AsyncManager):  # type: ignore[misc]
    """Queues like PowerCRUD's ``AsyncManager`` and records every event in one row a task.

    Args:
        config: a ``DashboardConfig`` (instance, or a subclass of it as class or instance),
            which is complete; or a dict of keys, or PowerCRUD's ``AsyncDashboardConfig``,
            which are laid over the settings and the class attributes.
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
        self.config = layers.build_config(self, config, overrides)
        self._recorder = get_recorder(self.config)
        self._values = ValueBuilder(self.config, self._recorder.fields, self)

    # --- configuration -----------------------------------------------------------------

    def get_record_model_path(self) -> str:
        """Return the record model of this class, as ``app_label.ModelName``."""
        return self.record_model_path or get_config().record_model

    def get_travelling(self) -> dict[str, Any]:
        """Return what a worker needs to build this manager: its class path and differences.

        Raises:
            django.core.exceptions.ImproperlyConfigured: a value cannot travel, a callable say.
        """
        cls = type(self)
        return {
            "manager_class": f"{cls.__module__}.{cls.__qualname__}",
            "manager_config": travel.pack(self.config, layers.get_class_config(self)),
        }

    def get_manager_for(self, task: Task) -> "ModelTrackingAsyncManager":
        """Return the manager that records an ended task: the one its arguments name, or this one.

        Args:
            task: django-q2's result. Arguments that can no longer be unpickled are text.
        """
        kwargs = task.kwargs if isinstance(task.kwargs, Mapping) else {}
        return find_named_manager(kwargs) or self

    # --- formatting hooks --------------------------------------------------------------

    def format_user(self, user: Any) -> Any:
        """Return how a user is called in the row; ``user`` may be ``None``."""
        return self._get_function("format_user", labels.format_user)(user)

    def format_objects(self, objects: Any) -> Any:
        """Return how the objects that a task works on are called in the row."""
        return self.format_affected(objects)

    def format_affected(self, affected_objects: Any) -> Any:
        """PowerCRUD's name of ``format_objects``, kept for subclasses that override it."""
        return self._get_function("format_objects", labels.format_objects)(affected_objects)

    def format_payload(self, payload: Any) -> Any:
        """Return how arguments and results are stored; what it returns is bounded and redacted."""
        return self._get_function("format_payload", lambda value: value)(payload)

    def _get_function(self, key: str, built_in: Callable[..., Any]) -> Callable[..., Any]:
        target = getattr(self.config, key)
        return built_in if target is None else load(target, key.upper())

    # --- events ------------------------------------------------------------------------

    def _serialise_json(self, value: Any) -> Any:
        # PowerCRUD's own recurses without end on a circular value (seen with 0.9.16), and
        # what it makes readable we bound and redact anyway.
        return value

    def async_task_lifecycle(self, event: str, task_name: str, **payload: Any) -> None:
        """Record an event. What goes wrong is logged with its traceback and harms nobody.

        Args:
            event: a ``lifecycle.Event`` or its value; ``"error"`` means ``fail``.
            task_name: the task's name.
            **payload: what PowerCRUD sends (``status``, ``message``, ``progress_payload``,
                ``user``, ``affected_objects``, ``task_args``, ``task_kwargs``, ``result``,
                ``timestamp``, ``extra``, ``django_q2_task_id``), and ``func``, ``group``,
                ``cluster`` and ``worker``.
        """
        try:
            self._record(Event(event), self._get_own_name(task_name), payload)
        except TaskStillOpenError:
            raise
        except Exception as exc:
            known = isinstance(exc, DatabaseError) and missing_table.is_known(self._recorder.model)
            if not known:
                logger.exception("Could not record %s for task %s.", event, task_name)

    def update_progress(self, task_name: str, progress_data: str) -> None:
        """Update the cached progress and the row; see PowerCRUD's ``AsyncManager``."""
        super().update_progress(self._get_own_name(task_name), progress_data)

    def _get_own_name(self, task_name: str) -> str:
        # A task that django-q2's admin queued again runs under a new name, but carries the
        # task_key of its predecessor, and its code reports under that.
        running = find_running_task()
        return running.task_name if running and running.task_key == task_name else task_name

    def _record(self, event: Event, task_name: str, payload: Mapping[str, Any]) -> None:
        launch = launches.find_launch(task_name)
        if event is Event.CREATE and launch is not None and launch.written:
            # PowerCRUD's own create, after the enqueue: the row was written ahead of it.
            values = {"queue_id": self._values.fit("queue_id", payload.get("django_q2_task_id"))}
            self._write(event, task_name, values, payload)
            return

        brought = payload.get("status") if event is Event.CLEANUP else None
        brought = Status(brought) if brought and brought in Status.values else None
        if event is Event.COMPLETE or brought is Status.SUCCESS:
            event, brought, payload = endings.judge(
                event,
                brought,
                payload,
                is_failed=self._get_function("failed_result", failures.is_failed_result),
                find_last_progress=lambda: self._find_last_progress(task_name),
            )
        values = self._values.build(event, payload, brought)
        running = find_running_task()
        if event is Event.PROGRESS and running is not None and running.task_name == task_name:
            running.write_or_hold(
                lambda: self._write(event, task_name, values, payload),
                using=router.db_for_write(self._recorder.model),
                interval=self.config.progress_interval,
            )
            return
        refuse_open = launch is not None and not launch.passed_on
        written = self._write(
            event, task_name, values, payload, brought=brought, refuse_open=refuse_open
        )
        if launch is not None:
            launch.written = launch.written or (written and event is Event.CREATE)
            launch.started = launch.started or event is Event.START
        if running is not None and running.task_name == task_name and event is Event.START:
            running.started = written
        ending = endings.find_ending()
        if written and ending is not None and event in {Event.COMPLETE, Event.FAIL}:
            ending.recorded = True
        if written and event is Event.FAIL:
            ended = Ended(task_name, get_failure(payload), values["failed_at"])
            keep_attempt(ended, self._record_failed_attempts, key=self.config)

    def _record_failed_attempts(self, ended: Iterable[Ended]) -> None:
        self._record_attempts(ended, Status.FAILED)

    def _record_attempts(self, ended: Iterable[Ended], outcome: Status) -> None:
        using = router.db_for_write(self._recorder.model)
        named = {attempt.task_name: attempt for attempt in ended}
        rows = reading.get_rows(self.config, using=using).named_tasks(named)
        with savepoint(using):
            found = reading.read(rows, self.config)
        attempts.record_attempts(found, named, outcome=outcome, limit=self.config.payload_limit)

    def record_lost(self, messages: Mapping[str, str], *, silent_since: datetime) -> list[str]:
        """Record that tasks are lost, and release what PowerCRUD holds for them.

        Args:
            messages: task name to what was looked at.
            silent_since: a sign of life after this saves the task.

        Returns:
            The names of those that are lost now; the others ended or spoke meanwhile.
        """
        at = self._current_timestamp()
        fitted = {name: self._values.fit("message", text) for name, text in messages.items()}
        lost = self._recorder.record_lost(fitted, at=at, silent_since=silent_since)
        ended = (Ended(name, failures.Failure(reason=messages[name]), at) for name in lost)
        self._record_attempts(ended, Status.LOST)
        for task_name in lost:
            self.remove_active_task(task_name)
        return lost

    def _write(
        self,
        event: Event,
        task_name: str,
        values: Mapping[str, Any],
        payload: Mapping[str, Any],
        *,
        brought: Status | None = None,
        refuse_open: bool = False,
    ) -> bool:
        return self._recorder.record(
            event,
            task_name,
            values,
            brought=brought,
            defaults=lambda: self.get_create_defaults(task_name, payload),
            refuse_open=refuse_open,
        )

    def get_create_defaults(self, task_name: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of further fields for a new row, as ``CREATE_DEFAULTS`` says.

        Args:
            task_name: the task's name.
            payload: what comes with the event, by PowerCRUD's names and ours.
        """
        defaults = self.config.create_defaults
        if isinstance(defaults, Mapping):
            return defaults
        function = load(defaults, "CREATE_DEFAULTS")
        found = call_or_fall_back(function, lambda *args: {}, task_name, payload)
        if not isinstance(found, Mapping):
            logger.error("%r must return a dict, got %r; nothing of it is stored.", function, found)
            return {}
        names = {field.name for field in self._recorder.model._meta.concrete_fields}
        if unknown := sorted(map(str, found.keys() - names)):
            logger.error("%r returned unknown fields, left out: %s.", function, ", ".join(unknown))
        return {name: value for name, value in found.items() if name in names}

    def _find_last_progress(self, task_name: str) -> str | None:
        text = self._find_cached_progress(task_name)
        if text:
            return text
        record = self._find_record(task_name)
        return record.progress if record else None

    def _find_record(self, task_name: str) -> reading.Record | None:
        # From where it is written: a replica may be behind.
        using = router.db_for_write(self._recorder.model)
        with savepoint(using):
            return reading.find_record(task_name, self.config, using=using)

    def _find_cached_progress(self, task_name: str) -> str | None:
        text = self.get_progress(task_name)
        return None if text == self.STATUSES.PENDING else text

    def handle_task_completion(self, task: Task, task_name: str) -> None:
        """Record how a task ended; see PowerCRUD's ``AsyncManager``."""
        # It runs in the monitor, which ends the tasks of all workers.
        last_progress = self._find_cached_progress(task_name)
        with endings.handle(task, last_progress), limit_waiting(MOST_SECONDS):
            super().handle_task_completion(task, task_name)

    def cleanup_completed_tasks(self) -> dict[str, Any]:
        """Reconcile, and release what PowerCRUD still holds for tasks that have ended.

        PowerCRUD's own takes a missing result for the end of a task, and so takes the locks of
        queued and running ones (seen with 0.9.16).

        Returns:
            PowerCRUD's summary with ``active_tasks`` (a number), ``cleaned`` and ``skipped`` (by
            task name).
        """
        report = reconcile(self)
        active = self.get_active_tasks()
        summary: dict[str, Any] = {"active_tasks": len(active), "cleaned": {}, "skipped": {}}
        for task_name in sorted(active):
            reason = self._find_end(task_name)
            if reason is None:
                summary["skipped"][task_name] = report.left.get(task_name, "it has not ended")
            else:
                summary["cleaned"][task_name] = self._release(task_name, reason)
        return summary

    def _find_end(self, task_name: str) -> str | None:
        """Return how a task ended, or ``None`` if nothing says that it has."""
        record = reading.find_record(task_name, self.config)
        if record is not None:
            return None if record.is_open else str(record.status)
        # A view's that is not recorded: PowerCRUD's set of active tasks is everybody's.
        task = Task.objects.filter(name=task_name).only("success").first()
        if task is None:
            return None
        return str(Status.SUCCESS if task.success else Status.FAILED)

    def _release(self, task_name: str, reason: str) -> dict[str, Any]:
        locks = self.cache.get(f"{self.conflict_prefix}{task_name}") or ()
        progress = self.get_progress(task_name)
        self.remove_active_task(task_name)
        if reading.find_record(task_name, self.config) is not None:
            self._emit_lifecycle(Event.CLEANUP, task_name)
        return {
            "reason": reason,
            "conflict_lock_keys": len(locks),
            "progress_entries": 0 if progress is None else 1,
            "dashboard_records": 0,
        }

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
        **kwargs: Any,
    ) -> str:
        """Queue a task; see PowerCRUD's ``AsyncManager``, whose arguments these are.

        The row is written ahead of the enqueue, so that no worker can be faster.

        Raises:
            TaskStillOpenError: the name belongs to a task that has not ended; nothing changes.
            django.core.exceptions.ImproperlyConfigured: this manager could not be built by a
                worker.
            Exception: PowerCRUD could not queue the task; the row says ``failed`` and why.
        """
        self.get_travelling()
        name, args = launches.take_task_name(task_key, args)
        task_name = name or self.generate_task_name()
        args = tuple(bulk_arguments.without_controls(value) for value in args)
        with launches.begin(self, task_name) as launch:
            self._write_ahead(
                task_name,
                user=user,
                affected_objects=affected_objects,
                task_args=[bulk_arguments.without_info(value) for value in args],
                task_kwargs={k: v for k, v in kwargs.items() if k not in QUEUE_OPTIONS},
                func=func,
                group=group,
                cluster=launches.get_cluster(kwargs),
            )
            return self._enqueue(
                launch,
                func,
                *args,
                conflict_ids=conflict_ids,
                user=user,
                affected_objects=affected_objects,
                task_key=task_name,
                group=group,
                **kwargs,
            )

    def _write_ahead(self, task_name: str, **payload: Any) -> None:
        try:
            # Not by _emit_lifecycle(), which would swallow the refusal.
            self.async_task_lifecycle(
                Event.CREATE,
                task_name,
                status=Status.PENDING,
                message="Task queued",
                timestamp=self._current_timestamp(),
                **payload,
            )
        except TaskStillOpenError:
            raise
        except Exception:
            logger.exception("Could not record create for task %s.", task_name)

    def _enqueue(self, launch: Launch, func: Any, *args: Any, **kwargs: Any) -> str:
        launch.passed_on = True
        try:
            queued: str = super().launch_async_task(func, *args, **kwargs)
            return queued
        except (Exception, TimeoutException) as exc:
            message, result = launch.describe_failure(exc)
            self._emit_lifecycle(
                Event.FAIL, launch.task_name, status=Status.FAILED, message=message, result=result
            )
            if launch.started:
                # After a timeout PowerCRUD would keep the locks.
                self.remove_active_task(launch.task_name)
            raise

    # --- pages -------------------------------------------------------------------------

    @classmethod
    def as_view(cls, template_name: str | None = None) -> Callable[..., Any]:
        """Return the view that PowerCRUD's modal polls; it answers from the record."""
        return build_poll(cls)

    @classmethod
    def get_urlpatterns(cls, prefix: str = "powercrud/") -> Any:
        """Return what replaces PowerCRUD's own line in a project's URLs.

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
