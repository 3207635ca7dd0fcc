"""The list, and My tasks."""

from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.pagination import SIZE
from tests.support.rows import NAME
from tests.support.urls import DETAIL, LIST, MINE

pytestmark = pytest.mark.django_db


def make_rows(number, **values):
    start = timezone.now()
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"task-{n}", created_at=start + timedelta(seconds=n), **values)
        for n in range(number)
    )


class TestList:
    def test_a_row_without_a_task_name_is_shown_without_a_link(self, admin_client):
        AsyncTaskRecord.objects.create(task_name="", status="failed", message="no name")

        assert "no name" in admin_client.get(LIST).content.decode()

    def test_primary_keys_are_not_localized(self, admin_client, settings):
        settings.USE_THOUSAND_SEPARATOR = True
        AsyncTaskRecord.objects.create(pk=1234567, task_name=NAME)

        assert 'data-row="1234567"' in admin_client.get(LIST).content.decode()

    def test_an_empty_list_has_a_message(self, admin_client):
        content = admin_client.get(LIST).content.decode()

        assert "No task has been queued yet." in content

    def test_the_newest_tasks_come_first(self, admin_client):
        for number in range(3):
            AsyncTaskRecord.objects.create(task_name=f"task {number}")

        records = admin_client.get(LIST).context["records"]

        assert [record.task_name for record in records] == ["task 2", "task 1", "task 0"]

    def test_a_page_shows_at_most_its_size_of_tasks(self, admin_client):
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(task_name=f"task {number}") for number in range(SIZE + 1)
        )

        assert len(admin_client.get(LIST).context["records"]) == SIZE

    def test_the_older_link_shows_the_next_page_and_the_newer_link_the_previous_one(
        self, admin_client
    ):
        make_rows(2 * SIZE)
        first = admin_client.get(LIST).context

        second = admin_client.get(f"{LIST}?{first['older']}").context
        back = admin_client.get(f"{LIST}?{second['newer']}").context

        names = [record.task_name for record in [*first["records"], *second["records"]]]
        assert names == [f"task-{number}" for number in reversed(range(2 * SIZE))]
        assert second["older"] == ""
        assert [r.task_name for r in back["records"]] == names[:SIZE]

    @pytest.mark.parametrize(
        ("tab", "names"),
        [
            ("", {"pending", "in_progress", "success", "failed", "lost"}),
            ("open", {"pending", "in_progress"}),
            ("success", {"success"}),
            ("failed", {"failed"}),
            ("lost", {"lost"}),
            ("nonsense", {"pending", "in_progress", "success", "failed", "lost"}),
        ],
    )
    def test_a_tab_shows_tasks_with_its_statuses_only(self, admin_client, tab, names):
        for status in ("pending", "in_progress", "success", "failed", "lost"):
            AsyncTaskRecord.objects.create(task_name=status, status=status)

        response = admin_client.get(LIST, {"status": tab})

        assert {record.task_name for record in response.context["records"]} == names

    def test_the_older_link_keeps_the_tab(self, admin_client):
        make_rows(SIZE + 1, status="failed")

        response = admin_client.get(LIST, {"status": "failed"})

        assert response.context["older"].startswith("status=failed&older=")

    def test_an_empty_tab_has_a_message(self, admin_client):
        response = admin_client.get(LIST, {"status": "lost"})

        assert "No task has this status." in response.content.decode()

    def test_the_list_takes_as_many_queries_for_many_rows_as_for_one(self, admin_client):
        using = connections[router.db_for_read(AsyncTaskRecord)]
        AsyncTaskRecord.objects.create(task_name=NAME)
        admin_client.get(LIST)

        with CaptureQueriesContext(using) as one:
            admin_client.get(LIST)
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(task_name=f"task {number}") for number in range(40)
        )
        with CaptureQueriesContext(using) as many:
            admin_client.get(LIST)

        assert len(many) == len(one)

    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"status": "failed"},
            {"func": "f", "user": "1", "object": "books", "q": "books"},
            {"queued_from": "2026-01-01T10:00", "queued_to": "2026-01-02T10:00"},
        ],
        ids=["all", "tab", "words", "times"],
    )
    def test_the_list_takes_at_most_six_queries_including_session_and_user(
        self, admin_client, asked
    ):
        make_rows(3)

        using = {router.db_for_read(AsyncTaskRecord), router.db_for_read(get_user_model())}
        with ExitStack() as stack:
            seen = [stack.enter_context(CaptureQueriesContext(connections[n])) for n in using]
            admin_client.get(LIST, asked)

        assert sum(map(len, seen)) <= 6

    def test_tabs_show_the_number_of_their_tasks(self, admin_client):
        make_rows(3, status="failed")

        tabs = admin_client.get(LIST).context["tabs"]

        assert {str(tab["label"]): str(tab["count"]) for tab in tabs} == {
            "Open": "0",
            "Failed": "3",
            "Lost": "0",
            "Cancelled": "0",
            "Succeeded": "0",
            "All": "3",
        }

    def test_links_of_tabs_and_pages_keep_the_filters(self, admin_client):
        make_rows(SIZE + 1, func="shop.sort", status="failed")

        context = admin_client.get(LIST, {"func": "shop.sort", "status": "failed"}).context

        assert context["older"].startswith("status=failed&func=shop.sort&older=")
        assert [tab["query"] for tab in context["tabs"]][:2] == [
            "status=open&func=shop.sort",
            "status=failed&func=shop.sort",
        ]

    @pytest.mark.parametrize("filters", [{"func": "f"}, {"func": "f", "q": "word"}])
    def test_a_list_without_a_match_has_one_link_that_removes_all_filters(
        self, admin_client, filters
    ):
        content = admin_client.get(LIST, {**filters, "status": "lost"}).content.decode()

        assert "No task matches these filters." in content
        assert '<a href="?status=lost">Remove all filters</a>' in content
        assert content.count("Remove all filters") == 1

    def test_a_list_with_matches_has_one_link_that_removes_several_filters(self, admin_client):
        make_rows(1, func="f", message="word")

        content = admin_client.get(LIST, {"func": "f", "q": "word"}).content.decode()

        assert content.count("Remove all filters") == 1

    def test_a_row_without_a_function_shows_its_task_name_once(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        content = admin_client.get(LIST).content.decode()

        assert f">{NAME}</a>" in content
        assert f"<code>{NAME[:8]}" not in content

    def test_a_row_with_a_function_shows_its_title_and_the_start_of_its_task_name(
        self, admin_client
    ):
        AsyncTaskRecord.objects.create(task_name=NAME, func="shop.sort_books")

        content = admin_client.get(LIST).content.decode()

        assert f">Sort books</a> <code>{NAME[:8]}</code>" in content

    @pytest.mark.parametrize(
        ("language", "labels"),
        [
            ("fr", ["Ouvertes", "Échouées", "Perdues", "Réussies", "Toutes"]),
            ("es", ["Abiertas", "Fallidas", "Perdidas", "Con éxito", "Todas"]),
        ],
    )
    def test_the_labels_of_tabs_are_plurals(self, admin_client, language, labels):
        with translation.override(language):
            tabs = [str(tab["label"]) for tab in admin_client.get(LIST).context["tabs"]]

        assert set(labels) <= set(tabs)

    def test_a_filter_is_written_with_the_colon_of_the_language(self, admin_client):
        with translation.override("fr"):
            response = admin_client.get(LIST, {"func": "f"})

        assert ">Fonction\N{NARROW NO-BREAK SPACE}: f <span" in response.content.decode()

    def test_the_list_does_not_read_payloads(self, admin_client):
        make_rows(1, task_args=["heavy"])

        with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
            admin_client.get(LIST)

        assert not any("task_args" in query["sql"] for query in queries)

    def test_the_row_of_an_open_task_shows_its_progress(self, admin_client):
        AsyncTaskRecord.objects.create(
            task_name=NAME, status="in_progress", progress_payload="1/2", message="Task queued"
        )

        content = admin_client.get(LIST).content.decode()

        assert "1/2" in content
        assert "Task queued" not in content

    def test_the_row_of_a_finished_task_shows_its_message(self, admin_client):
        AsyncTaskRecord.objects.create(
            task_name=NAME, status="failed", progress_payload="1/2", message="no stock"
        )

        content = admin_client.get(LIST).content.decode()

        assert "no stock" in content
        assert "1/2" not in content

    def test_a_row_shows_its_status_in_words(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME, status="in_progress")

        content = admin_client.get(LIST).content.decode()

        assert "Running" in content

    def test_each_row_links_to_its_task_page(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        assert f'href="{DETAIL}"' in admin_client.get(LIST).content.decode()


class TestMine:
    @pytest.fixture(autouse=True)
    def rows(self, user):
        AsyncTaskRecord.objects.create(task_name=NAME, launched_by_id=str(user.pk))
        AsyncTaskRecord.objects.create(task_name="another's", launched_by_id="0")

    def test_anonymous_users_are_redirected_to_the_login(self, client):
        assert client.get(MINE)["Location"] == f"/login/?next={MINE}"

    def test_my_tasks_shows_own_tasks_without_a_permission(self, client, user):
        client.force_login(user)

        records = client.get(MINE).context["records"]

        assert [record.task_name for record in records] == [NAME]

    def test_users_may_open_the_page_of_their_own_task(self, client, user):
        client.force_login(user)

        assert client.get(DETAIL).status_code == 200

    def test_the_task_of_another_user_and_an_unknown_task_get_the_same_response(self, client, user):
        client.force_login(user)

        codes = [client.get(f"{LIST}{name}/").status_code for name in ("another's", "none")]

        assert codes == [403, 403]

    def test_my_tasks_has_no_links_to_forbidden_pages(self, client, user):
        client.force_login(user)

        content = client.get(MINE).content.decode()

        assert f'href="{MINE}"' in content
        assert f'href="{LIST}"' not in content
