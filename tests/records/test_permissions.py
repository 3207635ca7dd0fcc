import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.test import override_settings

from powercrud_tracking.lifecycle import Action
from powercrud_tracking.records.permissions import may_act
from powercrud_tracking.records.reading import find_record
from tests.support.rows import NAME, make_row

pytestmark = pytest.mark.django_db


def only_failed(request, action, record):
    return (action, record.status) == ("retry", "failed")


@pytest.fixture
def ask(rf, user):
    def ask(action, person=user, **values):
        make_row(**values)
        request = rf.get("/")
        request.user = person
        return may_act(request, Action(action), find_record(NAME))

    return ask


@pytest.mark.parametrize("action", Action.values)
def test_each_action_has_a_permission(ask, user, action):
    permission = Permission.objects.get(codename=f"{action}_asynctaskrecord")
    user.user_permissions.add(permission)

    assert ask(action)


@pytest.mark.parametrize("action", Action.values)
def test_without_it_nothing_is_allowed_on_the_tasks_of_others(ask, action):
    assert not ask(action, launched_by_id="of somebody else")


@pytest.mark.parametrize(
    ("action", "expected"), [("cancel", True), ("retry", False), ("delete", False)]
)
def test_whoever_launched_a_task_may_cancel_it(ask, user, action, expected):
    assert ask(action, launched_by_id=str(user.pk)) is expected


def test_nobody_owns_a_task_of_nobody(ask):
    assert not ask("cancel", AnonymousUser())


@pytest.mark.parametrize(("action", "expected"), [("cancel", False), ("retry", True)])
@override_settings(
    POWERCRUD_ASYNC_DASHBOARD={"ALLOWED": "tests.records.test_permissions.only_failed"}
)
def test_allowed_replaces_the_rule(ask, user, action, expected):
    assert ask(action, status="failed", launched_by_id=str(user.pk)) is expected
