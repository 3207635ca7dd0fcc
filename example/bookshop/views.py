"""PowerCRUD's pages for books and authors."""

from django.contrib.auth.mixins import LoginRequiredMixin
from neapolitan.views import CRUDView
from powercrud.mixins.async_crud_mixin import PowerCRUDAsyncMixin

from powercrud_tracking.mixins import AsyncDashboardMixin

from .models import Author, Book


class ShopView(LoginRequiredMixin, PowerCRUDAsyncMixin, CRUDView):
    """What both lists share: who may change what, modals, and bulk work in the background."""

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

    def may(self, action: str, request) -> bool:
        options = self.model._meta
        return request.user.has_perm(f"{options.app_label}.{action}_{options.model_name}")

    def has_power_create_permission(self, request):
        return self.may("add", request)

    def has_power_update_permission(self, request, obj):
        return self.may("change", request)

    def has_power_delete_permission(self, request, obj):
        return self.may("delete", request)

    def has_power_bulk_update_permission(self, request):
        return self.may("change", request)

    def has_power_bulk_delete_permission(self, request):
        return self.may("delete", request)


class BookView(AsyncDashboardMixin, ShopView):
    """Records its tasks with a formatter of its own."""

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
