"""What every page says of a task that has a title and of what a bulk operation changes."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.db import connections, router
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import NAME

pytestmark = pytest.mark.django_db

UPDATED = {
    "title": {"kind": "update", "number": 480, "model": "project.widget"},
    "changes": [["price", "7"], ["broken", "<yes>"]],
}
DELETED = {
    "title": {"kind": "delete", "number": 3, "model": "project.widget"},
    "names": ["Bolt", "<Nut>"],
}
SENTENCE = "price → 7, broken → &lt;yes&gt;"
POLL = "/powercrud/powercrud/async/progress/"


@pytest.fixture
def make_task(user):
    def make(extra, **values):
        return AsyncTaskRecord.objects.create(
            task_name=NAME,
            func="powercrud.tasks.bulk_update_task",
            launched_by_id=str(user.pk),
            affected_objects="480 widgets",
            extra=extra,
            **values,
        )

    return make


def read(client, url):
    return client.get(url).content.decode()


class TestList:
    def test_a_row_has_title_and_changes(self, admin_client, make_task):
        make_task(UPDATED)

        content = read(admin_client, reverse("powercrud_tracking:list"))

        assert f">Update of 480 widgets</a> <code>{NAME[:8]}</code>" in content
        assert f"<small>{SENTENCE}</small>" in content

    def test_a_row_has_the_names_of_deleted_objects(self, admin_client, make_task):
        make_task(DELETED)

        content = read(admin_client, reverse("powercrud_tracking:list"))

        assert ">Deletion of 3 widgets</a>" in content
        assert "<small>Bolt, &lt;Nut&gt;, and 1 more</small>" in content

    def test_titles_cost_no_query(self, admin_client, make_task):
        records = connections[router.db_for_read(AsyncTaskRecord)]
        url = reverse("powercrud_tracking:list")
        row = make_task(None)
        read(admin_client, url)

        with CaptureQueriesContext(records) as without:
            read(admin_client, url)
        row.extra = UPDATED
        row.save()
        with CaptureQueriesContext(records) as queries:
            read(admin_client, url)

        assert len(queries) == len(without)


class TestTaskPage:
    @pytest.mark.parametrize(
        ("extra", "texts"),
        [
            (
                UPDATED,
                [
                    "<h1>Update of 480 widgets</h1>",
                    "<div><dt>price</dt><dd>7</dd></div>",
                    "<div><dt>broken</dt><dd>&lt;yes&gt;</dd></div>",
                ],
            ),
            (
                DELETED,
                ["<h1>Deletion of 3 widgets</h1>", "<p>Bolt, &lt;Nut&gt;, and 1 more</p>"],
            ),
        ],
        ids=["update", "delete"],
    )
    def test_a_bulk_operation_says_what_it_was_asked_to_do(
        self, admin_client, make_task, extra, texts
    ):
        make_task(extra)

        content = read(admin_client, reverse("powercrud_tracking:detail", args=[NAME]))

        for text in texts:
            assert text in content
        assert "tracking-extra" not in content

    def test_a_task_without_changes_has_no_such_section(self, admin_client, make_task):
        make_task({"title": "Sum of the day", "tenant": "north"})

        content = read(admin_client, reverse("powercrud_tracking:detail", args=[NAME]))

        assert "<h1>Sum of the day</h1>" in content
        assert "Requested changes" not in content
        assert "tracking-extra" in content


class TestAdmin:
    def test_the_changelist_has_the_title(self, admin_client, make_task):
        make_task(UPDATED)

        url = reverse("admin:powercrud_tracking_asynctaskrecord_changelist")

        assert "Update of 480 widgets" in read(admin_client, url)

    def test_a_row_has_title_and_changes(self, admin_client, make_task):
        row = make_task(UPDATED)

        url = reverse("admin:powercrud_tracking_asynctaskrecord_change", args=[row.pk])

        content = read(admin_client, url)
        assert "Update of 480 widgets" in content
        assert SENTENCE in content


class TestPoll:
    def test_the_message_says_what_the_task_does(self, client, user, make_task):
        make_task(UPDATED, status="pending")
        client.force_login(user)

        response = client.get(POLL, {"task_name": NAME})

        assert json.loads(response.content)["message"] == "Update of 480 widgets: Queued"

    def test_other_people_are_told_the_status_only(self, client, make_task):
        make_task(UPDATED, status="pending")
        client.force_login(get_user_model().objects.create_user("mallory"))

        answer = client.get(POLL, {"task_name": NAME}).json()

        assert answer["message"] == "Queued"
        assert "480" not in json.dumps(answer)

    def test_a_task_without_title_has_its_status_as_message(self, client, user, make_task):
        make_task(None, status="pending")
        client.force_login(user)

        assert client.get(POLL, {"task_name": NAME}).json()["message"] == "Queued"
