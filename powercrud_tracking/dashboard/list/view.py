"""The views of the lists: all tasks, and those of one user."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import pgettext_lazy

from powercrud_tracking import factory
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.formats import get_label_of_tasks
from powercrud_tracking.dashboard.list.rows import build_rows
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.lifecycle import FAILURES, FINISHED, OPEN, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import pagination, reading
from powercrud_tracking.records.cached_progress import add_live_progress, find_live_progress
from powercrud_tracking.records.counts import Count, count_among_newest, read_counts
from powercrud_tracking.records.filters import SEARCHED, RecordFilter, get_query
from powercrud_tracking.records.visibility import (
    ViewPermissionRequiredMixin,
    get_own_rows,
    get_visible_rows,
)

TABS: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (pgettext_lazy("tasks", "Open"), OPEN),
    **{
        status.value: (get_label_of_tasks(status), frozenset({status}))
        # Tasks that need attention come first.
        for status in sorted(Status, key=lambda each: each not in FAILURES)
        if status in FINISHED
    },
    "": (pgettext_lazy("tasks", "All"), OPEN | FINISHED),
}
"""Word in the address to label and statuses."""


class AbstractRecordList(RecordPage):
    """Show one page of the tasks of one tab, narrowed by filters."""

    template_name = "powercrud_tracking/list/list.html"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows that the list shows without tab and filters."""
        raise NotImplementedError

    def read_counts(self) -> dict[str, Count]:
        """Return the number of tasks of each tab, in one query."""
        raise NotImplementedError

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Not in setup(), which runs for anonymous users too: VISIBLE may rely on a login.
        self.visible = self.get_visible_rows()
        self.has_status = self.visible.stores("status")
        tab = request.GET.get("status", "")
        self.tab = tab if self.has_status and tab in TABS else ""
        self.statuses = TABS[self.tab][1]
        if "poll" in request.GET:
            return self.get_changes(request)
        return super().get(request, *args, **kwargs)

    @cached_property
    def filter(self) -> RecordFilter:
        return RecordFilter(self.request.GET, queryset=self.visible)

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of all tabs that match the filters."""
        rows: AsyncTaskRecordQuerySet = self.filter.qs if self.filter.given else self.visible
        return rows

    def get_query(self, **values: str) -> str:
        """Return the query string of this tab and these filters, with further parameters."""
        return get_query(status=self.tab, **self.filter.given, **values)

    def get_tabs(self) -> list[dict[str, Any]]:
        """Return the tabs: ``label``, ``query``, ``count`` (without filters), ``is_current``."""
        if not self.has_status:
            return []
        given = self.filter.given
        counts = {} if given else self.read_counts()
        return [
            {
                "label": label,
                "query": get_query(status=name, **given),
                "count": counts.get(name),
                "is_current": name == self.tab,
            }
            for name, (label, _statuses) in TABS.items()
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = pagination.get_page(
            self.get_rows(),
            statuses=self.statuses,
            older=self.request.GET.get("older", ""),
            newer=self.request.GET.get("newer", ""),
        )
        add_live_progress(page.records, factory.get_manager())
        self.filter.set_choices()
        return super().get_context_data(
            records=page.records,
            rows=build_rows(page.records),
            tabs=self.get_tabs(),
            status=self.tab,
            filter=self.filter,
            active_filters=self.filter.get_active(status=self.tab),
            has_owner=self.section != "mine" or self.visible.stores("launched_by_id"),
            is_narrowed=bool(self.filter.given.keys() - {"q"}),
            searched=self.filter.is_searching and number_format(SEARCHED, force_grouping=True),
            without_filters=get_query(status=self.tab),
            here=self.get_query(),
            older=page.older and self.get_query(older=page.older),
            newer=page.newer and self.get_query(newer=page.newer),
            top=page.top,
            is_first=not page.newer,
            seconds=polling.SECONDS,
            **kwargs,
        )

    def get_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a poll: 304, or the rows that were open, the tabs and the number of new tasks."""
        shown = polling.get_shown_rows(self.visible, request.GET.getlist("row"))
        states = polling.get_states(shown)
        open_tasks = [state.task_name for state in states if state.is_open]
        live = find_live_progress(open_tasks, factory.get_manager())
        new = 0
        if request.GET.get("first"):
            rows = self.get_rows()
            if self.tab:
                rows = rows.with_status(self.statuses)
            new = pagination.count_newer(rows, request.GET["poll"])
        token = polling.get_token(states, live, new)
        unchanged = polling.find_unchanged_response(request, token)
        if unchanged is not None:
            return unchanged
        records = reading.read(shown.without_payloads())
        for record in records:
            record.live_progress = live.get(record.task_name)
        context = {
            "rows": build_rows(records),
            "tabs": self.get_tabs(),
            "new": new,
            "has_more_new": new == pagination.SIZE,
            "here": self.get_query(),
        }
        response = render(request, "powercrud_tracking/list/_changes.html", context)
        return polling.add_token(response, token)


class RecordList(ViewPermissionRequiredMixin, AbstractRecordList):
    """List all tasks that ``VISIBLE`` lets this user see."""

    section = "list"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request)

    def read_counts(self) -> dict[str, Count]:
        return read_counts(
            {
                name: self.visible.with_status(statuses) if name else self.visible
                for name, (_label, statuses) in TABS.items()
            }
        )


class OwnRecordList(LoginRequiredMixin, AbstractRecordList):
    """List the tasks that the user queued; this requires no permission."""

    section = "mine"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_own_rows(self.request)

    def read_counts(self) -> dict[str, Count]:
        return count_among_newest(
            self.visible, {name: statuses for name, (_label, statuses) in TABS.items()}
        )
