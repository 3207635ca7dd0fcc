"""Which tasks a list shows: its tab and its filters, as they are in the address."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import cached_property
from django.utils.translation import pgettext_lazy

from powercrud_tracking.dashboard.formats import get_label_of_tasks
from powercrud_tracking.lifecycle import ALL, FAILURES, FINISHED, OPEN, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records.filters import RecordFilter, get_query

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


class Selection:
    """The tasks of one tab, narrowed by filters.

    Args:
        data: the parameters of the address.
        visible: the rows that the list shows without tab and filters.
    """

    def __init__(self, data: Any, visible: AsyncTaskRecordQuerySet) -> None:
        self.data = data
        self.visible = visible
        self.has_status = visible.stores("status")
        tab = data.get("status", "")
        self.tab = tab if self.has_status and tab in TABS else ""
        self.statuses = TABS[self.tab][1]

    @cached_property
    def filter(self) -> RecordFilter:
        return RecordFilter(self.data, queryset=self.visible)

    @property
    def is_valid(self) -> bool:
        """Whether the list shows what the address asks for: it ignores what it does not know."""
        return bool(self.tab == self.data.get("status", "") and self.filter.form.is_valid())

    def get_rows(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of all tabs that match the filters."""
        rows: AsyncTaskRecordQuerySet = self.filter.qs if self.filter.given else self.visible
        return rows

    def get_rows_of_tab(self) -> AsyncTaskRecordQuerySet:
        """Return the rows of this tab that match the filters."""
        rows = self.get_rows()
        return rows if self.statuses == ALL else rows.with_status(self.statuses)

    def get_query(self, **values: str) -> str:
        """Return the query string of this tab and these filters, with further parameters."""
        return get_query(status=self.tab, **self.filter.given, **values)
