import json
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections, router
from django.urls import reverse
from django.utils import translation
from django_q.models import Task

from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.poll import STOP_POLLING, build_poll
from tests.support.rows import AT, NAME
from tests.support.tables import renamed_table

pytestmark = pytest.mark.django_db

URL = "/powercrud/powercrud/async/progress/"
LINK = f'<br><a class="link" href="/tasks/{NAME}/">Follow this task</a>'


@pytest.fixture
def stranger():
    return get_user_model().objects.create_user("mallory")


def poll(client, task_name=NAME):
    response = client.get(URL, {"task_name": task_name})
    return response.status_code, response.json()


def make_answer(status, progress, message):
    return {"task_name": NAME, "status": status, "progress": progress, "message": message}


class TestUrl:
    def test_the_poll_has_the_url_name_that_the_templates_of_powercrud_use(self):
        assert reverse("powercrud:async_progress") == URL

    def test_a_poll_without_a_task_name_is_a_bad_request(self, client):
        response = client.get(URL)

        assert response.status_code == 400
        assert response.json() == {"error": "task_name required"}

    def test_the_task_name_may_be_posted(self, client, manager):
        manager.async_task_lifecycle("create", NAME)

        response = client.post(URL, {"task_name": NAME})

        assert response.json()["status"] == "pending"


