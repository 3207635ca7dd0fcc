import re

import pytest
from django.contrib.auth.models import Permission
from django.db import DatabaseError
from django.test import Client, override_settings
from django.urls import reverse

from powercrud_tracking.models import AsyncTaskAction, AsyncTaskRecord
from tests.support.rows import NAME, OTHER, get_row, make_row

pytestmark = pytest.mark.django_db

ACT = "/tasks/act/"


def url(action, task_name=NAME):
    return f"/tasks/{task_name}/{action}/"


def no_task(request, rows):
    return rows.none()


@pytest.fixture
def operator(client, user):
    """Somebody who may see and do everything, and is no superuser."""
    codenames = [f"{each}_asynctaskrecord" for each in ("view", "cancel", "retry", "delete")]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


@pytest.fixture
def launcher(client, user):
    """Somebody without any permission."""
    client.force_login(user)
    return client


def get_messages(response):
    return re.findall(r'<p class="tracking-message [^>]*>(.*?)</p>', response.content.decode())


class TestOneTask:
    def test_a_queued_task_is_cancelled_and_the_page_says_so(self, operator):
        make_row(status="pending")

        response = operator.post(url("cancel"), {"reason": "wrong file"}, follow=True)

        assert get_row().message == "Cancelled by ada: wrong file"
        assert response.redirect_chain == [(f"/tasks/{NAME}/", 302)]
        assert "Cancelled." in response.content.decode()

    def test_a_running_task_is_asked_to_stop(self, operator):
        make_row(status="in_progress", progress_payload="1/2")

        response = operator.post(url("cancel"), follow=True)

        content = response.content.decode()
        assert "The task was asked to stop." in content
        assert "It has been asked to stop already." in content
        assert get_row().cancel_requested_at is not None

    def test_deleting_leads_to_the_list(self, operator):
        make_row(status="success")

        response = operator.post(url("delete"))

        assert (response.status_code, response.url) == (302, "/tasks/")
        assert AsyncTaskRecord.objects.count() == 0

    @pytest.mark.parametrize("action", ["cancel", "retry", "delete"])
    def test_a_get_changes_nothing(self, operator, action):
        make_row(status="success")

        assert operator.get(url(action)).status_code == 405
        assert AsyncTaskAction.objects.count() == 0

    def test_a_task_whose_name_ends_like_an_action_keeps_its_page(self, operator):
        make_row("nightly/cancel", status="success")

        response = operator.get(reverse("powercrud_tracking:detail", args=["nightly/cancel"]))

        assert response.status_code == 200

    @pytest.mark.parametrize("action", ["retry", "delete"])
    def test_the_launcher_may_only_cancel(self, launcher, user, action):
        make_row(status="success", launched_by_id=str(user.pk))

        assert launcher.post(url(action)).status_code == 403
        assert AsyncTaskAction.objects.count() == 0

    def test_the_launcher_cancels_an_own_task(self, launcher, user):
        make_row(status="pending", launched_by_id=str(user.pk))

        assert launcher.post(url("cancel")).status_code == 302
        assert get_row().status == "cancelled"

    def test_a_task_that_is_not_visible_is_not_found_and_not_logged(self, operator):
        make_row(status="pending")

        with override_settings(
            POWERCRUD_ASYNC_DASHBOARD={"VISIBLE": "tests.dashboard.test_actions.no_task"}
        ):
            response = operator.post(url("cancel"))

        assert response.status_code == 404
        assert (get_row().status, AsyncTaskAction.objects.count()) == ("pending", 0)

    def test_an_anonymous_user_logs_in_first(self, client):
        make_row(status="pending")

        response = client.post(url("cancel"))

        assert response.status_code == 302
        assert response.url.startswith("/login/")
        assert get_row().status == "pending"

    def test_without_a_token_the_form_is_refused(self, user):
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        make_row(status="pending", launched_by_id=str(user.pk))

        assert client.post(url("cancel")).status_code == 403
        assert get_row().status == "pending"

    def test_an_address_of_another_site_is_not_followed(self, operator):
        make_row(status="pending")

        response = operator.post(url("cancel"), {"next": "https://example.com/"})

        assert response.url == f"/tasks/{NAME}/"

    def test_a_database_that_refuses_is_told_in_a_sentence(self, operator, monkeypatch):
        make_row(status="pending")

        def refuse(*args, **kwargs):
            raise DatabaseError("locked")

        monkeypatch.setattr("powercrud_tracking.dashboard.actions.one.act", refuse)
        response = operator.post(url("cancel"), follow=True)

        assert "The database did not accept this." in response.content.decode()


class TestTaskPage:
    def get(self, client):
        return client.get(f"/tasks/{NAME}/").content.decode()

    def test_it_says_what_will_happen(self, operator):
        make_row(status="pending")

        content = self.get(operator)

        assert f'action="/tasks/{NAME}/cancel/"' in content
        assert "It will not be run." in content
        assert f'action="/tasks/{NAME}/retry/"' not in content

    def test_it_says_why_a_task_cannot_be_retried(self, operator):
        make_row(status="lost")

        content = self.get(operator)

        assert "django-q2 has kept nothing of a lost task" in content
        assert f'action="/tasks/{NAME}/retry/"' not in content

    def test_without_permission_there_is_no_button(self, client, auditor):
        make_row(status="pending")
        client.force_login(auditor)

        assert f'action="/tasks/{NAME}/cancel/"' not in self.get(client)

    def test_what_was_done_is_listed(self, operator):
        make_row(status="pending")
        operator.post(url("cancel"), {"reason": "<b>wrong</b> file"})

        content = self.get(operator)

        assert "&lt;b&gt;wrong&lt;/b&gt; file" in content
        assert "ada" in content

    def test_a_retry_and_its_task_link_to_each_other(self, operator):
        make_row(status="failed", retried_by=OTHER)
        make_row(OTHER, status="pending", retry_of=NAME)

        assert f'href="/tasks/{OTHER}/"' in self.get(operator)
        assert f'href="/tasks/{NAME}/"' in operator.get(f"/tasks/{OTHER}/").content.decode()

    def test_a_poll_brings_the_actions_along(self, operator):
        make_row(status="pending")

        content = operator.get(f"/tasks/{NAME}/?poll=1").content.decode()

        assert (
            '<section id="tracking-actions" class="tracking-actions" hx-swap-oob="true"' in content
        )


