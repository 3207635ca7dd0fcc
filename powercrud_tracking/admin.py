"""The records in Django's admin: to be looked at, never to be changed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord


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
    """The built-in table."""

    list_display = ("task_name", "func", "status", "user_label", "created_at", "message")
    list_filter = ("status",)
    search_fields = ("task_name",)
    ordering = ("-created_at",)
    # A full count of a large table costs more than the page.
    show_full_result_count = False


@admin.register(AsyncTaskAttempt)
class AsyncTaskAttemptAdmin(ReadOnlyAdmin):
    """Failed attempts."""

    list_display = ("task_name", "number", "outcome", "ended_at", "worker", "message")
    list_filter = ("outcome",)
    search_fields = ("task_name",)
    ordering = ("-ended_at",)
    show_full_result_count = False