class TestOpen:
    def test_a_queued_task_is_polled_again(self, client, manager):
        manager.launch_async_task("math.floor", 1, task_key=NAME)

        assert poll(client) == (200, make_answer("pending", None, "Queued"))

    def test_a_running_task_has_its_progress(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_progress_in_the_cache_replaces_that_of_the_row(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        AsyncTaskRecord.objects.update(progress_payload="0/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_without_progress_in_the_cache_that_of_the_row_is_used(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        manager.remove_progress_key(NAME)

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))


class TestFinished:
    def test_a_finished_task_stops_polling(self, client, manager):
        manager.async_task_lifecycle("complete", NAME, message="Task completed successfully")

        assert poll(client) == (
            STOP_POLLING,
            make_answer("success", "Task completed successfully", "Succeeded"),
        )

    def test_a_successful_task_has_its_last_progress(self, client, manager):
        manager.update_progress(NAME, "completed update: 3 processed")
        manager.async_task_lifecycle("complete", NAME, message="Task completed successfully")

        assert poll(client)[1]["progress"] == "completed update: 3 processed"

    def test_a_bulk_success_has_its_message_and_not_the_raw_progress(self, client):
        AsyncTaskRecord.objects.create(
            task_name=NAME,
            status="success",
            func="powercrud.tasks.bulk_update_task",
            message="3 updated",
            progress_payload="completed update: 3 processed",
        )

        assert poll(client)[1]["progress"] == "3 updated"

    def test_a_lost_task_is_reported_as_failed_with_the_word_lost(self, client, manager):
        AsyncTaskRecord.objects.create(task_name=NAME, status="lost", message="Lost: nobody knows.")

        assert poll(client) == (STOP_POLLING, make_answer("failed", "lost", "Failed"))

    def test_a_lost_task_has_its_reason_for_users_who_may_read_it(self, client, auditor):
        AsyncTaskRecord.objects.create(task_name=NAME, status="lost", message="Nobody knows.")
        client.force_login(auditor)

        assert poll(client)[1]["progress"] == f"lost: Nobody knows.{LINK}"

    def test_progress_in_the_cache_does_not_hide_the_end_of_a_task(self, client, manager):
        manager.async_task_lifecycle("complete", NAME, message="done")
        manager.create_progress_key(NAME)

        assert poll(client) == (STOP_POLLING, make_answer("success", "done", "Succeeded"))


class TestReason:
    @pytest.fixture(autouse=True)
    def failed(self, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.update_progress(NAME, "1/2")
        manager.async_task_lifecycle("fail", NAME, message="no stock")

    def test_anonymous_users_see_the_status_only(self, client):
        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    def test_other_users_see_the_status_only(self, client, stranger):
        client.force_login(stranger)

        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    def test_the_launcher_sees_the_reason(self, client, user):
        client.force_login(user)

        assert poll(client) == (286, make_answer("failed", f"no stock{LINK}", "Failed"))

    def test_holders_of_the_permission_see_the_reason(self, client, auditor):
        client.force_login(auditor)

        assert poll(client) == (286, make_answer("failed", f"no stock{LINK}", "Failed"))

    def test_a_task_without_a_launcher_is_not_that_of_anonymous_users(self, client, manager):
        AsyncTaskRecord.objects.update(launched_by_id="")
        before = AsyncTaskRecord.objects.get().launched_by_id

        assert (before, poll(client)[1]["progress"]) == ("", None)


class TestEscaping:
    TEXT = "<script>alert('x')</script> & co"
    SAFE = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co"

    def test_progress_is_escaped(self, client, manager):
        manager.update_progress(NAME, self.TEXT)

        assert poll(client)[1]["progress"] == self.SAFE

    def test_the_reason_is_escaped(self, client, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.async_task_lifecycle("fail", NAME, message=self.TEXT)
        client.force_login(user)

        assert poll(client)[1]["progress"] == self.SAFE + LINK

    def test_progress_from_the_cache_is_escaped(self, client, manager):
        manager.cache.set(f"{manager.progress_prefix}{NAME}", self.TEXT)

        assert poll(client)[1]["progress"] == self.SAFE

    def test_the_answer_is_not_html(self, client, manager):
        manager.update_progress(NAME, self.TEXT)

        response = client.get(URL, {"task_name": NAME})

        assert response["Content-Type"] == "application/json"

    def test_the_raw_answer_contains_no_markup_that_htmx_would_insert(self, client, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.update_progress(NAME, self.TEXT)
        client.force_login(user)

        raw = client.get(URL, {"task_name": NAME}).content.decode()

        assert not set(raw) & {"<", ">", "&"}
        assert json.loads(raw)["progress"].startswith(self.SAFE + LINK)


class ElsewhereManager(ModelTrackingAsyncManager):
    record_model = "project.InheritedRecord"


class TestVisible:
    def test_the_reason_of_an_invisible_task_is_not_shown(self, client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.hide_all"}
        AsyncTaskRecord.objects.create(task_name=NAME, status="failed", message="a tenant's")
        auditor = get_user_model().objects.create_user("auditor")
        auditor.user_permissions.add(Permission.objects.get(codename="view_asynctaskrecord"))
        client.force_login(auditor)

        assert poll(client) == (286, make_answer("failed", None, "Failed"))


class TestOwnTable:
    """A manager that records into another table than the setting's."""

    @pytest.mark.parametrize(
        ("permission", "progress"),
        [("view_inheritedrecord", "no stock"), ("view_asynctaskrecord", None)],
        ids=["of that table", "of the setting's table"],
    )
    def test_the_reason_requires_the_permission_of_its_own_table(
        self, rf, user, permission, progress
    ):
        ElsewhereManager().async_task_lifecycle("create", NAME)
        ElsewhereManager().async_task_lifecycle("fail", NAME, message="no stock")
        user.user_permissions.add(Permission.objects.get(codename=permission))
        request = rf.get(URL, {"task_name": NAME})
        request.user = user

        answer = json.loads(build_poll(ElsewhereManager)(request).content)

        assert answer == make_answer("failed", progress, "Failed")


class TestFollowing:
    """The link from PowerCRUD's modal to the task page."""

    @pytest.fixture
    def created(self, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)

    @pytest.mark.usefixtures("created")
    def test_other_users_get_no_link(self, client, stranger):
        client.force_login(stranger)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_without_the_urls_of_the_pages_there_is_no_link(self, client, user, settings):
        settings.ROOT_URLCONF = "tests.project.urls_without_pages"
        client.force_login(user)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_an_own_task_that_is_not_visible_has_no_link(self, client, user, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.hide_all"}
        client.force_login(user)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_a_queued_task_has_its_status_before_the_link(self, client, user):
        client.force_login(user)

        status, answer = poll(client)

        assert status == 200
        assert answer["progress"].startswith(f"Queued{LINK} <form method=")

    @pytest.mark.usefixtures("created")
    def test_a_running_task_has_its_progress_before_the_link(self, client, manager, user):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        client.force_login(user)

        assert poll(client)[1]["progress"].startswith(f"1/2{LINK} <form method=")

    @pytest.mark.usefixtures("created")
    def test_the_link_is_the_url_of_the_task_page(self, client, user):
        client.force_login(user)
        [url] = re.findall('href="(.+?)"', poll(client)[1]["progress"])

        response = client.get(url)

        assert response.status_code == 200
        assert NAME in response.content.decode()

    def test_markup_in_a_task_name_is_escaped_in_the_link(self, client, manager, user):
        name = f'"><b>{NAME}'
        manager.async_task_lifecycle("create", name, user=user)
        client.force_login(user)

        progress = poll(client, name)[1]["progress"]

        assert f'href="/tasks/%22%3E%3Cb%3E{NAME}/"' in progress

    def test_a_record_in_another_table_than_the_pages_show_has_no_link(self, rf, user):
        ElsewhereManager().async_task_lifecycle("create", NAME, user=user)
        request = rf.get(URL, {"task_name": NAME})
        request.user = user

        answer = json.loads(build_poll(ElsewhereManager)(request).content)

        assert answer == make_answer("pending", None, "Queued")


class TestElsewhere:
    """Tasks of views that are not recorded."""

    def make_result(self, *, success, func="math.floor", result="bad"):
        Task.objects.create(
            id="f" * 32,
            name=NAME,
            func=func,
            started=AT,
            stopped=AT,
            success=success,
            result=result,
        )

    def test_an_unknown_task_is_reported_as_failed_with_the_word_unknown(self, client):
        assert poll(client) == (286, make_answer("failed", "unknown", "Failed"))

    def test_the_status_and_the_reason_have_the_colon_of_the_language(self, client, auditor):
        AsyncTaskRecord.objects.create(task_name=NAME, status="lost", message="Nobody knows.")
        client.force_login(auditor)

        with translation.override("fr"):
            progress = poll(client)[1]["progress"]

        assert progress.startswith("perdue\N{NARROW NO-BREAK SPACE}: Nobody knows.")

    def test_a_name_with_a_nul_is_unknown(self, client):
        assert client.get(URL, {"task_name": "a\0b"}).status_code == 286

    @pytest.mark.django_db(transaction=True, databases="__all__")
    @pytest.mark.parametrize("is_atomic", [False, True], ids=["plain", "atomic requests"])
    def test_with_a_missing_record_table_the_cache_is_used(
        self, client, manager, monkeypatch, is_atomic
    ):
        for connection in connections.all():
            monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
        manager.create_progress_key(NAME)
        with renamed_table(AsyncTaskRecord):
            answer = poll(client)

        assert answer == (200, make_answer("pending", None, "Queued"))

    def test_a_queued_task_without_a_record_is_found_in_the_cache(self, client, manager):
        manager.create_progress_key(NAME)

        assert poll(client) == (200, make_answer("pending", None, "Queued"))

    def test_a_running_task_without_a_record_is_found_in_the_cache(self, client, manager):
        manager.create_progress_key(NAME)
        manager.cache.set(f"{manager.progress_prefix}{NAME}", "1/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_a_successful_task_without_a_record_is_found_in_django_q2(self, client):
        self.make_result(success=True)

        assert poll(client) == (286, make_answer("success", None, "Succeeded"))

    def test_a_failed_task_without_a_record_is_found_in_django_q2_without_its_reason(self, client):
        self.make_result(success=False)

        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    @pytest.mark.parametrize(("result", "status"), [(True, "success"), (False, "failed")])
    def test_the_result_of_a_bulk_worker_decides_between_success_and_failure(
        self, client, result, status
    ):
        self.make_result(success=True, func="powercrud.tasks.bulk_update_task", result=result)

        assert poll(client)[1]["status"] == status

    def test_with_a_table_without_a_status_the_result_of_django_q2_is_used(
        self, client, manager, settings
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        manager.async_task_lifecycle("create", NAME)
        self.make_result(success=True)

        assert poll(client)[1]["status"] == "success"


class TestCost:
    def test_an_anonymous_poll_is_one_query(self, client, manager, django_assert_num_queries):
        manager.async_task_lifecycle("start", NAME)

        using = connections[router.db_for_read(AsyncTaskRecord)]
        with django_assert_num_queries(1, connection=using):
            poll(client)
