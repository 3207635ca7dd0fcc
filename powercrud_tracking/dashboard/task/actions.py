"""What a user can do with a task, and what was done with it."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from powercrud_tracking.actions import availability
from powercrud_tracking.lifecycle import OPEN, Action
from powercrud_tracking.recording.action_log import get_actions
from powercrud_tracking.records.permissions import may_act
from powercrud_tracking.records.reading import Record

MOST_ACTIONS = 20
"""How many of the newest actions on a task are shown."""


def get_offers(record: Record, request: HttpRequest) -> list[dict[str, Any]]:
    """Return the actions that are possible, or of which the page says why they are not.

    Args:
        record: the task.
        request: of the user.

    Returns:
        For each ``action``, its ``url``, and either what it will do (``effect``) or why it is not
        possible (``refusal``).
    """
    # An open task can be neither retried nor deleted: there is nothing to explain.
    actions = [Action.CANCEL] if record.status in OPEN else list(Action)
    offers = []
    for action in actions:
        if not may_act(request, action, record):
            continue
        refusal = availability.find_refusal(action, record)
        if refusal and action is Action.CANCEL and not record.is_open:
            # Of a task that has ended nobody expects that it can be cancelled.
            continue
        offers.append(
            {
                "action": action,
                "url": reverse(f"powercrud_tracking:{action}", args=[record.task_name]),
                "refusal": refusal or "",
                "effect": "" if refusal else availability.describe(action, record),
            }
        )
    return offers


def get_history(record: Record) -> list[Any]:
    """Return the newest actions on a task."""
    return list(get_actions([record.task_name])[:MOST_ACTIONS])
