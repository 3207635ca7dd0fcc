"""The background tasks of the bookshop: ordinary functions that report progress."""

import time
from decimal import Decimal

from django.core.cache import cache

from powercrud_tracking.progress import track

from .models import Book

SECONDS_A_BOOK = 0.2
"""A delay, so that the progress can be watched."""


class SupplierUnreachableError(Exception):
    """The supplier's server did not answer."""


class PrinterError(Exception):
    """The printer of price tags gave up."""


def recalculate_prices(task_key: str) -> dict[str, int]:
    """Round every price to end in 95; return how many changed."""
    changed = 0
    for book in track(list(Book.objects.all()), message="recalculating"):
        time.sleep(SECONDS_A_BOOK)
        price = int(book.price) + Decimal("0.95")
        changed += Book.objects.filter(pk=book.pk).exclude(price=price).update(price=price)
    return {"changed": changed}


def fetch_supplier_prices(task_key: str) -> dict[str, int]:
    """Ask the supplier, whose server answers only to those who ask a second time."""
    first_time = cache.add(f"bookshop:supplier:{task_key}", "asked", timeout=3600)
    for page in track(range(1, 11), message="fetching"):
        time.sleep(SECONDS_A_BOOK)
        if first_time and page == 4:
            raise SupplierUnreachableError(f"No answer for page {page} within 5 seconds.")
    return {"pages": 10}


def export_catalogue(task_key: str) -> dict[str, int]:
    """Write the catalogue as text; return how long it is."""
    lines = []
    for book in track(list(Book.objects.select_related("author")), message="exporting"):
        time.sleep(SECONDS_A_BOOK / 4)
        lines.append(f"{book.title};{book.author.name};{book.price}")
    return {"lines": len(lines), "characters": len("\n".join(lines))}


def print_price_tags(task_key: str) -> None:
    """Print until the paper is used up, which is always too early."""
    for number, book in enumerate(track(list(Book.objects.all()), message="printing")):
        time.sleep(SECONDS_A_BOOK / 4)
        if number == 40:
            raise PrinterError(f"Out of paper at “{book.title}”.")
