"""What is known of tasks of the past: django-q2's results and the rows of an old table, as values.

Facts leaned on here, seen with django-q2 1.11: ``Task.started`` is the time of queueing; a
name is not unique; an argument or a result whose class is gone comes as the text in which its
pickle is stored.
"""

import ast
import json
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from django_q.models import Task

from powercrud_tracking.config.dashboard_config import DashboardConfig, load
from powercrud_tracking.lifecycle import FAILURES, OPEN, Status
from powercrud_tracking.recording import bulk_arguments, outcomes
from powercrud_tracking.recording.launches import HOOK
from powercrud_tracking.recording.values import PLUMBING, ValueBuilder, get_failure
from powercrud_tracking.records.mapping import RecordMap
from powercrud_tracking.records.times import get_time
from powercrud_tracking.serialization import failures

UNREADABLE = "<cannot be unpickled any more>"

_TIMES = ("created_at", "updated_at", "started_at", "completed_at", "failed_at")
_NUMBERS = frozenset({"attempts", "cleaned"})
_PAYLOADS = frozenset({"args", "kwargs", "result", "extra"})
_END = ("status", "message", "result", "completed_at", "failed_at")
_SUCCEEDED = frozenset({Status.SUCCESS})
_LONGEST_LITERAL = 1_000_000

type Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ImportedTask:
    """A task of the past.

    Args:
        task_name: its name.
        values: logical names to values that fit the fields of the record table.
        payload: what ``CREATE_DEFAULTS`` is asked with.
        is_judged: whether it failed only because ``FAILED_RESULT`` says so.
    """

    task_name: str
    values: Mapping[str, Any]
    payload: Mapping[str, Any]
    is_judged: bool = False


class BackfillMapper:
    """Turns what is known of a task into the values of its row, by the rules of recording.

    Args:
        config: the configuration of the record table.
        values: what makes values fit its fields.
    """

    def __init__(self, config: DashboardConfig, values: ValueBuilder) -> None:
        self._config = config
        self._values = values
        self._is_failed: Callable[[str, Any], bool] = (
            failures.is_failed_result
            if config.failed_result is None
            else load(config.failed_result, "FAILED_RESULT")
        )

    # --- django-q2's results -------------------------------------------------------------

    def read_results(self, tasks: Iterable[Task]) -> list[ImportedTask]:
        """Return what django-q2 remembers of these tasks."""
        tasks = list(tasks)
        users = load_users(tasks)
        return [self.read_result(task, users) for task in tasks]

    def read_result(
        self, task: Task, users: Mapping[str, Any], last_progress: str | None = None
    ) -> ImportedTask:
        """Return what django-q2 remembers of one task.

        Args:
            task: its result.
            users: key as text to user, of those who are still there.
            last_progress: its last progress text, where somebody kept that.
        """
        args, kwargs = _read_pickled(task.args), _read_pickled(task.kwargs)
        selection = bulk_arguments.find_selection(task.func, args)
        payload = {
            "func": task.func,
            "task_args": _to_list(args),
            "task_kwargs": kwargs,
            "group": task.group,
            "django_q2_task_id": task.id,
            "user": None if selection is None else users.get(str(selection.user_id)),
            "affected_objects": None if selection is None else selection.objects,
            "timestamp": task.started,
        }
        end: Mapping[str, Any] = {
            "func": task.func,
            "result": _read_pickled(task.result),
            "message": "Task completed successfully" if task.success else None,
            "timestamp": task.stopped,
        }
        values = self._build_call(payload, user_id=selection and selection.user_id)
        status = Status.SUCCESS if task.success else Status.FAILED
        message = None if task.success else get_failure(end).reason
        if task.success:
            status, message = outcomes.judge(
                task.func,
                end["result"],
                is_failed=self._is_failed,
                progress=last_progress,
                limit=self._config.payload_limit,
                redact=self._values.redact,
            )
        message = message or end["message"]
        values |= self._values.build_end(status, message, end)
        values |= {
            "status": str(status),
            "created_at": get_time(task.started),
            "updated_at": get_time(task.stopped),
            "attempts": max(task.attempt_count, 1),
            # The hook releases what PowerCRUD holds, and it has run: it hangs on this result.
            "cleaned": task.hook == HOOK,
        }
        is_judged = task.success and status is Status.FAILED
        return ImportedTask(
            task_name=task.name, values=values, payload=payload, is_judged=is_judged
        )

    def _build_call(self, payload: Mapping[str, Any], *, user_id: Any) -> Values:
        built = self._values.build_create(payload)
        if payload["user"] is None:
            # Nobody is known to have launched it, which is not to say that nobody did.
            built["user"] = self._values.fit("user", None)
            key = None if user_id is None else str(user_id)
            built["launched_by_id"] = self._values.fit("launched_by_id", key)
        return {name: value for name, value in built.items() if name != "message"}

    # --- an old table ----------------------------------------------------------------------

    def read_row(
        self,
        row: models.Model,
        old: RecordMap,
        *,
        status: Status,
        task: Task | None,
        users: Mapping[str, Any],
    ) -> ImportedTask:
        """Return what a row of an old table says of its task.

        Args:
            row: the row.
            old: which field of it holds what.
            status: its status, in our words.
            task: django-q2's result of the same task: it fills what the row lacks, and where
                it knows an end that the row does not, the row takes that.
            users: key as text to user, of those who are still there.
        """
        known = {name: getattr(row, field.attname) for name, field in old.fields.items()}
        values: Values = {
            name: self._values.fit(name, value)
            for name, value in known.items()
            if name not in {"task_name", "status", "user", *_NUMBERS, *_TIMES}
        }
        for name in _PAYLOADS & known.keys():
            values[name] = self._values.fit(name, _read_payload(name, known[name]))
        values |= {name: _to_whole(known[name]) for name in _NUMBERS & known.keys()}
        values |= {name: _to_time(known[name]) for name in _TIMES if name in known}
        user = self._find_user(row, old)
        values |= self._build_user(row, old, user)
        values["status"] = str(status)
        if status is Status.FAILED and (known.get("message") or known.get("result")):
            values["message"] = self._values.fit("message", _get_reason(known))
        values = {name: value for name, value in values.items() if value not in (None, "")}
        payload: Mapping[str, Any] = {"user": user}
        if task is not None:
            progress = known.get("progress")
            past = self.read_result(task, users, None if progress is None else str(progress))
            values = _merge(values, past)
            payload = {**past.payload, **({} if user is None else payload)}
        for name, ended in (("completed_at", _SUCCEEDED), ("failed_at", FAILURES)):
            # An end of each kind would say that it ended twice.
            if values["status"] not in ended:
                values.pop(name, None)
        _complete_times(values)
        return ImportedTask(task_name=str(known["task_name"]), values=values, payload=payload)

    def _find_user(self, row: models.Model, old: RecordMap) -> Any:
        field = old.fields.get("user")
        # It may be gone, if no constraint kept it.
        return getattr(row, field.name, None) if field is not None and field.is_relation else None

    def _build_user(self, row: models.Model, old: RecordMap, user: Any) -> Values:
        if user is not None:
            built = self._values.build_owner(user, None)
            # A profile, say, has a name, but not the key of a user.
            names = ("user", "launched_by_id") if isinstance(user, get_user_model()) else ("user",)
            return {name: built[name] for name in names}
        field = old.fields.get("user")
        if field is None:
            return {}
        value = getattr(row, field.attname)
        name = "launched_by_id" if field.is_relation else "user"
        return {name: self._values.fit(name, None if value is None else str(value))}


