"""The view that docs/powercrud-view.md documents, exactly as it is written there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.urls import NoReverseMatch, reverse

from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import NAME

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).parents[2] / "docs" / "powercrud-view.md"
[CODE] = re.findall(
    r"<!-- file: shop/records.py -->\n```python\n(.+?)```", PAGE.read_text(), flags=re.S
)
LIST = "/task-records/"


@pytest.fixture(autouse=True)
def documented(settings, monkeypatch):
    """The page's code as the URLs of a project."""
    module = ModuleType("documented_urls")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    code = CODE.replace("shop/base.html", "project/base.html")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    settings.ROOT_URLCONF = module.__name__
    return module


@pytest.fixture
def auditor(auditor, client):
    client.force_login(auditor)
    return auditor


def make_record(**values):
    return AsyncTaskRecord.objects.create(
        **{"task_name": NAME, "func": "shop.tasks.pay", "status": "failed", **values}
    )


class TestAccess:
    def test_the_documented_view_needs_the_permission(self, client, user):
        client.force_login(user)

        assert client.get(LIST).status_code == 403

    @pytest.mark.usefixtures("auditor")
    def test_the_documented_view_applies_visible(self, client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.hide_all"}
        record = make_record()

        assert "shop.tasks.pay" not in client.get(LIST).content.decode()
        assert client.get(f"{LIST}{record.pk}/").status_code == 404


@pytest.mark.usefixtures("auditor")
class TestReadOnly:
    @pytest.mark.parametrize("role", ["create", "update", "delete", "bulk-edit"])
    def test_the_documented_view_has_no_url_to_change_a_record(self, role):
        for args in ([], [1]):
            with pytest.raises(NoReverseMatch):
                reverse(f"task-records-{role}", args=args)

    def test_the_documented_view_refuses_post(self, client):
        record = make_record()

        answers = [client.post(path).status_code for path in (LIST, f"{LIST}{record.pk}/")]

        assert answers == [405, 405]

    def test_the_documented_view_has_no_button_that_changes_a_record(self, client):
        make_record()

        links = re.findall(r"""href=["'](.+?)["']""", client.get(LIST).content.decode())

        assert f"{LIST}{AsyncTaskRecord.objects.get().pk}/" in links
        assert not [link for link in links if re.search(r"/(new|edit|delete)/", link)]


@pytest.mark.usefixtures("auditor")
class TestList:
    def test_the_documented_view_lists_and_filters_records(self, client):
        make_record()
        make_record(task_name=f"{NAME}2", func="shop.tasks.ship", status="success")

        every, failed = client.get(LIST), client.get(LIST, {"status": "failed"})

        assert every.status_code == 200
        assert "shop.tasks.pay" in every.content.decode()
        assert "shop.tasks.ship" in every.content.decode()
        assert "shop.tasks.pay" in failed.content.decode()
        assert "shop.tasks.ship" not in failed.content.decode()

    def test_the_documented_view_shows_one_record(self, client):
        record = make_record(message="no stock")

        answer = client.get(f"{LIST}{record.pk}/")

        assert answer.status_code == 200
        assert NAME in answer.content.decode()
        assert "no stock" in answer.content.decode()
