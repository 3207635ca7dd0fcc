"""The pages. Each view guards, reads, renders."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from powercrud_tracking import factory, paging, records
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
from powercrud_tracking.details import MOST_ATTEMPTS, MOST_OBJECTS, get_failures, get_payloads
from powercrud_tracking.lifecycle import FINISHED, OPEN, Status
from powercrud_tracking.live import add_live_progress
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecordQuerySet
from powercrud_tracking.records import Record
from powercrud_tracking.runs import find_runs
from powercrud_tracking.timeline import build_timeline
from powercrud_tracking.upkeep import find_prune_time

TABS: Mapping[str, tuple[Any, frozenset[Status]]] = {
    "open": (_("Open"), OPEN),
    **{status.value: (status.label, frozenset({status})) for status in sorted(FINISHED)},
}
"""What the list can be narrowed to: word in the address to label and statuses."""


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


class RecordDetail(PersonRequiredMixin, RecordPage):
    """One task."""

    template_name = "powercrud_tracking/record_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        may_view_all = may_view_records(self.request.user)
        rows = (get_visible_rows if may_view_all else get_own_rows)(self.request)
        for record in records.read(rows.named_task(kwargs["task_name"])[:1]):
            add_live_progress([record], factory.get_manager())
            attempts = list(get_attempts([record.task_name])[:MOST_ATTEMPTS])
            failure, earlier = get_failures(record, attempts)
            return super().get_context_data(
                **get_live_context(record, attempts),
                failure=failure,
                earlier=earlier,
                most_attempts=MOST_ATTEMPTS if len(attempts) == MOST_ATTEMPTS else None,
                payloads=get_payloads(record, with_result=failure is None or not failure.traceback),
                most_objects=MOST_OBJECTS,
                runs=find_runs(record, rows),
                **kwargs,
            )
        if not may_view_all:
            # The same answer for another's task and for none at all.
            raise PermissionDenied
        raise Http404


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
