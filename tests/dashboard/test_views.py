import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django_q.brokers import get_broker
from django_q.conf import Conf

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records.pagination import SIZE
from powercrud_tracking.records.visibility import is_own, may_view_records
from powercrud_tracking.templatetags.powercrud_tracking_overview import list_query
from tests.project.models import BespokeRecord, NameOnlyRecord, OwnedRecord
from tests.settings import IS_SPLIT
from tests.support.tables import renamed_table

pytestmark = pytest.mark.django_db

NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"
OWNED = {
    "RECORD_MODEL": "project.OwnedRecord",
    "FIELD_MAP": {"launched_by_id": "owner", "created_at": "queued"},
}
TEXT = "<script>alert('x')</script>"
LIST = reverse("powercrud_tracking:list")
OVERVIEW = reverse("powercrud_tracking:overview")
MINE = reverse("powercrud_tracking:mine")
DETAIL = reverse("powercrud_tracking:detail", args=[NAME])


@pytest.fixture
def auditor():
    auditor = get_user_model().objects.create_user("auditor")
    auditor.user_permissions.add(Permission.objects.get(codename="view_asynctaskrecord"))
    return auditor


def make_rows(number, **values):
    start = timezone.now()
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"task-{n}", created_at=start + timedelta(seconds=n), **values)
        for n in range(number)
    )


def of_their_address(request, rows):
    # AnonymousUser has none.
    return rows.labelled(request.user.email)


def some(request, rows):
    return rows[:5]


def both(request, rows):
    return rows.open().union(rows.finished())


def broken(request, rows):
    return rows.extra(where=["no_such_column = 1"])


def plain(request, rows):
    return list(rows)


def only_mine(request, rows):
    return rows.launched_by(request.user)


@pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
class TestGuard:
    def test_anonymous_people_are_sent_to_the_login(self, client, url):
        AsyncTaskRecord.objects.create(task_name=NAME)

        response = client.get(url)

        assert response.status_code == 302
        assert response["Location"] == f"/login/?next={url}"

    def test_without_the_permission_it_is_forbidden(self, client, user, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(user)

        response = client.get(url)

        assert response.status_code == 403

    def test_with_the_permission_it_is_shown(self, client, auditor, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(auditor)

        response = client.get(url)

        assert response.status_code == 200
        assert NAME in response.content.decode()

    def test_values_are_escaped(self, client, auditor, url):
        AsyncTaskRecord.objects.create(
            task_name=NAME,
            status="failed",
            func=TEXT,
            user_label=TEXT,
            affected_objects=TEXT,
            message=TEXT,
            progress_payload=TEXT,
            worker=TEXT,
            task_args=[TEXT],
            task_kwargs={TEXT: TEXT},
            result_payload=TEXT,
        )
        client.force_login(auditor)

        content = client.get(url).content.decode()

        assert TEXT not in content
        assert "&lt;script&gt;" in content

    def test_it_is_not_changed_by_a_post(self, client, auditor, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(auditor)

        assert client.post(url).status_code == 405


class TestPermission:
    def test_it_is_that_of_the_setting_s_model(self, settings, auditor):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.InheritedRecord"}
        before = may_view_records(auditor)
        auditor.user_permissions.add(Permission.objects.get(codename="view_inheritedrecord"))

        after = may_view_records(get_user_model().objects.get(pk=auditor.pk))

        assert (before, after) == (False, True)


class TestList:
    def test_a_row_without_a_name_leads_nowhere_and_breaks_nothing(self, admin_client):
        AsyncTaskRecord.objects.create(task_name="", status="failed", message="no name")

        assert "no name" in admin_client.get(LIST).content.decode()

    def test_keys_are_not_localised(self, admin_client, settings):
        settings.USE_THOUSAND_SEPARATOR = True
        AsyncTaskRecord.objects.create(pk=1234567, task_name=NAME)

        assert 'data-row="1234567"' in admin_client.get(LIST).content.decode()

    def test_without_a_task_it_says_so(self, admin_client):
        content = admin_client.get(LIST).content.decode()

        assert "No task has been queued yet." in content

    def test_the_newest_come_first(self, admin_client):
        for number in range(3):
            AsyncTaskRecord.objects.create(task_name=f"task {number}")

        records = admin_client.get(LIST).context["records"]

        assert [record.task_name for record in records] == ["task 2", "task 1", "task 0"]

    def test_a_page_has_no_more_than_its_size(self, admin_client):
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(task_name=f"task {number}") for number in range(SIZE + 1)
        )

        assert len(admin_client.get(LIST).context["records"]) == SIZE

    def test_what_is_older_is_one_link_away_and_newer_leads_back(self, admin_client):
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
    def test_a_tab_narrows_it(self, admin_client, tab, names):
        for status in ("pending", "in_progress", "success", "failed", "lost"):
            AsyncTaskRecord.objects.create(task_name=status, status=status)

        response = admin_client.get(LIST, {"status": tab})

        assert {record.task_name for record in response.context["records"]} == names

    def test_older_stays_in_the_tab(self, admin_client):
        make_rows(SIZE + 1, status="failed")

        response = admin_client.get(LIST, {"status": "failed"})

        assert response.context["older"].startswith("status=failed&older=")

    def test_an_empty_tab_says_so(self, admin_client):
        response = admin_client.get(LIST, {"status": "lost"})

        assert "No task is in this state." in response.content.decode()

    def test_it_costs_the_same_for_one_row_and_for_many(self, admin_client):
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
    def test_it_costs_six_queries_at_the_most_with_session_and_user(self, admin_client, asked):
        make_rows(3)

        using = {router.db_for_read(AsyncTaskRecord), router.db_for_read(get_user_model())}
        with ExitStack() as stack:
            seen = [stack.enter_context(CaptureQueriesContext(connections[n])) for n in using]
            admin_client.get(LIST, asked)

        assert sum(map(len, seen)) <= 6

    def test_tabs_say_how_many_there_are(self, admin_client):
        make_rows(3, status="failed")

        tabs = admin_client.get(LIST).context["tabs"]

        assert {str(tab.label): str(tab.count) for tab in tabs} == {
            "Open": "0",
            "Failed": "3",
            "Lost": "0",
            "Succeeded": "0",
            "All": "3",
        }

    def test_a_filter_stays_on_in_tabs_and_pages(self, admin_client):
        make_rows(SIZE + 1, func="shop.sort", status="failed")

        context = admin_client.get(LIST, {"func": "shop.sort", "status": "failed"}).context

        assert context["older"].startswith("status=failed&func=shop.sort&older=")
        assert [tab.query for tab in context["tabs"]][:2] == [
            "status=open&func=shop.sort",
            "status=failed&func=shop.sort",
        ]

    def test_where_nothing_matches_the_filters_can_be_cleared(self, admin_client):
        content = admin_client.get(LIST, {"func": "f", "status": "lost"}).content.decode()

        assert "No task matches these filters." in content
        assert '<a href="?status=lost">Clear them</a>' in content

    def test_it_reads_no_payloads(self, admin_client):
        make_rows(1, task_args=["heavy"])

        with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
            admin_client.get(LIST)

        assert not any("task_args" in query["sql"] for query in queries)

    def test_an_open_task_says_how_far_it_is(self, admin_client):
        AsyncTaskRecord.objects.create(
            task_name=NAME, status="in_progress", progress_payload="1/2", message="Task queued"
        )

        content = admin_client.get(LIST).content.decode()

        assert "1/2" in content
        assert "Task queued" not in content

    def test_a_finished_task_says_how_it_ended(self, admin_client):
        AsyncTaskRecord.objects.create(
            task_name=NAME, status="failed", progress_payload="1/2", message="no stock"
        )

        content = admin_client.get(LIST).content.decode()

        assert "no stock" in content
        assert "1/2" not in content

    def test_a_status_is_told_in_words(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME, status="in_progress")

        content = admin_client.get(LIST).content.decode()

        assert "Running" in content

    def test_each_row_leads_to_its_task(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        assert f'href="{DETAIL}"' in admin_client.get(LIST).content.decode()


class TestDetail:
    def test_a_name_with_a_nul_is_not_found(self, admin_client):
        assert admin_client.get(f"{LIST}a%00b/").status_code == 404

    def test_an_unknown_task_is_not_found(self, admin_client):
        assert admin_client.get(DETAIL).status_code == 404

    def test_it_shows_what_is_known(self, admin_client, manager, user):
        manager.launch_async_task(
            "math.pow", 2, 3, task_key=NAME, user=user, affected_objects="2 numbers"
        )

        content = admin_client.get(DETAIL).content.decode()

        for text in ("math.pow", NAME, user.get_username(), "2 numbers", "Queued"):
            assert text in content

    def test_a_name_with_a_line_break_has_a_page(self, admin_client):
        AsyncTaskRecord.objects.create(task_name="a\nb")

        page = admin_client.get(LIST)

        assert page.status_code == 200
        assert admin_client.get(f"{LIST}a%0Ab/").context["record"].task_name == "a\nb"

    def test_a_name_with_slashes_has_a_page(self, admin_client):
        AsyncTaskRecord.objects.create(task_name="nightly/2026/01")
        url = reverse("powercrud_tracking:detail", args=["nightly/2026/01"])

        assert admin_client.get(url).status_code == 200


class TestMine:
    @pytest.fixture(autouse=True)
    def rows(self, user):
        AsyncTaskRecord.objects.create(task_name=NAME, launched_by_id=str(user.pk))
        AsyncTaskRecord.objects.create(task_name="another's", launched_by_id="0")

    def test_anonymous_people_are_sent_to_the_login(self, client):
        assert client.get(MINE)["Location"] == f"/login/?next={MINE}"

    def test_it_shows_what_somebody_queued_without_further_rights(self, client, user):
        client.force_login(user)

        records = client.get(MINE).context["records"]

        assert [record.task_name for record in records] == [NAME]

    def test_their_own_task_has_its_page(self, client, user):
        client.force_login(user)

        assert client.get(DETAIL).status_code == 200

    def test_another_s_task_and_none_at_all_are_forbidden_alike(self, client, user):
        client.force_login(user)

        codes = [client.get(f"{LIST}{name}/").status_code for name in ("another's", "none")]

        assert codes == [403, 403]

    def test_it_leads_nowhere_that_is_forbidden(self, client, user):
        client.force_login(user)

        content = client.get(MINE).content.decode()

        assert f'href="{MINE}"' in content
        assert f'href="{LIST}"' not in content


class TestOverview:
    def make_day(self, number=1, **values):
        """Make tasks of every outcome in each of the last hours, with a reason each."""
        now = timezone.now()
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(
                task_name=f"{hour}-{status}-{n}-{values}",
                status=status,
                created_at=now - timedelta(hours=hour),
                started_at=now - timedelta(hours=hour),
                completed_at=now if status == "success" else None,
                failed_at=now if status in {"failed", "lost"} else None,
                **{"func": f"shop.tasks.sort_{n}", "message": f"ValueError: {n}", **values},
            )
            for hour in range(30)
            for status in ("pending", "in_progress", "success", "failed", "lost")
            for n in range(number)
        )

    def count_queries(self, client):
        names = {"default", router.db_for_read(AsyncTaskRecord)}
        with ExitStack() as stack:
            captured = [
                stack.enter_context(CaptureQueriesContext(connections[name])) for name in names
            ]
            assert client.get(OVERVIEW).status_code == 200
        return sum(len(queries) for queries in captured)

    def test_anonymous_people_are_sent_to_the_login(self, client):
        assert client.get(OVERVIEW)["Location"] == f"/login/?next={OVERVIEW}"

    def test_without_the_permission_it_is_forbidden_and_not_offered(self, client, user):
        client.force_login(user)

        assert client.get(OVERVIEW).status_code == 403
        assert OVERVIEW not in client.get(MINE).content.decode()

    def test_with_the_permission_it_is_shown_and_offered(self, client, auditor):
        client.force_login(auditor)

        assert client.get(OVERVIEW).status_code == 200
        assert f'href="{OVERVIEW}"' in client.get(LIST).content.decode()

    def test_it_is_not_changed_by_a_post(self, admin_client):
        assert admin_client.post(OVERVIEW).status_code == 405

    @pytest.mark.django_db(transaction=True)
    def test_it_costs_six_queries_at_the_most_for_few_rows_and_for_many(self, admin_client):
        self.make_day()
        self.count_queries(admin_client)

        few = self.count_queries(admin_client)
        self.make_day(10, user_label="another")
        many = self.count_queries(admin_client)

        assert few == many
        assert few <= 6

    def test_values_are_escaped(self, admin_client):
        self.make_day(func=TEXT, message=f"{TEXT} is no price", worker=TEXT)

        content = admin_client.get(OVERVIEW).content.decode()

        assert TEXT not in content
        assert "&lt;script&gt;" in content

    def test_it_holds_under_a_strict_policy(self, admin_client):
        self.make_day()

        content = admin_client.get(OVERVIEW).content.decode()

        assert re.findall(r"<script(?! src=)", content) == []
        for word in ("<style", "style=", "onclick", "javascript:"):
            assert word not in content

    def test_each_column_leads_to_the_tasks_of_its_hour(self, admin_client):
        at = timezone.now() - timedelta(hours=3)
        AsyncTaskRecord.objects.create(task_name=NAME, created_at=at)

        response = admin_client.get(OVERVIEW)

        local = timezone.localtime(at) if timezone.is_aware(at) else at
        start = local.replace(minute=0)
        query = urlencode(
            {
                "queued_from": f"{start:%Y-%m-%dT%H:%M}",
                "queued_to": f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M}",
            }
        )
        # Once for a click on the column, once in the table behind it.
        assert response.content.decode().count(f'href="{LIST}?{escape(query)}"') == 2

    def test_an_hour_that_comes_twice_leads_to_its_own_tasks(self, admin_client, settings):
        if not settings.USE_TZ:
            pytest.skip("the clock of the server tells such hours no better")
        start = datetime(2024, 10, 27, 1, tzinfo=UTC)
        for minutes in (-5, 5, 65):
            AsyncTaskRecord.objects.create(
                task_name=str(minutes), created_at=start + timedelta(minutes=minutes)
            )
        settings.TIME_ZONE = "Europe/Berlin"

        query = list_query(queued_from=start, queued_to=start + timedelta(hours=1))

        records = admin_client.get(f"{LIST}?{query}").context["records"]
        assert [record.task_name for record in records] == ["5"]

    def test_an_error_leads_to_its_tasks_in_the_list(self, admin_client):
        for number in range(2):
            AsyncTaskRecord.objects.create(
                task_name=f"{number}",
                status="failed",
                func="shop.tasks.sort",
                message=f"ValueError: no price for book {number}",
            )
        AsyncTaskRecord.objects.create(
            task_name=NAME, status="failed", func="shop.tasks.sort", message="ValueError: no stock"
        )

        content = admin_client.get(OVERVIEW).content.decode()

        assert "no price for book …" in content
        [query] = re.findall(r'href="\S+?\?(\S+?)" aria-label="Show 2 tasks in the list"', content)
        records = admin_client.get(f"{LIST}?{unescape(query)}").context["records"]
        assert {record.task_name for record in records} == {"0", "1"}

    @pytest.mark.parametrize(
        ("asked", "chosen"), [("", "24h"), ("1h", "1h"), ("7d", "7d"), ("nonsense", "24h")]
    )
    def test_the_window_is_chosen_by_the_address(self, admin_client, asked, chosen):
        content = admin_client.get(OVERVIEW, {"window": asked}).content.decode()

        assert re.findall(r'href="\?window=(\w+)" aria-current', content) == [chosen]

    def test_it_is_loud_when_tasks_wait_and_no_cluster_is_alive(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        content = admin_client.get(OVERVIEW).content.decode()

        assert 'role="alert"' in content
        assert "1 task is waiting." in content
        assert "python manage.py qcluster" in content

    def test_it_is_calm_when_nothing_waits(self, admin_client):
        assert 'role="alert"' not in admin_client.get(OVERVIEW).content.decode()

    def test_a_broker_that_does_not_answer_is_unknown(self, admin_client, monkeypatch):
        monkeypatch.setattr(Conf, "BROKER_CLASS", "tests.support.brokers.BrokenBroker")

        content = admin_client.get(OVERVIEW).content.decode()

        assert content.count("unknown") == 2
        assert "The broker does not say how long the queue is." in content

    def test_many_functions_are_cut_and_the_rest_is_said(self, admin_client):
        self.make_day(23)

        content = admin_client.get(OVERVIEW).content.decode()

        assert "3 more functions are not shown." in content

    def test_numbers_in_a_drawing_are_not_localised(self, admin_client, settings):
        settings.LANGUAGE_CODE = "de"
        self.make_day()

        content = admin_client.get(OVERVIEW).content.decode()

        assert re.findall(r' (?:x|y|width|height)="[^"]*,', content) == []

    @pytest.mark.parametrize(
        "dashboard",
        [
            {"RECORD_MODEL": "project.NameOnlyRecord"},
            {
                "RECORD_MODEL": "project.BespokeRecord",
                "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
            },
        ],
        ids=["name only", "bespoke"],
    )
    def test_what_a_table_does_not_tell_is_left_out(self, admin_client, settings, dashboard):
        settings.POWERCRUD_ASYNC_DASHBOARD = dashboard

        content = admin_client.get(OVERVIEW).content.decode()

        assert "Clusters" in content
        for heading in ("Tasks per hour", "Wait and run time", "Errors"):
            assert heading not in content

    def test_it_stands_in_a_project_s_own_layout(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": "project/base.html"}

        response = admin_client.get(OVERVIEW)

        assert "project/base.html" in [template.name for template in response.templates]


class TestVisible:
    @pytest.fixture(autouse=True)
    def rows(self, settings, auditor):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.dashboard.test_views.only_mine"}
        AsyncTaskRecord.objects.create(task_name=NAME)
        AsyncTaskRecord.objects.create(task_name="mine", launched_by_id=str(auditor.pk))

    @pytest.mark.parametrize("url", [LIST, MINE, f"{LIST}?poll="], ids=["list", "mine", "poll"])
    def test_it_is_asked_for_nobody_who_has_not_logged_in(self, client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"{__name__}.of_their_address"}

        assert client.get(url).status_code == 302

    @pytest.mark.parametrize("name", ["some", "both", "plain"])
    def test_what_cannot_be_narrowed_is_refused_by_name(self, client, auditor, settings, name):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"tests.dashboard.test_views.{name}"}
        client.force_login(auditor)

        with pytest.raises(ImproperlyConfigured, match=f"VISIBLE .{__name__}.{name}. must"):
            client.get(LIST)

    def test_the_list_shows_only_those_rows(self, client, auditor):
        client.force_login(auditor)

        records = client.get(LIST).context["records"]

        assert [record.task_name for record in records] == ["mine"]

    def test_every_number_of_the_overview_is_theirs(self, client, auditor):
        now = timezone.now()
        for who, number in {str(auditor.pk): 1, "0": 2}.items():
            AsyncTaskRecord.objects.bulk_create(
                AsyncTaskRecord(
                    task_name=f"{who} {status} {n}",
                    status=status,
                    launched_by_id=who,
                    func=f"func.{who}",
                    message=f"ValueError: {who}",
                    created_at=now - timedelta(minutes=n + 1),
                    started_at=now,
                    completed_at=now if status == "success" else None,
                    failed_at=now if status in {"failed", "lost"} else None,
                )
                for status in ("in_progress", "success", "failed", "lost")
                for n in range(number)
            )
        get_broker().enqueue("a package")
        client.force_login(auditor)

        response = client.get(OVERVIEW)

        found = response.context["overview"]
        assert {count.number for count in found.open.values()} == {1}
        assert {count.number for count in found.ended.values()} == {1}
        assert sum(hour.total.number for hour in found.hours) == 5
        assert [timing.func for timing in found.timings] == [f"func.{auditor.pk}"]
        assert [group.count for group in found.errors] == [1, 1]
        # The queue holds everybody's tasks.
        assert (found.queue.length, found.waiting.number) == (None, 1)
        assert "in the queue" not in response.content.decode()

    def test_another_s_task_is_not_found(self, client, auditor):
        client.force_login(auditor)

        assert client.get(DETAIL).status_code == 404


class TestCustomTable:
    @pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
    def test_a_table_of_other_names_is_shown(self, admin_client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
        }
        BespokeRecord.objects.create(key=NAME, state="failed", note="no stock")

        content = admin_client.get(url).content.decode()

        assert "Failed" in content
        assert "no stock" in content

    @pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
    def test_a_table_with_nothing_but_a_name_is_shown(self, admin_client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        assert NAME in admin_client.get(url).content.decode()

    @pytest.mark.parametrize("asked", ["", "?user=nobody", "?user=0", f"?user={10**20}"])
    def test_a_foreign_key_to_the_user_can_be_asked_for(self, admin_client, settings, user, asked):
        settings.POWERCRUD_ASYNC_DASHBOARD = OWNED
        OwnedRecord.objects.create(task_name="hers", owner_id=user.pk)
        OwnedRecord.objects.create(task_name="nobody's")

        records = admin_client.get(f"{LIST}{asked}").context["records"]

        assert len(records) == (0 if asked else 2)

    def test_with_a_foreign_key_people_see_their_own_tasks(
        self, client, settings, user, django_assert_num_queries
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = OWNED
        OwnedRecord.objects.create(task_name="hers", owner_id=user.pk)
        OwnedRecord.objects.create(task_name="nobody's")
        client.force_login(user)

        records = client.get(MINE).context["records"]

        assert [record.task_name for record in records] == ["hers"]
        assert client.get(f"{LIST}hers/").status_code == 200
        with django_assert_num_queries(0):
            assert is_own(records[0], user)


class TestBaseTemplate:
    def test_the_pages_extend_that_of_the_setting(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": "project/base.html"}

        response = admin_client.get(LIST)

        assert "<main>" not in response.content.decode()
        assert "project/base.html" in [template.name for template in response.templates]

    @pytest.mark.parametrize(
        ("urls", "is_staff", "links"),
        [
            ("tests.urls", True, ["/admin/"]),
            ("tests.urls", False, []),
            ("tests.project.urls_with_root", True, ["/", "/admin/"]),
            ("tests.project.urls_with_root", False, ["/"]),
            ("tests.project.urls_of_pages_alone", True, []),
        ],
        ids=["staff, admin", "admin", "staff, root and admin", "root and admin", "neither"],
    )
    @pytest.mark.parametrize("page", ["mine", "overview"])
    def test_ours_leads_back_to_the_site(
        self, client, auditor, settings, page, urls, is_staff, links
    ):
        settings.ROOT_URLCONF = urls
        auditor.is_staff = is_staff
        auditor.save()
        client.force_login(auditor)

        content = client.get(reverse(f"powercrud_tracking:{page}")).content.decode()

        header = content.partition("<main>")[0]
        assert re.findall('<a href="(.*?)"', header) == links

    @pytest.mark.django_db(transaction=True)
    def test_the_page_of_a_missing_table_leads_back_too(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.UnmigratedRecord"}

        assert '<a href="/admin/">Admin</a>' in admin_client.get(LIST).content.decode()

    def test_ours_has_no_inline_script_and_no_inline_style(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        content = (
            admin_client.get(LIST).content.decode() + admin_client.get(DETAIL).content.decode()
        )

        assert re.findall(r"<script(?! src=)", content) == []
        for word in ("<style", "style=", "onclick", "javascript:"):
            assert word not in content


PAGES = pytest.mark.parametrize(
    "url",
    [LIST, MINE, DETAIL, OVERVIEW, f"{LIST}?poll="],
    ids=["list", "mine", "task", "overview", "poll"],
)


@pytest.mark.django_db(transaction=True)
class TestMissingTable:
    @PAGES
    @pytest.mark.parametrize(
        "model", ["UnmigratedRecord", "BrokenRecord"], ids=["table", "columns"]
    )
    def test_the_pages_say_what_to_type(self, admin_client, settings, url, model):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": f"project.{model}"}

        response = admin_client.get(url)

        assert response.status_code == 503
        assert "<code>python manage.py migrate project</code>" in response.content.decode()

    @PAGES
    def test_the_pages_say_what_to_type_where_requests_are_atomic(
        self, admin_client, settings, monkeypatch, url
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.UnmigratedRecord"}
        monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)

        assert admin_client.get(url).status_code == 503

    def test_a_task_page_without_the_table_of_attempts_says_what_to_type(
        self, admin_client, settings
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        with renamed_table(AsyncTaskAttempt):
            response = admin_client.get(DETAIL)

        database = " --database=records" if IS_SPLIT else ""
        assert response.status_code == 503
        assert f"python manage.py migrate powercrud_tracking{database}" in response.content.decode()

    def test_another_error_of_the_database_is_raised(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"{__name__}.broken"}

        with pytest.raises(DatabaseError):
            admin_client.get(LIST)
