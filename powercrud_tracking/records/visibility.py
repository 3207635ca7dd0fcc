"""Limit which rows a user can see: all with the view permission, their own without it."""

from typing import Any

from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config, load
from powercrud_tracking.models import AsyncTaskRecordQuerySet
from powercrud_tracking.records import mapping, reading
from powercrud_tracking.records.reading import Record


def may_view_records(user: Any, config: DashboardConfig | None = None) -> bool:
    """Return whether a user holds the view permission of the record model.

    Args:
        user: who asks.
        config: whose record model; the setting's, unless given.
    """
    meta = mapping.get_record_map(config or get_config()).model._meta
    return bool(user.has_perm(f"{meta.app_label}.view_{meta.model_name}"))


def get_visible_rows(request: HttpRequest, *, using: str | None = None) -> AsyncTaskRecordQuerySet:
    """Return the rows that ``VISIBLE`` lets the user see.

    Args:
        request: of the user.
        using: the alias of the database; the router's choice for reading, unless given.

    Raises:
        ImproperlyConfigured: the returned value cannot be filtered any further.
    """
    config = get_config()
    rows = reading.get_rows(config, using=using)
    if config.visible is None:
        return rows
    found = load(config.visible, "VISIBLE")(request, rows)
    if (
        not isinstance(found, AsyncTaskRecordQuerySet)
        or found.query.is_sliced
        or found.query.combinator
    ):
        raise ImproperlyConfigured(
            f"VISIBLE ({config.visible}) must return the rows that it is given, narrowed by"
            " filter() or exclude(): not a slice, not a union, nothing else."
        )
    return found


def get_own_rows(request: HttpRequest) -> AsyncTaskRecordQuerySet:
    """Return the visible rows of tasks that the user queued."""
    return get_visible_rows(request).launched_by(request.user)


def is_own(record: Record, user: Any) -> bool:
    """Return whether a user queued this task."""
    key = record.launched_by_id
    return key not in {None, ""} and str(key) == str(user.pk)


def is_visible(record: Record, request: HttpRequest) -> bool:
    """Return whether ``VISIBLE`` lets the user see a task."""
    # VISIBLE applies to the table in the setting, which may not contain this row.
    return (
        get_config().visible is None
        or get_visible_rows(request).named_task(record.task_name).exists()
    )


def get_reachable_rows(request: HttpRequest) -> AsyncTaskRecordQuerySet:
    """Return the visible rows whose pages the user may open: without the permission their own."""
    return (get_visible_rows if may_view_records(request.user) else get_own_rows)(request)


class ViewPermissionRequiredMixin(PermissionRequiredMixin):
    """Ask for the view permission of the setting's record model."""

    request: HttpRequest

    def has_permission(self) -> bool:
        return may_view_records(self.request.user)
