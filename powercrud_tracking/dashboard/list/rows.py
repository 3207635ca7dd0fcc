"""The rows of the list as plain values for the template."""

from collections.abc import Collection, Iterable
from html import escape
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from powercrud_tracking.dashboard.formats import build_age, write_duration, write_pair
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.records.reading import Record
from powercrud_tracking.serialization.texts import cut

_MOST_OBJECTS = 80
_MOST_MESSAGE = 200


def build_rows(
    records: Iterable[Record], *, stoppable: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return what the list shows of these tasks.

    Args:
        records: tasks, with their progress from the cache.
        stoppable: the names of those that get a button that cancels them.

    Returns:
        For each task ``record`` itself and, as text or HTML, ``key``, ``url``, ``task_name``,
        ``title``, ``name`` (its beginning; empty if it is the title), ``objects`` (or what a bulk
        operation does to them), ``user``, ``status``, its ``label`` and its ``announcement`` (when
        it changes), ``is_open``, ``is_stopping`` (it is asked to stop), ``cancel_url``,
        ``queued``, ``queue_time``, ``run_time``, ``percent``, ``remaining`` and ``message``.
    """
    # Once for all rows: a lazy label is translated each time it is written.
    labels: dict[Status | None, str] = {status: str(status.label) for status in Status}
    return [
        # Escaped here: Django's own escape, called for each value of a template, costs more.
        {
            name: SafeString(escape(value)) if type(value) in (str, Status) else value
            for name, value in _build_row(record, labels, stoppable).items()
        }
        for record in records
    ]


def _build_row(
    record: Record, labels: dict[Status | None, str], stoppable: Collection[str]
) -> dict[str, Any]:
    status, is_open, title = record.status, record.is_open, record.title
    label = labels.get(status, "")
    measure = record.measure if is_open else None
    remaining = measure and measure.remaining
    return {
        "record": record,
        # As text: a number would be written with the separators of the language.
        "key": str(record.pk),
        "url": _find_url("detail", record.task_name),
        "task_name": record.task_name,
        "title": title,
        "name": "" if title == record.task_name else record.task_name[:8],
        "objects": cut(record.summary or str(record.objects or ""), _MOST_OBJECTS),
        "user": record.user or "",
        "status": status or "",
        "label": label,
        "announcement": write_pair(title, label),
        "is_open": is_open,
        "is_stopping": is_open and record.cancel_requested_at is not None,
        "cancel_url": _find_url("cancel", record.task_name)
        if record.task_name in stoppable
        else "",
        "queued": build_age(record.created_at, "DATETIME_FORMAT"),
        "queue_time": write_duration(record.queue_time),
        "run_time": write_duration(record.run_time),
        "percent": "" if measure is None else str(measure.percent),
        "remaining": _("about %(time)s left") % {"time": write_duration(remaining)}
        if remaining
        else "",
        "message": record.progress_text if is_open else cut(record.message or "", _MOST_MESSAGE),
    }


def _find_url(page: str, task_name: str) -> str:
    try:
        return reverse(f"powercrud_tracking:{page}", args=[task_name])
    except NoReverseMatch:
        # A row without a name.
        return ""
