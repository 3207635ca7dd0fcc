"""Who owns a task, and so sees its arguments, its result and its traceback."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.utils.functional import SimpleLazyObject

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from tests.project.models import Widget

pytestmark = pytest.mark.django_db

NAME = "nightly"


def get_owner(user):
    get_manager().async_task_lifecycle("create", NAME, user=user)
    return AsyncTaskRecord.objects.get().launched_by_id


def test_a_user_owns_the_task(user):
    assert get_owner(user) == str(user.pk)


def test_the_lazy_user_of_a_request_owns_the_task(user):
    assert get_owner(SimpleLazyObject(lambda: user)) == str(user.pk)


@pytest.mark.parametrize(
    "make",
    [
        lambda pk: Group(pk=pk, name="staff"),
        lambda pk: Widget(pk=pk, name="Bolt"),
        lambda pk: "ada",
        lambda pk: pk,
        lambda pk: AnonymousUser(),
        lambda pk: get_user_model()(pk=None, username="unsaved"),
        lambda pk: None,
    ],
    ids=["group", "another model", "text", "number", "anonymous", "unsaved user", "nobody"],
)
def test_an_object_that_is_not_a_user_is_a_label_and_not_an_owner(user, make):
    assert get_owner(make(user.pk)) == ""


def test_a_task_of_a_group_is_not_shown_to_the_user_with_the_same_key(client, user):
    get_manager().async_task_lifecycle(
        "create", NAME, user=Group(pk=user.pk, name="staff"), task_args=["private"]
    )
    client.force_login(user)

    assert client.get(f"/tasks/{NAME}/").status_code == 403
    assert NAME not in client.get("/tasks/mine/").text
