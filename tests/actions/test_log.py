from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from powercrud_tracking import actions, upkeep
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskRecord
from powercrud_tracking.signals import task_acted
from tests.support.rows import NAME, get_row, make_row


@pytest.fixture
def heard():
    received = []

    def hear(sender, signal, **values):
        received.append((sender, values))

    task_acted.connect(hear)
    yield received
    task_acted.disconnect(hear)


@pytest.mark.django_db(transaction=True)
def test_the_signal_says_what_was_done(heard, user):
    make_row(status="lost")

    actions.cancel(NAME, by=user, reason="wrong file")

    assert heard == [
        (
            AsyncTaskRecord,
            {
                "task_name": NAME,
                "action": "cancel",
                "outcome": "done",
                "by": user,
                "reason": "wrong file",
                "message": "Cancelled.",
                "new_task_name": "",
            },
        )
    ]


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_raises_harms_nothing(caplog):
    def complain(**kwargs):
        raise ValueError("no")

    task_acted.connect(complain)
    make_row(status="lost")
    try:
        assert actions.cancel(NAME).outcome == "done"
    finally:
        task_acted.disconnect(complain)
    assert get_row().status == "cancelled"


@pytest.mark.django_db
def test_a_person_is_named_by_the_projects_own_function():
    make_row(status="lost")

    with override_settings(
        POWERCRUD_ASYNC_DASHBOARD={"FORMAT_USER": "tests.actions.test_log.shout"}
    ):
        actions.cancel(NAME, by="ada")

    assert get_row().message == "Cancelled by ADA."


def shout(user):
    return str(user).upper()


@pytest.mark.django_db
def test_a_reason_of_any_length_and_content_is_stored():
    make_row(status="lost")

    actions.cancel(NAME, reason="\0 " + "very long " * 1000)

    reason = AsyncTaskAction.objects.get().reason
    assert "\0" not in reason
    assert len(reason) == 1000


@pytest.mark.django_db
def test_actions_are_pruned_by_a_retention_of_their_own():
    now = timezone.now()
    for number, days in enumerate([364, 366]):
        AsyncTaskAction.objects.create(
            task_name=str(number), action="cancel", outcome="done", at=now - timedelta(days=days)
        )

    upkeep.prune(dry_run=True)
    before = AsyncTaskAction.objects.count()
    upkeep.prune()

    assert (before, AsyncTaskAction.objects.get().task_name) == (2, "0")
