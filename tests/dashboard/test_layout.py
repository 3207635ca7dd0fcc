"""The template that all pages extend."""

import re

import pytest
from django.urls import reverse

from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import NAME
from tests.support.urls import DETAIL, LIST

pytestmark = pytest.mark.django_db


class TestBaseTemplate:
    def test_the_pages_extend_the_base_template_of_the_setting(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"BASE_TEMPLATE": "project/base.html"}

        response = admin_client.get(LIST)

        assert "<main>" not in response.content.decode()
        assert "project/base.html" in [template.name for template in response.templates]

    @pytest.mark.parametrize(
        ("urls", "is_staff", "links"),
        [
            ("tests.urls", True, ["/admin/"]),
            ("tests.urls", False, []),
            ("tests.project.urls_with_root", True, ["/", "/admin/"]),
            ("tests.project.urls_with_root", False, ["/"]),
            ("tests.project.urls_of_pages_alone", True, []),
        ],
        ids=["staff, admin", "admin", "staff, root and admin", "root and admin", "neither"],
    )
    @pytest.mark.parametrize("page", ["mine", "overview"])
    def test_the_built_in_base_template_links_to_the_site(
        self, client, auditor, settings, page, urls, is_staff, links
    ):
        settings.ROOT_URLCONF = urls
        auditor.is_staff = is_staff
        auditor.save()
        client.force_login(auditor)

        content = client.get(reverse(f"powercrud_tracking:{page}")).content.decode()

        header = content.partition("<main>")[0]
        assert re.findall('<a href="(.*?)"', header) == links

    @pytest.mark.django_db(transaction=True)
    def test_the_page_of_a_missing_table_links_to_the_site(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.UnmigratedRecord"}

        assert '<a href="/admin/">Admin</a>' in admin_client.get(LIST).content.decode()

    def test_the_built_in_base_template_has_no_inline_script_or_style(self, admin_client):
        AsyncTaskRecord.objects.create(task_name=NAME)

        content = (
            admin_client.get(LIST).content.decode() + admin_client.get(DETAIL).content.decode()
        )

        assert re.findall(r"<script(?! src=)", content) == []
        for word in ("<style", "style=", "onclick", "javascript:"):
            assert word not in content
