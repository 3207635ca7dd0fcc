import pytest

from powercrud_tracking.actions.many import act_on_many, summarize
from powercrud_tracking.lifecycle import Action
from powercrud_tracking.models import AsyncTaskRecord
from tests.support.rows import make_row

pytestmark = pytest.mark.django_db


def test_each_task_is_acted_on_and_counted():
    for number, status in enumerate(["pending", "lost", "in_progress", "success", "success"]):
        make_row(str(number), status=status)

    results = act_on_many(Action.CANCEL, "01234", by="ada", reason="wrong file")

    assert summarize(Action.CANCEL, results) == (
        "2 tasks cancelled. 1 task asked to stop. 2 tasks: It has ended already."
    )
    assert AsyncTaskRecord.objects.filter(status="cancelled").count() == 2


def test_a_refused_retry_says_why():
    make_row("open", status="pending")

    results = act_on_many(Action.RETRY, ["open"], by=None)

    assert summarize(Action.RETRY, results) == "1 task: It has not ended."


def test_deleted_tasks_are_counted():
    make_row("old", status="success")

    results = act_on_many(Action.DELETE, ["old"], by=None)

    assert summarize(Action.DELETE, results) == "1 task deleted."


def test_nothing_selected_is_said():
    assert summarize(Action.CANCEL, []) == "No task was selected."
