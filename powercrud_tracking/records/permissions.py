"""Who may cancel, retry or delete a task."""

from django.http import HttpRequest

from powercrud_tracking.config.dashboard_config import get_config, load
from powercrud_tracking.lifecycle import Action
from powercrud_tracking.records import mapping
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.visibility import is_own


def may_act(request: HttpRequest, action: Action, record: Record) -> bool:
    """Return whether a user may do this with a task that the user sees.

    ``ALLOWED`` decides where it is set. Otherwise each action has a permission of the record
    model, ``cancel_asynctaskrecord`` for instance, and whoever launched a task may cancel it.

    Args:
        request: of the user.
        action: what is to be done.
        record: a visible row.
    """
    config = get_config()
    if config.allowed is not None:
        return bool(load(config.allowed, "ALLOWED")(request, action.value, record))
    if action is Action.CANCEL and is_own(record, request.user):
        return True
    return has_permission(request, action)


def has_permission(request: HttpRequest, action: Action) -> bool:
    """Return whether a user holds the permission of an action for all tasks."""
    meta = mapping.get_record_map(get_config()).model._meta
    return bool(request.user.has_perm(f"{meta.app_label}.{action}_{meta.model_name}"))
