"""Act on many tasks, and say in one sentence what became of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from powercrud_tracking.actions.cancelling import cancel
from powercrud_tracking.actions.deleting import delete
from powercrud_tracking.actions.log import ActionResult
from powercrud_tracking.actions.retrying import retry
from powercrud_tracking.lifecycle import Action, Outcome

MOST = 1000
"""How many tasks one request acts on."""


def act(action: Action, task_name: str, *, by: Any, reason: str = "") -> ActionResult:
    """Do this with one task; ``reason`` is that of a cancellation."""
    match action:
        case Action.CANCEL:
            return cancel(task_name, by=by, reason=reason)
        case Action.RETRY:
            return retry(task_name, by=by)
    return delete(task_name, by=by)


def act_on_many(
    action: Action, task_names: Iterable[str], *, by: Any, reason: str = ""
) -> list[ActionResult]:
    """Do this with each of these tasks, one after the other.

    Each is an action of its own: what is done with one stays done, whatever becomes of the next.
    """
    return [act(action, task_name, by=by, reason=reason) for task_name in task_names]


def summarize(action: Action, results: Sequence[ActionResult]) -> str:
    """Return the sentence: "12 tasks cancelled. 3 tasks: It has ended already."."""
    numbers = Counter(result.outcome for result in results)
    sentences = [
        write % {"number": number}
        for outcome, write in _write_outcomes(action, numbers).items()
        if (number := numbers[outcome])
    ]
    refusals = Counter(each.message for each in results if each.outcome is Outcome.REFUSED)
    for message, number in refusals.most_common():
        text = ngettext("%(number)d task: %(reason)s", "%(number)d tasks: %(reason)s", number)
        sentences.append(text % {"number": number, "reason": message})
    return " ".join(sentences) or _("No task was selected.")


def _write_outcomes(action: Action, numbers: Mapping[Outcome, int]) -> dict[Outcome, str]:
    done = numbers[Outcome.DONE]
    asked = ngettext(
        "%(number)d task asked to stop.",
        "%(number)d tasks asked to stop.",
        numbers[Outcome.REQUESTED],
    )
    words = {
        Action.CANCEL: ngettext("%(number)d task cancelled.", "%(number)d tasks cancelled.", done),
        Action.RETRY: ngettext(
            "%(number)d task queued again.", "%(number)d tasks queued again.", done
        ),
        Action.DELETE: ngettext("%(number)d task deleted.", "%(number)d tasks deleted.", done),
    }
    return {Outcome.DONE: words[action], Outcome.REQUESTED: asked}
