"""Read the values of a past task from django-q2's result and from a row of an old table.

Facts are logical names to stored values. Seen with django-q2 1.11: ``Task.started`` is
the time of queueing, and arguments or a result whose class is gone are the text of their pickle.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from django_q.models import Task

from powercrud_tracking.config.dashboard_config import load
from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.recording import outcomes
from powercrud_tracking.recording.bulk import arguments as bulk_arguments
from powercrud_tracking.recording.cancellation import REFUSED
from powercrud_tracking.recording.launches import HOOK
from powercrud_tracking.recording.values import (
    PLUMBING,
    Formatters,
    ValueBuilder,
    call_or_fall_back,
    get_failure,
    in_savepoint,
)
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization.failures import is_failed_result
from powercrud_tracking.serialization.redaction import SecretKeys, redact_text

UNREADABLE = "<cannot be unpickled any more>"

_TIMES = (
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
    "failed_at",
    "cancelled_at",
    "cancel_requested_at",
)
_JSON = ("args", "kwargs", "result", "extra")
_END = ("status", "message", "result", "completed_at", "failed_at", "cancelled_at", "attempts")
_END_TIMES = {Status.SUCCESS: "completed_at", Status.CANCELLED: "cancelled_at"}
_KNOWN_ENDS = {Status.SUCCESS, Status.FAILED, Status.CANCELLED}
_PAYLOAD = {
    "args": "task_args",
    "kwargs": "task_kwargs",
    "objects": "affected_objects",
    "queue_id": "django_q2_task_id",
    "created_at": "timestamp",
}
"""Logical names to those by which ``CREATE_DEFAULTS`` knows the same."""

type Facts = dict[str, Any]


class ImportedTasks:
    """Reads past tasks, and makes the values of their rows.

    Args:
        manager: the ``ModelTrackingAsyncManager`` whose table gets the rows.
    """

    def __init__(self, manager: Any) -> None:
        config, target = manager.config, manager.config.failed_result
        self._limit = config.payload_limit
        self._formatters = Formatters(*(each and in_savepoint(each) for each in manager.formatters))
        self._values = ValueBuilder(config, get_record_map(config).fields, self._formatters)
        get_defaults = manager.defaults_function
        self._get_defaults = in_savepoint(get_defaults) if get_defaults else _get_no_defaults
        self._is_failed = (
            is_failed_result if target is None else in_savepoint(load(target, "FAILED_RESULT"))
        )
        self._users: dict[str, Any] = {}

    def read_result(self, task: Task, progress: str | None = None) -> Facts:
        """Return the facts of a result of django-q2.

        Args:
            task: the result.
            progress: the last progress text of the task, if a table has it.
        """
        args, result = _read_pickled(task.args), _read_pickled(task.result)
        selection = bulk_arguments.find_selection(task.func, args)
        status, message = self._judge(task, result, progress)
        if isinstance(args, list | tuple):
            args = [bulk_arguments.without_info(arg) for arg in args]
        return {
            "task_name": task.name,
            "status": status,
            "message": message,
            "objects": None if selection is None else selection.objects,
            "launched_by_id": None if selection is None else selection.user_id,
            "args": args,
            "kwargs": _read_pickled(task.kwargs),
            "result": result,
            "func": task.func,
            "group": task.group,
            "cluster": task.cluster,
            "queue_id": task.id,
            "created_at": task.started,
            "updated_at": task.stopped,
            _END_TIMES.get(status, "failed_at"): task.stopped,
            "attempts": max(task.attempt_count, 1),
            # django-q2 calls the hook when it saves the result; it releases PowerCRUD's locks.
            "cleaned": task.hook == HOOK,
        }

    def read_row(self, kept: Facts, status: Status, task: Task | None) -> Facts:
        """Return the facts of a row of an old table.

        Args:
            kept: logical names to what the row has.
            status: what its status means.
            task: django-q2's result of the same task. It fills what the row lacks, and where the
                row is open, or the result shows that its end is wrong, it gives the end.
        """
        facts = {
            name: _read_json(value, self._values.redact) if name in _JSON else value
            for name, value in kept.items()
            if value not in (None, "") and (name not in _TIMES or isinstance(value, datetime))
        }
        facts["status"] = status
        if status is Status.FAILED and ("message" in facts or "result" in facts):
            facts["message"] = get_failure(facts).reason
        if task is None:
            return facts
        result = self.read_result(task, str(facts.get("progress") or "") or None)
        # A task that raised nothing ended its last attempt. PowerCRUD takes it for a success also
        # if FAILED_RESULT does not.
        is_known = status in _KNOWN_ENDS and not task.success
        if is_known or status is result["status"]:
            return {**result, **facts}
        return {**result, **facts, **{name: result[name] for name in _END if name in result}}

    def build_row(self, facts: Facts) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Return the values of a row by logical names, and those that the project adds."""
        status, user = facts["status"], self._find_user(facts.get("launched_by_id"))
        times = [facts[name] for name in _TIMES if name in facts] or [get_time(None)]
        facts = {"created_at": min(times), "updated_at": max(times), **facts}
        facts["status"] = status.value
        if status is not Status.SUCCESS:
            facts.pop("completed_at", None)
        if status not in FAILURES:
            facts.pop("failed_at", None)
        if status is not Status.CANCELLED:
            facts.pop("cancelled_at", None)
        if isinstance(facts.get("kwargs"), Mapping):
            facts["kwargs"] = {k: v for k, v in facts["kwargs"].items() if k not in PLUMBING}
        payload = {_PAYLOAD.get(name, name): value for name, value in facts.items()}
        defaults = call_or_fall_back(
            self._get_defaults,
            _get_no_defaults,
            facts["task_name"],
            {**payload, "user": user},
        )
        if facts.get("launched_by_id") is not None:
            facts["launched_by_id"] = str(facts["launched_by_id"])
        if user is not None and "user" not in facts:
            facts["user"] = self._values.build_owner(user, None)["user"]
        format_payload = self._formatters.payload
        if format_payload is not None:
            for name in {"args", "kwargs", "result"} & facts.keys():
                if facts[name] is not None:
                    facts[name] = call_or_fall_back(format_payload, _keep, facts[name])
        del facts["task_name"]
        return {name: self._values.fit(name, value) for name, value in facts.items()}, defaults

    def _judge(self, task: Task, result: Any, progress: str | None) -> tuple[Status, str]:
        if isinstance(result, str) and result == REFUSED:
            return Status.CANCELLED, REFUSED
        if not task.success:
            return Status.FAILED, get_failure({"result": result}).reason
        status, message = outcomes.judge(
            task.func,
            result,
            is_failed=self._is_failed,
            progress=progress,
            limit=self._limit,
            redact=self._values.redact,
            rolled_back=bulk_arguments.is_rolled_back(_read_pickled(task.kwargs)),
        )
        return status, message or "Task completed successfully"

    def _find_user(self, key: Any) -> Any:
        """Return a user by primary key, or ``None``; each costs one query."""
        text = str(key)
        if key is not None and text not in self._users:
            self._users[text] = bulk_arguments.find_users([key]).get(text)
        return self._users.get(text)


def _read_pickled(value: Any) -> Any:
    """Return a value of django-q2's, or a text instead of one that cannot be unpickled any more."""
    if isinstance(value, str) and value.startswith("gA"):
        # django-picklefield returns the text that it could not read: base64 of a pickle.
        with suppress(ValueError):
            raw = b64decode(value, validate=True)
            if raw[:1] == b"\x80" and raw[-1:] == b".":
                return UNREADABLE
    return value


def _read_json(value: Any, redact: SecretKeys | None) -> Any:
    """Return the data in a JSON text; in any other text secrets are masked."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError, RecursionError):
        return json.loads(value)
    return redact_text(value, redact)


def _get_no_defaults(*args: Any) -> dict[str, Any]:
    return {}


def _keep(value: Any) -> Any:
    return value
