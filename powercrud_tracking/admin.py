"""Read-only admin for the task records."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.dashboard.formats import write_duration
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord, find_key
from powercrud_tracking.records.counts import LIMIT
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import get_visible_rows

MOST_IN_ANOTHER_DATABASE = 500
"""How many of the newest attempts are shown with ``VISIBLE`` and the records elsewhere."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Paginate the newest rows only; older rows are neither counted nor shown."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:LIMIT].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A read-only admin: nothing is added, changed or deleted by hand.

    It is fast for any number of rows: no full count, no sorting without an index.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("task_name__startswith",)
    search_help_text = _("Task name, or its beginning")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("task page"))
    def task_page(self, row: Any) -> str | SafeString:
        """Link to the task page, if the project includes ``powercrud_tracking.urls``."""
        try:
            url = reverse("powercrud_tracking:detail", args=[row.task_name])
        except NoReverseMatch:
            return self.get_empty_value_display()
        return format_html('<a href="{}">{}</a>', url, pgettext("link", "Open"))


@admin.register(AsyncTaskRecord)
class AsyncTaskRecordAdmin(ReadOnlyAdmin):
    """The built-in table: the rows that ``VISIBLE`` lets the user see."""

    list_display = (
        "title",
        "task_name",
        "status",
        "user_label",
        "affected_objects",
        "created_at",
        "queue_time",
        "run_time",
        "message",
        "task_page",
    )
    list_display_links = ("title", "task_name")
    list_filter = ("status",)
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    fieldsets = (
        (None, {"fields": ("task_page", "title", "status", "message", "progress_payload")}),
        (_("User and objects"), {"fields": ("user_label", "launched_by_id", "affected_objects")}),
        (
            _("Times"),
            {
                "fields": (
                    "created_at",
                    "started_at",
                    "completed_at",
                    "failed_at",
                    "updated_at",
                    "queue_time",
                    "run_time",
                )
            },
        ),
        (
            _("Arguments and result"),
            {"fields": ("task_args", "task_kwargs", "result_payload", "extra")},
        ),
        (
            _("Queue"),
            {
                "fields": (
                    "task_name",
                    "func",
                    "attempts",
                    "cluster",
                    "worker",
                    "task_group",
                    "queue_id",
                    "cleaned_up",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        match = request.resolver_match
        if match and (match.url_name or "").endswith("_changelist"):
            rows = rows.without_payloads()
        return self._narrow(rows, request)

    def _narrow(self, rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        if get_config().visible is None or get_record_map(get_config()).model is not self.model:
            return rows
        visible = get_visible_rows(request, using=rows.db)
        return rows.filter(pk__in=visible.values("pk"))

    def _get_record(self, row: AsyncTaskRecord) -> Record:
        # The built-in table has the default field names also if the settings name another table.
        return Record(row, get_record_map(DashboardConfig()))

    @admin.display(description=_("function"))
    def title(self, row: AsyncTaskRecord) -> str:
        return self._get_record(row).title

    @admin.display(description=_("queue time"))
    def queue_time(self, row: AsyncTaskRecord) -> str:
        return write_duration(self._get_record(row).queue_time)

    @admin.display(description=_("run time"))
    def run_time(self, row: AsyncTaskRecord) -> str:
        return write_duration(self._get_record(row).run_time)


@admin.register(AsyncTaskAttempt)
class AsyncTaskAttemptAdmin(ReadOnlyAdmin):
    """Failed attempts of the tasks that the user may see."""

    list_display = ("task_name", "number", "outcome", "ended_at", "worker", "message", "task_page")
    list_filter = ("outcome",)
    fields = (
        "task_page",
        "task_name",
        "number",
        "outcome",
        "started_at",
        "ended_at",
        "worker",
        "exception_class",
        "message",
        "traceback",
    )
    ordering = ("-pk",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        attempts = super().get_queryset(request)
        if get_config().visible is None:
            return attempts
        visible = get_visible_rows(request)
        if visible.db == attempts.db:
            return attempts.filter(task_name__in=visible.values(visible.names["task_name"]))
        # A query reads one database only: check the names of the newest attempts there.
        asked = self._get_newest(attempts, request).values_list("task_name", flat=True)
        found = visible.named_tasks(set(asked)).get_task_names()
        return attempts.filter(task_name__in=found)

    @staticmethod
    def _get_newest(attempts: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Return the attempt of this page, or the newest attempts."""
        match = request.resolver_match
        if match and "object_id" in match.kwargs:
            pk = find_key(attempts.model._meta.pk, unquote(match.kwargs["object_id"]))
            return attempts.filter(pk=pk)
        return attempts.order_by("-pk")[:MOST_IN_ANOTHER_DATABASE]
