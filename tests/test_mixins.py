import json
import logging
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django_q.models import OrmQ
from neapolitan.views import CRUDView
from powercrud.mixins import PowerCRUDAsyncMixin, PowerCRUDMixin

from powercrud_tracking import factory
from powercrud_tracking.config import packing
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.mixins import AsyncDashboardMixin
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.models import InheritedRecord, Widget
from tests.project.views import WidgetView

PATH = "powercrud_tracking.factory.DashboardManager"


class ShopManager(ModelTrackingAsyncManager):
    """A manager with class attributes, named by MANAGER_CLASS in some tests."""

    record_model_path = "project.BespokeRecord"
    field_map = {"task_name": "key", "status": "state"}
    payload_limit = 2048


def build_view(overrides, **attributes):
    """Return a view of a class with these overrides, ready for use."""
    cls = type("BookView", (WidgetView,), {"async_dashboard": overrides, **attributes})
    return cls()


class TestForwarding:
    def test_a_view_forwards_the_path_and_plain_json_with_a_signature(self):
        view = build_view({"PAYLOAD_LIMIT": 1024, "REDACT": ["pin"], "FIELD_MAP": {"user": None}})

        forwarded = view.get_async_manager_config()

        expected = DashboardConfig(payload_limit=1024, redact=["pin"], field_map={"user": None})
        assert view.get_async_manager_class_path() == PATH
        assert json.loads(json.dumps(forwarded)) == forwarded
        assert packing.is_signed(forwarded, path=PATH)
        assert forwarded == {
            "PAYLOAD_LIMIT": 1024,
            "REDACT": ["pin"],
            "FIELD_MAP": {"user": None},
            "fingerprint": expected.fingerprint,
            "signature": forwarded["signature"],
        }

    def test_a_view_without_overrides_forwards_the_fingerprint_of_the_settings(self):
        config = WidgetView().get_async_manager_config()

        assert config == packing.sign({"fingerprint": DashboardConfig().fingerprint}, path=PATH)

    def test_the_manager_of_a_view_is_dashboard_manager_with_its_overrides(self):
        view = build_view({"PAYLOAD_LIMIT": 1024})

        manager = view.get_async_manager()

        assert view.get_async_manager_class() is factory.DashboardManager
        assert type(manager) is factory.DashboardManager
        assert manager.config == DashboardConfig(payload_limit=1024)

    def test_a_task_of_the_view_is_recorded_with_any_default_manager_of_powercrud(self, settings):
        settings.POWERCRUD_SETTINGS = {
            "ASYNC_MANAGER_DEFAULT": {
                "manager_class": "powercrud.async_manager.AsyncManager",
                "config": {"record_model_path": "shop.Old"},
            }
        }

        manager = WidgetView().get_async_manager()

        assert type(manager) is factory.DashboardManager
        assert manager.config == DashboardConfig()

    def test_the_overrides_of_a_view_override_the_setting(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 4096, "FIELD_MAP": {"user": None}}

        config = build_view({"FIELD_MAP": {"message": None}}).get_async_manager().config

        assert config == DashboardConfig(
            payload_limit=4096, field_map={"user": None, "message": None}
        )

    def test_the_overrides_of_a_view_override_the_attributes_of_the_manager_class(
        self, settings, caplog
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"MANAGER_CLASS": "tests.test_mixins.ShopManager"}

        with caplog.at_level(logging.WARNING, "powercrud_tracking"):
            config = build_view({"FIELD_MAP": {"message": "note"}}).get_async_manager().config

        assert config.record_model == "project.BespokeRecord"
        assert config.field_map == {"task_name": "key", "status": "state", "message": "note"}
        assert config.payload_limit == 2048
        assert caplog.records == []

    def test_a_subclass_of_a_view_inherits_its_overrides(self):
        parent = type(build_view({"PAYLOAD_LIMIT": 1024}))

        class Inheriting(parent):
            pass

        class Overriding(parent):
            async_dashboard = {"PAYLOAD_LIMIT": 512}

        assert Inheriting().get_async_manager().config.payload_limit == 1024
        assert Overriding().get_async_manager().config.payload_limit == 512

    @pytest.mark.django_db(databases="__all__")
    def test_a_bulk_operation_is_recorded_in_the_table_of_the_view(self, client, monkeypatch):
        overrides = {
            "RECORD_MODEL": "project.InheritedRecord",
            "CREATE_DEFAULTS": {"tenant": "north"},
        }
        monkeypatch.setattr(WidgetView, "async_dashboard", overrides)
        client.force_login(get_user_model().objects.create_user(username="ann"))
        widget = Widget.objects.create(name="bolt")

        client.post(
            reverse("widget-bulk-edit"),
            {"selected_ids[]": widget.pk, "delete_selected": "true", "bulk_submit": "true"},
            headers={"HX-Request": "true"},
        )

        kwargs = OrmQ.objects.get().task["kwargs"]
        record = InheritedRecord.objects.get()
        assert kwargs["manager_class"] == PATH
        assert kwargs["manager_config"] == WidgetView().get_async_manager_config()
        assert (record.user_label, record.tenant) == ("ann", "north")
        assert not AsyncTaskRecord.objects.exists()


