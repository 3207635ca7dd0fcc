import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from powercrud_tracking.dashboard import polling
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.pagination import SIZE
from powercrud_tracking.records.reading import get_rows
from tests.support.rows import make_row

pytestmark = pytest.mark.django_db

LIST = reverse("powercrud_tracking:list")


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr(polling.time, "time", lambda: 1_000_000.0)


def ask(client, *rows, top="", token="", first="1", **asked):
    asked |= {"poll": top, "first": first, "row": [row.pk for row in rows]}
    headers = {"If-None-Match": token} if token else {}
    return client.get(LIST, asked, headers=headers)


def get_top(client):
    return client.get(LIST).context["top"]


class TestRows:
    def test_an_invalid_key_is_left_out(self):
        row = make_row("a")

        rows = polling.get_shown_rows(get_rows(), ["x", str(row.pk), ""])

        assert rows.get_task_names() == ["a"]

    def test_a_key_that_no_column_can_hold_is_left_out(self):
        row = make_row("a")

        rows = polling.get_shown_rows(get_rows(), [str(10**20), str(row.pk)])

        assert rows.get_task_names() == ["a"]

    def test_at_most_one_page_of_keys_is_read(self):
        rows = polling.get_shown_rows(get_rows(), map(str, range(10 * SIZE)))

        assert str(rows.query).count(",") < 2 * SIZE


class TestUnchanged:
    def test_a_response_to_a_poll_is_not_cached(self, admin_client):
        assert "no-store" in ask(admin_client)["Cache-Control"]

    def test_an_unchanged_page_gets_a_304(self, admin_client):
        row = make_row("a", status="in_progress", progress_payload="1/2")
        top = get_top(admin_client)
        first = ask(admin_client, row, top=top)

        second = ask(admin_client, row, top=top, token=first["ETag"])

        assert (first.status_code, second.status_code, second.content) == (200, 304, b"")
        assert first["ETag"] == second["ETag"]

    def test_an_unchanged_empty_page_gets_a_304(self, admin_client):
        first = ask(admin_client)

        assert ask(admin_client, token=first["ETag"]).status_code == 304

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "success"},
            {"progress_payload": "2/2"},
            {"message": "no stock"},
            {"updated_at": timezone.now()},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_changed_row_gets_a_200(self, admin_client, change):
        row = make_row("a", status="in_progress", progress_payload="1/2")
        top = get_top(admin_client)
        token = ask(admin_client, row, top=top)["ETag"]
        AsyncTaskRecord.objects.filter(pk=row.pk).update(**change)

        assert ask(admin_client, row, top=top, token=token).status_code == 200

    def test_durations_of_open_tasks_are_updated_at_an_interval(self, admin_client, monkeypatch):
        row = make_row("a", status="in_progress")
        top = get_top(admin_client)
        token = ask(admin_client, row, top=top)["ETag"]
        later = 1_000_000 + polling.SECONDS_OF_TIMES
        monkeypatch.setattr(polling.time, "time", lambda: later)

        assert ask(admin_client, row, top=top, token=token).status_code == 200

    def test_an_unchanged_page_with_many_rows_costs_two_queries(self, admin_client):
        using = connections[router.db_for_read(AsyncTaskRecord)]
        rows = [make_row(f"task-{n}", status="in_progress") for n in range(SIZE)]
        top = get_top(admin_client)
        token = ask(admin_client, *rows, top=top)["ETag"]

        with CaptureQueriesContext(using) as queries:
            ask(admin_client, *rows, top=top, token=token)

        reads = [q for q in queries if "asynctaskrecord" in q["sql"]]
        assert len(reads) == 2


