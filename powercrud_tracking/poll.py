"""The poll of PowerCRUD's modal: status, progress and reason of one task, from its record."""

import json
import logging
from collections.abc import Callable

from django.db import DatabaseError, router
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django_q.models import Task
from powercrud.async_manager import AsyncManager

from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.lifecycle import OPEN, Action, Status
from powercrud_tracking.recording.savepoints import savepoint
from powercrud_tracking.records import mapping, missing_table, reading
from powercrud_tracking.records.cached_progress import find_cached_progress
from powercrud_tracking.records.permissions import may_act
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import is_own, is_visible, may_view_records
from powercrud_tracking.serialization.failures import BULK_WORKERS, is_failed_result
from powercrud_tracking.serialization.texts import cut

logger = logging.getLogger("powercrud_tracking")

LINKED = "linked"
"""The parameter of a modal that shows the link elsewhere already."""

IN_MODAL = "modal"
"""The parameter of a button in the modal: the answer is no page."""

STOP_POLLING = 286
"""The HTTP status that makes htmx stop polling."""

_MOST_SUMMARY = 300

_INERT = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}
"""The same JSON without markup: htmx inserts the raw answer into the page before the modal's
script reads it."""


def build_poll(manager_class: type[AsyncManager]) -> Callable[[HttpRequest], HttpResponse]:
    """Return the view that PowerCRUD's modal polls; it answers PowerCRUD's JSON.

    Args:
        manager_class: the manager whose record table and cache are read.
    """

    # It only reads, and after an error PostgreSQL refuses every query in a transaction.
    @non_atomic_requests
    def poll(request: HttpRequest) -> HttpResponse:
        task_name = request.GET.get("task_name") or request.POST.get("task_name")
        if not task_name:
            return JsonResponse({"error": "task_name required"}, status=400)
        manager = manager_class()
        record = _find_record(manager, task_name)
        if record is None or record.status is None:
            status, text = _ask_elsewhere(manager, task_name)
        else:
            status, text = record.status, _get_text(manager, record, request)
        title = "" if record is None else _find_title(manager, record, request)
        is_linked = LINKED in request.GET
        url = "" if is_linked else find_page(record, manager.config, request)
        parts = [build_link(url)] if url else []
        if url and record is not None and may_cancel(record, request):
            parts.append(_build_form(record.task_name, request))
        return _answer(task_name, status, text, title=title, parts=parts)

    return poll


def _find_record(manager: AsyncManager, task_name: str) -> Record | None:
    try:
        return reading.find_record(task_name, manager.config)
    except DatabaseError:
        if missing_table.find_unmigrated([mapping.get_record_map(manager.config).model]):
            return None
        raise


def _get_text(manager: AsyncManager, record: Record, request: HttpRequest) -> str:
    """Return the progress or message; the reason of a failure only to those who may read it."""
    if record.is_open:
        # The cache is ahead of the row, which waits for the task's transaction.
        text = find_cached_progress(record.task_name, manager) or record.progress or ""
        if record.cancel_requested_at is not None:
            return f"{text} ({gettext('asked to stop')})" if text else gettext("Asked to stop.")
        return text
    if record.status is Status.SUCCESS:
        # The last progress of PowerCRUD's bulk workers is raw; the message says it in words.
        is_bulk = record.func in BULK_WORKERS
        return (is_bulk and record.message) or record.progress or record.message or ""
    return record.message or "" if _may_read(record, manager.config, request) else ""


def _find_title(manager: AsyncManager, record: Record, request: HttpRequest) -> str:
    """Return the title of a task, if it has one and this user may read it; else nothing."""
    title = record.own_title
    return title if title and _may_read(record, manager.config, request) else ""


def _may_read(record: Record, config: DashboardConfig, request: HttpRequest) -> bool:
    return is_own(record, request.user) or (
        may_view_records(request.user, config) and is_visible(record, request)
    )


def _ask_elsewhere(manager: AsyncManager, task_name: str) -> tuple[Status | None, str]:
    """Return status and progress of a task without a record: by the cache, then by django-q2."""
    if "\0" in task_name:
        return None, ""
    cached = find_cached_progress(task_name, manager)
    if cached is not None:
        return Status.IN_PROGRESS if cached else Status.PENDING, cached
    task = Task.objects.filter(name=task_name).only("func", "success").first()
    if task is None:
        return None, ""
    # The result of other functions may not be unpicklable here.
    failed = task.func in BULK_WORKERS and is_failed_result(task.func, task.result)
    return (Status.SUCCESS if task.success and not failed else Status.FAILED), ""


