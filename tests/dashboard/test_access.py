"""Who may see which page, and which rows on it."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django_q.brokers import get_broker

from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.visibility import may_view_records
from tests.support.rows import NAME
from tests.support.urls import DETAIL, LIST, MINE, OVERVIEW

pytestmark = pytest.mark.django_db

TEXT = "<script>alert('x')</script>"


def of_their_address(request, rows):
    # AnonymousUser has none.
    return rows.labelled(request.user.email)


def some(request, rows):
    return rows[:5]


def both(request, rows):
    return rows.open().union(rows.finished())


def plain(request, rows):
    return list(rows)


def only_mine(request, rows):
    return rows.launched_by(request.user)


@pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
class TestGuard:
    def test_anonymous_users_are_redirected_to_the_login(self, client, url):
        AsyncTaskRecord.objects.create(task_name=NAME)

        response = client.get(url)

        assert response.status_code == 302
        assert response["Location"] == f"/login/?next={url}"

    def test_without_the_permission_the_page_is_forbidden(self, client, user, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(user)

        response = client.get(url)

        assert response.status_code == 403

    def test_with_the_permission_the_page_is_shown(self, client, auditor, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(auditor)

        response = client.get(url)

        assert response.status_code == 200
        assert NAME in response.content.decode()

    def test_values_on_the_page_are_escaped(self, client, auditor, url):
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

    def test_a_post_to_the_page_is_not_allowed(self, client, auditor, url):
        AsyncTaskRecord.objects.create(task_name=NAME)
        client.force_login(auditor)

        assert client.post(url).status_code == 405


class TestPermission:
    def test_the_view_permission_is_that_of_the_record_model_of_the_setting(
        self, settings, auditor
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.InheritedRecord"}
        before = may_view_records(auditor)
        auditor.user_permissions.add(Permission.objects.get(codename="view_inheritedrecord"))

        after = may_view_records(get_user_model().objects.get(pk=auditor.pk))

        assert (before, after) == (False, True)


class TestVisible:
    @pytest.fixture(autouse=True)
    def rows(self, settings, auditor):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.dashboard.test_access.only_mine"}
        AsyncTaskRecord.objects.create(task_name=NAME)
        AsyncTaskRecord.objects.create(task_name="mine", launched_by_id=str(auditor.pk))

    @pytest.mark.parametrize("url", [LIST, MINE, f"{LIST}?poll="], ids=["list", "mine", "poll"])
    def test_visible_is_not_called_for_anonymous_users(self, client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"{__name__}.of_their_address"}

        assert client.get(url).status_code == 302

    @pytest.mark.parametrize("name", ["some", "both", "plain"])
    def test_a_queryset_from_visible_that_cannot_be_filtered_is_an_error_that_names_the_function(
        self, client, auditor, settings, name
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"{__name__}.{name}"}
        client.force_login(auditor)

        with pytest.raises(ImproperlyConfigured, match=f"VISIBLE .{__name__}.{name}. must"):
            client.get(LIST)

    def test_the_list_shows_visible_rows_only(self, client, auditor):
        client.force_login(auditor)

        records = client.get(LIST).context["records"]

        assert [record.task_name for record in records] == ["mine"]

    def test_the_overview_counts_visible_rows_only(self, client, auditor):
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
                    cancelled_at=now if status == "cancelled" else None,
                )
                for status in ("in_progress", "success", "failed", "lost", "cancelled")
                for n in range(number)
            )
        get_broker().enqueue("a package")
        client.force_login(auditor)

        response = client.get(OVERVIEW)

        found = response.context["overview"]
        assert {count.number for count in found.open.values()} == {1}
        assert {count.number for count in found.ended.values()} == {1}
        assert sum(hour.total.number for hour in found.hours) == 6
        assert [timing.func for timing in found.timings] == [f"func.{auditor.pk}"]
        assert [group.count for group in found.errors] == [1, 1]
        # The queue holds everybody's tasks.
        assert (found.queue.length, found.waiting.number) == (None, 1)
        assert "in the queue" not in response.content.decode()

    def test_the_page_of_an_invisible_task_is_not_found(self, client, auditor):
        client.force_login(auditor)

        assert client.get(DETAIL).status_code == 404
