from datetime import datetime, timedelta

import pytest

from powercrud_tracking.dashboard.overview.failure_groups import find_kind, get_failure_groups
from powercrud_tracking.dashboard.overview.finished_tasks import Ended

NOW = datetime(2026, 5, 4, 12)


def make(message="ValueError: bad price", *, func="shop.tasks.sort", status="failed", ago=0):
    at = NOW - timedelta(minutes=ago)
    return Ended(status=status, created_at=at, func=func, message=message)


class TestFindKind:
    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            ("", ("", False)),
            (None, ("", False)),
            ("failed update: ['The Amber Atlas is out of print.']", ("failed update", False)),
            ("failed delete: Cannot delete some", ("failed delete", False)),
            ("no stock for 17 books", ("no stock for", False)),
            ("one two three four five six seven", ("one two three four five six", False)),
            ("17 books are missing", ("17 books are missing", False)),
            ("Task failed", ("Task failed", False)),
            ("ValueError: bad price", ("ValueError", True)),
            ("ValueError", ("ValueError", True)),
            ("shop.errors.OutOfPrint: no", ("shop.errors.OutOfPrint", True)),
            ("KeyError: 'isbn'", ("KeyError", True)),
            ("_Private: x", ("_Private", True)),
        ],
    )
    def test_it_is_the_class_or_the_first_words(self, message, kind):
        assert find_kind("failed", message) == kind

    def test_a_long_word_is_cut(self):
        assert find_kind("failed", "x" * 500) == ("x" * 60, False)

    def test_what_was_looked_at_is_no_reason_of_a_lost_task(self):
        assert find_kind("lost", "Lost: no sign of life") == ("", False)


class TestGetFailureGroups:
    def test_the_same_of_one_function_is_one_group(self):
        ended = [make("ValueError: b"), make("ValueError: a", ago=5)]

        (group,) = get_failure_groups(ended)

        assert (group.func, group.kind, group.count) == ("shop.tasks.sort", "ValueError", 2)
        assert (group.last_at, group.example) == (NOW, "ValueError: b")

    def test_functions_kinds_and_lost_tasks_are_told_apart(self):
        ended = [
            make(),
            make(func="shop.tasks.count"),
            make("KeyError: 1"),
            make("Lost: no sign of life", status="lost"),
        ]

        assert len(get_failure_groups(ended)) == 4

    def test_the_most_frequent_comes_first_then_the_latest(self):
        ended = [
            make("Latest: x", ago=1),
            make("Twice: x", ago=2),
            make("Oldest: x", ago=3),
            make("Twice: x", ago=4),
        ]

        kinds = [group.kind for group in get_failure_groups(ended)]

        assert kinds == ["Twice", "Latest", "Oldest"]

    def test_a_success_is_no_failure(self):
        assert get_failure_groups([make(status="success")]) == []

    def test_a_table_without_functions_has_groups_too(self):
        (group,) = get_failure_groups([make(func=None)])

        assert group.func == ""
