"""The overview and the page of a task. Each view guards, reads, renders."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from powercrud_tracking import factory
from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.overview import charts, overview
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.dashboard.task.advice import get_advice
from powercrud_tracking.dashboard.task.details import (
    MOST_ATTEMPTS,
    MOST_OBJECTS,
    get_failures,
    get_payloads,
)
from powercrud_tracking.dashboard.task.runs import find_runs
from powercrud_tracking.dashboard.task.timeline import build_timeline
from powercrud_tracking.maintenance.prune import find_prune_time
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecordQuerySet
from powercrud_tracking.recording.attempts import get_attempts
from powercrud_tracking.records import reading
from powercrud_tracking.records.cached_progress import add_live_progress
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import (
    PermissionRequiredMixin,
    PersonRequiredMixin,
    get_own_rows,
    get_visible_rows,
    may_view_records,
)

CHART_HEIGHT = 176
"""Pixels."""

MOST_GROUPS = 20
"""How many functions, and how many groups of failures, the overview shows."""


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
            seconds=polling.SECONDS_OF_TIMES,
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
        for record in reading.read(self.get_rows().named_task(self.kwargs["task_name"])[:1]):
            add_live_progress([record], factory.get_manager())
            return record
        if not may_view_records(self.request.user):
            # The same answer for another's task and for none at all.
            raise PermissionDenied
        raise Http404

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.record = self.get_record()
        if "poll" in request.GET:
            return self.tell_changes(request)
        return super().get(request, *args, **kwargs)

    def tell_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a page that is open: 304, the part that moves, or all of it at the end."""
        record = self.record
        state = polling.State(
            record.task_name,
            record.status,
            record.updated_at,
            record.progress_text,
            record.message,
        )
        token = polling.get_token([state], record.attempts)
        unchanged = polling.find_unchanged_response(request, token)
        if unchanged is not None:
            return unchanged
        if record.is_open:
            attempts = list(get_attempts([record.task_name])[:MOST_ATTEMPTS])
            context = {**get_live_context(record, attempts), "is_swapped": True}
            response = render(request, "powercrud_tracking/_task_live.html", context)
            # It says itself where it belongs.
            response["HX-Reswap"] = "none"
        else:
            response = super().get(request)
        return polling.add_token(response, token)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        record = self.record
        attempts = list(get_attempts([record.task_name])[:MOST_ATTEMPTS])
        failure, earlier = get_failures(record, attempts)
        return super().get_context_data(
            **get_live_context(record, attempts),
            failure=failure,
            earlier=earlier,
            most_attempts=MOST_ATTEMPTS if len(attempts) == MOST_ATTEMPTS else None,
            payloads=get_payloads(record, with_result=failure is None or not failure.traceback),
            most_objects=MOST_OBJECTS,
            runs=find_runs(record, self.get_rows()),
            seconds=polling.SECONDS,
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
