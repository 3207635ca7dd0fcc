"""The view of one task: its page, and the answers to the page that polls."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from powercrud_tracking import factory
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.dashboard.task import details
from powercrud_tracking.dashboard.task.actions import get_history, get_offers
from powercrud_tracking.dashboard.task.advice import get_advice
from powercrud_tracking.dashboard.task.latest_runs import find_latest_runs
from powercrud_tracking.dashboard.task.timeline import build_timeline
from powercrud_tracking.maintenance.prune import find_prune_time
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecordQuerySet
from powercrud_tracking.recording.attempts import get_attempts
from powercrud_tracking.records import reading
from powercrud_tracking.records.cached_progress import add_live_progress
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import (
    get_own_rows,
    get_visible_rows,
    may_view_records,
)


class RecordDetail(LoginRequiredMixin, RecordPage):
    """Show one task."""

    template_name = "powercrud_tracking/task/detail.html"

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows that this person may see: without the permission their own."""
        may_view_all = may_view_records(self.request.user)
        return (get_visible_rows if may_view_all else get_own_rows)(self.request)

    def get_record(self) -> Record:
        """Return the task of this name.

        Raises:
            PermissionDenied: a person without the view permission did not queue it.
            Http404: there is none.
        """
        for record in reading.read(self.get_rows().named_task(self.kwargs["task_name"])[:1]):
            add_live_progress([record], factory.get_manager())
            return record
        if not may_view_records(self.request.user):
            # The same answer for another person's task and for a name that does not exist.
            raise PermissionDenied
        raise Http404

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.record = self.get_record()
        if "poll" in request.GET:
            return self.get_changes(request)
        return super().get(request, *args, **kwargs)

    def get_changes(self, request: HttpRequest) -> HttpResponse:
        """Answer a poll: 304, the part that is updated, or the whole page of an ended task."""
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
            context = {**self.get_live_context(self.get_attempts()), "is_swapped": True}
            response = render(request, "powercrud_tracking/task/_changes.html", context)
            # Each section is swapped by its id (hx-swap-oob), not into the element that polls.
            response["HX-Reswap"] = "none"
        else:
            response = super().get(request)
        return polling.add_token(response, token)

    def get_attempts(self) -> list[AsyncTaskAttempt]:
        return list(get_attempts([self.record.task_name])[: details.MOST_ATTEMPTS])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        record, attempts = self.record, self.get_attempts()
        failure, earlier = details.get_failures(record, attempts)
        is_cut = len(attempts) == details.MOST_ATTEMPTS
        with_result = failure is None or not failure["traceback"]
        return super().get_context_data(
            **self.get_live_context(attempts),
            failure=failure,
            earlier=earlier,
            most_attempts=details.MOST_ATTEMPTS if is_cut else None,
            payloads=details.get_payloads(record, with_result=with_result),
            most_objects=details.MOST_OBJECTS,
            latest_runs=find_latest_runs(record, self.get_rows()),
            seconds=polling.SECONDS,
            **kwargs,
        )

    def get_live_context(self, attempts: Sequence[AsyncTaskAttempt]) -> dict[str, Any]:
        """Return the context of the parts that are updated while the task is open.

        Args:
            attempts: its failed attempts, newest first.
        """
        return {
            "record": self.record,
            "timeline": build_timeline(self.record, attempts),
            "history": get_history(self.record),
            "offers": get_offers(self.record, self.request),
            "advice": get_advice(self.record, attempts),
            "pruned_at": find_prune_time(self.record),
        }
