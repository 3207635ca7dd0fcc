"""The bookshop's tests: what its tasks do, and what their records say. No cluster runs."""

import re
from io import StringIO

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import TestCase
from django.urls import reverse

from powercrud_tracking import actions
from powercrud_tracking.factory import get_manager
from powercrud_tracking.progress import track
from powercrud_tracking.testing import assert_task, cancel_while_running, run_task, task_queue

from .models import Book


def raise_prices(percent, task_key):
    books = list(Book.objects.all())
    for book in track(books, message="raising"):
        book.price = round(book.price * (100 + percent) / 100, 2)
        book.save()
    return len(books)


class ShopCase(TestCase):
    # The cache, where PowerCRUD keeps its locks, is a second database here.
    databases = "__all__"

    @classmethod
    def setUpTestData(cls):
        call_command("seed_bookshop", stdout=StringIO())
        cls.admin = get_user_model().objects.get(username="admin")


class RaisePricesTest(ShopCase):
    def test_every_book_costs_more(self):
        record = run_task(raise_prices, 10, user=self.admin)

        assert_task(record, status="success", result=120, progress="raising: 120/120")

    def test_a_bad_percentage_fails_the_task(self):
        record = run_task(raise_prices, "ten", user=self.admin)

        assert_task(record, status="failed", message=re.compile("^TypeError: "))


class BulkEditTest(ShopCase):
    def send(self, books, **values):
        """Submit the form of the bulk edit, as PowerCRUD's modal does."""
        self.client.force_login(self.admin)
        ids = [book.pk for book in books]
        fields = {"selected_ids[]": ids, "bulk_submit": "1", "fields_to_update": list(values)}
        address = reverse("books-bulk-edit")
        return self.client.post(address, fields | values, headers={"HX-Request": "true"})

    def test_a_price_for_three_books(self):
        books = Book.objects.filter(out_of_print=False)[:3]

        with task_queue() as queue:
            self.send(books, price="4.50")
            [record] = queue.run()

        assert_task(record, status="success", objects="3 books", user="Ada Keller (admin)")

    def test_a_book_that_is_out_of_print_fails_the_whole_change(self):
        books = [
            *Book.objects.filter(out_of_print=False)[:2],
            Book.objects.filter(out_of_print=True)[0],
        ]

        with task_queue() as queue:
            self.send(books, in_stock="true")
            [record] = queue.run()

        assert_task(record, status="failed", message=re.compile("is out of print"))


class WaitingTest(ShopCase):
    def test_a_task_waits_until_it_is_run(self):
        with task_queue() as queue:
            task_name = get_manager().launch_async_task(raise_prices, 10)
            assert_task(task_name, status="pending", started_at=None)

            queue.run()

            assert_task(task_name, status="success", attempts=1, cleaned=True)


class CancelTest(ShopCase):
    def test_a_cancelled_task_is_not_run(self):
        with task_queue() as queue:
            task_name = get_manager().launch_async_task(raise_prices, 10)
            actions.cancel(task_name, by=self.admin, reason="wrong percentage")

            queue.run()

        assert_task(task_name, status="cancelled", attempts=0, started_at=None)

    def test_prices_that_were_raised_before_the_task_was_cancelled_are_kept(self):
        before = {book.pk: book.price for book in Book.objects.all()}

        with cancel_while_running(after=1, by=self.admin):
            record = run_task(raise_prices, 10)

        assert_task(record, status="cancelled", message=re.compile("^Cancelled by"))
        assert any(book.price != before[book.pk] for book in Book.objects.all())

    def test_a_retry_is_a_new_task(self):
        with task_queue() as queue:
            failed = get_manager().launch_async_task(raise_prices, "ten")
            queue.run()
            result = actions.retry(failed, by=self.admin)
            queue.run()

        assert_task(result.task_name, status="failed", retry_of=failed)