def _answer(
    task_name: str, status: Status | None, text: str, *, title: str, parts: list[SafeString]
) -> HttpResponse:
    # PowerCRUD's modal knows success, failed, pending and in_progress only, and writes
    # `progress` into the page as HTML.
    words = {
        None: pgettext("task", "unknown"),
        Status.LOST: pgettext("task", "lost"),
        Status.CANCELLED: pgettext("task", "cancelled"),
    }
    if status is None or status in words:
        word = words[status]
        text = _write_pair(word, text) if text else word
        status = Status.FAILED
    progress = escape(text)
    if parts:
        rest = format_html_join(" ", "{}", ((part,) for part in parts))
        progress = format_html("{}<br>{}", text or status.label, rest)
    answer = {
        "task_name": task_name,
        "status": str(status),
        "progress": progress or None,
        "message": _write_pair(title, str(status.label)) if title else str(status.label),
    }
    return HttpResponse(
        json.dumps(answer).translate(_INERT),
        content_type="application/json",
        status=200 if status in OPEN else STOP_POLLING,
    )


# --- the link to the page of a task ------------------------------------------------------


def find_page(record: Record | None, config: DashboardConfig, request: HttpRequest) -> str:
    """Return the URL of a task's page, empty if there is none that the user may open.

    Args:
        record: the task, if it is recorded.
        config: of its manager; the pages show the setting's table only.
        request: of the user.
    """
    shown = mapping.get_record_map(get_config()).model
    if record is None or mapping.get_record_map(config).model is not shown:
        return ""
    if not (is_own(record, request.user) or may_view_records(request.user)):
        return ""
    try:
        url = reverse("powercrud_tracking:detail", args=[record.task_name])
    except NoReverseMatch:
        return ""
    return url if is_visible(record, request) else ""


def build_message_of_queued(
    task_name: str, config: DashboardConfig, request: HttpRequest
) -> SafeString:
    """Return what PowerCRUD's modal says of a task that was just queued; this never raises.

    It is HTML: title and changes, the link to the page, and the button that cancels the task. It
    is empty for users who may not open the page.
    """
    try:
        with savepoint(router.db_for_read(mapping.get_record_map(config).model)):
            record = reading.find_record(task_name, config)
            url = find_page(record, config, request)
            if record is None or not url:
                return SafeString("")
            message = build_link(url)
            if record.own_title:
                message = format_html("{}<br>{}", describe(record), message)
            if not may_cancel(record, request):
                return message
            return format_html("{} {}", message, _build_button(task_name, request))
    except Exception:
        # The task is queued and runs; an error would look as if it had been refused.
        logger.exception("Could not find the page of task %s.", task_name)
        return SafeString("")


def describe(record: Record) -> str:
    """Return the title of a task, and what it changes: "Update of 480 books: price → 7"."""
    summary = cut(record.summary, _MOST_SUMMARY)
    return _write_pair(record.title, summary) if summary else record.title


def _write_pair(label: str, value: str) -> str:
    return gettext("%(label)s: %(value)s") % {"label": label, "value": value}


def build_link(url: str) -> SafeString:
    """Return the link to a task's page, as HTML for PowerCRUD's modal."""
    # "link" underlines it in PowerCRUD's daisyUI pack; Bootstrap underlines links anyway.
    return format_html('<a class="link" href="{}">{}</a>', url, gettext("Follow this task"))


# --- the button that cancels a task ------------------------------------------------------


def may_cancel(record: Record, request: HttpRequest) -> bool:
    """Return whether a task is open and this user may cancel it."""
    return record.is_stoppable and may_act(request, Action.CANCEL, record)


def _build_button(task_name: str, request: HttpRequest) -> SafeString:
    """Return a button for the part of the modal that htmx has processed.

    What became of the action takes its place.
    """
    return format_html(
        '<button type="button" class="btn btn-sm btn-outline btn-outline-secondary" hx-post="{}"'
        ' hx-vals="{}" hx-swap="outerHTML" hx-target="this">{}</button>',
        reverse("powercrud_tracking:cancel", args=[task_name]),
        json.dumps({IN_MODAL: "1", "csrfmiddlewaretoken": get_token(request)}),
        gettext("Cancel this task"),
    )


def _build_form(task_name: str, request: HttpRequest) -> SafeString:
    """Return a form for the part that the script of the modal writes, unknown to htmx.

    The answer has no content, so that the browser stays in the modal.
    """
    return format_html(
        '<form method="post" action="{}">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<input type="hidden" name="{}" value="1">'
        '<button class="btn btn-sm btn-outline btn-outline-secondary">{}</button></form>',
        reverse("powercrud_tracking:cancel", args=[task_name]),
        get_token(request),
        IN_MODAL,
        gettext("Cancel this task"),
    )
