"""The overview."""

import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape
from django_q.conf import Conf

from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.templatetags.powercrud_tracking_overview import list_query
from tests.support.rows import NAME
from tests.support.urls import LIST, MINE, OVERVIEW

pytestmark = pytest.mark.django_db

TEXT = "<script>alert('x')</script>"


def make_rows(number, **values):
    start = timezone.now()
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"task-{n}", created_at=start + timedelta(seconds=n), **values)
        for n in range(number)
    )


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

    def test_anonymous_users_are_redirected_to_the_login(self, client):
        assert client.get(OVERVIEW)["Location"] == f"/login/?next={OVERVIEW}"

    def test_without_the_permission_the_overview_is_forbidden_and_not_in_the_navigation(
        self, client, user
    ):
        client.force_login(user)

        assert client.get(OVERVIEW).status_code == 403
        assert OVERVIEW not in client.get(MINE).content.decode()

    def test_with_the_permission_the_overview_is_shown_and_in_the_navigation(self, client, auditor):
        client.force_login(auditor)

        assert client.get(OVERVIEW).status_code == 200
        assert f'href="{OVERVIEW}"' in client.get(LIST).content.decode()

    def test_a_post_to_the_overview_is_not_allowed(self, admin_client):
        assert admin_client.post(OVERVIEW).status_code == 405

    @pytest.mark.django_db(transaction=True)
    def test_the_overview_takes_at_most_six_queries_for_any_number_of_rows(self, admin_client):
        self.make_day()
        self.count_queries(admin_client)

        few = self.count_queries(admin_client)
        self.make_day(10, user_label="another")
        many = self.count_queries(admin_client)

        assert few == many
        assert few <= 6

    def test_values_on_the_overview_are_escaped(self, admin_client):
        self.make_day(func=TEXT, message=f"{TEXT} is no price", worker=TEXT)

        content = admin_client.get(OVERVIEW).content.decode()

        assert TEXT not in content
        assert "&lt;script&gt;" in content

    def test_the_overview_has_no_inline_script_or_style(self, admin_client):
        self.make_day()

        content = admin_client.get(OVERVIEW).content.decode()

        assert re.findall(r"<script(?! src=)", content) == []
        for word in ("<style", "style=", "onclick", "javascript:"):
            assert word not in content

    def test_each_column_of_the_chart_links_to_the_tasks_of_its_hour(self, admin_client):
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

    def test_an_hour_that_occurs_twice_links_to_its_own_tasks(self, admin_client, settings):
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

    def test_an_error_links_to_its_tasks_in_the_list(self, admin_client):
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
    def test_the_query_string_selects_the_window(self, admin_client, asked, chosen):
        content = admin_client.get(OVERVIEW, {"window": asked}).content.decode()

        assert re.findall(r'href="\?window=(\w+)" aria-current', content) == [chosen]

    def test_queued_tasks_without_a_running_cluster_are_an_alert(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        content = admin_client.get(OVERVIEW).content.decode()

        assert 'role="alert"' in content
        assert "1 task is queued." in content
        assert "python manage.py qcluster" in content

    def test_without_queued_tasks_there_is_no_alert(self, admin_client):
        assert 'role="alert"' not in admin_client.get(OVERVIEW).content.decode()

    def test_with_an_unavailable_broker_the_queue_length_is_unknown(
        self, admin_client, monkeypatch
    ):
        monkeypatch.setattr(Conf, "BROKER_CLASS", "tests.support.brokers.BrokenBroker")

        content = admin_client.get(OVERVIEW).content.decode()

        assert content.count("unknown") == 2
        assert "The broker does not report the queue length." in content

    def test_the_number_of_functions_that_are_not_shown_is_named(self, admin_client):
        self.make_day(23)

        content = admin_client.get(OVERVIEW).content.decode()

        assert "3 more functions are not shown." in content

    def test_coordinates_of_the_charts_are_not_localized(self, admin_client, settings):
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
    def test_sections_whose_fields_the_table_lacks_are_left_out(
        self, admin_client, settings, dashboard
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = dashboard

        content = admin_client.get(OVERVIEW).content.decode()

        assert "Clusters" in content
        for heading in ("Tasks per hour", "Queue time and run time", "Errors"):
            assert heading not in content

    def test_the_overview_extends_the_base_template_of_the_project(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": "project/base.html"}

        response = admin_client.get(OVERVIEW)

        assert "project/base.html" in [template.name for template in response.templates]
