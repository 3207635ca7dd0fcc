"""The lists of tasks: all of them, and one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from powercrud_tracking import factory
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import pagination, reading
from powercrud_tracking.records.cached_progress import add_live_progress, find_live_progress
from powercrud_tracking.records.counts import Count, count_among_newest, read_counts
from powercrud_tracking.records.filters import SEARCHED, RecordFilter, get_query
from powercrud_tracking.records.visibility import (
    PermissionRequiredMixin,
    PersonRequiredMixin,
    get_own_rows,
    get_visible_rows,
)

STATUSES: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (pgettext_lazy("tasks", "Open"), OPEN),
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


class AbstractRecordList(RecordPage):
    """A page of tasks: those of one tab, narrowed by filters."""

    template_name = "powercrud_tracking/record_list.html"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of which this page shows some."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Not in setup(): VISIBLE may rely on it that somebody has logged in.
        self.visible = self.get_visible_rows()
        self.has_status = self.visible.stores("status")
        asked = request.GET.get("status", "")
        self.tab = asked if self.has_status and asked in STATUSES else ""
        self.statuses = STATUSES[self.tab][1]
        if "poll" in request.GET:
            return self.tell_changes(request)
        return super().get(request, *args, **kwargs)

    @cached_property
    def filter(self) -> RecordFilter:
        return RecordFilter(self.request.GET, queryset=self.visible)

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of all tabs, as the filters narrow them."""
        rows: AsyncTaskRecordQuerySet = self.filter.qs if self.filter.given else self.visible
        return rows

    def count(self) -> dict[str, Count]:
        """Return how many tasks each tab has."""
        raise NotImplementedError

    def get_tabs(self) -> list[Tab]:
        if not self.has_status:
            return []
        given = self.filter.given
        counts: dict[str, Count] = {}
        if not given:
            counts = self.count()
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
        page = pagination.get_page(
            self.get_rows(),
            statuses=self.statuses,
            older=asked.get("older", ""),
            newer=asked.get("newer", ""),
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
            seconds=polling.SECONDS,
            **kwargs,
        )

    def tell_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a page that is open: 304, or the rows, counts and news to put into it."""
        shown = polling.get_shown_rows(self.visible, request.GET.getlist("row"))
        states = polling.get_states(shown)
        is_open = [state.task_name for state in states if state.is_open]
        live = find_live_progress(is_open, factory.get_manager())
        top = request.GET["poll"]
        rows = self.get_rows()
        if self.tab:
            rows = rows.with_status(self.statuses)
        news = pagination.count_newer(rows, top) if request.GET.get("first") else 0
        token = polling.get_token(states, live, news)
        unchanged = polling.find_unchanged_response(request, token)
        if unchanged is not None:
            return unchanged
        found = reading.read(shown.without_payloads())
        for record in found:
            record.live_progress = live.get(record.task_name)
        context = {
            "records": found,
            "tabs": self.get_tabs(),
            "news": news,
            "has_more_news": news == pagination.SIZE,
            "here": get_query(status=self.tab, **self.filter.given),
        }
        response = render(request, "powercrud_tracking/_list_changes.html", context)
        return polling.add_token(response, token)


class RecordList(PermissionRequiredMixin, AbstractRecordList):
    """All tasks."""

    section = "list"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request)

    def count(self) -> dict[str, Count]:
        return read_counts(
            {
                name: self.visible.with_status(statuses) if name else self.visible
                for name, (label, statuses) in STATUSES.items()
            }
        )


class OwnRecordList(PersonRequiredMixin, AbstractRecordList):
    """What somebody queued, for themselves: that takes no further rights."""

    section = "mine"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_own_rows(self.request)

    def count(self) -> dict[str, Count]:
        selections = {name: statuses for name, (label, statuses) in STATUSES.items()}
        return count_among_newest(self.visible, selections)
