"""The pages. Each view guards, reads, renders."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from powercrud_tracking import charts, factory, overview, paging, records
from powercrud_tracking.access import (
    PermissionRequiredMixin,
    PersonRequiredMixin,
    get_own_rows,
    get_visible_rows,
    may_view_records,
)
from powercrud_tracking.attempts import get_attempts
from powercrud_tracking.config import get_config
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.live import add_live_progress
from powercrud_tracking.models import AsyncTaskRecordQuerySet

TABS: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (_("Open"), OPEN),
    **{status.value: (status.label, frozenset({status})) for status in sorted(FINISHED)},
}
"""What the list can be narrowed to: word in the address to label and statuses."""

CHART_HEIGHT = 176
"""Pixels."""

MOST_GROUPS = 20
"""How many functions, and how many groups of failures, the overview shows."""


class RecordPage(TemplateView):
    """A page on records, inside the layout that the settings name.

    ``section`` is the entry of the navigation that leads here.
    """

    section = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            base_template=get_config().base_template,
            may_view_all=may_view_records(self.request.user),
            section=self.section,
            **kwargs,
        )


class AbstractRecordList(RecordPage):
    """A page of tasks, all or those of one tab."""

    template_name = "powercrud_tracking/record_list.html"

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of which this page shows some."""
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked, rows = self.request.GET, self.get_rows()
        tab = asked.get("status", "")
        has_status = "status" in rows.names
        if has_status and tab in TABS:
            rows = rows.with_status(TABS[tab][1])
        page = paging.get_page(rows, older=asked.get("older", ""), newer=asked.get("newer", ""))
        add_live_progress(page.records, factory.get_manager())
        return super().get_context_data(
            records=page.records,
            older=_get_query(status=tab, older=page.older) if page.older else "",
            newer=_get_query(status=tab, newer=page.newer) if page.newer else "",
            tab=tab,
            tabs=[(name, label) for name, (label, statuses) in TABS.items()] if has_status else [],
            **kwargs,
        )


def _get_query(**values: str) -> str:
    return urlencode({name: value for name, value in values.items() if value})


class RecordList(PermissionRequiredMixin, AbstractRecordList):
    """All tasks."""

    section = "list"

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request)


class OwnRecordList(PersonRequiredMixin, AbstractRecordList):
    """What somebody queued, for themselves: that takes no further rights."""

    section = "mine"

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        return get_own_rows(self.request)


class Overview(PermissionRequiredMixin, RecordPage):
    """How the whole stands."""

    template_name = "powercrud_tracking/overview.html"
    section = "overview"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        window = overview.get_window(self.request.GET.get("window", ""))
        # The queue holds everybody's tasks: where somebody sees some of them, it is not measured.
        found = overview.read_overview(
            get_visible_rows(self.request), window, measure_queue=get_config().visible is None
        )
        hours = found.hours or []
        chart = charts.build_columns([hour.numbers for hour in hours], height=CHART_HEIGHT)
        return super().get_context_data(
            overview=found,
            window=window,
            windows=overview.WINDOWS,
            chart=chart,
            bars=list(zip(hours, chart.columns, strict=True)),
            most_groups=MOST_GROUPS,
            more_timings=max(len(found.timings or ()) - MOST_GROUPS, 0),
            more_failures=max(len(found.failures or ()) - MOST_GROUPS, 0),
            **kwargs,
        )


class RecordDetail(PersonRequiredMixin, RecordPage):
    """One task."""

    template_name = "powercrud_tracking/record_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        may_view_all = may_view_records(self.request.user)
        rows = (get_visible_rows if may_view_all else get_own_rows)(self.request)
        for record in records.read(rows.named_task(kwargs["task_name"])[:1]):
            add_live_progress([record], factory.get_manager())
            return super().get_context_data(
                record=record, attempts=get_attempts([record.task_name]), **kwargs
            )
        if not may_view_all:
            # The same answer for another's task and for none at all.
            raise PermissionDenied
        raise Http404
