"""How the page of a task writes times."""

from datetime import datetime

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import template_localtime

register = template.Library()


@register.filter
def relative_time(value: datetime | None) -> SafeString | str:
    """Return a time as people say it, "3 minutes ago", with the exact one on hover."""
    if value is None:
        return ""
    local = template_localtime(value)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        _write(local),
        naturaltime(value),
    )


@register.filter
def exact_time(value: datetime | None) -> SafeString | str:
    """Return a time to the millisecond, in the active time zone."""
    if value is None:
        return ""
    local = template_localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(),
        f"{dateformat.format(local, 'Y-m-d H:i:s')}.{local.microsecond // 1000:03d}",
    )


def _write(local: datetime) -> str:
    return dateformat.format(local, "Y-m-d H:i:s T" if timezone.is_aware(local) else "Y-m-d H:i:s")
