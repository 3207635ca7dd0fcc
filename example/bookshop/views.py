"""The home page, and PowerCRUD's pages for books, authors and the records of tasks."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from django.views.generic import TemplateView
from neapolitan.views import CRUDView
from powercrud.mixins import PowerCRUDMixin
from powercrud.mixins.async_crud_mixin import PowerCRUDAsyncMixin

from powercrud_tracking.factory import get_manager
from powercrud_tracking.mixins import AsyncDashboardMixin
from powercrud_tracking.models import AsyncTaskRecord, AsyncTaskRecordQuerySet
from powercrud_tracking.records.visibility import get_visible_rows, may_view_records

from .jobs import JOBS
from .models import Author, Book


class HomeView(TemplateView):
    """The home page, with a button for each task that this person may start."""

    template_name = "bookshop/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        may = self.request.user.has_perm
        jobs = [job for job in JOBS.values() if not job.permission or may(job.permission)]
        return super().get_context_data(jobs=jobs, **kwargs)


@login_required
def show_tasks(request: HttpRequest) -> HttpResponse:
    """Redirect to the overview, or to *My tasks* without the view permission."""
    page = "overview" if may_view_records(request.user) else "mine"
    return redirect(f"powercrud_tracking:{page}")


@login_required
@require_POST
def start_job(request: HttpRequest, name: str) -> HttpResponse:
    """Queue a task and redirect to its page."""
    job = JOBS.get(name)
    if job is None:
        raise Http404
    if job.permission and not request.user.has_perm(job.permission):
        raise PermissionDenied
    manager = get_manager(format_user="bookshop.formatters.full_name_and_login")
    task_name = manager.launch_async_task(job.func, user=request.user, affected_objects=job.objects)
    return redirect("powercrud_tracking:detail", task_name=task_name)


class ShopView(LoginRequiredMixin, PowerCRUDAsyncMixin, CRUDView):  # type: ignore[misc]
    """Shared by both lists: permissions, modals, and asynchronous bulk operations."""

    base_template_path = "bookshop/base.html"
    use_htmx = True
    use_modal = True
    searchable_selects = False
    show_record_count = True
    paginate_by = 25
    column_width_policy = "semantic"
    table_max_col_width = 20
    modal_presentation = {"scroll": "modal"}

    bulk_delete = True
    bulk_async = True
    bulk_min_async_records = 2
    bulk_async_allow_anonymous = False

    def may(self, action: str, request: HttpRequest) -> bool:
        options = self.model._meta
        return request.user.has_perm(f"{options.app_label}.{action}_{options.model_name}")

    def has_power_create_permission(self, request: HttpRequest) -> bool:
        return self.may("add", request)

    def has_power_update_permission(self, request: HttpRequest, obj: Model) -> bool:
        return self.may("change", request)

    def has_power_delete_permission(self, request: HttpRequest, obj: Model) -> bool:
        return self.may("delete", request)

    def has_power_bulk_update_permission(self, request: HttpRequest) -> bool:
        return self.may("change", request)

    def has_power_bulk_delete_permission(self, request: HttpRequest) -> bool:
        return self.may("delete", request)


class BookView(AsyncDashboardMixin, ShopView):
    """Its tasks are recorded with a formatter of its own."""

    model = Book
    url_base = "books"
    view_title = "Books"
    view_instructions = (
        "Tick some books and choose Bulk Edit. A book that is out of print cannot be put in "
        "stock: with one of those ticked, the whole change fails."
    )
    fields = ["title", "author", "genre", "published", "price", "in_stock", "out_of_print"]
    filterset_fields = ["author", "genre", "in_stock", "out_of_print"]
    bulk_fields = ["price", "in_stock", "genre", "author"]

    async_dashboard = {"FORMAT_USER": "bookshop.formatters.full_name_and_login"}


class AuthorView(ShopView):
    """Says nothing about tracking: the manager that the settings name records its tasks."""

    model = Author
    url_base = "authors"
    view_title = "Authors"
    view_instructions = (
        "Tick some authors and choose Bulk Edit. An author with books cannot be deleted."
    )
    fields = ["name", "country"]
    filterset_fields = ["country"]
    bulk_fields = ["country"]


class TaskRecordView(PermissionRequiredMixin, PowerCRUDMixin, CRUDView):  # type: ignore[misc]
    """The records in PowerCRUD's own list, for those who like its filters and columns."""

    model = AsyncTaskRecord
    permission_required = "powercrud_tracking.view_asynctaskrecord"

    # To be looked at: it answers no method and has no address by which one could be changed.
    http_method_names = ["get", "head", "options"]
    url_base = "task-records"
    base_template_path = "bookshop/base.html"
    view_title = "Task records"
    use_htmx = True
    use_modal = True
    searchable_selects = False
    show_record_count = True
    paginate_by = 25
    column_width_policy = "semantic"
    default_datetime_value_format = "datetime"
    fields = ["func", "status", "user_label", "affected_objects", "created_at", "message"]
    detail_fields = "__all__"
    filterset_fields = ["status", "func", "user_label"]

    def get_queryset(self) -> AsyncTaskRecordQuerySet:
        return get_visible_rows(self.request).newest_first()
