"""Pages of a project with a record table of its own."""

import pytest

from powercrud_tracking.records.visibility import is_own
from tests.project.models import BespokeRecord, NameOnlyRecord, OwnedRecord
from tests.support.rows import NAME
from tests.support.urls import DETAIL, LIST, MINE

pytestmark = pytest.mark.django_db

OWNED = {
    "RECORD_MODEL": "project.OwnedRecord",
    "FIELD_MAP": {"launched_by_id": "owner", "created_at": "queued"},
}


class TestCustomTable:
    @pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
    def test_a_table_with_other_field_names_is_shown(self, admin_client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "message": "note"},
        }
        BespokeRecord.objects.create(key=NAME, state="failed", note="no stock")

        content = admin_client.get(url).content.decode()

        assert "Failed" in content
        assert "no stock" in content

    @pytest.mark.parametrize("url", [LIST, DETAIL], ids=["list", "detail"])
    def test_a_table_with_a_task_name_only_is_shown(self, admin_client, settings, url):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        assert NAME in admin_client.get(url).content.decode()

    @pytest.mark.parametrize("query", ["", "?q=books"], ids=["all", "filtered"])
    def test_my_tasks_names_the_field_that_the_table_lacks(self, admin_client, settings, query):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        content = admin_client.get(f"{MINE}{query}").content.decode()

        assert "The table of tasks has no field launched_by_id" in content
        assert "No task has been queued yet." not in content

    @pytest.mark.parametrize("asked", ["", "?user=nobody", "?user=0", f"?user={10**20}"])
    def test_the_list_is_filtered_by_a_foreign_key_to_the_user(
        self, admin_client, settings, user, asked
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = OWNED
        OwnedRecord.objects.create(task_name="hers", owner_id=user.pk)
        OwnedRecord.objects.create(task_name="nobody's")

        records = admin_client.get(f"{LIST}{asked}").context["records"]

        assert len(records) == (0 if asked else 2)

    def test_with_a_foreign_key_users_see_their_own_tasks(
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
