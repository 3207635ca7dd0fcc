"""The views of the lists: all tasks, and those of one user."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format

from powercrud_tracking import factory
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.list.rows import build_rows
from powercrud_tracking.dashboard.list.selection import TABS, Selection
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.lifecycle import Action
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import pagination, reading
from powercrud_tracking.records.cached_progress import add_live_progress, find_live_progress
from powercrud_tracking.records.counts import Count, count_among_newest, read_counts
from powercrud_tracking.records.filters import SEARCHED, get_query
from powercrud_tracking.records.permissions import has_permission, may_act
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import (
    ViewPermissionRequiredMixin,
    get_own_rows,
    get_visible_rows,
)


class AbstractRecordList(RecordPage):
    """Show one page of the tasks of one tab, narrowed by filters."""

    template_name = "powercrud_tracking/list/list.html"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows that the list shows without tab and filters."""
        raise NotImplementedError

    def read_counts(self) -> dict[str, Count]:
        """Return the number of tasks of each tab, in one query."""
        raise NotImplementedError

    def get_offered_actions(self) -> list[Action]:
        """Return the actions that the user may do with ticked tasks."""
        return []

    def build_rows(self, records: Iterable[Record]) -> list[dict[str, Any]]:
        """Return what the list shows of these tasks, as the page and its polls need it."""
        return build_rows(records)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Not in setup(), which runs for anonymous users too: VISIBLE may rely on a login.
        self.selection = Selection(request.GET, self.get_visible_rows())
        if "poll" in request.GET:
            return self.get_changes(request)
        return super().get(request, *args, **kwargs)

    def get_tabs(self) -> list[dict[str, Any]]:
        """Return the tabs: ``label``, ``query``, ``count`` (without filters), ``is_current``."""
        selection = self.selection
        if not selection.has_status:
            return []
        given = selection.filter.given
        counts = {} if given else self.read_counts()
        return [
            {
                "label": label,
                "query": get_query(status=name, **given),
                "count": counts.get(name),
                "is_current": name == selection.tab,
            }
            for name, (label, _statuses) in TABS.items()
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        selection, tabs = self.selection, self.get_tabs()
        page = pagination.get_page(
            selection.get_rows(),
            statuses=selection.statuses,
            older=self.request.GET.get("older", ""),
            newer=self.request.GET.get("newer", ""),
        )
        add_live_progress(page.records, factory.get_manager())
        selection.filter.set_choices()
        return super().get_context_data(
            records=page.records,
            rows=self.build_rows(page.records),
            actions=self.get_offered_actions(),
            tabs=tabs,
            matching=next((tab["count"] for tab in tabs if tab["is_current"]), None),
            is_valid=selection.is_valid,
            status=selection.tab,
            filter=selection.filter,
            active_filters=selection.filter.get_active(status=selection.tab),
            has_owner=self.section != "mine" or selection.visible.stores("launched_by_id"),
            is_narrowed=bool(selection.filter.given.keys() - {"q"}),
            searched=selection.filter.is_searching and number_format(SEARCHED, force_grouping=True),
            without_filters=get_query(status=selection.tab),
            here=selection.get_query(),
            older=page.older and selection.get_query(older=page.older),
            newer=page.newer and selection.get_query(newer=page.newer),
            top=page.top,
            is_first=not page.newer,
            seconds=polling.SECONDS,
            **kwargs,
        )

    def get_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a poll: 304, or the rows that were open, the tabs and the number of new tasks."""
        shown = polling.get_shown_rows(self.selection.visible, request.GET.getlist("row"))
        states = polling.get_states(shown)
        open_tasks = [state.task_name for state in states if state.is_open]
        live = find_live_progress(open_tasks, factory.get_manager())
        new = 0
        if request.GET.get("first"):
            rows = self.selection.get_rows_of_tab()
            new = pagination.count_newer(rows, request.GET["poll"])
        token = polling.get_token(states, live, new)
        unchanged = polling.find_unchanged_response(request, token)
        if unchanged is not None:
            return unchanged
        records = reading.read(shown.without_payloads())
        for record in records:
            record.live_progress = live.get(record.task_name)
        context = {
            "rows": self.build_rows(records),
            "actions": self.get_offered_actions(),
            "section": self.section,
            "tabs": self.get_tabs(),
            "new": new,
            "has_more_new": new == pagination.SIZE,
            "here": self.selection.get_query(),
        }
        response = render(request, "powercrud_tracking/list/_changes.html", context)
        return polling.add_token(response, token)


class RecordList(ViewPermissionRequiredMixin, AbstractRecordList):
    """List all tasks that ``VISIBLE`` lets this user see."""

    section = "list"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request)

    def get_offered_actions(self) -> list[Action]:
        if not self.selection.has_status:
            return []
        # ALLOWED decides on each task, when it is acted on.
        is_open = get_config().allowed is not None
        return [each for each in Action if is_open or has_permission(self.request, each)]

    def read_counts(self) -> dict[str, Count]:
        visible = self.selection.visible
        return read_counts(
            {
                name: visible.with_status(statuses) if name else visible
                for name, (_label, statuses) in TABS.items()
            }
        )


class OwnRecordList(LoginRequiredMixin, AbstractRecordList):
    """List the tasks that the user queued; this requires no permission."""

    section = "mine"

    def get_visible_rows(self) -> AsyncTaskRecordQuerySet:
        return get_own_rows(self.request)

    def build_rows(self, records: Iterable[Record]) -> list[dict[str, Any]]:
        stoppable = {
            record.task_name
            for record in records
            if record.is_stoppable and may_act(self.request, Action.CANCEL, record)
        }
        return build_rows(records, stoppable=stoppable)

    def read_counts(self) -> dict[str, Count]:
        return count_among_newest(
            self.selection.visible, {name: statuses for name, (_label, statuses) in TABS.items()}
        )
