"""What a project's settings name by dotted path."""


def format_user(user):
    return f"user {user.pk}" if user is not None else "Anonymous"


def broken(value):
    raise RuntimeError("this formatter is broken")


def get_defaults(task_name, payload):
    return {"tenant": "north"}


def is_failed(func, result):
    return result == "no"


not_callable = 3
