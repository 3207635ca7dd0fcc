import pytest

from powercrud_tracking import actions
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt, AsyncTaskRecord
from tests.support.rows import AT, NAME, make_row

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", ["success", "failed", "lost"])
def test_a_finished_task_is_deleted_with_its_attempts(status, user):
    make_row(status=status)
    AsyncTaskAttempt.objects.create(task_name=NAME, number=1, ended_at=AT, outcome="failed")

    result = actions.delete(NAME, by=user)

    assert (result.outcome, result.message) == ("done", "Deleted.")
    assert (AsyncTaskRecord.objects.count(), AsyncTaskAttempt.objects.count()) == (0, 0)
    action = AsyncTaskAction.objects.get()
    assert (action.action, action.by_id, action.by_label) == ("delete", str(user.pk), "ada")


@pytest.mark.parametrize("status", ["pending", "in_progress"])
def test_an_open_task_is_kept(status):
    make_row(status=status)

    assert actions.delete(NAME).message == "It has not ended."
    assert AsyncTaskRecord.objects.count() == 1


def test_a_cancelled_task_is_kept_until_its_delivery_was_refused():
    row = make_row(status="cancelled")

    early = actions.delete(NAME)
    row.cleaned_up = True
    row.save()
    late = actions.delete(NAME)

    assert (early.outcome, "still in the queue" in early.message) == ("refused", True)
    assert late.outcome == "done"


def test_an_unknown_task_is_refused():
    assert actions.delete(NAME).outcome == "refused"
