from django.contrib import admin

from .models import Author, Book


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "country"]


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["title", "author", "genre", "price", "in_stock", "out_of_print"]
    list_filter = ["genre", "in_stock", "out_of_print"]
    list_select_related = ["author"]
    search_fields = ["title"]
