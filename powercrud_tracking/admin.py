"""The records in Django's admin: to be looked at, never to be changed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from powercrud_tracking.access import get_visible_rows
from powercrud_tracking.config import get_config
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records import get_record_map


class ReadOnlyAdmin(admin.ModelAdmin):
    """An admin that cannot lie: nothing is added, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AsyncTaskRecord)
class AsyncTaskRecordAdmin(ReadOnlyAdmin):
    """The built-in table: the rows that ``VISIBLE`` lets this person see."""

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        if get_config().visible is None or get_record_map(get_config()).model is not self.model:
            return rows
        return rows.filter(pk__in=get_visible_rows(request).values("pk"))

    list_display = ("task_name", "func", "status", "user_label", "created_at", "message")
    list_filter = ("status",)
    search_fields = ("task_name",)
    ordering = ("-created_at",)
    # A full count of a large table costs more than the page.
    show_full_result_count = False


@admin.register(AsyncTaskAttempt)
class AsyncTaskAttemptAdmin(ReadOnlyAdmin):
    """Failed attempts, of the tasks that this person may see."""

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        attempts = super().get_queryset(request)
        if get_config().visible is None:
            return attempts
        visible = get_visible_rows(request)
        return attempts.filter(task_name__in=visible.values(visible.names["task_name"]))

    list_display = ("task_name", "number", "outcome", "ended_at", "worker", "message")
    list_filter = ("outcome",)
    search_fields = ("task_name",)
    ordering = ("-ended_at",)
    show_full_result_count = False
