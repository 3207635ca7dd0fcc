"""Fill an empty bookshop: authors, 120 books, two people who may log in and three who worked."""

from decimal import Decimal
from itertools import product
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from bookshop.models import Author, Book

AUTHORS = {
    "Amara Osei": "Ghana",
    "Benedikt Lund": "Norway",
    "Clara Novak": "Czechia",
    "Dario Ferri": "Italy",
    "Elin Marsh": "Scotland",
    "Farid Haddad": "Lebanon",
}
FIRST_WORDS = [
    "Amber", "Borrowed", "Crooked", "Distant", "Empty", "Forgotten",
    "Glass", "Hollow", "Iron", "Late", "Quiet", "Salt",
]  # fmt: skip
LAST_WORDS = [
    "Atlas", "Bridge", "Garden", "Harbour", "Lantern",
    "Meadow", "Orchard", "River", "Summer", "Winter",
]  # fmt: skip
# They cannot log in; they launched tasks of the made-up history.
COLLEAGUES = {"mira": ("Mira", "Holm"), "joan": ("Joan", "Petit"), "tomas": ("Tomas", "Vera")}
# Every ninth book is out of print, every third of the others is not in stock.
OUT_OF_PRINT_EVERY = 9
OUT_OF_STOCK_EVERY = 3


class Command(BaseCommand):
    help = "Fill an empty bookshop with authors, books and two people who may log in."

    def handle(self, *args: Any, **options: Any) -> None:
        self.seed_people()
        if Book.objects.exists():
            self.stdout.write("There are books already; nothing to do.")
            return
        authors = [Author.objects.create(name=name, country=AUTHORS[name]) for name in AUTHORS]
        books = Book.objects.bulk_create(build_books(authors))
        self.stdout.write(f"Created {len(authors)} authors and {len(books)} books.")

    def seed_people(self) -> None:
        people = get_user_model().objects
        if not people.filter(username="admin").exists():
            people.create_superuser("admin", password="admin", first_name="Ada", last_name="Keller")
        if not people.filter(username="reader").exists():
            people.create_user("reader", password="reader", first_name="Rafi", last_name="Stone")
        for username, (first_name, last_name) in COLLEAGUES.items():
            names = {"first_name": first_name, "last_name": last_name}
            people.get_or_create(username=username, defaults={**names, "password": "!"})


def build_books(authors: list[Author]) -> list[Book]:
    """Return 120 books, the same ones every time."""
    genres = Book.Genre.values
    books = []
    for number, (first, last) in enumerate(product(FIRST_WORDS, LAST_WORDS)):
        out_of_print = number % OUT_OF_PRINT_EVERY == 0
        books.append(
            Book(
                title=f"The {first} {last}",
                author=authors[number % len(authors)],
                genre=genres[number % len(genres)],
                published=1990 + number % 35,
                price=Decimal(8 + number % 17) - Decimal("0.05"),
                in_stock=not out_of_print and number % OUT_OF_STOCK_EVERY != 0,
                out_of_print=out_of_print,
            )
        )
    return books