@pytest.mark.django_db
class TestFollowing:
    """The modal of a queued operation links to the task page."""

    @staticmethod
    def queue(client):
        widget = Widget.objects.create(name="bolt")
        answer = client.post(
            reverse("widget-bulk-edit"),
            {"selected_ids[]": widget.pk, "delete_selected": "true", "bulk_submit": "true"},
            headers={"HX-Request": "true"},
        )
        return answer.content.decode(), json.loads(answer["HX-Trigger"]).get("taskName")

    def test_anonymous_users_get_the_modal_of_powercrud_without_a_link(self, client):
        text, task_name = self.queue(client)

        assert task_name is not None
        assert f'hx-get="{reverse("powercrud:async_progress")}"' in text
        assert "Follow this task" not in text

    def test_a_table_that_the_pages_do_not_show_has_no_link(self, client, user, monkeypatch):
        other = {"RECORD_MODEL": "project.InheritedRecord", "CREATE_DEFAULTS": {"tenant": "north"}}
        monkeypatch.setattr(WidgetView, "async_dashboard", other)
        client.force_login(user)

        text, task_name = self.queue(client)

        assert task_name is not None
        assert "Follow this task" not in text

    def test_an_error_while_finding_the_page_leaves_the_task_queued(self, client, user, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.break_on_rows"}
        client.force_login(user)

        text, task_name = self.queue(client)

        assert OrmQ.objects.get().task["name"] == task_name
        assert "Bulk Operation Queued" in text

    def test_the_launcher_gets_the_link_outside_the_polled_part_of_the_modal(self, client, user):
        client.force_login(user)

        text, task_name = self.queue(client)

        page = reverse("powercrud_tracking:detail", args=[task_name])
        assert f'<a class="link" href="{page}">Follow this task</a>' in text
        assert client.get(page).status_code == 200

    def test_the_poll_of_a_modal_with_a_link_does_not_repeat_it(self, client, user):
        client.force_login(user)
        text, task_name = self.queue(client)
        [poll] = re.findall('hx-get="(.+?)"', text)

        answer = client.get(f"{poll}&task_name={task_name}").json()

        assert (answer["status"], answer["progress"]) == ("pending", None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            pytest.param(
                [],
                "BookView.async_dashboard must be a dict, got []. "
                "Write BookView.async_dashboard = {} for the defaults.",
                id="no-dict",
            ),
            pytest.param(
                {"FIELD_MPA": {}},
                "BookView.async_dashboard has an unknown key 'FIELD_MPA'. "
                "Did you mean 'FIELD_MAP'?",
                id="unknown-key",
            ),
            pytest.param(
                {"MANAGER_CLASS": "tests.test_mixins.ShopManager"},
                "BookView.async_dashboard['MANAGER_CLASS'] cannot be set there: it belongs to the "
                "pages, the maintenance or the class of all managers, which serve the whole "
                "project. Move it to POWERCRUD_ASYNC_DASHBOARD.",
                id="forbidden-key",
            ),
            pytest.param(
                {"FORMAT_USER": str},
                "BookView.async_dashboard['FORMAT_USER'] must be a dotted path such as "
                "'shop.tracking.label' or None, got <class 'str'>. Correct it, or leave it out for "
                "the default None.",
                id="callable",
            ),
            pytest.param(
                {"RECORD_MODEL": "project.LooseRecrd"},
                "BookView.async_dashboard['RECORD_MODEL'] names 'project.LooseRecrd', which is no "
                "installed model. Did you mean 'project.LooseRecord'?",
                id="no-model",
            ),
        ],
    )
    def test_invalid_overrides_raise_an_error_that_names_the_view(self, overrides, message):
        view = build_view(overrides)

        with pytest.raises(ImproperlyConfigured) as refusal:
            view.get_async_manager()

        assert str(refusal.value) == message

    def test_an_override_that_is_not_json_is_an_error(self):
        view = build_view({"CREATE_DEFAULTS": {"extra": {1, 2}}})

        with pytest.raises(ImproperlyConfigured) as refusal:
            view.get_async_manager_config()

        assert str(refusal.value).startswith(
            "A task cannot be launched by a manager whose CREATE_DEFAULTS is {'extra': {1, 2}}: "
        )

    def test_an_invalid_setting_is_an_error_that_does_not_name_the_view(self, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"PAYLOAD_LIMIT": 1}

        with pytest.raises(ImproperlyConfigured, match=r"^POWERCRUD_ASYNC_DASHBOARD"):
            WidgetView().get_async_manager()


