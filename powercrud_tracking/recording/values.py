"""Convert the data of an event to values that fit the fields of the table."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import DatabaseError, models
from django_q.utils import get_func_repr

from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.config.references import Field
from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.recording.bulk.arguments import without_info
from powercrud_tracking.recording.savepoints import find_open_transactions, savepoints
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


class Formatters(NamedTuple):
    """The functions of a project that format values; ``None`` for the built-in one."""

    user: Callable[[Any], Any] | None = None
    objects: Callable[[Any], Any] | None = None
    payload: Callable[[Any], Any] | None = None


WITHOUT_PROJECT = Formatters(user=labels.describe, objects=labels.describe)
"""Formatters that call nothing of the project, not even the ``__str__`` of its models."""


class ValueBuilder:
    """Builds the values of events for one configuration's table.

    Args:
        config: for limits and redaction.
        fields: logical name to the model's field.
        formatters: the functions of the project.
    """

    def __init__(
        self,
        config: DashboardConfig,
        fields: Mapping[str, Field],
        formatters: Formatters = Formatters(),  # noqa: B008 - a constant
    ) -> None:
        self.limit = config.payload_limit
        self.redact = redaction.compile_redaction(config.redact)
        self._formatters = formatters
        self._fitters = _get_fitters(config, fields)

    def build_create(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return logical names to values of a launch."""
        raw = {
            **self._read_owner(payload.get("user"), payload.get("affected_objects")),
            **self._read_call(payload),
            "extra": payload.get("extra"),
            "message": payload.get("message"),
            "created_at": get_time(payload.get("timestamp")),
        }
        if raw["queue_id"] is None:
            # It is written always, and must not be emptied.
            del raw["queue_id"]
        if payload.get("retry_of"):
            raw["retry_of"] = payload["retry_of"]
        return self._fit_all(raw)

    def build_owner(self, user: Any, objects: Any) -> dict[str, Any]:
        """Return logical names to values: who launched a task, and on what it works.

        Args:
            user: only an instance of the user model owns the task; anything else is a label.
            objects: instances, text, or PowerCRUD's dict of keys.
        """
        return self._fit_all(self._read_owner(user, objects))

    def build_start(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return logical names to values of a start."""
        return self._fit_all(
            {
                **self._read_call(payload),
                "started_at": get_time(payload.get("timestamp")),
                "worker": payload.get("worker"),
            }
        )

    def build_progress(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return logical names to values of a progress report."""
        text = payload.get("progress_payload")
        fit = self._fitters.get("progress")
        text = payload.get("message") if text is None else text
        return {} if fit is None else {"progress": fit(text)}

    def build_end(
        self, status: Status, message: str | None, payload: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return logical names to values of the end of a task.

        Args:
            status: success, failed or lost.
            message: a sentence for people; ``None``: the message stays as it is.
            payload: the event's data.
        """
        raw = {
            # A result of None is written too: the traceback of an earlier attempt must go.
            "result": self._format_payload(payload.get("result")),
            "failed_at" if status in FAILURES else "completed_at": get_time(
                payload.get("timestamp")
            ),
        }
        if message is not None:
            raw["message"] = message
        return self._fit_all(raw)

    def build_cleanup(
        self, incoming: Status | None, message: str | None, payload: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return logical names to values of a cleanup.

        Args:
            incoming: the status that comes with it.
            message: of the task, if it is still open.
            payload: the event's data.
        """
        raw: dict[str, Any] = {"cleaned": True}
        if message is not None:
            raw["message"] = message
        if payload.get("result") is not None:
            raw["result"] = self._format_payload(payload["result"])
        if incoming is Status.SUCCESS:
            raw["completed_at"] = get_time(payload.get("timestamp"))
        elif incoming in FAILURES:
            raw["failed_at"] = get_time(payload.get("timestamp"))
        return self._fit_all(raw)

    def build_lost(self, message: str, at: datetime) -> dict[str, Any]:
        """Return logical names to values of a task that is declared lost."""
        return self._fit_all({"message": message, "failed_at": at})

    def build_cancel_request(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return logical names to values of a request to cancel a task."""
        return self._fit_all({"cancel_requested_at": get_time(payload.get("timestamp"))})

    def build_cancel(self, message: str | None, at: datetime) -> dict[str, Any]:
        """Return logical names to values of a task that is cancelled."""
        return self._fit_all({"message": message, "cancelled_at": at})

    def build_retry(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return logical names to values of a task whose place another one takes."""
        at = get_time(payload.get("timestamp"))
        return self._fit_all({"retried_by": payload.get("retried_by"), "cancel_requested_at": at})

    # --- reading a payload ---------------------------------------------------------------

    def _read_owner(self, user: Any, objects: Any) -> dict[str, Any]:
        key = user.pk if isinstance(user, get_user_model()) else None
        return {
            "user": _format(self._formatters.user, self.format_user, user),
            "launched_by_id": None if key is None else str(key),
            "objects": _format(self._formatters.objects, self.format_objects, objects),
        }

    def _read_call(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return function, arguments, group, cluster, and the id in the queue."""
        args, kwargs = payload.get("task_args"), payload.get("task_kwargs")
        if isinstance(args, list | tuple):
            args = [without_info(value) for value in args]
        if isinstance(kwargs, Mapping) and not PLUMBING.isdisjoint(kwargs):
            kwargs = {key: value for key, value in kwargs.items() if key not in PLUMBING}
        return {
            "func": get_func_repr(payload.get("func")),
            "args": self._format_payload(args),
            "kwargs": self._format_payload(kwargs),
            "group": payload.get("group"),
            "cluster": payload.get("cluster"),
            "queue_id": payload.get("django_q2_task_id"),
        }

    def _format_payload(self, value: Any) -> Any:
        function = self._formatters.payload
        if function is None or value is None:
            return value
        return call_or_fall_back(function, _keep, value)

    # --- fitting -----------------------------------------------------------------------

    def fit(self, name: str, value: Any) -> Any:
        """Return a value in the form that its field takes; ``None`` if there is no field."""
        fitter = self._fitters.get(name)
        return None if fitter is None else fitter(value)

    def format_user(self, user: Any) -> str:
        """Return the built-in label of a user."""
        return labels.format_user(user, redact=self.redact)

    def format_objects(self, objects: Any) -> str:
        """Return the built-in label of the objects that a task works on."""
        return labels.format_objects(objects, redact=self.redact)

    def _fit_all(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values for which the table has a field, in the form that it takes.

        Args:
            raw: logical names to values of any kind.
        """
        fitters = self._fitters
        return {name: fitters[name](value) for name, value in raw.items() if name in fitters}


def _get_fitters(
    config: DashboardConfig, fields: Mapping[str, Field]
) -> dict[str, Callable[[Any], Any]]:
    """Return logical names to functions that make any value fit the field."""
    bounds = {
        "limit": config.payload_limit,
        "redact": redaction.compile_redaction(config.redact),
    }
    return {name: _get_fitter(field, bounds) for name, field in fields.items()}


def _get_fitter(field: Field, bounds: Mapping[str, Any]) -> Callable[[Any], Any]:
    empty = None if field.null else field.get_default()
    longest = field.max_length
    if isinstance(field, models.JSONField):
        return lambda value: empty if value is None else payloads.to_json(value, **bounds)
    if not isinstance(field, models.CharField | models.TextField):
        return lambda value: empty if value is None else value

    def fit_text(value: Any) -> Any:
        if value is None:
            return empty
        text = payloads.to_text(value, **bounds)
        return text if longest is None or len(text) <= longest else payloads.cut(text, longest)

    return fit_text


def _format(
    function: Callable[[Any], Any] | None, built_in: Callable[[Any], Any], value: Any
) -> Any:
    return built_in(value) if function is None else call_or_fall_back(function, built_in, value)


def _keep(value: Any) -> Any:
    return value


class QueryFailedError(Exception):
    """A query of a function of the project failed; no transaction has been broken by it."""


def in_savepoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the project that breaks no open transaction by a query that fails."""

    def call(*args: Any) -> Any:
        try:
            with savepoints(find_open_transactions()):
                return function(*args)
        except DatabaseError as exc:
            raise QueryFailedError(f"{function!r}: {exc}") from exc

    return call


def call_or_fall_back(
    function: Callable[..., Any], built_in: Callable[..., Any], *args: Any
) -> Any:
    """Call a function of the project; if it raises, log that and call the built-in one.

    Raises:
        DatabaseError: its query failed while a transaction is open, which may be unusable now:
            whoever has set the savepoint has to return to it first.
    """
    try:
        return function(*args)
    except Exception as exc:
        logger.exception("%r raised; the built-in one is used instead.", function)
        if isinstance(exc, DatabaseError) and find_open_transactions():
            raise
        return built_in(*args)


def get_failure(payload: Mapping[str, Any]) -> failures.Failure:
    """Return why a task failed.

    PowerCRUD's hook sends django-q2's whole result, traceback and all, as the message: then
    the reason is taken out of it.
    """
    message, result = payload.get("message"), payload.get("result")
    failure = failures.parse_failure(result)
    if message is None or (isinstance(result, str | bool) and message == str(result)):
        return failure
    reason = payloads.to_line(payloads.to_text(message, limit=65536))
    return replace(failure, reason=reason or failure.reason)
