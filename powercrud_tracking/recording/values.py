"""What comes with an event becomes values that fit the fields of the table."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from django.db import models
from django_q.utils import get_func_repr

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.config.references import Field
from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization import failures, labels, payloads, redaction

logger = logging.getLogger("powercrud_tracking")

PLUMBING = frozenset(
    {
        "manager_class",
        "manager_config",
        "task_key",
        "bulk_update_persistence_backend_path",
        "bulk_update_persistence_backend_config",
    }
)
"""Keyword arguments by which PowerCRUD's views talk to its workers: nobody passed them."""


class Hooks(Protocol):
    """The formatting hooks of a manager."""

    def format_user(self, user: Any) -> Any: ...
    def format_objects(self, objects: Any) -> Any: ...
    def format_payload(self, payload: Any) -> Any: ...


class ValueBuilder:
    """Builds the values of an event for one configuration's table.

    Args:
        config: for limits and redaction.
        fields: logical name to the model's field.
        hooks: what formats users, objects and payloads.
    """

    def __init__(self, config: DashboardConfig, fields: Mapping[str, Field], hooks: Hooks) -> None:
        self._limit = config.payload_limit
        self._redact = redaction.compile_redaction(config.redact)
        self._fields = fields
        self._hooks = hooks

    def build(
        self, event: Event, payload: Mapping[str, Any], brought: Status | None = None
    ) -> dict[str, Any]:
        """Return logical names to values, of what this event writes.

        Args:
            event: what happened.
            payload: what came with it, by PowerCRUD's names and ours.
            brought: the status that a cleanup brings.
        """
        at = get_time(payload.get("timestamp"))
        match event:
            case Event.CREATE:
                return self._build_create(payload, at)
            case Event.START:
                return {
                    "started_at": at,
                    "worker": self.fit("worker", payload.get("worker")),
                    **self._build_call(payload),
                }
            case Event.PROGRESS:
                text = payload.get("progress_payload")
                text = payload.get("message") if text is None else text
                return {"progress": self.fit("progress", text)}
            case Event.COMPLETE:
                return self._build_end(payload, {"completed_at": at})
            case Event.FAIL:
                reason = get_failure(payload).reason
                return self._build_end({**payload, "message": reason}, {"failed_at": at})
            case Event.LOST:
                return {"message": self.fit("message", payload.get("message")), "failed_at": at}
            case Event.CLEANUP:
                return self._build_cleanup(payload, at, brought)

    def _build_create(self, payload: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        user = payload.get("user")
        key = getattr(user, "pk", None)
        return {
            "user": self.fit("user", self._format("format_user", user)),
            "launched_by_id": self.fit("launched_by_id", None if key is None else str(key)),
            "objects": self.fit(
                "objects",
                self._format("format_objects", payload.get("affected_objects")),
            ),
            **self._build_call(payload),
            "extra": self.fit("extra", payload.get("extra")),
            "message": self.fit("message", payload.get("message")),
            "created_at": at,
        }

    def _build_call(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What is called: function, arguments, group, and the id that the queue gave."""
        kwargs = payload.get("task_kwargs")
        if isinstance(kwargs, Mapping):
            kwargs = {key: value for key, value in kwargs.items() if key not in PLUMBING}
        return {
            "func": self.fit("func", get_func_repr(payload.get("func"))),
            "args": self._fit_payload("args", payload.get("task_args")),
            "kwargs": self._fit_payload("kwargs", kwargs),
            "group": self.fit("group", payload.get("group")),
            "cluster": self.fit("cluster", payload.get("cluster")),
            "queue_id": self.fit("queue_id", payload.get("django_q2_task_id")),
        }

    def _build_end(self, payload: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
        # A result of None is written too: the traceback of an earlier attempt must go.
        values = {"result": self._fit_payload("result", payload.get("result")), **end}
        if payload.get("message") is not None:
            values["message"] = self.fit("message", payload["message"])
        return values

    def _build_cleanup(
        self, payload: Mapping[str, Any], at: datetime, brought: Status | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {"cleaned": True}
        if payload.get("message") is not None:
            values["message"] = self.fit("message", payload["message"])
        if payload.get("result") is not None:
            values["result"] = self._fit_payload("result", payload["result"])
        if brought is Status.SUCCESS:
            values["completed_at"] = at
        elif brought in {Status.FAILED, Status.LOST}:
            values["failed_at"] = at
        return values

    # --- fitting -----------------------------------------------------------------------

    def fit(self, name: str, value: Any) -> Any:
        """Return a value in the form that its field takes."""
        field = self._fields.get(name)
        if field is None:
            return None
        if value is None:
            return None if field.null else field.get_default()
        if isinstance(field, models.JSONField):
            return self.to_json(value)
        if isinstance(field, models.CharField | models.TextField):
            text = payloads.to_text(value, limit=self._limit, redact=self._redact)
            return text if field.max_length is None else payloads.cut(text, field.max_length)
        return value

    def to_json(self, value: Any) -> Any:
        """Return a payload as bounded, redacted JSON."""
        return payloads.to_json(value, limit=self._limit, redact=self._redact)

    def _fit_payload(self, name: str, value: Any) -> Any:
        if value is None or name not in self._fields:
            return self.fit(name, None)
        return self.fit(name, self._format("format_payload", value))

    def _format(self, name: str, value: Any) -> Any:
        built_in = {
            "format_user": labels.format_user,
            "format_objects": labels.format_objects,
        }.get(name, self.to_json)
        return call_or_fall_back(getattr(self._hooks, name), built_in, value)


def call_or_fall_back(
    function: Callable[..., Any], built_in: Callable[..., Any], *args: Any
) -> Any:
    """Call a project's function; if it raises, log that and call the built-in one."""
    try:
        return function(*args)
    except Exception:
        logger.exception("%r raised; the built-in one is used instead.", function)
        return built_in(*args)


def get_failure(payload: Mapping[str, Any]) -> failures.Failure:
    """Return why a task failed.

    PowerCRUD's hook sends django-q2's whole result, traceback and all, as the message: then
    the reason is taken out of it.
    """
    message, result = payload.get("message"), payload.get("result")
    failure = failures.parse_failure(result)
    if message is None or (result is not None and message == str(result)):
        return failure
    reason = payloads.to_line(payloads.to_text(message, limit=65536))
    return replace(failure, reason=reason or failure.reason)
