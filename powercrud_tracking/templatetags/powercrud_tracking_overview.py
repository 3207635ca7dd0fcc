"""Links from the overview to the list, and numbers of the charts."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from powercrud_tracking.dashboard.formats import get_label_of_tasks
from powercrud_tracking.dashboard.overview.charts import get_share
from powercrud_tracking.records.reading import get_title

register = template.Library()
register.filter("func_title", get_title)
register.filter("tasks_label", get_label_of_tasks)


@register.simple_tag
def list_query(**values: Any) -> str:
    """Return a query string for the list, without empty parameters.

    Times are written as in a ``datetime-local`` input, in the active time zone; with the offset
    if a change of the clocks makes them ambiguous.
    """
    return urlencode({name: _write(value) for name, value in values.items() if value})


def _write(value: Any) -> str:
    if not isinstance(value, datetime):
        return str(value)
    if timezone.is_naive(value):
        return value.strftime("%Y-%m-%dT%H:%M")
    local = timezone.localtime(value)
    is_ambiguous = local.utcoffset() != local.replace(fold=not local.fold).utcoffset()
    return local.strftime("%Y-%m-%dT%H:%M%:z" if is_ambiguous else "%Y-%m-%dT%H:%M")


@register.filter
def share_of(value: timedelta, most: timedelta) -> str:
    """Return the length of a bar: "40%"."""
    return get_share(value.total_seconds(), most.total_seconds())


@register.filter
def grouped(value: int) -> str:
    """Return a number with separators: "1,390"."""
    return number_format(value, force_grouping=True)


@register.filter
def percent(value: float) -> str:
    """Return a share as a percentage: "2.4 %"."""
    return _("%(number)s %%") % {"number": number_format(round(100 * value, 1), 1)}
