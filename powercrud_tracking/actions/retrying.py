"""Retry tasks: queue a new one with the function and the arguments that django-q2 has kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils.translation import gettext as _
from django_q.conf import Conf
from django_q.models import Task

from powercrud_tracking import factory
from powercrud_tracking.actions import availability
from powercrud_tracking.actions.log import ActionResult, Attempt
from powercrud_tracking.config.dashboard_config import load
from powercrud_tracking.lifecycle import Action, Event, Outcome
from powercrud_tracking.recording.bulk import arguments as bulk_arguments
from powercrud_tracking.recording.launches import KEPT_OPTIONS
from powercrud_tracking.recording.objects import get_touches
from powercrud_tracking.records import reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.titles import read_extra
from powercrud_tracking.serialization.payloads import describe_exception
from powercrud_tracking.serialization.redaction import compile_redaction

_PLUMBING = frozenset({"manager_class", "manager_config", "task_key"})
"""Keyword arguments that name the manager and the task of one launch."""


class _RefusedError(Exception):
    """The retry is refused; nothing of it remains."""


def retry(task_name: str, *, by: Any = None) -> ActionResult:
    """Queue a finished task again, as a new task; once only.

    The function and its arguments are django-q2's own, never what the row shows. PowerCRUD's bulk
    operations lock their objects again.

    Args:
        task_name: the name of the task, in the setting's table.
        by: who retries it. A user owns the new task; otherwise, with text or nobody, it belongs to
            the user who launched the first one. Nobody is asked for a permission here.

    Returns:
        Done, with the name of the new task, or refused; with a sentence for people.

    Raises:
        django.db.Error: the database refused.
    """
    manager = factory.get_manager()
    attempt = Attempt.begin(manager, Action.RETRY, task_name, by=by)
    record = attempt.find_record()
    if record is None:
        return ActionResult(Outcome.REFUSED, availability.get_unknown(), task_name)
    refusal = availability.find_refusal(Action.RETRY, record)
    if refusal:
        return attempt.refuse(refusal)
    try:
        # All or nothing: the mark on the row, the new task, and the row of this action.
        with transaction.atomic(using=manager.get_database()):
            new_name = _retry(attempt, record)
            return attempt.finish(Outcome.DONE, _("Queued again as a new task."), new_name)
    except _RefusedError as exc:
        return attempt.refuse(str(exc))


def _retry(attempt: Attempt, record: Record) -> str:
    manager = attempt.manager
    new_name: str = manager.generate_task_name()
    manager.async_task_lifecycle(
        Event.RETRY, attempt.task_name, retried_by=new_name, timestamp=attempt.at
    )
    marked = attempt.find_record()
    if marked is None or marked.retried_by != new_name:
        raise _RefusedError(_("The task changed meanwhile, or somebody else has just retried it."))
    if manager.config.retry is not None:
        launched = load(manager.config.retry, "RETRY")(record, attempt.by)
        if not isinstance(launched, str) or not launched:
            raise TypeError(f"RETRY must return the name of the new task, got {launched!r}.")
        rows = reading.get_rows(manager.config, using=manager.get_database())
        rows.named_task(attempt.task_name).update(**{rows.names["retried_by"]: launched})
        new_name = launched
    else:
        _launch(attempt, record, new_name)
    # Its row is there: this fills the empty column.
    manager.async_task_lifecycle(Event.CREATE, new_name, retry_of=attempt.task_name)
    return new_name


def _launch(attempt: Attempt, record: Record, new_name: str) -> None:
    task = availability.find_task(record)
    if task is None:
        raise _RefusedError(availability.get_missing(record))
    manager = attempt.manager.get_manager_for(task)
    conflict_ids = _get_conflict_ids(task, record)
    if holder := _find_holder(manager, conflict_ids):
        raise _RefusedError(_describe_holder(holder))
    kwargs = {key: value for key, value in task.kwargs.items() if key not in _PLUMBING}
    if "manager_class" in task.kwargs:
        # Where PowerCRUD's worker and hook look for the manager; signed anew.
        kwargs |= manager.get_manager_reference()
    try:
        manager.launch_async_task(
            task.func,
            *task.args,
            conflict_ids=conflict_ids,
            user=_find_owner(attempt, record),
            affected_objects=record.objects or None,
            task_key=new_name,
            group=task.group,
            touches=get_touches(attempt.task_name),
            title=_find_title(record),
            **_get_options(record),
            **kwargs,
        )
    except Exception as exc:
        redact = compile_redaction(manager.config.redact)
        reason = describe_exception(exc, limit=1000, redact=redact)
        raise _RefusedError(
            _("The task could not be queued: %(reason)s") % {"reason": reason}
        ) from exc


def _find_owner(attempt: Attempt, record: Record) -> Any:
    if isinstance(attempt.by, get_user_model()):
        return attempt.by
    key = record.launched_by_id
    return bulk_arguments.find_users([key]).get(str(key)) or record.user or None


def _find_title(record: Record) -> str | None:
    """Return the title that the first launch was given; that of a bulk operation is built again."""
    title = read_extra(record.extra).get("title")
    return title if isinstance(title, str) else None


def _get_options(record: Record) -> dict[str, Any]:
    """Return the options of the first launch that django-q2's row does not hold."""
    extra = read_extra(record.extra)
    stored = extra.get("options")
    options = {
        name: stored[name]
        for name in KEPT_OPTIONS
        if isinstance(stored, Mapping) and name in stored
    }
    cluster = record.cluster
    return {**options, "cluster": cluster} if cluster and cluster != Conf.CLUSTER_NAME else options


# --- locks -------------------------------------------------------------------------------


def _get_conflict_ids(task: Task, record: Record) -> dict[str, set[Any]] | None:
    """Return the objects that PowerCRUD is to lock, as the first launch did."""
    found = bulk_arguments.find_locks(task.func, task.args)
    if found is not None:
        return found
    extra = read_extra(record.extra)
    if "conflict_ids" not in extra:
        return None
    stored = extra["conflict_ids"]
    if not isinstance(stored, Mapping):
        raise _RefusedError(
            _("It locked more objects than are stored, so that they cannot be locked again.")
        )
    return {model: set(keys) for model, keys in stored.items()}


def _find_holder(manager: Any, conflict_ids: Mapping[str, Iterable[Any]] | None) -> str | None:
    """Return the name of a task that holds one of these locks."""
    keys = [
        f"{manager.conflict_model_prefix}{model}:{key}"
        for model, ids in (conflict_ids or {}).items()
        for key in ids
    ]
    return next(iter(manager.cache.get_many(keys).values()), None)


def _describe_holder(task_name: str) -> str:
    holder = reading.find_record(task_name)
    title = task_name if holder is None else f"{holder.title} ({task_name})"
    return _("Its objects are locked by another task: %(task)s.") % {"task": title}
