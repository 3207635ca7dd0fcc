"""Admin of the task records: nothing is edited; tasks can be cancelled, retried and deleted."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.actions.log import ActionResult
from powercrud_tracking.actions.many import MOST, act, summarize
from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.dashboard.formats import write_duration
from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.models import (
    AsyncTaskAction,
    AsyncTaskAttempt,
    AsyncTaskRecord,
    find_key,
)
from powercrud_tracking.records.counts import LIMIT
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.permissions import has_permission, may_act
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import get_visible_rows

MOST_IN_ANOTHER_DATABASE = 500
"""How many of the newest rows are shown with ``VISIBLE`` and the records in another database."""


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
    actions = ("cancel_tasks", "retry_tasks", "delete_tasks")
    fieldsets = (
        (
            None,
            {"fields": ("task_page", "title", "changes", "status", "message", "progress_payload")},
        ),
        (_("User and objects"), {"fields": ("user_label", "launched_by_id", "affected_objects")}),
        (
            _("Times"),
            {
                "fields": (
                    "created_at",
                    "started_at",
                    "completed_at",
                    "failed_at",
                    "cancelled_at",
                    "cancel_requested_at",
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
                    "retry_of",
                    "retried_by",
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
        if get_config().visible is None or not self._is_recorded_here():
            return rows
        visible = get_visible_rows(request, using=rows.db)
        return rows.filter(pk__in=visible.values("pk"))

    def _is_recorded_here(self) -> bool:
        return get_record_map(get_config()).model is self.model

    # --- actions -------------------------------------------------------------------------

    @admin.action(description=_("Cancel selected tasks"), permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, rows: QuerySet[Any]) -> TemplateResponse | None:
        return self._act_or_ask(request, Action.CANCEL, "cancel_tasks", rows)

    @admin.action(description=_("Retry selected tasks"), permissions=["retry"])
    def retry_tasks(self, request: HttpRequest, rows: QuerySet[Any]) -> TemplateResponse | None:
        return self._act_or_ask(request, Action.RETRY, "retry_tasks", rows)

    @admin.action(description=_("Delete selected tasks"), permissions=["delete_task"])
    def delete_tasks(self, request: HttpRequest, rows: QuerySet[Any]) -> TemplateResponse | None:
        return self._act_or_ask(request, Action.DELETE, "delete_tasks", rows)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        # Everybody may cancel their own tasks: which ones is asked for each row.
        return self._is_recorded_here()

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self._may_offer(request, Action.RETRY)

    def has_delete_task_permission(self, request: HttpRequest) -> bool:
        # Not has_delete_permission(): Django's own deletion leaves failed attempts behind.
        return self._may_offer(request, Action.DELETE)

    def _may_offer(self, request: HttpRequest, action: Action) -> bool:
        if not self._is_recorded_here():
            return False
        return get_config().allowed is not None or has_permission(request, action)

    def _act_or_ask(
        self, request: HttpRequest, action: Action, name: str, rows: QuerySet[Any]
    ) -> TemplateResponse | None:
        """Do this with the selected tasks; ask first if there are several, or one is deleted."""
        records = [self._get_record(row) for row in rows[: MOST + 1]]
        is_cut, records = len(records) > MOST, records[:MOST]
        is_small = len(records) == 1 and action is not Action.DELETE
        if not (is_small or "confirmed" in request.POST):
            return self._ask(request, action, name, records, is_cut=is_cut)
        results = [self._act(request, action, record) for record in records]
        is_done = any(result.outcome is not Outcome.REFUSED for result in results)
        level = messages.SUCCESS if is_done else messages.WARNING
        self.message_user(request, summarize(action, results), level)
        return None

    @staticmethod
    def _act(request: HttpRequest, action: Action, record: Record) -> ActionResult:
        if not may_act(request, action, record):
            text = gettext("You are not allowed to do this.")
            return ActionResult(Outcome.REFUSED, text, record.task_name)
        return act(action, record.task_name, by=request.user)

    def _ask(
        self,
        request: HttpRequest,
        action: Action,
        name: str,
        records: list[Record],
        *,
        is_cut: bool,
    ) -> TemplateResponse:
        number = len(records)
        questions = {
            Action.CANCEL: ngettext("Cancel %(number)d task?", "Cancel %(number)d tasks?", number),
            Action.RETRY: ngettext("Retry %(number)d task?", "Retry %(number)d tasks?", number),
            Action.DELETE: ngettext("Delete %(number)d task?", "Delete %(number)d tasks?", number),
        }
        question = questions[action] % {"number": number}
        if is_cut:
            question += " " + gettext("No more than these can be selected at once.")
        context = {
            **self.admin_site.each_context(request),
            "title": action.label,
            "question": question,
            "action_name": name,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "records": records,
            "opts": self.opts,
        }
        request.current_app = self.admin_site.name
        template = "powercrud_tracking/admin/confirm_action.html"
        return TemplateResponse(request, template, context)

    # --- columns -------------------------------------------------------------------------

    def _get_record(self, row: AsyncTaskRecord) -> Record:
        # The built-in table has the default field names also if the settings name another table.
        return Record(row, get_record_map(DashboardConfig()))

    @admin.display(description=_("title"))
    def title(self, row: AsyncTaskRecord) -> str:
        return self._get_record(row).title

    @admin.display(description=_("requested changes"))
    def changes(self, row: AsyncTaskRecord) -> str:
        """What a bulk operation was asked to do."""
        return self._get_record(row).summary or self.get_empty_value_display()

    @admin.display(description=_("queue time"))
    def queue_time(self, row: AsyncTaskRecord) -> str:
        return write_duration(self._get_record(row).queue_time)

    @admin.display(description=_("run time"))
    def run_time(self, row: AsyncTaskRecord) -> str:
        return write_duration(self._get_record(row).run_time)


class VisibleTasksAdmin(ReadOnlyAdmin):
    """A table by task names: the rows of the tasks that the user may see."""

    ordering = ("-pk",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if get_config().visible is None:
            return rows
        visible = get_visible_rows(request)
        if visible.db == rows.db:
            return rows.filter(task_name__in=visible.values(visible.names["task_name"]))
        # A query reads one database only: check the names of the newest rows there.
        asked = self._get_newest(rows, request).values_list("task_name", flat=True)
        found = visible.named_tasks(set(asked)).get_task_names()
        return rows.filter(task_name__in=found)

    @staticmethod
    def _get_newest(rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Return the row of this page, or the newest rows."""
        match = request.resolver_match
        if match and "object_id" in match.kwargs:
            pk = find_key(rows.model._meta.pk, unquote(match.kwargs["object_id"]))
            return rows.filter(pk=pk)
        return rows.order_by("-pk")[:MOST_IN_ANOTHER_DATABASE]


@admin.register(AsyncTaskAttempt)
class AsyncTaskAttemptAdmin(VisibleTasksAdmin):
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


@admin.register(AsyncTaskAction)
class AsyncTaskActionAdmin(VisibleTasksAdmin):
    """What people did with tasks. With ``VISIBLE`` only of tasks that still have a row."""

    list_display = (
        "at",
        "action",
        "task_name",
        "outcome",
        "by_label",
        "reason",
        "message",
        "task_page",
    )
    list_display_links = ("at", "task_name")
    list_filter = ("action", "outcome")
    fields = (
        "task_page",
        "task_name",
        "action",
        "outcome",
        "at",
        "by_label",
        "by_id",
        "reason",
        "message",
        "new_task_name",
    )
