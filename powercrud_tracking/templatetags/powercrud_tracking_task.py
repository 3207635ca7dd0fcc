"""Times on the task page."""

from datetime import datetime

from django import template
from django.utils import dateformat, formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from powercrud_tracking.dashboard.formats import write_time
from powercrud_tracking.records.times import get_local

register = template.Library()


@register.filter
def exact_time(value: datetime | None, after: datetime | None = None) -> SafeString | str:
    """Return a time to the millisecond, in the active time zone.

    Args:
        value: the time.
        after: a time shown just before it: the same date is left out.
    """
    if value is None:
        return ""
    local = get_local(value)
    is_same_day = after is not None and get_local(after).date() == local.date()
    written = dateformat.format(local, "H:i:s" if is_same_day else "Y-m-d H:i:s")
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(),
        f"{written}.{local.microsecond // 1000:03d}",
    )


@register.filter
def due_date(value: datetime) -> SafeString:
    """Return the date at which a row may be pruned, with a note if that is past."""
    local = get_local(value)
    date = format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        write_time(value),
        formats.date_format(local, "DATE_FORMAT"),
    )
    if value > timezone.now():
        return date
    return format_html("{} ({})", date, _("the next pruning removes it"))