class TestMany:
    def make(self, *statuses):
        for number, status in enumerate(statuses):
            make_row(str(number), status=status)

    def test_several_are_confirmed_first(self, operator):
        self.make("pending", "pending")
        given = {"action": "cancel", "task_name": ["0", "1"]}

        asked = operator.post(ACT, given)
        before = AsyncTaskAction.objects.count()
        response = operator.post(ACT, {**given, "confirmed": "1"}, follow=True)

        assert "Cancel 2 tasks?" in asked.content.decode()
        assert before == 0
        assert get_messages(response) == ["2 tasks cancelled."]

    def test_one_retry_needs_no_confirmation(self, operator):
        self.make("pending")

        response = operator.post(ACT, {"action": "retry", "task_name": "0"}, follow=True)

        assert get_messages(response) == ["1 task: It has not ended."]

    def test_one_deletion_does(self, operator):
        self.make("success")

        assert (
            "Delete 1 task?"
            in operator.post(ACT, {"action": "delete", "task_name": "0"}).content.decode()
        )
        assert AsyncTaskRecord.objects.count() == 1

    def test_all_that_match_the_filter_are_taken(self, operator):
        self.make("pending", "success", "pending")

        response = operator.post(
            f"{ACT}?status=open", {"action": "cancel", "all": "1", "confirmed": "1"}, follow=True
        )

        assert get_messages(response) == ["2 tasks cancelled."]

    def test_of_two_thousand_the_first_thousand_are_taken(self, operator):
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(task_name=str(number), status="success") for number in range(1100)
        )

        response = operator.post(
            ACT, {"action": "delete", "all": "1", "confirmed": "1"}, follow=True
        )

        assert get_messages(response) == [
            "1000 tasks deleted. Only the first 1,000 tasks are taken at a time."
        ]
        assert AsyncTaskRecord.objects.count() == 100

    def test_an_unknown_action_is_a_bad_request(self, operator):
        assert operator.post(ACT, {"action": "explode"}).status_code == 400

    def test_a_filter_that_the_list_does_not_know_takes_nothing(self, operator):
        self.make("pending")

        assert (
            operator.post(f"{ACT}?status=nonsense", {"action": "cancel", "all": "1"}).status_code
            == 400
        )

    def test_tasks_of_others_are_left_alone(self, launcher, user):
        make_row("mine", status="pending", launched_by_id=str(user.pk))
        make_row("theirs", status="pending")

        response = launcher.post(
            ACT,
            {"action": "cancel", "task_name": ["mine", "theirs"], "confirmed": "1"},
            follow=True,
        )

        assert get_messages(response) == [
            "1 task cancelled. 1 task: There is no task of this name."
        ]
        assert get_row("theirs").status == "pending"

    def test_nothing_selected_is_said(self, operator):
        response = operator.post(ACT, {"action": "cancel"}, follow=True)

        assert get_messages(response) == ["No task was selected."]


class TestLists:
    def test_who_may_act_can_select(self, operator):
        make_row(status="pending")

        content = operator.get("/tasks/").content.decode()

        assert f'name="task_name" value="{NAME}"' in content
        assert "all 1 task of this list" in content

    def test_who_may_not_cannot(self, client, auditor):
        make_row(status="pending")
        client.force_login(auditor)

        assert 'name="task_name"' not in client.get("/tasks/").content.decode()

    def test_my_open_tasks_have_a_button(self, launcher, user):
        make_row(status="pending", launched_by_id=str(user.pk))
        make_row(OTHER, status="success", launched_by_id=str(user.pk))

        content = launcher.get("/tasks/mine/").content.decode()

        assert f'formaction="/tasks/{NAME}/cancel/"' in content
        assert f'formaction="/tasks/{OTHER}/cancel/"' not in content


class TestMessages:
    @pytest.fixture
    def without_messages(self, settings):
        settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "messages" not in each]

    @pytest.mark.usefixtures("without_messages")
    def test_without_the_app_for_messages_the_address_carries_the_result(self, operator):
        make_row(status="success")

        response = operator.post(url("cancel"), follow=True)

        assert get_messages(response) == ["It has ended already."]

    @pytest.mark.usefixtures("without_messages")
    def test_nobody_else_can_put_a_text_into_the_address(self, operator):
        make_row()

        response = operator.get(f"/tasks/{NAME}/?result=Your+account+is+locked")

        assert get_messages(response) == []
        assert "account" not in response.content.decode()

    @pytest.mark.parametrize("polled", ["a/?poll=1", "overview/?window=24h&poll=1", "?poll="])
    def test_a_poll_leaves_a_message_for_the_page_that_is_opened_next(self, operator, polled):
        make_row("a", status="in_progress")
        make_row(status="pending")
        operator.post(url("cancel"))

        answer = operator.get(f"/tasks/{polled}")
        opened = operator.get("/tasks/")

        assert "Cancelled." not in answer.content.decode()
        assert get_messages(opened) == ["Cancelled."]