class TestOrderOfBases:
    @pytest.mark.parametrize(
        ("bases", "shadowing"),
        [
            pytest.param(
                (PowerCRUDAsyncMixin, AsyncDashboardMixin, CRUDView),
                "PowerCRUDAsyncMixin",
                id="right",
            ),
            pytest.param(
                (PowerCRUDAsyncMixin, CRUDView, AsyncDashboardMixin),
                "PowerCRUDAsyncMixin",
                id="last",
            ),
            pytest.param(
                (type("Mine", (PowerCRUDAsyncMixin,), {}), AsyncDashboardMixin, CRUDView),
                "PowerCRUDAsyncMixin",
                id="right-of-a-subclass",
            ),
        ],
    )
    def test_listing_the_mixin_after_those_of_powercrud_is_an_error_that_names_the_view(
        self, bases, shadowing
    ):
        with pytest.raises(ImproperlyConfigured) as refusal:
            type("BookView", bases, {})

        assert str(refusal.value) == (
            f"BookView lists AsyncDashboardMixin after {shadowing}, which overrides its "
            "attributes. Write class BookView(AsyncDashboardMixin, PowerCRUDAsyncMixin, CRUDView)."
        )

    @pytest.mark.parametrize(
        "bases",
        [
            pytest.param((AsyncDashboardMixin, PowerCRUDAsyncMixin, CRUDView), id="left"),
            pytest.param(
                (type("Mine", (AsyncDashboardMixin,), {}), PowerCRUDAsyncMixin, CRUDView),
                id="through-a-mixin-of-the-project",
            ),
            pytest.param((AsyncDashboardMixin,), id="alone"),
            pytest.param((AsyncDashboardMixin, PowerCRUDMixin, CRUDView), id="without-async"),
        ],
    )
    def test_listing_the_mixin_before_those_of_powercrud_is_valid(self, bases):
        view = type("BookView", bases, {})

        assert view.get_async_manager_class_path is AsyncDashboardMixin.get_async_manager_class_path
