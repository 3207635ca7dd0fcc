"""How the pages write a duration."""

from datetime import timedelta

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils.translation import gettext as _

register = template.Library()
# Taken in, so that no project needs to install humanize for our pages.
register.filter("naturaltime", naturaltime)


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Return a duration (a timedelta, or seconds) as people say it: "3 min 20 s"."""
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 1:
        return _("%(number)d ms") % {"number": seconds * 1000}
    if seconds < 10:
        return _("%(number).1f s") % {"number": seconds}
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
