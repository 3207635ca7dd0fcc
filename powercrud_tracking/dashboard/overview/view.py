"""The view of the overview."""

from typing import Any

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.dashboard import polling
from powercrud_tracking.dashboard.overview import charts, overview
from powercrud_tracking.dashboard.pages import RecordPage
from powercrud_tracking.records.visibility import ViewPermissionRequiredMixin, get_visible_rows

MOST_GROUPS = 20
"""How many functions, and how many groups of errors, the overview shows."""


class RecordOverview(ViewPermissionRequiredMixin, RecordPage):
    """Open tasks, throughput, timings, errors and clusters."""

    template_name = "powercrud_tracking/overview/overview.html"
    section = "overview"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        window = overview.get_window(self.request.GET.get("window", ""))
        # The queue holds the tasks of all users: its length is hidden if VISIBLE narrows them.
        found = overview.read_overview(
            get_visible_rows(self.request), window, measure_queue=get_config().visible is None
        )
        hours = found.hours or []
        chart = charts.build_columns([hour.numbers for hour in hours])
        return super().get_context_data(
            overview=found,
            window=window,
            windows=overview.WINDOWS,
            chart=chart,
            bars=list(zip(hours, chart["columns"], strict=True)),
            most_groups=MOST_GROUPS,
            more_timings=max(len(found.timings or ()) - MOST_GROUPS, 0),
            more_errors=max(len(found.errors or ()) - MOST_GROUPS, 0),
            seconds=polling.SECONDS_OF_TIMES,
            **kwargs,
        )
