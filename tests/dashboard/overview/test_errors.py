import time
from datetime import datetime, timedelta
from functools import partial

import pytest

from powercrud_tracking.dashboard.overview import errors
from powercrud_tracking.dashboard.overview.errors import group_errors, split_message
from powercrud_tracking.dashboard.overview.finished_tasks import FinishedTask

NOW = datetime(2026, 5, 4, 12)

WORST = ["'", '"', "`", "“", "„", "1", "a", "a.", "A.", "1-", "1.1", "a@", "@", "x:", "x://", "0-"]

worst = pytest.mark.parametrize("text", [*WORST, " ", "…", "… "])


def make(message="ValueError: bad price", *, func="shop.tasks.sort", status="failed", ago=0):
    at = NOW - timedelta(minutes=ago)
    return FinishedTask(status=status, created_at=at, func=func, message=message)


class TestKind:
    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            ("ValueError: bad price", ("ValueError", "bad price")),
            ("ValueError", ("ValueError", "")),
            ("ValueError:", ("ValueError", "")),
            ("shop.errors.OutOfPrint: sold", ("shop.errors.OutOfPrint", "sold")),
            ("_Private: x", ("_Private", "x")),
            ("HTTP404Error: gone", ("HTTP404Error", "gone")),
            ("price: must be an integer.", ("", "price: must be an integer.")),
            ("failed delete: Cannot delete some", ("", "Cannot delete some")),
            ("Task failed", ("", "Task failed")),
            ("", ("", "")),
            (None, ("", "")),
        ],
    )
    def test_the_kind_of_an_error_is_the_class_at_the_start_of_its_message(self, message, kind):
        assert split_message("failed", message) == kind

    def test_a_lost_task_has_no_kind_and_no_pattern(self):
        assert split_message("lost", "Lost: no worker reports it") == ("", "")


class TestPattern:
    @pytest.mark.parametrize(
        ("message", "pattern"),
        [
            ("no stock for 17 books", "no stock for … books"),
            ("17 books are missing", "… books are missing"),
            ("costs -1,234.50 too much", "costs … too much"),
            ("at 2026-05-04T12:00:00+00:00", "at …"),
            ("host 10.0.0.1:5432 refused it", "host … refused it"),
            ("task 0c9a4fd6-aaaa-bbbb-cccc-ffffffffffff is gone", "task … is gone"),
            ("object at 0x7f3c9bf41c10 is gone", "object at … is gone"),
            ("commit 9f87f22 is gone", "commit … is gone"),
            ("digest d41d8cd98f00b204e9800998ecf8427e", "digest …"),
            ("'The Amber Atlas' is out of print", "… is out of print"),
            ('no "isbn" and no `price`', "no … and no …"),
            ("price: “abc” value must be an integer.", "price: … value must be an integer."),
            ("„abc“ und «def» und 「ghi」", "… und … und …"),
            ("can't decode what isn't text", "can't decode what isn't text"),
            ("an open 'quote", "an open 'quote"),
            ("ids 1, 2, 3 and 4; 5", "ids … and …"),
            ("[1, 2, 3] of ('a', 'b')", "[…] of (…)"),
            ("Book(pk=17, title='Atlas')", "Book(pk=…, title=…)"),
            ("Failed to open https://shop.example/a?b=c (Gone)", "Failed to open … (Gone)"),
            ("no mail to <ada@shop.example>", "no mail to <…>"),
            ("17", ""),
            ("('17',)", ""),
            ("!?", ""),
        ],
    )
    def test_numbers_quoted_text_and_ids_are_left_out(self, message, pattern):
        assert split_message("failed", message) == ("", pattern)
        assert split_message("failed", f"ValueError: {message}") == ("ValueError", pattern)

    def test_a_raw_bulk_failure_of_powercrud_is_grouped_by_its_field_errors(self):
        message = "failed update: [('price', ['“abc” value must be an integer.'])]"

        assert split_message("failed", message) == ("", "price: … value must be an integer.")

    @worst
    @pytest.mark.parametrize("start", ["", "ValueError: ", "'", "0c9a4fd6-"])
    def test_a_message_of_a_megabyte_is_split_in_time(self, text, start):
        message = start + text * (1_000_000 // len(text))

        began = time.perf_counter()
        split_message("failed", message)

        assert time.perf_counter() - began < 0.1

    @worst
    @pytest.mark.parametrize(
        "apply",
        [
            errors._KIND.match,
            errors._EMPTY.match,
            partial(errors._VARIABLES.sub, ""),
            partial(errors._LIST_OF_VARIABLES.sub, ""),
        ],
        ids=["kind", "empty", "variables", "list"],
    )
    def test_each_expression_takes_time_in_proportion_to_the_text(self, apply, text):
        message = text * (1_000_000 // len(text))

        began = time.perf_counter()
        apply(message)

        assert time.perf_counter() - began < 5


class TestGroupErrors:
    def test_equal_errors_of_a_function_are_one_group(self):
        tasks = [make("ValueError: bad price 17"), make("ValueError: bad price 4", ago=5)]

        (group,) = group_errors(tasks)

        assert (group.func, group.title, group.count) == (
            "shop.tasks.sort",
            "ValueError: bad price …",
            2,
        )
        assert (group.last_at, group.example) == (NOW, "ValueError: bad price 17")

    def test_functions_kinds_patterns_and_lost_tasks_have_separate_groups(self):
        tasks = [
            make(),
            make(func="shop.tasks.count"),
            make("KeyError: 1"),
            make("ValueError: no stock"),
            make("Lost: no worker reports it", status="lost"),
        ]

        assert len(group_errors(tasks)) == 5

    def test_the_most_frequent_group_comes_first_then_the_newest(self):
        tasks = [
            make("Newest: x", ago=1),
            make("Twice: x", ago=2),
            make("Oldest: x", ago=3),
            make("Twice: x", ago=4),
        ]

        kinds = [group.kind for group in group_errors(tasks)]

        assert kinds == ["Twice", "Newest", "Oldest"]

    def test_successful_tasks_are_not_grouped(self):
        assert group_errors([make(status="success")]) == []

    def test_errors_of_a_table_without_functions_are_grouped(self):
        (group,) = group_errors([make(func=None)])

        assert group.func == ""

    @pytest.mark.parametrize(
        ("message", "search"),
        [
            ("ValueError: no stock for 17 books", "ValueError: no stock for books"),
            ("Book(pk=17): gone", "Book(pk= gone"),
            ("KeyError: 'isbn'", "KeyError"),
            ("17", ""),
        ],
    )
    def test_the_search_of_a_group_has_the_words_of_all_its_messages(self, message, search):
        (group,) = group_errors([make(message)])

        assert group.search == search
        assert all(word in message for word in search.split())
