"""Who may see what: the view permission for all rows, one's own without it."""

from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic import View

from powercrud_tracking import records
from powercrud_tracking.config import get_config, load
from powercrud_tracking.models import AsyncTaskRecordQuerySet


def may_view_records(user: Any) -> bool:
    """Return whether somebody holds the view permission of the record model."""
    meta = records.get_record_map(get_config()).model._meta
    return bool(user.has_perm(f"{meta.app_label}.view_{meta.model_name}"))


def get_visible_rows(request: HttpRequest) -> AsyncTaskRecordQuerySet:
    """Return the rows that ``VISIBLE`` lets this person see.

    Raises:
        ImproperlyConfigured: what it returned cannot be narrowed any further.
    """
    config = get_config()
    rows = records.get_rows(config)
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
    """Return, of the rows that this person may see, those of tasks that they queued."""
    return get_visible_rows(request).launched_by(request.user)


class PersonRequiredMixin(AccessMixin, View):
    """Send anonymous people to the login."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        return super().dispatch(request, *args, **kwargs)


class PermissionRequiredMixin(PersonRequiredMixin):
    """Send anonymous people to the login; answer 403 without the view permission."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not may_view_records(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)
