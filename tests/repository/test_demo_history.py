"""The demo's made-up week: what it shows must be possible."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from bookshop.history import DAYS, MARK, build_actions, build_history

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.serialization.failures import parse_failure

NOW = datetime(2026, 3, 12, 14, 20, tzinfo=UTC)
PEOPLE = {name: (name and f"id-{name}", name) for name in ["", "admin", "reader", "mira"]} | {
    name: (f"id-{name}", name) for name in ["joan", "tomas"]
}


@pytest.fixture(scope="module")
def history():
    return build_history(NOW, PEOPLE)


@pytest.fixture(scope="module")
def records(history):
    return history[0]


@pytest.fixture(scope="module")
def attempts(history):
    return history[1]


def test_it_is_always_alike(records):
    again, _ = build_history(NOW, PEOPLE)

    assert [vars_of(record) for record in again] == [vars_of(record) for record in records]


def vars_of(record):
    return {name: value for name, value in vars(record).items() if name != "_state"}


def test_an_hour_later_the_rest_is_the_same(records):
    later, _ = build_history(NOW + timedelta(hours=1), PEOPLE)

    names = {record.task_name for record in later}

    gone = [record for record in records if record.task_name not in names]
    assert all(record.created_at < NOW - timedelta(days=DAYS, hours=-1) for record in gone)


def test_it_has_some_thousand_tasks_of_a_week_all_marked(records):
    assert 2000 < len(records) < 5000
    assert len({record.task_name for record in records}) == len(records)
    assert all(record.extra == MARK for record in records)
    assert min(record.created_at for record in records) > NOW - timedelta(days=DAYS)


def test_people_work_by_day(records):
    hours = Counter(record.created_at.hour for record in records)

    assert min(hours[hour] for hour in (9, 10, 11, 14)) > 3 * max(hours[hour] for hour in (1, 3, 4))


def test_every_task_was_queued_then_started_then_ended_in_the_past(records):
    for record in records:
        end = record.completed_at or record.failed_at
        assert record.created_at <= record.started_at < end < NOW
        assert bool(record.completed_at) == (record.status == Status.SUCCESS)
        assert bool(record.failed_at) == (record.status != Status.SUCCESS)


def test_each_failed_attempt_is_kept_and_no_other(records, attempts):
    kept = Counter(attempt.task_name for attempt in attempts)

    for record in records:
        failed = record.attempts - (record.status == Status.SUCCESS)
        assert kept.pop(record.task_name, 0) == failed
    assert not kept


def test_the_reasons_are_those_that_the_results_give(records):
    failed = [record for record in records if record.status == Status.FAILED]

    raised = [record for record in failed if record.result_payload is not False]

    assert len({record.message for record in failed}) > 5
    assert raised
    assert all(parse_failure(each.result_payload).reason == each.message for each in raised)


def test_some_were_lost_and_some_succeeded_at_the_second_attempt(records):
    statuses = Counter((record.status, record.attempts) for record in records)

    assert statuses[Status.LOST, 1]
    assert statuses[Status.SUCCESS, 2]
    assert statuses[Status.FAILED, 2]


def test_bulk_operations_have_readable_messages_and_the_progress_of_powercrud(records):
    bulk = [record for record in records if record.func.startswith("powercrud.")]

    assert {record.message[-20:] for record in bulk if record.status == Status.FAILED} == {
        "Nothing was changed."
    }
    assert all("[(" not in record.message for record in bulk)
    assert all(
        record.progress_payload.startswith(("completed ", "failed "))
        for record in bulk
        if record.status != Status.LOST
    )


@pytest.fixture(scope="module")
def acted():
    records, _ = build_history(NOW, PEOPLE)
    return {record.task_name: record for record in records}, build_actions(records, NOW, PEOPLE)


def test_some_tasks_were_cancelled_and_some_retried(acted):
    records, actions = acted

    numbers = Counter((action.action, action.outcome) for action in actions)

    assert numbers["cancel", "done"] > 3
    assert numbers["cancel", "requested"] > 3
    assert numbers["retry", "done"] > 3
    cancelled = [each for each in records.values() if each.status == Status.CANCELLED]
    assert len(cancelled) == numbers["cancel", "done"] + numbers["cancel", "requested"]


def test_a_cancelled_task_has_the_times_of_its_cancellation_only(acted):
    records, actions = acted

    for action in actions:
        record = records[action.task_name]
        if action.action == "cancel":
            assert record.created_at <= action.at <= record.cancelled_at < NOW
            assert record.completed_at is record.failed_at is None
            assert (record.started_at is None) == (action.outcome == "done")


def test_a_retried_task_and_its_retry_name_each_other(acted):
    records, actions = acted

    for action in actions:
        if action.action == "retry":
            old, new = records[action.task_name], records[action.new_task_name]
            assert (old.retried_by, new.retry_of) == (new.task_name, old.task_name)
            assert old.failed_at < new.created_at
            assert (old.func, old.task_args) == (new.func, new.task_args)
