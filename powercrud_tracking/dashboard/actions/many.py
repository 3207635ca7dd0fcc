"""The view that acts on several tasks: those that are ticked, or all that a list shows."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.core.exceptions import BadRequest
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from powercrud_tracking.actions import availability
from powercrud_tracking.actions.log import ActionResult
from powercrud_tracking.actions.many import MOST, act, summarize
from powercrud_tracking.dashboard.actions import feedback
from powercrud_tracking.dashboard.actions.one import ActionView
from powercrud_tracking.dashboard.list.selection import Selection
from powercrud_tracking.lifecycle import Action, Outcome
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import reading
from powercrud_tracking.records.permissions import may_act
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import find_time
from powercrud_tracking.records.visibility import get_reachable_rows

logger = logging.getLogger("powercrud_tracking")

MOST_NAMED = 10
"""How many of the tasks the confirmation names."""

_QUESTIONS: Mapping[Action, Promise] = {
    Action.CANCEL: ngettext_lazy("Cancel %(number)s task?", "Cancel %(number)s tasks?", "count"),
    Action.RETRY: ngettext_lazy("Retry %(number)s task?", "Retry %(number)s tasks?", "count"),
    Action.DELETE: ngettext_lazy("Delete %(number)s task?", "Delete %(number)s tasks?", "count"),
}
_EFFECTS: Mapping[Action, Promise] = {
    Action.CANCEL: gettext_lazy(
        "Queued tasks will not be run. Running ones are asked to stop, and do so at their next"
        " progress report."
    ),
    Action.RETRY: gettext_lazy(
        "Each is queued again as a new task, with the same function and arguments."
    ),
    Action.DELETE: gettext_lazy("Their records are deleted."),
}


class ActOnTasks(ActionView):
    """Act on tasks, after a confirmation where several change or something is deleted."""

    template_name = "powercrud_tracking/list/confirm.html"

    def get_name_of_address(self) -> str:
        return "act"

    def get_page(self) -> str:
        query = self.request.GET.urlencode()
        return f"{feedback.get_list_url(self.request)}{'?' if query else ''}{query}"

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            action = Action(request.POST.get("action", ""))
        except ValueError:
            raise BadRequest("There is no such action.") from None
        visible = get_reachable_rows(request)
        is_all = request.POST.get("all") == "1"
        if is_all:
            names, is_cut, records = self.get_matching(visible)
        else:
            names, is_cut, records = get_selected(request, visible)
        is_large = len(names) > 1 or (action is Action.DELETE and names)
        if is_large and "confirmed" not in request.POST:
            return self.confirm(action, names, records, is_all=is_all, is_cut=is_cut)
        text, is_done = act_on(request, action, names, records)
        if is_cut:
            text = f"{text} {describe_cut()}"
        return feedback.redirect(request, self.get_page(), text, is_done=is_done and not is_cut)

    def get_matching(
        self, visible: AsyncTaskRecordQuerySet
    ) -> tuple[list[str], bool, dict[str, Record]]:
        """Return the newest tasks that the list of this address shows, and whether there are more.

        Raises:
            BadRequest: the list would ignore a part of the address, and so show other tasks.
        """
        selection = Selection(self.request.GET, visible)
        if not selection.is_valid:
            raise BadRequest("The address has a filter that the list does not know.")
        rows = selection.get_rows_of_tab()
        if shown_at := find_shown_at(self.request):
            # Nobody has seen, and confirmed, what was queued since then.
            rows = rows.not_queued_since(shown_at)
        newest = reading.read(rows.without_payloads().newest_first()[: MOST + 1])
        records = {record.task_name: record for record in newest[:MOST]}
        return list(records), len(newest) > MOST, records

    def confirm(
        self,
        action: Action,
        names: Sequence[str],
        records: Mapping[str, Record],
        *,
        is_all: bool,
        is_cut: bool,
    ) -> HttpResponse:
        number = number_format(len(names), force_grouping=True)
        listed = list(records.values())[:MOST_NAMED]
        context = self.get_context_data(
            action=action,
            question=_QUESTIONS[action] % {"count": len(names), "number": number},
            effect=_EFFECTS[action],
            cut=describe_cut() if is_cut else "",
            records=listed,
            more=len(names) - len(listed),
            task_names=() if is_all else names,
            is_all=is_all,
            shown_at=timezone.now().isoformat(),
            here=self.request.GET.urlencode(),
            next=self.request.POST.get("next", ""),
            page=self.get_page(),
        )
        return self.render_to_response(context)


def describe_cut() -> str:
    """Return the sentence that says that there were too many tasks."""
    most = number_format(MOST, force_grouping=True)
    return _("Only the first %(number)s tasks are taken at a time.") % {"number": most}


def find_shown_at(request: HttpRequest) -> datetime | None:
    """Return when the confirmation was shown, as its form says."""
    try:
        at = parse_datetime(request.POST.get("shown_at", ""))
    except ValueError:
        return None
    return at and find_time(at)


def get_selected(
    request: HttpRequest, visible: AsyncTaskRecordQuerySet
) -> tuple[list[str], bool, dict[str, Record]]:
    """Return the names that the form holds, whether they are too many, and the visible tasks."""
    asked = list(dict.fromkeys(request.POST.getlist("task_name")))
    names = asked[:MOST]
    # No stored text has a NUL, and PostgreSQL refuses to look for one.
    rows = visible.named_tasks(name for name in names if "\0" not in name)
    found = {record.task_name: record for record in reading.read(rows.without_payloads())}
    records = {name: found[name] for name in names if name in found}
    return names, len(asked) > MOST, records


def act_on(
    request: HttpRequest, action: Action, names: Sequence[str], records: Mapping[str, Record]
) -> tuple[str, bool]:
    """Act on each of these tasks; return what became of them, and whether all of it was done.

    Args:
        request: of the user.
        action: what is to be done.
        names: of the tasks.
        records: those of them that the user sees, by their names.
    """
    reason = request.POST.get("reason", "")
    results: list[ActionResult] = []
    for name in names:
        refusal = _find_refusal(request, action, records.get(name))
        if refusal is not None:
            results.append(ActionResult(Outcome.REFUSED, refusal, name))
            continue
        try:
            results.append(act(action, name, by=request.user, reason=reason))
        except DatabaseError:
            logger.exception("Could not %s task %s.", action, name)
            # The next one would wait for the same database.
            break
    text = summarize(action, results) if results or not names else ""
    if left := len(names) - len(results):
        failure = ngettext(
            "The database did not accept this: %(number)d task was left as it is.",
            "The database did not accept this: %(number)d tasks were left as they are.",
            left,
        )
        text = f"{text} {failure % {'number': left}}".strip()
    is_done = all(each.outcome is not Outcome.REFUSED for each in results)
    return text, is_done and not left and bool(names)


def _find_refusal(request: HttpRequest, action: Action, record: Record | None) -> str | None:
    """Return why nothing is tried; nothing of it is kept as an action."""
    if record is None:
        return availability.get_unknown()
    return None if may_act(request, action, record) else _("You may not do this.")
