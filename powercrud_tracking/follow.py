"""The way from elsewhere to the page of a task, for those who may open it."""

import logging
from typing import Any

from django.db import router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from powercrud_tracking import records
from powercrud_tracking.access import get_visible_rows, may_view_records
from powercrud_tracking.config import DashboardConfig, get_config
from powercrud_tracking.records import Record
from powercrud_tracking.savepoints import savepoint

logger = logging.getLogger("powercrud_tracking")

LINKED = "linked"
"""What a modal that holds the link already asks the poll with."""


def is_own(record: Record, user: Any) -> bool:
    """Return whether somebody queued a task themselves."""
    key = record.launched_by_id
    return key not in {None, ""} and str(key) == str(user.pk)


def is_in_sight(record: Record, request: HttpRequest) -> bool:
    """Return whether ``VISIBLE`` lets this person see a task."""
    # It speaks of the setting's table, which this row may not be in.
    return (
        get_config().visible is None
        or get_visible_rows(request).named_task(record.task_name).exists()
    )


def find_page(record: Record | None, config: DashboardConfig, request: HttpRequest) -> str:
    """Return the address of a task's page, empty if there is none that this person may open.

    Args:
        record: the task, if it is recorded.
        config: what it was recorded with; the pages show the setting's table only.
        request: the person's.
    """
    if record is None or config.record_model != get_config().record_model:
        return ""
    if not (is_own(record, request.user) or may_view_records(request.user)):
        return ""
    try:
        url = reverse("powercrud_tracking:detail", args=[record.task_name])
    except NoReverseMatch:
        return ""
    return url if is_in_sight(record, request) else ""


def find_page_of_queued(task_name: str, config: DashboardConfig, request: HttpRequest) -> str:
    """Return the same for a task that has just been queued; this never raises."""
    try:
        with savepoint(router.db_for_read(records.get_record_map(config).model)):
            return find_page(records.find_record(task_name, config), config, request)
    except Exception:
        # The task is queued: without a link it still runs, with an error it would look refused.
        logger.exception("Could not find the page of task %s.", task_name)
        return ""


def build_link(url: str) -> SafeString:
    """Return the link to a task's page, as HTML for PowerCRUD's modal."""
    # "link" underlines it in PowerCRUD's daisyUI pack; Bootstrap underlines links anyway.
    return format_html('<a class="link" href="{}">{}</a>', url, gettext("Follow this task"))
