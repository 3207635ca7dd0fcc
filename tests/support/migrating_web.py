"""What a test of a guide asks a process of the shop to do."""

import json
import sys
import time

SECONDS = 60


def make_things():
    """Make books, authors and somebody who may log in."""
    from django.contrib.auth import get_user_model
    from shop.models import Author, Book

    get_user_model().objects.create_user("ada", first_name="Ada", last_name="King")
    for number in range(1, 6):
        Book.objects.create(title=f"Book {number}", out_of_print=number == 5)
        Author.objects.create(name="Busy" if number == 5 else f"Author {number}")


def bulk_edit(model, titles, field):
    """Submit PowerCRUD's form to set a field of some books or authors; return the task's name."""
    from django.apps import apps
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    found = apps.get_model("shop", model).objects.order_by("pk")
    keys = [str(found[number - 1].pk) for number in titles]
    client = Client()
    client.force_login(get_user_model().objects.get(username="ada"))
    answer = client.post(
        reverse(f"{model}-bulk-edit"),
        {"selected_ids[]": keys, "bulk_submit": "1", "fields_to_update": field, field: "true"},
        headers={"HX-Request": "true"},
    )
    return json.loads(answer.headers["HX-Trigger"])["taskName"]


def launch(func, *args, **kwargs):
    """Launch a job as code of the shop does, outside of views."""
    from shop.tracking import ShopManager

    return ShopManager().launch_async_task(func, *args, **kwargs)


def launch_naming_the_manager(func):
    return launch(func, manager_class="shop.tracking.ShopManager")


def get_manager_classes():
    """Return the names of the class that the settings name, and of those it is built on."""
    from powercrud_tracking.factory import get_manager_class

    return [f"{each.__module__}.{each.__qualname__}" for each in get_manager_class().__mro__]


def get_rows(label, name):
    """Return the rows of a table by the task's name, as text."""
    from django.apps import apps

    rows = apps.get_model(label).objects.order_by("pk").values()
    return {
        row[name]: {
            key: value if value is None or isinstance(value, bool) else str(value)
            for key, value in row.items()
        }
        for row in rows
    }


def wait_for_ends(label, name, status, task_names):
    """Wait until these tasks have ended in a table and nothing is queued; return its rows."""
    from django_q.models import OrmQ

    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        rows = get_rows(label, name)
        ended = {each for each in rows if rows[each][status] in {"success", "failed"}}
        if ended >= set(task_names) and not OrmQ.objects.exists():
            # What comes after the end: the cleanup, and the signal of it.
            time.sleep(0.5)
            return get_rows(label, name)
        time.sleep(0.1)
    raise AssertionError(f"No end: {rows}")


def wait_for_result(task_name):
    """Wait until django-q2 has the result of a task."""
    from django_q.models import Task

    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and not Task.objects.filter(name=task_name).exists():
        time.sleep(0.1)


def count_queued():
    from django_q.models import OrmQ

    return OrmQ.objects.count()


def read_page(path, permission=None):
    """Return what a page of the shop says to somebody with this permission, or with all."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.test import Client

    user, _ = get_user_model().objects.get_or_create(
        username=permission or "root", is_superuser=permission is None
    )
    if permission is not None:
        app_label, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app_label, codename=codename)
        )
    client = Client()
    client.force_login(user)
    answer = client.get(path)
    return [answer.status_code, answer.content.decode()]


if __name__ == "__main__":
    import django

    django.setup()
    function, *args = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(globals()[function](*args)))
