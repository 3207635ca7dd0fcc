"""How the pages write a duration, and how long ago something was."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

register = template.Library()

_AGES: tuple[tuple[timedelta, timedelta, Any], ...] = (
    (
        timedelta(days=730),
        timedelta(days=365),
        ngettext_lazy("%(number)d year ago", "%(number)d years ago", "number"),
    ),
    (
        timedelta(days=60),
        timedelta(days=30),
        ngettext_lazy("%(number)d month ago", "%(number)d months ago", "number"),
    ),
    (
        timedelta(days=1),
        timedelta(days=1),
        ngettext_lazy("%(number)d day ago", "%(number)d days ago", "number"),
    ),
    (
        timedelta(hours=1),
        timedelta(hours=1),
        ngettext_lazy("%(number)d hour ago", "%(number)d hours ago", "number"),
    ),
    (
        timedelta(minutes=1),
        timedelta(minutes=1),
        ngettext_lazy("%(number)d minute ago", "%(number)d minutes ago", "number"),
    ),
    (
        timedelta(seconds=1),
        timedelta(seconds=1),
        ngettext_lazy("%(number)d second ago", "%(number)d seconds ago", "number"),
    ),
)
"""From which age on it is told in which unit."""


@register.filter
def naturaltime(value: datetime) -> str:
    """Return how long ago something was, in one unit: "3 minutes ago".

    Not humanize's, which speaks English in a project that has not installed it: its words are
    that app's own.
    """
    age = datetime.now(value.tzinfo) - value
    for least, unit, text in _AGES:
        if age >= least:
            number = age // unit
            written = str(text % {"number": number})
            return written.replace(f"{number} ", f"{number}\xa0")
    return _("now")


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Return a duration (a timedelta, or seconds) as people say it: "3 min 20 s"."""
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
