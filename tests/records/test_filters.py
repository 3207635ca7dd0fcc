from datetime import datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.db import connections, router
from django.http import QueryDict
from django.utils import timezone

from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records import filters
from powercrud_tracking.records.filters import RecordFilter, get_query
from powercrud_tracking.records.reading import get_rows
from powercrud_tracking.records.times import get_time
from tests.project.models import BespokeRecord
from tests.support.rows import NAME, make_row

pytestmark = pytest.mark.django_db


def build(**asked):
    return RecordFilter(QueryDict(urlencode(asked)), queryset=get_rows())


def find(**asked):
    return set(build(**asked).qs.get_task_names())


class TestSearch:
    @pytest.fixture(autouse=True)
    def rows(self):
        make_row("nightly-report", message="All is well")
        make_row("prices", message="ValueError: bad price", affected_objects="12 Books")
        make_row("import", affected_objects="3 books")

    @pytest.mark.parametrize(
        ("words", "names"),
        [
            ("", {"nightly-report", "prices", "import"}),
            ("report", {"nightly-report"}),
            ("valueerror", {"prices"}),
            ("BOOKS", {"prices", "import"}),
            ("books price", {"prices"}),
            ("books report", set()),
            ("%", set()),
        ],
    )
    def test_each_word_is_searched_in_task_name_message_and_objects(self, words, names):
        assert find(q=words) == names

    def test_a_whole_task_name_is_found_at_any_age(self, monkeypatch):
        monkeypatch.setattr(filters, "SEARCHED", 1)
        make_row(NAME, created_at=timezone.now() - timedelta(days=900))

        assert find(q=NAME) == {NAME}

    def test_words_are_searched_in_the_newest_rows_only(self, monkeypatch):
        monkeypatch.setattr(filters, "SEARCHED", 2)

        assert find(q="books") == {"prices", "import"}
        assert find(q="report") == set()

    def test_a_filter_knows_whether_it_searches_the_newest_rows_only(self):
        searching, other = build(q="books"), build(func="a")

        assert (bool(searching.qs), bool(other.qs)) == (True, False)
        assert (searching.is_searching, other.is_searching) == (True, False)


class TestFilters:
    def test_the_list_is_filtered_by_function(self):
        make_row("a", func="shop.tasks.sort")
        make_row("b", func="shop.tasks.count")

        assert find(func="shop.tasks.sort") == {"a"}

    def test_the_list_is_filtered_by_the_primary_key_of_the_user(self):
        make_row("a", launched_by_id="1", user_label="Ada")
        make_row("b", launched_by_id="2", user_label="Ada")

        assert find(user="1") == {"a"}

    def test_the_list_is_filtered_by_objects(self):
        make_row("a", affected_objects="12 Books", message="authors")
        make_row("b", affected_objects="3 authors")

        assert find(object="books") == {"a"}
        assert find(object="authors") == {"b"}

    def test_the_list_is_filtered_by_the_time_of_queueing(self):
        for hour in (9, 10, 11):
            make_row(str(hour), created_at=get_time(datetime(2026, 3, 4, hour)))

        assert find(queued_from="2026-03-04T10:00") == {"10", "11"}
        assert find(queued_to="2026-03-04T10:00") == {"9"}
        assert find(queued_from="2026-03-04T10:00", queued_to="2026-03-04T11:00") == {"10"}

    def test_times_in_filters_are_in_the_active_time_zone(self, settings):
        if not settings.USE_TZ:
            pytest.skip("times are those of the server")
        make_row("a", created_at=datetime(2026, 3, 4, 9, tzinfo=timezone.get_fixed_timezone(0)))

        with timezone.override(timezone.get_fixed_timezone(120)):
            assert find(queued_from="2026-03-04T11:00") == {"a"}
            assert find(queued_from="2026-03-04T11:01") == set()

    def test_several_filters_must_all_match(self):
        make_row("a", func="f", launched_by_id="1")
        make_row("b", func="f", launched_by_id="2")

        assert find(func="f", user="2") == {"b"}

    def test_an_invalid_time_is_a_form_error_and_not_applied(self):
        make_row("a")

        found = build(queued_from="yesterday")

        assert set(found.qs.get_task_names()) == {"a"}
        assert "queued_from" in found.form.errors

    @pytest.mark.parametrize("at", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
    def test_a_time_outside_the_calendar_is_a_form_error_and_not_applied(self, at):
        make_row("a")

        found = build(queued_from=at)

        assert set(found.qs.get_task_names()) == {"a"}
        assert "queued_from" in found.form.errors

    def test_a_text_with_a_nul_is_a_form_error_and_not_applied(self):
        make_row("a")

        found = build(q="a\0b", func="\0")

        assert set(found.qs.get_task_names()) == {"a"}


class TestChoices:
    def test_functions_and_users_of_the_newest_rows_are_choices(self):
        make_row("a", func="shop.tasks.sort", launched_by_id="7", user_label="Ada")
        make_row("b", func="shop.tasks.sort", launched_by_id="", user_label="Anonymous")
        found = build()

        found.set_choices()

        fields = found.form.fields
        assert list(fields["func"].widget.choices)[1:] == [("shop.tasks.sort", "Sort")]
        assert list(fields["user"].widget.choices)[1:] == [("7", "Ada")]

    def test_a_choice_of_a_user_has_the_newest_label(self):
        now = timezone.now()
        make_row(
            "a", launched_by_id="7", user_label="Ada Byron", created_at=now - timedelta(days=1)
        )
        make_row("b", launched_by_id="7", user_label="Ada Lovelace", created_at=now)
        found = build()

        found.set_choices()

        assert list(found.form.fields["user"].widget.choices)[1:] == [("7", "Ada Lovelace")]

    def test_choices_with_the_same_label_show_their_values(self):
        make_row("a", func="shop.sort")
        make_row("b", func="bar.sort")
        found = build()

        found.set_choices()

        labels = [label for value, label in list(found.form.fields["func"].widget.choices)[1:]]
        assert labels == ["Sort (bar.sort)", "Sort (shop.sort)"]

    def test_the_selected_value_is_a_choice_without_any_row(self):
        found = build(func="gone.away")

        found.set_choices()

        assert 'value="gone.away" selected' in str(found.form["func"])

    def test_all_choices_are_read_in_one_query(self, django_assert_num_queries):
        make_row("a", func="f", launched_by_id="7")
        connection = connections[router.db_for_read(AsyncTaskRecord)]

        with django_assert_num_queries(1, connection=connection):
            build().set_choices()


class TestActive:
    def test_each_active_filter_can_be_removed(self):
        found = build(func="shop.sort", q="books", status="ignored")
        assert found.form.is_valid()
        found.set_choices()

        active = found.get_active(status="failed")

        assert [(str(each["label"]), each["value"], each["query"]) for each in active] == [
            ("Search", "books", "status=failed&func=shop.sort"),
            ("Function", "shop.sort", "status=failed&q=books"),
        ]

    def test_a_query_string_has_no_empty_parameters(self):
        assert get_query(status="", q="a b", func="f") == "q=a+b&func=f"


class TestCustomTable:
    @pytest.fixture(autouse=True)
    def table(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
        }

    def test_a_filter_whose_field_the_table_lacks_is_removed(self):
        assert set(build().filters) == {"q"}

    def test_words_are_searched_in_the_fields_of_the_table(self):
        BespokeRecord.objects.create(key="a", note="no stock")
        BespokeRecord.objects.create(key="b")

        assert find(q="STOCK") == {"a"}
