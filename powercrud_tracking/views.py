"""The pages. Each view guards, reads, renders."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.mixins import AccessMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from powercrud_tracking import factory, paging, records
from powercrud_tracking.attempts import get_attempts
from powercrud_tracking.config import get_config, load
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.live import add_live_progress
from powercrud_tracking.models import AsyncTaskRecordQuerySet

TABS: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (_("Open"), OPEN),
    **{status.value: (status.label, frozenset({status})) for status in sorted(FINISHED)},
}
"""What the list can be narrowed to: word in the address to label and statuses."""


def may_view_records(user: Any) -> bool:
    """Return whether somebody holds the view permission of the record model."""
    meta = records.get_record_map(get_config()).model._meta
    return user.has_perm(f"{meta.app_label}.view_{meta.model_name}")


def get_visible_rows(request: HttpRequest) -> AsyncTaskRecordQuerySet:
    """Return the rows that ``VISIBLE`` lets this person see."""
    config = get_config()
    rows = records.get_rows(config)
    return rows if config.visible is None else load(config.visible, "VISIBLE")(request, rows)


class RecordPage(AccessMixin, TemplateView):
    """A page on records: login for anonymous people, 403 without the view permission."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        if not may_view_records(request.user):
            self.raise_exception = True
            return self.handle_no_permission()
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(base_template=get_config().base_template, **kwargs)


class RecordList(RecordPage):
    """A page of tasks, all or those of one tab."""

    template_name = "powercrud_tracking/record_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked, rows = self.request.GET, get_visible_rows(self.request)
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


class RecordDetail(RecordPage):
    """One task."""

    template_name = "powercrud_tracking/record_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = get_visible_rows(self.request).named_task(kwargs["task_name"])
        for record in records.read(rows[:1]):
            add_live_progress([record], factory.get_manager())
            return super().get_context_data(
                record=record, attempts=get_attempts([record.task_name]), **kwargs
            )
        raise Http404
