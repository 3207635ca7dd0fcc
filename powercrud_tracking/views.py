"""The pages. Each view guards, reads, renders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from powercrud_tracking import changes, charts, factory, overview, paging, records
from powercrud_tracking.access import (
    PermissionRequiredMixin,
    PersonRequiredMixin,
    get_own_rows,
    get_visible_rows,
    may_view_records,
)
from powercrud_tracking.advice import get_advice
from powercrud_tracking.attempts import get_attempts
from powercrud_tracking.config import get_config
from powercrud_tracking.counts import Count
from powercrud_tracking.details import MOST_ATTEMPTS, get_failures, get_payloads
from powercrud_tracking.figures import read_counts
from powercrud_tracking.filters import SEARCHED, RecordFilter, get_query
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.live import add_live_progress
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecordQuerySet
from powercrud_tracking.records import Record
from powercrud_tracking.runs import find_runs
from powercrud_tracking.timeline import build_timeline
from powercrud_tracking.upkeep import find_prune_time

STATUSES: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (_("Open"), OPEN),
    "failed": (Status.FAILED.label, frozenset({Status.FAILED})),
    "lost": (Status.LOST.label, frozenset({Status.LOST})),
    "success": (Status.SUCCESS.label, frozenset({Status.SUCCESS})),
    "": (_("All"), OPEN | FINISHED),
}
"""The tabs of the list: word in the address to label and statuses."""


@dataclass(frozen=True, kw_only=True)
class Tab:
    """One tab of the list.

    Args:
        label: in words.
        query: its address behind the "?".
        count: how many tasks it has; ``None`` where filters are on.
        is_current: whether it is the one that is shown.
    """

    label: Any
    query: str
    count: Count | None
    is_current: bool


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
    """A page of tasks: those of one tab, narrowed by filters."""

    template_name = "powercrud_tracking/record_list.html"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of which this page shows some."""
        raise NotImplementedError

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.visible = self.get_visible_rows()
        self.filter = RecordFilter(request.GET, queryset=self.visible)
        self.has_status = "status" in self.visible.names
        asked = request.GET.get("status", "")
        self.tab = asked if self.has_status and asked in STATUSES else ""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "poll" in request.GET:
            return self.tell_changes(request)
        return super().get(request, *args, **kwargs)

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of the tab, as the filters narrow them."""
        rows: AsyncTaskRecordQuerySet = self.filter.qs.without_payloads()
        return rows.with_status(STATUSES[self.tab][1]) if self.tab else rows

    def get_tabs(self) -> list[Tab]:
        if not self.has_status:
            return []
        given = self.filter.given
        counts: dict[str, Count] = {}
        if not given:
            counts = read_counts(
                {
                    name: self.visible.with_status(statuses) if name else self.visible
                    for name, (label, statuses) in STATUSES.items()
                }
            )
        return [
            Tab(
                label=label,
                query=get_query(status=name, **given),
                count=counts.get(name),
                is_current=name == self.tab,
            )
            for name, (label, statuses) in STATUSES.items()
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked, given = self.request.GET, self.filter.given
        page = paging.get_page(
            self.get_rows(), older=asked.get("older", ""), newer=asked.get("newer", "")
        )
        add_live_progress(page.records, factory.get_manager())
        self.filter.offer_choices()
        is_first = not page.newer
        here = get_query(status=self.tab, **given)
        return super().get_context_data(
            records=page.records,
            filter=self.filter,
            chosen=self.filter.get_chosen(status=self.tab),
            is_narrowed=bool(given.keys() - {"q"}),
            searched=self.filter.is_searching and number_format(SEARCHED, force_grouping=True),
            status=self.tab,
            tabs=self.get_tabs(),
            cleared=get_query(status=self.tab),
            here=here,
            older=get_query(status=self.tab, **given, older=page.older) if page.older else "",
            newer=get_query(status=self.tab, **given, newer=page.newer) if page.newer else "",
            top=page.top,
            is_first=is_first,
            seconds=changes.SECONDS,
            **kwargs,
        )

    def tell_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a page that is open: 304, or the rows, counts and news to put into it."""
        shown = changes.get_shown_rows(self.visible, request.GET.getlist("row"))
        found = records.read(shown.without_payloads())
        add_live_progress(found, factory.get_manager())
        top = request.GET["poll"]
        news = paging.count_newer(self.get_rows(), top) if request.GET.get("first") else 0
        token = changes.get_token(found, news)
        unchanged = changes.find_unchanged_response(request, token)
        if unchanged is not None:
            return unchanged
        context = {
            "records": found,
            "tabs": self.get_tabs(),
            "news": news,
            "has_more_news": news == paging.SIZE,
            "here": get_query(status=self.tab, **self.filter.given),
        }
        response = render(request, "powercrud_tracking/_list_changes.html", context)
        return changes.add_token(response, token)


class RecordList(PermissionRequiredMixin, AbstractRecordList):
    """All tasks."""

    section = "list"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request)


class OwnRecordList(PersonRequiredMixin, AbstractRecordList):
    """What somebody queued, for themselves: that takes no further rights."""

    section = "mine"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
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

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows that this person may see: without the permission their own."""
        may_view_all = may_view_records(self.request.user)
        return (get_visible_rows if may_view_all else get_own_rows)(self.request)

    def get_record(self) -> Record:
        """Return the task that is asked for.

        Raises:
            PermissionDenied: somebody without the view permission did not queue it.
            Http404: there is none.
        """
        for record in records.read(self.get_rows().named_task(self.kwargs["task_name"])[:1]):
            add_live_progress([record], factory.get_manager())
            return record
        if not may_view_records(self.request.user):
            # The same answer for another's task and for none at all.
            raise PermissionDenied
        raise Http404

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        record = self.get_record()
        attempts = list(get_attempts([record.task_name])[:MOST_ATTEMPTS])
        failure, earlier = get_failures(record, attempts)
        return super().get_context_data(
            **get_live_context(record, attempts),
            failure=failure,
            earlier=earlier,
            most_attempts=MOST_ATTEMPTS if len(attempts) == MOST_ATTEMPTS else None,
            payloads=get_payloads(record, with_result=failure is None or not failure.traceback),
            runs=find_runs(record, self.get_rows()),
            **kwargs,
        )


def get_live_context(record: Record, attempts: Sequence[AsyncTaskAttempt]) -> dict[str, Any]:
    """Return what the part of a task's page shows that moves while the task is open.

    Args:
        record: the task.
        attempts: its failed attempts, newest first.
    """
    return {
        "record": record,
        "timeline": build_timeline(record, attempts),
        "advice": get_advice(record, attempts),
        "pruned_at": find_prune_time(record),
    }