def _merge(row: Values, past: ImportedTask) -> Values:
    """Return what both know of a task; where they differ, the better end."""
    merged = {**past.values, **row}
    is_success = past.values["status"] == Status.SUCCESS
    if row["status"] in OPEN or is_success or (row["status"] == Status.SUCCESS and past.is_judged):
        merged |= {name: past.values[name] for name in _END if name in past.values}
        merged["attempts"] = past.values["attempts"]
    return merged


def _complete_times(values: Values) -> None:
    """Give a row that was kept without its times the best that is known."""
    known = [values[name] for name in _TIMES if values.get(name) is not None]
    now = get_time(None)
    values.setdefault("created_at", min(known, default=now))
    values.setdefault("updated_at", max(known, default=now))


def find_best(tasks: Iterable[Task]) -> dict[str, Task]:
    """Return one result for each name: a success counts more, then what came last."""
    return {
        task.name: task for task in sorted(tasks, key=lambda task: (task.success, task.stopped))
    }


def load_users(tasks: Iterable[Task]) -> dict[str, Any]:
    """Return those who launched bulk tasks, by their key as text."""
    selections = [
        bulk_arguments.find_selection(task.func, _read_pickled(task.args)) for task in tasks
    ]
    return bulk_arguments.find_users(each.user_id for each in selections if each is not None)


def _read_pickled(value: Any) -> Any:
    """Return a value of django-q2's, or a word for one that cannot be unpickled any more."""
    if isinstance(value, str) and value.startswith("gA"):
        # django-picklefield returns the text that it could not read: base64 of a pickle.
        with suppress(ValueError):
            raw = b64decode(value, validate=True)
            if raw[:1] == b"\x80" and raw[-1:] == b".":
                return UNREADABLE
    return value


def _to_list(args: Any) -> Any:
    return (
        [bulk_arguments.without_info(arg) for arg in args]
        if isinstance(args, list | tuple)
        else args
    )


def _to_time(value: Any) -> datetime | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return get_time(value) if isinstance(value, datetime) else None


def _to_whole(value: Any) -> int | None:
    # A bool is a whole number too; what a project kept otherwise is not guessed.
    return value if isinstance(value, int) else None


def _get_reason(known: Mapping[str, Any]) -> str:
    return get_failure({"message": known.get("message"), "result": known.get("result")}).reason


def _read_payload(name: str, value: Any) -> Any:
    """Return a payload as data, so that its secrets can be found, though it was kept as text."""
    if isinstance(value, str):
        value = _parse(value)
    if name == "kwargs" and isinstance(value, Mapping):
        return {key: part for key, part in value.items() if key not in PLUMBING}
    return value


def _parse(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    if text[:1] in "{[(" and len(text) <= _LONGEST_LITERAL:
        # What str() makes of a dict is no JSON.
        with (
            suppress(ValueError, SyntaxError, MemoryError, RecursionError),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of odd escapes in it
            return ast.literal_eval(text)
    return text
