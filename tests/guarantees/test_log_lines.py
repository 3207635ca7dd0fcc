"""Whatever a task is called, its log line is one line."""

import logging

import pytest

from powercrud_tracking.lifecycle import Event
from powercrud_tracking.managers import ModelTrackingAsyncManager

NAME = "a\r\nERROR forged\x1b[31m\u2028\u202eb"
WRITTEN = r"a\r\nERROR forged\x1b[31m\u2028\u202eb"

logger = logging.getLogger("powercrud_tracking")


def refuse(value):
    raise ValueError(NAME)


class BrokenManager(ModelTrackingAsyncManager):
    """Its table lacks most columns, so that nothing can be written."""

    record_model = "project.BrokenRecord"


@pytest.mark.django_db
@pytest.mark.parametrize("event", [*Event, NAME])
def test_an_event_that_cannot_be_recorded_is_logged_on_one_line(event, caplog):
    BrokenManager().async_task_lifecycle(event, NAME)

    [record] = caplog.records
    assert WRITTEN in record.getMessage()
    assert record.getMessage().isprintable()


@pytest.mark.django_db
def test_text_from_a_function_of_the_project_is_logged_on_one_line(caplog):
    manager = ModelTrackingAsyncManager(create_defaults=lambda name, payload: {NAME: 1})

    manager.async_task_lifecycle("create", "a")

    [record] = caplog.records
    assert WRITTEN in record.getMessage()
    assert record.getMessage().isprintable()


def test_the_text_of_an_exception_is_logged_on_one_line(caplog):
    logger.warning("Task %s: %s", "a", ValueError(NAME))

    assert caplog.records[0].getMessage() == f"Task a: {WRITTEN}"


def test_a_log_record_of_plain_text_keeps_its_arguments(caplog):
    logger.warning("Task %s, Grüße", "a")

    assert (caplog.records[0].msg, caplog.records[0].args) == ("Task %s, Grüße", ("a",))


def test_a_lone_surrogate_is_logged_as_an_escape(caplog):
    logger.warning("Task %s", "a\ud800")

    assert caplog.records[0].getMessage() == r"Task a\ud800"


def test_a_log_message_that_cannot_be_formatted_is_left_to_the_handlers(monkeypatch, capsys):
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler()])
    monkeypatch.setattr(logger, "propagate", False)

    logger.warning("Task %d", "a")

    assert "--- Logging error ---" in capsys.readouterr().err
