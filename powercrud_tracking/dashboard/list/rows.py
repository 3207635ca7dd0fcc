"""The rows of the list as plain values for the template."""

from collections.abc import Iterable
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


def build_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what the list shows of these tasks.

    Args:
        records: tasks, with their progress from the cache.

    Returns:
        For each task ``record`` itself and, as text or HTML, ``key``, ``url``, ``title``, ``name``
        (its beginning; empty if it is the title), ``objects``, ``user``, ``status``, its ``label``
        and its ``announcement`` (when it changes), ``is_open``, ``queued``, ``queue_time``,
        ``run_time``, ``percent``, ``remaining`` and ``message``.
    """
    # Once for all rows: a lazy label is translated each time it is written.
    labels: dict[Status | None, str] = {status: str(status.label) for status in Status}
    return [
        # Escaped here: Django's own escape, called for each value of a template, costs more.
        {
            name: SafeString(escape(value)) if type(value) in (str, Status) else value
            for name, value in _build_row(record, labels).items()
        }
        for record in records
    ]


def _build_row(record: Record, labels: dict[Status | None, str]) -> dict[str, Any]:
    status, is_open, title = record.status, record.is_open, record.title
    label = labels.get(status, "")
    measure = record.measure if is_open else None
    remaining = measure and measure.remaining
    return {
        "record": record,
        # As text: a number would be written with the separators of the language.
        "key": str(record.pk),
        "url": _find_url(record.task_name),
        "title": title,
        "name": "" if title == record.task_name else record.task_name[:8],
        "objects": cut(str(record.objects or ""), _MOST_OBJECTS),
        "user": record.user or "",
        "status": status or "",
        "label": label,
        "announcement": write_pair(title, label),
        "is_open": is_open,
        "queued": build_age(record.created_at, "DATETIME_FORMAT"),
        "queue_time": write_duration(record.queue_time),
        "run_time": write_duration(record.run_time),
        "percent": "" if measure is None else str(measure.percent),
        "remaining": _("about %(time)s left") % {"time": write_duration(remaining)}
        if remaining
        else "",
        "message": record.progress_text if is_open else cut(record.message or "", _MOST_MESSAGE),
    }


def _find_url(task_name: str) -> str:
    try:
        return reverse("powercrud_tracking:detail", args=[task_name])
    except NoReverseMatch:
        # A row without a name.
        return ""
