"""Task names in the address of a task page."""

import pytest
from django.urls import reverse

from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import NAME
from tests.support.urls import DETAIL, LIST

pytestmark = pytest.mark.django_db


class TestDetail:
    def test_a_name_with_a_nul_is_not_found(self, admin_client):
        assert admin_client.get(f"{LIST}a%00b/").status_code == 404

    def test_an_unknown_task_is_not_found(self, admin_client):
        assert admin_client.get(DETAIL).status_code == 404

    def test_the_task_page_shows_the_stored_values(self, admin_client, manager, user):
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
