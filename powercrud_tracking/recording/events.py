"""Convert each event's data to values and write them to the task's row."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Concatenate

from django.db import DatabaseError, connections, router
from django_q.utils import get_func_repr

from powercrud_tracking.config.dashboard_config import DashboardConfig, load
from powercrud_tracking.lifecycle import ALL, TABLE, Event, Status, find_status
from powercrud_tracking.recording import attempts, objects, outcomes
from powercrud_tracking.recording.action_log import describe_cancel
from powercrud_tracking.recording.bulk.changes import describe_launch
from powercrud_tracking.recording.launches import find_launch
from powercrud_tracking.recording.recorder import RecordedEvent, get_recorder
from powercrud_tracking.recording.running import find_running_task
from powercrud_tracking.recording.savepoints import (
    find_open_transactions,
    is_in_transaction,
    savepoints,
)
from powercrud_tracking.recording.values import (
    WITHOUT_PROJECT,
    Formatters,
    ValueBuilder,
    call_or_fall_back,
    get_failure,
)
from powercrud_tracking.records import reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization.bulk_results import NOTHING_CHANGED, add_nothing_changed
from powercrud_tracking.serialization.failures import Failure, is_failed_result

logger = logging.getLogger("powercrud_tracking")

type Payload = Mapping[str, Any]
"""The data of an event, by the names of PowerCRUD and of this package."""


class EventRecorder:
    """Record the events of one manager.

    Args:
        config: the manager's.
        formatters: the functions of the project that format values.
        get_defaults: returns the values of further fields of a new row; ``None`` for none.
        find_cached_progress: returns the last progress text in PowerCRUD's cache.
    """

    def __init__(
        self,
        config: DashboardConfig,
        *,
        formatters: Formatters,
        get_defaults: Callable[[str, Payload], Mapping[str, Any]] | None,
        find_cached_progress: Callable[[str], str | None],
    ) -> None:
        self.recorder = get_recorder(config)
        self.values = ValueBuilder(config, self.recorder.fields, formatters)
        self._config = config
        self._get_defaults = get_defaults
        self._find_cached_progress = find_cached_progress

    def record(self, event: str, task_name: str, payload: Payload) -> None:
        """Record an event.

        In a transaction of the caller all of it happens in a savepoint: the functions of the
        project that format values, the ``__str__`` of its objects, and the write. If the
        database refuses anything of it, the event is recorded once more without those.

        Args:
            event: a ``lifecycle.Event`` or its value; ``"error"`` means ``fail``.
            task_name: the name of the task.
            payload: the event's data.

        Raises:
            TaskStillOpenError: a launch, and the task of that name has not ended.
            ValueError: there is no such event; or the name is longer than its field.
            django.db.Error: the database refused.
        """
        function = _FUNCTIONS[Event(event)]
        # Progress calls nothing of the project, and in a transaction it waits for the commit.
        if event == Event.PROGRESS:
            self._record_progress(task_name, payload)
            return
        is_launched = self._protect(function, task_name, payload)
        launch = find_launch(task_name) if is_launched else None
        if launch is not None:
            # Not before: a savepoint may have undone it, and then it is done once more.
            launch.is_written = True

    def _protect[**P, T](
        self,
        function: Callable[Concatenate["EventRecorder", P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a function that calls some of the project, in savepoints of open transactions.

        If the database refuses anything of it there, it is called again with a recorder that
        calls nothing of the project.
        """
        transactions = find_open_transactions()
        if not transactions:
            return function(self, *args, **kwargs)
        try:
            with savepoints(transactions):
                return function(self, *args, **kwargs)
        except DatabaseError as exc:
            with savepoints(transactions):
                result = function(self._build_plain(), *args, **kwargs)
            logger.warning(
                "Recorded with built-in functions, because one of the project has broken the"
                " transaction: %s",
                exc,
            )
            return result

    def _build_plain(self) -> "EventRecorder":
        """Return a recorder of the same table that calls nothing of the project."""
        defaults = self._config.create_defaults
        static = defaults if isinstance(defaults, Mapping) else {}
        return EventRecorder(
            self._config.replace({"failed_result": None}),
            formatters=WITHOUT_PROJECT,
            get_defaults=lambda task_name, payload: static,
            find_cached_progress=self._find_cached_progress,
        )

    # --- one function for each event ------------------------------------------------------

    def _record_create(self, task_name: str, payload: Payload) -> bool:
        """Record a launch, and return whether the row is that of the launch."""
        launch = find_launch(task_name)
        queue_id = payload.get("django_q2_task_id")
        if launch is not None and launch.is_written and queue_id is not None:
            # PowerCRUD's own create, after the enqueue: the row was written ahead of it.
            fitted = {"queue_id": self.values.fit("queue_id", queue_id)}
            self.recorder.update(RecordedEvent(Event.CREATE, task_name, fitted, payload))
            return True
        event = RecordedEvent(Event.CREATE, task_name, self.values.build_create(payload), payload)
        event = self._describe(event)
        written = self._insert(event)
        if not written and launch is not None and not launch.is_written and queue_id is None:
            written = self.recorder.start_over(event, self._build_defaults(event))
            if written:
                attempts.delete_attempts([task_name])
                objects.delete_links([task_name])
                self._link(event)
        elif not written:
            written = self.recorder.update(event)
        return written is not None

    def _record_start(self, task_name: str, payload: Payload) -> None:
        event = RecordedEvent(Event.START, task_name, self.values.build_start(payload), payload)
        written = self._write(event)
        launch, running = find_launch(task_name), find_running_task()
        if launch is not None:
            launch.is_started = True
        if running is not None and running.task_name == task_name:
            running.is_started = written
            running.is_refused = not written and self._is_refused(task_name)

    def _record_progress(self, task_name: str, payload: Payload) -> None:
        event = RecordedEvent(
            Event.PROGRESS, task_name, self.values.build_progress(payload), payload
        )
        running = find_running_task()
        if running is None or running.task_name != task_name:
            self.write(event)
            return
        using = router.db_for_write(self.recorder.model)
        if running.hold(self, event, using=using, interval=self._config.progress_interval):
            running.flush()

    def _record_complete(self, task_name: str, payload: Payload) -> None:
        self._write_end(self._build_complete(task_name, payload))

    def _record_fail(self, task_name: str, payload: Payload) -> None:
        self._write_end(self._build_fail(task_name, payload))

    def _record_cleanup(self, task_name: str, payload: Payload) -> None:
        incoming, message = find_status(payload.get("status")), payload.get("message")
        if incoming is Status.SUCCESS:
            incoming, reason = self._judge(task_name, payload)
            message = message if reason is None else reason
        built = self.values.build_cleanup(incoming, message, payload)
        self._write(RecordedEvent(Event.CLEANUP, task_name, built, payload, incoming))

    def _record_lost(self, task_name: str, payload: Payload) -> None:
        message, at = str(payload.get("message") or ""), get_time(payload.get("timestamp"))
        event = self._build_lost(task_name, message, at)
        if self._write(event):
            self._keep_attempts([event], Status.LOST)

    def _record_cancel_request(self, task_name: str, payload: Payload) -> None:
        values = self.values.build_cancel_request(payload)
        self._write_action(Event.CANCEL_REQUEST, task_name, values, payload)

    def _record_cancel(self, task_name: str, payload: Payload) -> None:
        at = get_time(payload.get("timestamp"))
        values = self.values.build_cancel(payload.get("message"), at)
        self._write_action(Event.CANCEL, task_name, values, payload)

    def _record_retry(self, task_name: str, payload: Payload) -> None:
        self._write_action(Event.RETRY, task_name, self.values.build_retry(payload), payload)

    def _write_action(
        self, event: Event, task_name: str, values: Mapping[str, Any], payload: Payload
    ) -> None:
        only_on = payload.get("only_on", ALL)
        self._write(RecordedEvent(event, task_name, values, payload, only_on=only_on))

    # --- many tasks at once ---------------------------------------------------------------

    def record_many_ends(self, payloads: Mapping[str, Payload]) -> list[str]:
        """Record how many tasks ended, with a constant number of statements.

        Args:
            payloads: task name to what comes with the end; ``status`` is success or failed.

        Returns:
            The names of those whose end has been recorded.
        """
        written = self.recorder.update_many(self._protect(EventRecorder._build_ends, payloads))
        failed_events = [event for event in written if event.event is Event.FAIL]
        self._keep_attempts(failed_events, Status.FAILED)
        ended = [event.task_name for event in written]
        # Somebody has asked to cancel these.
        return ended + [
            name
            for name in payloads.keys() - set(ended)
            if self._end_cancelled(name, payloads[name])
        ]

    def record_many_lost(
        self, messages: Mapping[str, str], *, at: datetime, silent_since: datetime
    ) -> list[str]:
        """Record that tasks are lost: those of them that are still open and silent.

        Args:
            messages: task name to the evidence.
            at: when they were declared lost.
            silent_since: a row that was updated after this is left alone.

        Returns:
            The names of the tasks that are lost now.
        """
        events = [
            self._build_lost(task_name, message, at)._replace(silent_since=silent_since)
            for task_name, message in messages.items()
        ]
        written = self.recorder.update_many(events)
        self._keep_attempts(written, Status.LOST)
        return [event.task_name for event in written]

    def record_many_cancelled(
        self, task_names: Iterable[str], *, at: datetime, silent_since: datetime
    ) -> list[str]:
        """Record that tasks are cancelled which somebody has asked to cancel, and which are gone.

        Args:
            task_names: the names of the tasks.
            at: when that was found out.
            silent_since: a row that was updated after this is left alone.

        Returns:
            The names of the tasks that are cancelled now.
        """
        events = [
            RecordedEvent(
                Event.CANCEL,
                task_name,
                self.values.build_cancel(describe_cancel(task_name), at),
                silent_since=silent_since,
            )
            for task_name in task_names
        ]
        return [event.task_name for event in self.recorder.update_many(events)]

    def record_many_cleanups(self, task_names: Iterable[str]) -> None:
        """Record of many tasks that what PowerCRUD held for them has been released."""
        self.recorder.update_many(
            RecordedEvent(Event.CLEANUP, task_name, {"cleaned": True}) for task_name in task_names
        )

    # --- the end of a task ----------------------------------------------------------------

    def _judge(self, task_name: str, payload: Payload) -> tuple[Status, str | None]:
        return outcomes.judge(
            get_func_repr(payload.get("func")) or "",
            payload.get("result"),
            is_failed=self._is_failed_result,
            progress=payload.get("last_progress"),
            find_progress=partial(self._find_progress, task_name, payload),
            limit=self._config.payload_limit,
            redact=self.values.redact,
            rolled_back=payload.get("rolled_back", True),
        )

    def _build_ends(self, payloads: Mapping[str, Payload]) -> list[RecordedEvent]:
        unknown = [name for name, payload in payloads.items() if not payload.get("last_progress")]
        stored = {record.task_name: record.progress for record in self._find_records(unknown)}
        events = []
        for task_name, payload in payloads.items():
            progress = payload.get("last_progress") or stored.get(task_name) or ""
            failed = payload["status"] == Status.FAILED
            build = self._build_fail if failed else self._build_complete
            events.append(build(task_name, {**payload, "last_progress": progress}))
        return events

    def _build_complete(self, task_name: str, payload: Payload) -> RecordedEvent:
        status, message = self._judge(task_name, payload)
        if status is Status.FAILED:
            failed = {**payload, "message": message}
            return self._build_fail(task_name, failed)
        if message is None:
            message = payload.get("message")
        built = self.values.build_end(Status.SUCCESS, message, payload)
        return RecordedEvent(Event.COMPLETE, task_name, built, payload)

    def _build_fail(self, task_name: str, payload: Payload) -> RecordedEvent:
        failure = get_failure(payload)
        built = self.values.build_end(Status.FAILED, failure.reason, payload)
        return RecordedEvent(Event.FAIL, task_name, built, payload, failure=failure)

    def _build_lost(self, task_name: str, message: str, at: datetime) -> RecordedEvent:
        return RecordedEvent(
            Event.LOST,
            task_name,
            self.values.build_lost(message, at),
            failure=Failure(reason=message),
        )

    def _write_end(self, event: RecordedEvent) -> None:
        if self._write(event):
            outcomes.remember_end(event.payload)
            if event.event is Event.FAIL:
                self._keep_attempts([event], Status.FAILED)
        elif self._end_cancelled(event.task_name, event.payload, event.values.get("message")):
            outcomes.remember_end(event.payload)

    # --- cancelled tasks ------------------------------------------------------------------

    def _is_refused(self, task_name: str) -> bool:
        """Return whether a start has left a row alone because its task must not run."""
        return any(
            record.status is Status.CANCELLED or self._end_cancelled(task_name, {})
            for record in self._find_records([task_name])
        )

    def _end_cancelled(self, task_name: str, payload: Payload, reason: str | None = None) -> bool:
        """End a task that somebody has asked to cancel, and return whether somebody has.

        Args:
            task_name: the name of the task.
            payload: of its end.
            reason: why it failed.
        """
        record = next(iter(self._find_records([task_name])), None)
        if record is None or not record.cancel_requested_at:
            return False
        if not record.retried_by:
            message = describe_cancel(task_name)
            if reason and reason.endswith(NOTHING_CHANGED):
                message = add_nothing_changed(message)
            self._record_cancel(task_name, {**payload, "message": message})
        return True

    def _find_progress(self, task_name: str, payload: Payload) -> str | None:
        if payload.get("last_progress") is not None:
            # It has been looked for, and there is none.
            return None
        text = self._find_cached_progress(task_name)
        if text:
            return text
        return next((record.progress for record in self._find_records([task_name])), None)

    # --- attempts -------------------------------------------------------------------------

    def _keep_attempts(self, events: list[RecordedEvent], outcome: Status) -> None:
        """Keep the attempts that have ended by these events."""
        if not events:
            return
        records = self._find_records([event.task_name for event in events])
        attempts.keep_attempts(
            records,
            {event.task_name: event for event in events},
            outcome=outcome,
            limit=self._config.payload_limit,
            redact=self.values.redact,
        )

    def _find_records(self, task_names: list[str]) -> list[Record]:
        using = router.db_for_write(self.recorder.model)
        rows = reading.get_rows(self._config, using=using).named_tasks(task_names)
        return reading.read(rows, self._config)

    # --- writing --------------------------------------------------------------------------

    def write(self, event: RecordedEvent) -> None:
        """Write an event, in a savepoint where a transaction is open."""
        using = router.db_for_write(self.recorder.model)
        if not is_in_transaction(connections[using]):
            self._write(event)
            return
        with savepoints([using]):
            self._write(event)

    def _write(self, event: RecordedEvent) -> bool:
        """Update the row of a task; if there is none, insert it where the event may."""
        written = self.recorder.update(event)
        if written is None and TABLE[event.event].inserts:
            # Somebody else may insert the row in between: then it can be updated.
            described = self._describe(event) if event.event is Event.START else event
            written = self._insert(described) or self.recorder.update(event)
        if written is not None and written.was_lost:
            attempts.discard_lost_attempts(self._find_records([event.task_name]))
        return written is not None

    def _insert(self, event: RecordedEvent) -> RecordedEvent | None:
        defaults = self._build_defaults(event)
        try:
            inserted = self.recorder.insert(event, defaults)
        except (TypeError, ValueError):
            # A subclass may return anything.
            if not defaults:
                raise
            logger.exception("%r cannot be stored; the row is inserted without it.", defaults)
            inserted = self.recorder.insert(event, {})
        if inserted is not None and event.event in {Event.CREATE, Event.START}:
            self._link(event)
        return inserted

    def _describe(self, event: RecordedEvent) -> RecordedEvent:
        """Return the first event of a task with its title, and what it changes, in ``extra``."""
        if "extra" not in self.recorder.fields:
            return event
        described = describe_launch(event.task_name, event.payload, redact=self.values.redact)
        given = event.payload.get("extra") or {}
        if not described or not isinstance(given, Mapping):
            return event
        extra = self.values.fit("extra", {**described, **given})
        return event._replace(values={**event.values, "extra": extra})

    def _link(self, event: RecordedEvent) -> None:
        """Link a new task to the objects that it works on; without them its row is right, too."""
        try:
            found = objects.find_objects(event.payload, self._config)
            if found:
                objects.link(event.task_name, found, limit=self._config.objects_limit)
        except Exception:
            logger.exception("Could not link task %s to its objects.", event.task_name)

    def _build_defaults(self, event: RecordedEvent) -> Mapping[str, Any]:
        if self._get_defaults is None:
            return {}
        found: Mapping[str, Any] = call_or_fall_back(
            self._get_defaults, _get_no_defaults, event.task_name, event.payload
        )
        return found

    def _is_failed_result(self, func: str, result: Any) -> bool:
        target = self._config.failed_result
        function = is_failed_result if target is None else load(target, "FAILED_RESULT")
        return bool(function(func, result))


def _get_no_defaults(task_name: str, payload: Payload) -> Mapping[str, Any]:
    return {}


_FUNCTIONS: Mapping[Event, Callable[[EventRecorder, str, Payload], bool | None]] = {
    Event.CREATE: EventRecorder._record_create,
    Event.START: EventRecorder._record_start,
    Event.PROGRESS: EventRecorder._record_progress,
    Event.COMPLETE: EventRecorder._record_complete,
    Event.FAIL: EventRecorder._record_fail,
    Event.CLEANUP: EventRecorder._record_cleanup,
    Event.LOST: EventRecorder._record_lost,
    Event.CANCEL_REQUEST: EventRecorder._record_cancel_request,
    Event.CANCEL: EventRecorder._record_cancel,
    Event.RETRY: EventRecorder._record_retry,
}
