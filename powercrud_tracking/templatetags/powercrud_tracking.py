"""Template tags for times, durations and links to the rest of the site."""

from contextlib import suppress
from typing import Any

from django import template
from django.template import Context
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import gettext as _

from powercrud_tracking.dashboard import formats
from powercrud_tracking.dashboard.actions.feedback import read_messages

register = template.Library()
register.filter("duration", formats.write_duration)
register.filter("relative_time", formats.build_age)
register.filter("plain_time", formats.write_time)


@register.simple_tag(takes_context=True)
def site_links(context: Context) -> list[tuple[str, str]]:
    """Return the addresses and labels of the site's root and, for staff, of Django's admin.

    Links that the project does not have are left out, as is a root that is a tracking page.
    """
    links = []
    with suppress(Resolver404):
        if "powercrud_tracking" not in resolve("/").namespaces:
            links.append((get_script_prefix(), _("Home")))
    user: Any = getattr(getattr(context, "request", None), "user", None)
    if getattr(user, "is_staff", False):
        with suppress(NoReverseMatch):
            links.append((reverse("admin:index"), _("Admin")))
    return links


@register.simple_tag(takes_context=True)
def page_messages(context: Context) -> list[tuple[str, str]]:
    """Return the level and the text of each message that the project's layout has not shown."""
    request: Any = getattr(context, "request", None)
    return [] if request is None else read_messages(request)
