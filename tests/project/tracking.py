"""What a project's settings name by dotted path, and a manager of its own."""

from powercrud_tracking.managers import ModelTrackingAsyncManager
from tests.project.models import NestedRecord


def format_user(user):
    return f"user {user.pk}" if user is not None else "Anonymous"


def broken(value):
    raise RuntimeError("this formatter is broken")


def hide_all(request, rows):
    return rows.none()


def break_on_rows(request, rows):
    raise RuntimeError("this function is broken")


def get_defaults(task_name, payload):
    return {"tenant": "north"}


def get_tenant_of_args(task_name, payload):
    return {"tenant": payload["task_args"][0]}


def get_parent_of_args(task_name, payload):
    [key] = payload["task_args"]
    return {"parent": None if key is None else NestedRecord(pk=key)}


def is_failed(func, result):
    return result == "no"


def may_retry(request, action, record):
    return action == "retry"


not_callable = 3


class ShoutingManager(ModelTrackingAsyncManager):
    def format_user(self, user):
        return "WHO"

    def format_objects(self, objects):
        return "WHAT"

    def format_payload(self, payload):
        return {"shown": str(payload)}
