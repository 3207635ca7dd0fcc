from datetime import UTC, datetime

import pytest
from django.conf import settings
from django_q.models import Task
from powercrud.tasks import bulk_update_task

from powercrud_tracking.lifecycle import Event, Status
from powercrud_tracking.recording import endings
from powercrud_tracking.recording.endings import find_ending, judge, take_ended
from powercrud_tracking.serialization import failures

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC if settings.USE_TZ else None)
BULK = "powercrud.tasks.bulk_update_task"


def make_task(func=BULK):
    return Task(id="f" * 32, name="task", func=func, stopped=AT, success=True)


def judge_result(result, *, event=Event.COMPLETE, brought=None, text=None, **payload):
    return judge(
        event,
        brought,
        {"result": result, **payload},
        is_failed=failures.is_failed_result,
        find_last_progress=lambda: text,
    )


class TestHandle:
    @pytest.fixture(autouse=True)
    def forget(self):
        take_ended()

    def test_outside_nothing_is_handled(self):
        assert find_ending() is None

    @pytest.mark.parametrize("func", [BULK, bulk_update_task], ids=["path", "function"])
    def test_inside_the_function_is_known_by_its_path(self, func):
        with endings.handle(make_task(func), "1/2") as ending:
            found = find_ending()

        assert found is ending
        assert (ending.func, ending.last_progress) == (BULK, "1/2")
        assert find_ending() is None

    def test_an_end_that_was_recorded_is_taken_once(self):
        with endings.handle(make_task(), None) as ending:
            ending.recorded = True

        assert [take_ended(), take_ended()] == [("f" * 32, AT), None]

    def test_an_end_that_was_not_recorded_is_not_taken(self):
        with endings.handle(make_task(), None):
            pass

        assert take_ended() is None


class TestJudge:
    def test_a_success_stays_as_it_is(self):
        payload = {"result": True, "func": BULK}

        assert judge_result(True, func=BULK) == (Event.COMPLETE, None, payload)

    def test_a_complete_becomes_a_fail(self):
        event, brought, payload = judge_result(False, func=BULK, text="failed update: no stock")

        assert (event, brought) == (Event.FAIL, None)
        assert payload["message"] == "failed update: no stock"

    def test_a_cleanup_brings_failed(self):
        event, brought, _ = judge_result(
            False, event=Event.CLEANUP, brought=Status.SUCCESS, func=BULK
        )

        assert (event, brought) == (Event.CLEANUP, Status.FAILED)

    def test_a_function_is_known_by_its_path(self):
        assert judge_result(False, func=bulk_update_task)[0] is Event.FAIL

    def test_without_a_function_the_ending_knows_it(self):
        before = judge_result(False)[0]
        with endings.handle(make_task(), "failed update: no stock"):
            event, _, payload = judge_result(False, text="from elsewhere")

        assert (before, event) == (Event.COMPLETE, Event.FAIL)
        assert payload["message"] == "failed update: no stock"

    def test_where_the_ending_has_no_text_it_is_looked_for(self):
        with endings.handle(make_task(), None):
            payload = judge_result(False, text="from elsewhere")[2]

        assert payload["message"] == "from elsewhere"

    def test_without_any_text_the_message_is_the_result(self):
        assert judge_result(False, func=BULK)[2]["message"] == "The task returned False"
