"""Shared parts of all pages: layout, navigation, and the response if a table is missing."""

from typing import Any

from django.db import DatabaseError
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.generic import TemplateView

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt
from powercrud_tracking.records import missing_table
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.visibility import may_view_records


class RecordPage(TemplateView):
    """Base of all pages; extends the layout in ``BASE_TEMPLATE``.

    ``section`` is its entry in the navigation.
    """

    section = ""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view, outside of a transaction also with ``ATOMIC_REQUESTS``."""
        # It only reads, and after an error PostgreSQL refuses every query in a transaction.
        return non_atomic_requests(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except DatabaseError:
            record_model = get_record_map(get_config()).model
            unmigrated = missing_table.find_unmigrated(
                [record_model, AsyncTaskAttempt, AsyncTaskAction]
            )
            if unmigrated is None:
                raise
            command = missing_table.get_migrate_command(unmigrated)
            context = {
                "base_template": get_config().base_template,
                "command": f"python manage.py {command}",
            }
            return render(request, "powercrud_tracking/no_table.html", context, status=503)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            base_template=get_config().base_template,
            may_view_all=may_view_records(self.request.user),
            section=self.section,
            **kwargs,
        )