class TestChanged:
    def test_a_poll_returns_the_requested_rows(self, admin_client):
        row, other = make_row("a", status="in_progress"), make_row("b", status="in_progress")

        content = ask(admin_client, row, top=get_top(admin_client)).content.decode()

        assert f'id="tracking-row-{row.pk}"' in content
        assert f'id="tracking-row-{other.pk}"' not in content
        assert content.count("hx-swap-oob") == 3

    def test_a_poll_returns_a_requested_row_that_left_the_tab(self, admin_client):
        row = make_row("a", status="success")

        content = ask(admin_client, row, status="open").content.decode()

        assert f'id="tracking-row-{row.pk}"' in content
        assert "Succeeded" in content

    def test_new_tasks_are_counted_and_not_shown(self, admin_client):
        make_row("a")
        top = get_top(admin_client)
        new = [make_row("b"), make_row("c")]

        content = ask(admin_client, top=top).content.decode()

        assert "2 new tasks" in content
        assert not any(f"tracking-row-{row.pk}" in content for row in new)

    def test_one_new_task_is_announced_in_the_singular(self, admin_client):
        make_row("a")

        assert "1 new task<" in ask(admin_client, top="").content.decode()

    def test_new_tasks_that_do_not_match_the_filters_are_not_counted(self, admin_client):
        make_row("a", func="f", status="failed")
        make_row("b", func="g", status="failed")
        make_row("c", func="f")

        content = ask(admin_client, func="f", status="failed").content.decode()

        assert "1 new task<" in content

    def test_new_tasks_are_not_counted_on_an_older_page(self, admin_client):
        row = make_row("a", status="in_progress")
        make_row("b")

        assert "new task" not in ask(admin_client, row, top="", first="").content.decode()

    def test_a_poll_updates_the_counts_of_the_tabs(self, admin_client):
        make_row("a", status="failed")

        assert "<small>1</small>" in ask(admin_client).content.decode()


class TestAccess:
    def test_a_poll_without_the_permission_is_forbidden(self, client, user):
        row = make_row("a", launched_by_id=str(user.pk))
        client.force_login(user)

        assert ask(client, row).status_code == 403

    def test_a_poll_of_my_tasks_returns_own_tasks_only(self, client, user):
        mine, other = make_row("a", launched_by_id=str(user.pk)), make_row("b")
        client.force_login(user)

        asked = {"poll": "", "first": "1", "row": [mine.pk, other.pk]}
        content = client.get(reverse("powercrud_tracking:mine"), asked).content.decode()

        assert f"tracking-row-{mine.pk}" in content
        assert f"tracking-row-{other.pk}" not in content
        assert "1 new task<" in content


class TestTask:
    def ask(self, client, token=""):
        url = reverse("powercrud_tracking:detail", args=["a"])
        return client.get(url, {"poll": "1"}, headers={"If-None-Match": token} if token else {})

    def test_a_poll_of_an_open_task_returns_its_live_part(self, admin_client):
        make_row("a", status="in_progress", progress_payload="1/2", task_args=["heavy"])

        response = self.ask(admin_client)

        content = response.content.decode()
        assert "1/2" in content
        assert 'id="tracking-task"' in content
        assert "heavy" not in content
        assert response["HX-Reswap"] == "none"

    def test_an_unchanged_task_page_gets_a_304(self, admin_client):
        make_row("a", status="in_progress")
        token = self.ask(admin_client)["ETag"]

        response = self.ask(admin_client, token)

        assert (response.status_code, response["ETag"]) == (304, token)

    def test_a_poll_of_an_ended_task_returns_the_whole_page(self, admin_client):
        row = make_row("a", status="in_progress", task_args=["heavy"])
        token = self.ask(admin_client)["ETag"]
        AsyncTaskRecord.objects.filter(pk=row.pk).update(status="success")

        response = self.ask(admin_client, token)

        assert "heavy" in response.content.decode()
        assert "HX-Reswap" not in response

    def test_a_poll_of_the_task_of_another_user_is_forbidden(self, client, user):
        make_row("a")
        client.force_login(user)

        assert self.ask(client).status_code == 403
