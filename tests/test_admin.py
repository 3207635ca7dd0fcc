import itertools
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt, AsyncTaskRecord
from tests.project.models import InheritedRecord
from tests.settings import IS_SPLIT
from tests.support.rows import NAME, get_row, make_row

pytestmark = pytest.mark.django_db


def make_record():
    return AsyncTaskRecord.objects.create(
        task_name=NAME, status="failed", func="shop.tasks.sort", message="<b>no stock</b>"
    )


def make_attempt():
    return AsyncTaskAttempt.objects.create(
        task_name=NAME,
        number=1,
        outcome="failed",
        ended_at=timezone.now(),
        message="<b>no stock</b>",
    )


def make_action():
    return AsyncTaskAction.objects.create(
        task_name=NAME, action="cancel", outcome="refused", message="<b>no stock</b>"
    )


models = pytest.mark.parametrize(
    ("model", "make"),
    [
        (AsyncTaskRecord, make_record),
        (AsyncTaskAttempt, make_attempt),
        (AsyncTaskAction, make_action),
    ],
    ids=["records", "attempts", "actions"],
)


def get_url(model, view, *args):
    return reverse(f"admin:powercrud_tracking_{model._meta.model_name}_{view}", args=args)


@models
class TestReadOnly:
    def test_the_admin_adds_nothing(self, admin_client, model, make):
        assert admin_client.get(get_url(model, "add")).status_code == 403

    def test_the_admin_changes_nothing(self, admin_client, model, make):
        row = make()

        response = admin_client.post(
            get_url(model, "change", row.pk), {"task_name": "another", "_save": "Save"}
        )

        assert response.status_code == 403
        assert model.objects.get().task_name == NAME

    def test_the_admin_deletes_nothing(self, admin_client, model, make):
        row = make()

        response = admin_client.post(get_url(model, "delete", row.pk), {"post": "yes"})

        assert response.status_code == 403
        assert model.objects.count() == 1

    def test_the_admin_has_no_delete_action(self, admin_client, model, make):
        row = make()

        admin_client.post(
            get_url(model, "changelist"),
            {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"},
        )

        assert model.objects.count() == 1

    def test_a_superuser_holds_the_view_permission_only(self, rf, admin_user, model, make):
        request = rf.get("/")
        request.user = admin_user

        permissions = admin.site.get_model_admin(model).get_model_perms(request)

        assert permissions == {"add": False, "change": False, "delete": False, "view": True}


@models
class TestPages:
    def test_the_changelist_escapes_values(self, admin_client, model, make):
        make()

        response = admin_client.get(get_url(model, "changelist"))

        assert response.status_code == 200
        assert "&lt;b&gt;no stock&lt;/b&gt;" in response.content.decode()
        assert "<b>no stock" not in response.content.decode()

    def test_a_row_has_an_admin_page(self, admin_client, model, make):
        row = make()

        response = admin_client.get(get_url(model, "change", row.pk))

        assert response.status_code == 200
        assert NAME in response.content.decode()
        assert "&lt;b&gt;no stock&lt;/b&gt;" in response.content.decode()
        assert 'name="_save"' not in response.content.decode()

    def test_a_task_is_found_by_its_name(self, admin_client, model, make):
        make()

        found = admin_client.get(get_url(model, "changelist"), {"q": NAME[:8]})
        missed = admin_client.get(get_url(model, "changelist"), {"q": "another"})

        assert found.context["cl"].result_count == 1
        assert missed.context["cl"].result_count == 0

    def test_a_row_links_to_its_task_page(self, admin_client, model, make):
        row = make()
        url = reverse("powercrud_tracking:detail", args=[NAME])

        for page in (get_url(model, "changelist"), get_url(model, "change", row.pk)):
            assert f'href="{url}"' in admin_client.get(page).content.decode()

    def test_without_the_urls_of_the_pages_there_is_no_link_to_the_task_page(
        self, admin_client, model, make, settings
    ):
        make()
        settings.ROOT_URLCONF = "tests.project.urls_with_admin_only"

        response = admin_client.get(get_url(model, "changelist"))

        assert response.status_code == 200
        assert "tasks/" not in response.content.decode()

    def test_the_paginator_stops_counting_at_the_limit(
        self, admin_client, model, make, monkeypatch
    ):
        monkeypatch.setattr("powercrud_tracking.admin.LIMIT", 10)
        make()

        with CaptureQueriesContext(connections[router.db_for_read(model)]) as queries:
            admin_client.get(get_url(model, "changelist"))

        counting = [q["sql"] for q in queries if "COUNT(" in q["sql"]]
        assert len(counting) == 1
        assert "LIMIT 10)" in counting[0]

    def test_users_without_the_permission_cannot_open_the_admin(self, client, user, model, make):
        type(user).objects.filter(pk=user.pk).update(is_staff=True)
        client.force_login(user)

        assert client.get(get_url(model, "changelist")).status_code == 403


def test_the_changelist_shows_titles_and_times_and_does_not_read_payloads(admin_client):
    start = timezone.now()
    AsyncTaskRecord.objects.create(
        task_name=NAME,
        func="shop.tasks.sort_books",
        created_at=start,
        started_at=start + timedelta(seconds=12),
        completed_at=start + timedelta(seconds=200),
        status="success",
    )

    with CaptureQueriesContext(connections[router.db_for_read(AsyncTaskRecord)]) as queries:
        content = admin_client.get(get_url(AsyncTaskRecord, "changelist")).content.decode()

    for text in ("Sort books", "Succeeded", "12 s", "3 min 8 s"):
        assert text in content
    assert not any("task_args" in query["sql"] for query in queries)


def only_shown(request, rows):
    return rows.named_task("shown")


@pytest.mark.django_db
def test_invisible_rows_are_not_in_the_admin(admin_client, settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.hide_all"}
    row = AsyncTaskRecord.objects.create(task_name="a tenant's")
    AsyncTaskAttempt.objects.create(task_name="a tenant's", number=1, ended_at=timezone.now())
    AsyncTaskAction.objects.create(task_name="a tenant's", action="cancel", outcome="done")
    urls = [
        get_url(model, "changelist")
        for model in (AsyncTaskRecord, AsyncTaskAttempt, AsyncTaskAction)
    ]

    pages = [admin_client.get(url) for url in urls]
    page = admin_client.get(
        reverse("admin:powercrud_tracking_asynctaskrecord_change", args=[row.pk])
    )

    assert [p.context["cl"].result_count for p in pages] == [0, 0, 0]
    assert page.status_code == 302


@pytest.mark.skipif(not IS_SPLIT, reason="takes two databases")
class TestAttemptsOfRecordsInAnotherDatabase:
    @pytest.fixture(autouse=True)
    def rows(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.InheritedRecord",
            "VISIBLE": "tests.test_admin.only_shown",
        }
        for name in ("shown", "hidden"):
            InheritedRecord.objects.create(task_name=name)
            AsyncTaskAttempt.objects.create(task_name=name, number=1, ended_at=timezone.now())

    def test_only_attempts_of_visible_tasks_are_listed(self, admin_client):
        found = admin_client.get(get_url(AsyncTaskAttempt, "changelist")).context["cl"]

        assert [attempt.task_name for attempt in found.result_list] == ["shown"]

    @pytest.mark.parametrize(("name", "status"), [("shown", 200), ("hidden", 302)])
    def test_only_attempts_of_visible_tasks_have_an_admin_page(self, admin_client, name, status):
        pk = AsyncTaskAttempt.objects.get(task_name=name).pk

        assert admin_client.get(get_url(AsyncTaskAttempt, "change", pk)).status_code == status

    def test_an_old_attempt_has_an_admin_page(self, admin_client, monkeypatch):
        monkeypatch.setattr("powercrud_tracking.admin.MOST_IN_ANOTHER_DATABASE", 1)
        pk = AsyncTaskAttempt.objects.get(task_name="shown").pk

        assert admin_client.get(get_url(AsyncTaskAttempt, "change", pk)).status_code == 200

    @pytest.mark.parametrize("key", ["x", "0", str(10**20)])
    def test_an_unknown_attempt_redirects(self, admin_client, key):
        assert admin_client.get(get_url(AsyncTaskAttempt, "change", key)).status_code == 302


class SpreadRouter:
    """Reads of each query go to another of two aliases, as with replicas."""

    aliases = itertools.cycle(["default", "replica"])

    def db_for_read(self, model, **hints):
        return next(self.aliases) if model is AsyncTaskRecord else None


@pytest.mark.skipif(IS_SPLIT, reason="has a router of its own")
def test_the_records_of_a_query_are_read_from_one_database(rf, admin_user, settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.test_admin.only_shown"}
    settings.DATABASE_ROUTERS = ["tests.test_admin.SpreadRouter"]
    request = rf.get("/")
    request.user, request.resolver_match = admin_user, None

    rows = admin.site.get_model_admin(AsyncTaskRecord).get_queryset(request)

    # Django refuses to build a statement of two databases.
    assert str(rows.query)


class TestActions:
    URL = reverse_lazy("admin:powercrud_tracking_asynctaskrecord_changelist")

    def send(self, client, action, *rows, **data):
        data |= {"action": action, "_selected_action": [row.pk for row in rows]}
        return client.post(self.URL, data, follow=True)

    def get_messages(self, response):
        return [str(message) for message in response.context["messages"]]

    @pytest.fixture
    def staff_client(self, client, auditor):
        type(auditor).objects.filter(pk=auditor.pk).update(is_staff=True)
        client.force_login(auditor)
        return client

    def test_one_task_is_cancelled_at_once(self, admin_client, admin_user):
        row = make_row(status="pending")

        response = self.send(admin_client, "cancel_tasks", row)

        assert self.get_messages(response) == ["1 task cancelled."]
        assert get_row().status == "cancelled"
        assert AsyncTaskAction.objects.get().by_id == str(admin_user.pk)

    def test_several_tasks_are_cancelled_after_a_question(self, admin_client):
        rows = [make_row(name, status="pending") for name in ("a", "b")]
        rows.append(make_row("c", status="success"))

        asked = self.send(admin_client, "cancel_tasks", *rows)
        still_queued = AsyncTaskRecord.objects.filter(status="pending").count()
        done = self.send(admin_client, "cancel_tasks", *rows, confirmed="yes")

        content = asked.content.decode()
        assert "Cancel 3 tasks?" in content
        assert content.count('name="_selected_action"') == 3
        assert still_queued == 2
        assert self.get_messages(done) == ["2 tasks cancelled. 1 task: It has ended already."]

    def test_a_deletion_is_asked_for(self, admin_client):
        row = make_row(status="success")

        asked = self.send(admin_client, "delete_tasks", row)
        number = AsyncTaskRecord.objects.count()
        done = self.send(admin_client, "delete_tasks", row, confirmed="yes")

        assert "Delete 1 task?" in asked.content.decode()
        assert number == 1
        assert self.get_messages(done) == ["1 task deleted."]
        assert not AsyncTaskRecord.objects.exists()

    def test_a_retry_that_is_not_possible_says_why(self, admin_client):
        response = self.send(admin_client, "retry_tasks", make_row(status="pending"))

        assert self.get_messages(response) == ["1 task: It has not ended."]

    def test_no_more_than_the_most_are_acted_on_at_once(self, admin_client, monkeypatch):
        monkeypatch.setattr("powercrud_tracking.admin.MOST", 2)
        rows = [make_row(name, status="pending") for name in "abc"]

        asked = self.send(admin_client, "cancel_tasks", *rows, select_across="1")

        content = asked.content.decode()
        assert "Cancel 2 tasks? No more than these can be selected at once." in content
        assert content.count('name="_selected_action"') == 2

    def test_each_row_is_asked_for_its_permission(self, staff_client, auditor):
        rows = [
            make_row("own", status="pending", launched_by_id=str(auditor.pk)),
            make_row("of others", status="pending"),
        ]

        response = self.send(staff_client, "cancel_tasks", *rows, confirmed="yes")

        assert self.get_messages(response) == [
            "1 task cancelled. 1 task: You are not allowed to do this."
        ]
        assert get_row("of others").status == "pending"
        assert AsyncTaskAction.objects.count() == 1

    @pytest.mark.parametrize(
        ("permission", "offered"),
        [
            (None, ["cancel_tasks"]),
            ("retry", ["cancel_tasks", "retry_tasks"]),
            ("delete", ["cancel_tasks", "delete_tasks"]),
        ],
    )
    def test_only_allowed_actions_are_offered(self, staff_client, auditor, permission, offered):
        if permission:
            codename = f"{permission}_asynctaskrecord"
            auditor.user_permissions.add(Permission.objects.get(codename=codename))
        make_row()

        content = staff_client.get(self.URL).content.decode()

        assert re.findall(r'<option value="(\w+)"', content) == offered

    def test_allowed_decides_where_it_is_set(self, staff_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"ALLOWED": "tests.project.tracking.may_retry"}

        refused = self.send(staff_client, "cancel_tasks", make_row(status="pending"))
        asked = self.send(staff_client, "retry_tasks", get_row())

        assert self.get_messages(refused) == ["1 task: You are not allowed to do this."]
        assert self.get_messages(asked) == ["1 task: It has not ended."]

    def test_where_another_table_is_recorded_nothing_is_offered(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.InheritedRecord"}
        make_row()

        assert "<option" not in admin_client.get(self.URL).content.decode()
