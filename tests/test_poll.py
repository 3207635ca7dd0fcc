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
    def test_it_is_where_powercrud_s_templates_look_for_it(self):
        assert reverse("powercrud:async_progress") == URL

    def test_no_name_is_a_bad_request(self, client):
        response = client.get(URL)

        assert response.status_code == 400
        assert response.json() == {"error": "task_name required"}

    def test_the_name_may_be_posted(self, client, manager):
        manager.async_task_lifecycle("create", NAME)

        response = client.post(URL, {"task_name": NAME})

        assert response.json()["status"] == "pending"


class TestOpen:
    def test_a_queued_task_is_polled_again(self, client, manager):
        manager.launch_async_task("math.floor", 1, task_key=NAME)

        assert poll(client) == (200, make_answer("pending", None, "Queued"))

    def test_a_running_task_says_how_far_it_is(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_the_cache_is_ahead_of_the_row(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        AsyncTaskRecord.objects.update(progress_payload="0/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_without_a_cache_the_row_says_it(self, client, manager):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        manager.remove_progress_key(NAME)

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))


class TestFinished:
    def test_polling_stops(self, client, manager):
        manager.async_task_lifecycle("complete", NAME, message="Task completed successfully")

        assert poll(client) == (
            STOP_POLLING,
            make_answer("success", "Task completed successfully", "Succeeded"),
        )

    def test_a_success_says_what_its_progress_said_last(self, client, manager):
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

    def test_a_lost_task_is_a_failure_that_says_so(self, client, manager):
        AsyncTaskRecord.objects.create(task_name=NAME, status="lost", message="Lost: nobody knows.")

        assert poll(client) == (STOP_POLLING, make_answer("failed", "lost", "Failed"))

    def test_a_lost_task_tells_its_reason_to_those_it_is_for(self, client, auditor):
        AsyncTaskRecord.objects.create(task_name=NAME, status="lost", message="Nobody knows.")
        client.force_login(auditor)

        assert poll(client)[1]["progress"] == f"lost: Nobody knows.{LINK}"

    def test_a_late_text_in_the_cache_hides_no_end(self, client, manager):
        manager.async_task_lifecycle("complete", NAME, message="done")
        manager.create_progress_key(NAME)

        assert poll(client) == (STOP_POLLING, make_answer("success", "done", "Succeeded"))


class TestReason:
    @pytest.fixture(autouse=True)
    def failed(self, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.update_progress(NAME, "1/2")
        manager.async_task_lifecycle("fail", NAME, message="no stock")

    def test_anonymous_people_see_the_status_only(self, client):
        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    def test_strangers_see_the_status_only(self, client, stranger):
        client.force_login(stranger)

        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    def test_the_launcher_sees_it(self, client, user):
        client.force_login(user)

        assert poll(client) == (286, make_answer("failed", f"no stock{LINK}", "Failed"))

    def test_holders_of_the_permission_see_it(self, client, auditor):
        client.force_login(auditor)

        assert poll(client) == (286, make_answer("failed", f"no stock{LINK}", "Failed"))

    def test_a_task_that_nobody_launched_is_not_anonymous_people_s(self, client, manager):
        AsyncTaskRecord.objects.update(launched_by_id="")
        before = AsyncTaskRecord.objects.get().launched_by_id

        assert (before, poll(client)[1]["progress"]) == ("", None)


class TestEscaping:
    TEXT = "<script>alert('x')</script> & co"
    SAFE = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co"

    def test_of_progress(self, client, manager):
        manager.update_progress(NAME, self.TEXT)

        assert poll(client)[1]["progress"] == self.SAFE

    def test_of_the_reason(self, client, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.async_task_lifecycle("fail", NAME, message=self.TEXT)
        client.force_login(user)

        assert poll(client)[1]["progress"] == self.SAFE + LINK

    def test_of_what_is_only_in_the_cache(self, client, manager):
        manager.cache.set(f"{manager.progress_prefix}{NAME}", self.TEXT)

        assert poll(client)[1]["progress"] == self.SAFE

    def test_it_is_no_html(self, client, manager):
        manager.update_progress(NAME, self.TEXT)

        response = client.get(URL, {"task_name": NAME})

        assert response["Content-Type"] == "application/json"

    def test_the_raw_answer_holds_no_markup_for_htmx_to_put_into_the_page(
        self, client, manager, user
    ):
        manager.async_task_lifecycle("create", NAME, user=user)
        manager.update_progress(NAME, self.TEXT)
        client.force_login(user)

        raw = client.get(URL, {"task_name": NAME}).content.decode()

        assert not set(raw) & {"<", ">", "&"}
        assert json.loads(raw)["progress"] == self.SAFE + LINK


class ElsewhereManager(ModelTrackingAsyncManager):
    record_model = "project.InheritedRecord"


class TestVisible:
    def test_a_reason_out_of_sight_is_not_told(self, client, settings):
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
    def test_the_reason_takes_the_permission_of_that_table(self, rf, user, permission, progress):
        ElsewhereManager().async_task_lifecycle("create", NAME)
        ElsewhereManager().async_task_lifecycle("fail", NAME, message="no stock")
        user.user_permissions.add(Permission.objects.get(codename=permission))
        request = rf.get(URL, {"task_name": NAME})
        request.user = user

        answer = json.loads(build_poll(ElsewhereManager)(request).content)

        assert answer == make_answer("failed", progress, "Failed")


class TestFollowing:
    """The way from PowerCRUD's modal to the task's own page."""

    @pytest.fixture
    def created(self, manager, user):
        manager.async_task_lifecycle("create", NAME, user=user)

    @pytest.mark.usefixtures("created")
    def test_strangers_get_no_link(self, client, stranger):
        client.force_login(stranger)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_without_the_pages_there_is_no_link(self, client, user, settings):
        settings.ROOT_URLCONF = "tests.project.urls_without_pages"
        client.force_login(user)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_one_s_own_task_out_of_sight_has_no_link(self, client, user, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.hide_all"}
        client.force_login(user)

        assert poll(client)[1]["progress"] is None

    @pytest.mark.usefixtures("created")
    def test_a_queued_task_says_so_beside_the_link(self, client, user):
        client.force_login(user)

        assert poll(client) == (200, make_answer("pending", f"Queued{LINK}", "Queued"))

    @pytest.mark.usefixtures("created")
    def test_a_running_task_says_how_far_it_is_beside_the_link(self, client, manager, user):
        manager.async_task_lifecycle("start", NAME)
        manager.update_progress(NAME, "1/2")
        client.force_login(user)

        assert poll(client)[1]["progress"] == f"1/2{LINK}"

    @pytest.mark.usefixtures("created")
    def test_the_link_leads_to_a_page_that_opens(self, client, user):
        client.force_login(user)
        [url] = re.findall('href="(.+?)"', poll(client)[1]["progress"])

        response = client.get(url)

        assert response.status_code == 200
        assert NAME in response.content.decode()

    def test_a_name_of_markup_stays_in_the_address(self, client, manager, user):
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

    def test_an_unknown_name_is_a_failure_that_says_so(self, client):
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
    def test_a_missing_record_table_leaves_the_cache_to_answer(
        self, client, manager, monkeypatch, is_atomic
    ):
        for connection in connections.all():
            monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
        manager.create_progress_key(NAME)
        with renamed_table(AsyncTaskRecord):
            answer = poll(client)

        assert answer == (200, make_answer("pending", None, "Queued"))

    def test_the_cache_knows_what_is_queued(self, client, manager):
        manager.create_progress_key(NAME)

        assert poll(client) == (200, make_answer("pending", None, "Queued"))

    def test_the_cache_knows_what_runs(self, client, manager):
        manager.create_progress_key(NAME)
        manager.cache.set(f"{manager.progress_prefix}{NAME}", "1/2")

        assert poll(client) == (200, make_answer("in_progress", "1/2", "Running"))

    def test_django_q2_knows_a_success(self, client):
        self.make_result(success=True)

        assert poll(client) == (286, make_answer("success", None, "Succeeded"))

    def test_django_q2_knows_a_failure_and_its_reason_is_kept(self, client):
        self.make_result(success=False)

        assert poll(client) == (286, make_answer("failed", None, "Failed"))

    @pytest.mark.parametrize(("result", "status"), [(True, "success"), (False, "failed")])
    def test_what_a_bulk_worker_returned_decides(self, client, result, status):
        self.make_result(success=True, func="powercrud.tasks.bulk_update_task", result=result)

        assert poll(client)[1]["status"] == status

    def test_a_table_without_a_status_is_no_answer(self, client, manager, settings):
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
