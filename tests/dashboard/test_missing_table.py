"""The pages while the record table is missing."""

import pytest
from django.db import DatabaseError, connections

from powercrud_tracking.models import AsyncTaskAttempt
from tests.project.models import NameOnlyRecord
from tests.settings import IS_SPLIT
from tests.support.rows import NAME
from tests.support.tables import renamed_table
from tests.support.urls import DETAIL, LIST, MINE, OVERVIEW

pytestmark = pytest.mark.django_db


def broken(request, rows):
    return rows.extra(where=["no_such_column = 1"])


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
    def test_the_pages_show_the_migrate_command_if_the_table_is_missing(
        self, admin_client, settings, url, model
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": f"project.{model}"}

        response = admin_client.get(url)

        assert response.status_code == 503
        assert "<code>python manage.py migrate project</code>" in response.content.decode()

    @PAGES
    def test_the_pages_show_the_migrate_command_with_atomic_requests(
        self, admin_client, settings, monkeypatch, url
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.UnmigratedRecord"}
        monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)

        assert admin_client.get(url).status_code == 503

    def test_the_task_page_shows_the_migrate_command_if_the_table_of_attempts_is_missing(
        self, admin_client, settings
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        NameOnlyRecord.objects.create(task_name=NAME)

        with renamed_table(AsyncTaskAttempt):
            response = admin_client.get(DETAIL)

        database = " --database=records" if IS_SPLIT else ""
        assert response.status_code == 503
        assert f"python manage.py migrate powercrud_tracking{database}" in response.content.decode()

    def test_any_other_database_error_is_raised(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": f"{__name__}.broken"}

        with pytest.raises(DatabaseError):
            admin_client.get(LIST)
