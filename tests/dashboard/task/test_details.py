from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from powercrud_tracking.dashboard.task import highlighting
from powercrud_tracking.dashboard.task.details import MOST_OBJECTS, get_failures, get_payloads
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt

NOW = timezone.now()
OWN = '  File "/srv/shop/imports.py", line {}, in load\n    load()\n'
FOREIGN = '  File "/usr/lib/python3.12/json/decoder.py", line 9, in decode\n    fail()\n'


def make_trace(frames, message="ValueError: bad"):
    return f"Traceback (most recent call last):\n{frames}{message}\n"


def make_record(status, *, result=None, attempts=1, **values):
    given = {
        "args": None,
        "kwargs": None,
        "extra": None,
        "objects": None,
        "started_at": NOW,
        "ended_at": NOW,
        "run_time": None,
    }
    return SimpleNamespace(
        status=Status(status), result=result, attempts=attempts, worker="", **{**given, **values}
    )


def make_attempt(number=1, traceback="", message="ValueError: bad", outcome="failed"):
    return AsyncTaskAttempt(
        task_name="a",
        number=number,
        started_at=NOW - timedelta(seconds=3),
        ended_at=NOW,
        outcome=outcome,
        message=message,
        traceback=traceback,
    )


def get_lines(exception):
    """Return the line of each frame, and how often it is there in a row."""
    return [(frame.line, times) for frame, times in exception["frames"]]


def get_shown(traceback):
    failure, _ = get_failures(make_record("failed"), [make_attempt(traceback=traceback)])
    return failure["exceptions"]


class TestFailures:
    def test_the_last_attempt_of_a_failed_task_is_its_failure(self):
        attempts = [make_attempt(2), make_attempt(1)]

        failure, earlier = get_failures(make_record("failed", attempts=2), attempts)

        assert failure["number"] == 2
        assert [each["number"] for each in earlier] == [1]
        assert failure["run_time"] == timedelta(seconds=3)

    @pytest.mark.parametrize("status", ["success", "in_progress"])
    def test_a_task_that_has_not_failed_has_only_earlier_attempts(self, status):
        failure, earlier = get_failures(make_record(status, attempts=2), [make_attempt(1)])

        assert failure is None
        assert [each["number"] for each in earlier] == [1]

    def test_an_attempt_that_was_declared_lost_too_early_is_no_failed_one(self):
        attempts = [make_attempt(2, outcome="lost"), make_attempt(1)]

        failure, earlier = get_failures(make_record("success", attempts=2), attempts)

        assert failure is None
        assert [each["number"] for each in earlier] == [1]

    def test_the_run_time_of_a_lost_attempt_is_unknown(self):
        failure, _ = get_failures(make_record("lost"), [make_attempt(outcome="lost")])

        assert failure["run_time"] is None

    def test_without_a_stored_attempt_the_failure_is_read_from_the_result(self):
        trace = make_trace(OWN.format(3))
        record = make_record("failed", result=f"bad : {trace}", attempts=0)

        failure, earlier = get_failures(record, [])

        assert (failure["message"], earlier) == ("ValueError: bad", [])
        assert get_lines(failure["exceptions"][0]) == [(3, 1)]

    @pytest.mark.parametrize("result", [None, False, "no stock", ["a"]], ids=repr)
    def test_a_result_without_a_traceback_is_no_failure(self, result):
        record = make_record("failed", result=result, attempts=0)

        assert get_failures(record, []) == (None, [])

    def test_only_the_newest_tracebacks_are_highlighted_if_all_are_too_long(self):
        trace = make_trace(OWN.format(3) * 700)
        attempts = [make_attempt(number, traceback=trace) for number in (3, 2, 1)]
        assert len(trace) < highlighting.MOST_CHARACTERS < 2 * len(trace)

        failure, earlier = get_failures(make_record("failed", attempts=3), attempts)

        assert "<span" in failure["traceback"]
        assert ["<span" in each["traceback"] for each in earlier] == [False, False]


class TestExceptions:
    def test_own_frames_are_shown_and_others_are_not(self):
        (exception,) = get_shown(make_trace(OWN.format(3) + FOREIGN))

        assert get_lines(exception) == [(3, 1)]

    def test_without_own_frames_the_innermost_frame_is_shown(self):
        (exception,) = get_shown(make_trace(FOREIGN.replace("9", "8") + FOREIGN))

        assert [(frame.line, frame.is_own) for frame, _ in exception["frames"]] == [(9, False)]

    def test_equal_frames_in_a_row_are_shown_once(self):
        (exception,) = get_shown(make_trace(OWN.format(3) * 50))

        assert get_lines(exception) == [(3, 50)]

    def test_frames_beyond_the_limit_are_counted(self):
        (exception,) = get_shown(make_trace("".join(OWN.format(n) for n in range(20))))

        assert (len(exception["frames"]), exception["hidden"]) == (8, 12)

    def test_a_cause_is_shown_with_its_link(self):
        cause = make_trace(OWN.format(3), "KeyError: 'row'")
        link = "\nThe above exception was the direct cause of the following exception:\n\n"

        shown = get_shown(cause + link + make_trace(OWN.format(9)))

        assert [(each["line"], str(each["link"])) for each in shown] == [
            ("ValueError: bad", ""),
            ("KeyError: 'row'", "caused by"),
        ]

    def test_a_traceback_that_cannot_be_parsed_is_shown_as_it_is(self):
        failure, _ = get_failures(make_record("failed"), [make_attempt(traceback="<gone>")])

        assert failure["exceptions"] == []
        assert "&lt;gone&gt;" in failure["traceback"]


class TestPayloads:
    def test_empty_payloads_are_left_out(self):
        record = make_record("success", args=[], kwargs={}, extra=None)

        assert get_payloads(record, with_result=True) == []

    @pytest.mark.parametrize("result", [0, False, [], {}], ids=repr)
    def test_an_empty_result_is_a_result(self, result):
        (payload,) = get_payloads(make_record("success", result=result), with_result=True)

        assert (payload["id"], payload["is_open"]) == ("tracking-result", True)

    def test_each_payload_has_an_id_of_its_own(self):
        record = make_record("success", result=1, args=[2], kwargs={"a": 3}, extra={"b": 4})

        ids = [payload["id"] for payload in get_payloads(record, with_result=True)]

        assert ids == ["tracking-result", "tracking-args", "tracking-kwargs", "tracking-extra"]

    def test_the_result_is_left_out_where_it_is_shown_as_the_traceback(self):
        assert get_payloads(make_record("failed", result="text"), with_result=False) == []

    def test_objects_that_are_too_long_for_the_header_are_a_payload(self):
        short, long = (
            get_payloads(make_record("success", objects="a" * number), with_result=True)
            for number in (MOST_OBJECTS, MOST_OBJECTS + 1)
        )

        assert (len(short), [payload["content"] for payload in long]) == (0, ["a" * 501])
