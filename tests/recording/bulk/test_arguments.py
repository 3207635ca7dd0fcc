import pickle

import pytest
from django import forms
from django.forms import BoundField
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.bulk.arguments import without_controls, without_info
from tests.project.models import Widget

OTHERS = [
    None,
    3,
    "text",
    [],
    [1, 2],
    ["price"],
    [{"field": "price"}],
    [{"field": "price", "value": 1, "info": "no dict"}],
    {"field": "price", "value": 1, "info": {"control": 1}},
]


class PriceForm(forms.Form):
    price = forms.IntegerField()


def make_field_data():
    control = PriceForm()["price"]
    return [{"field": "price", "value": "7", "info": {"verbose_name": "price", "control": control}}]


@pytest.fixture
def admin_tags():
    """Load what a process has loaded that has rendered a form: all installed template tags."""
    PriceForm().render()


class TestWithoutControls:
    @pytest.mark.parametrize("value", OTHERS, ids=repr)
    def test_other_arguments_stay_as_they_are(self, value):
        assert without_controls(value) is value

    def test_bound_fields_are_dropped_from_field_data(self):
        assert without_controls(make_field_data()) == [
            {"field": "price", "value": "7", "info": {"verbose_name": "price"}}
        ]

    def test_dropping_bound_fields_does_not_change_the_caller_s_data(self):
        field_data = make_field_data()

        without_controls(field_data)

        assert isinstance(field_data[0]["info"]["control"], BoundField)

    def test_with_the_admin_s_tags_loaded_field_data_is_picklable_without_bound_fields(
        self, admin_tags
    ):
        field_data = make_field_data()

        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(field_data)

        assert pickle.loads(pickle.dumps(without_controls(field_data)))[0]["value"] == "7"


class TestWithoutInfo:
    @pytest.mark.parametrize("value", OTHERS, ids=repr)
    def test_other_arguments_stay_as_they_are(self, value):
        assert without_info(value) is value

    def test_only_field_and_value_of_field_data_are_recorded(self):
        assert without_info(make_field_data()) == [{"field": "price", "value": "7"}]


@pytest.mark.django_db
class TestLaunch:
    def test_a_bulk_update_is_queued_with_the_admin_s_tags_loaded(self, admin_tags):
        task_name = get_manager().launch_async_task(
            "powercrud.tasks.bulk_update_task",
            "project.Widget",
            ["1"],
            None,
            ["price"],
            ["price"],
            make_field_data(),
        )

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert package["args"][-1] == [
            {"field": "price", "value": "7", "info": {"verbose_name": "price"}}
        ]
        assert AsyncTaskRecord.objects.get(task_name=task_name).task_args[-1] == [
            {"field": "price", "value": "7"}
        ]

    def test_powercrud_s_bulk_view_queues_with_the_admin_s_tags_loaded(
        self, admin_tags, client, admin_user
    ):
        client.force_login(admin_user)
        widget = Widget.objects.create(name="Bolt")

        response = client.post(
            "/widget/bulk-edit/",
            {
                "selected_ids[]": [widget.pk],
                "fields_to_update": ["price"],
                "price": "7",
                "bulk_submit": "true",
            },
            headers={"HX-Request": "true"},
        )

        row = AsyncTaskRecord.objects.get()
        assert response.status_code == 200
        assert OrmQ.objects.count() == 1
        assert row.status == Status.PENDING
        assert row.func == "powercrud.tasks.bulk_update_task"
        assert row.affected_objects == "1 widgets"
        assert row.task_args[-1] == [
            {"field": "price", "value": "7", "m2m_action": None, "m2m_values": []}
        ]
        assert row.task_kwargs == {}
        assert row.user_label == admin_user.get_username()
