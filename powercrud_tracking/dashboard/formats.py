"""Format times, durations and labels for the pages."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from html import escape
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy, pgettext_lazy

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.records.times import get_local

_LABELS_OF_TASKS: Mapping[Status, Any] = {
    Status.SUCCESS: pgettext_lazy("tasks", "Succeeded"),
    Status.FAILED: pgettext_lazy("tasks", "Failed"),
    Status.LOST: pgettext_lazy("tasks", "Lost"),
    Status.CANCELLED: pgettext_lazy("tasks", "Cancelled"),
}
"""The label of a finished status above a number of tasks, a plural in some languages."""

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_YEAR, _MONTH, _SECOND = timedelta(days=365), timedelta(days=30), timedelta(seconds=1)
_AGES: tuple[tuple[timedelta, timedelta, Any], ...] = (
    (2 * _YEAR, _YEAR, ngettext_lazy("%(number)d year ago", "%(number)d years ago", "number")),
    (2 * _MONTH, _MONTH, ngettext_lazy("%(number)d month ago", "%(number)d months ago", "number")),
    (_DAY, _DAY, ngettext_lazy("%(number)d day ago", "%(number)d days ago", "number")),
    (_HOUR, _HOUR, ngettext_lazy("%(number)d hour ago", "%(number)d hours ago", "number")),
    (_MINUTE, _MINUTE, ngettext_lazy("%(number)d minute ago", "%(number)d minutes ago", "number")),
    (_SECOND, _SECOND, ngettext_lazy("%(number)d second ago", "%(number)d seconds ago", "number")),
)
"""The minimum age for a unit, the unit, and the text."""


def get_label_of_tasks(status: Status) -> Any:
    """Return the label of a status above a number of tasks, where some languages take a plural."""
    return _LABELS_OF_TASKS.get(status, status.label)


def write_pair(label: Any, value: Any) -> str:
    """Return a label and its value: "Status: Failed", with the colon of the language."""
    return _("%(label)s: %(value)s") % {"label": label, "value": value}


def write_age(at: datetime) -> str:
    """Return how long ago something happened, in one unit: "3 minutes ago".

    Not humanize's ``naturaltime``: its translations belong to an app that a project may not
    have installed.
    """
    age = datetime.now(at.tzinfo) - at
    for least, unit, text in _AGES:
        if age >= least:
            number = age // unit
            written = str(text % {"number": number})
            return written.replace(f"{number} ", f"{number}\xa0")
    return _("now")


def write_duration(value: timedelta | float | None) -> str:
    """Return a duration (a timedelta, or seconds) in one or two units: "3 min 20 s"."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 1:
        return _("%(number)d ms") % {"number": seconds * 1000}
    if seconds < 10:
        return _("%(number)s s") % {"number": number_format(round(seconds, 1), 1)}
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours}
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    if minutes:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds}
    return _("%(number)d s") % {"number": seconds}


def write_time(at: datetime) -> str:
    """Return a time to the second in the active time zone: "2026-01-02 03:04:05 UTC"."""
    local = get_local(at)
    written = local.replace(tzinfo=None).isoformat(" ", "seconds")
    return f"{written} {local.tzname()}" if local.tzinfo else written


def build_age(at: datetime | None, title: str = "") -> SafeString | str:
    """Return a ``<time>`` element that says "3 minutes ago", with the exact time on hover.

    Args:
        at: when something happened.
        title: the Django format of the exact time, ``"DATETIME_FORMAT"`` for example; to the
            second and with the time zone, unless given.
    """
    if at is None:
        return ""
    local = get_local(at)
    exact = escape(date_format(local, title) if title else write_time(at))
    # Not format_html(), whose three calls cost more than all else here; lists have fifty of these.
    return SafeString(
        f'<time datetime="{local.isoformat()}" title="{exact}">{escape(write_age(at))}</time>'
    )
