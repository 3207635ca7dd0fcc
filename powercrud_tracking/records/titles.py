"""The title of a task and what it changes in words, from what its row keeps in ``extra``.

What is stored may be anything: a project writes keys of its own there, and a limit may have cut it.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


class Change(NamedTuple):
    """What a bulk update does to one field, with the names of the time when it was queued."""

    label: str
    value: str

    def __str__(self) -> str:
        return f"{self.label} → {self.value}"


def read_extra(stored: Any) -> Mapping[str, Any]:
    """Return the ``extra`` of a row as a mapping; a table may keep it as text."""
    if isinstance(stored, str) and stored.startswith("{"):
        try:
            stored = json.loads(stored)
        except ValueError:
            return {}
    return stored if isinstance(stored, Mapping) else {}


def write_title(extra: Mapping[str, Any]) -> str:
    """Return the title of a task, "Update of 480 books"; empty if it has none."""
    title = extra.get("title")
    if isinstance(title, str):
        return title
    if not isinstance(title, Mapping) or type(number := title.get("number")) is not int:
        return ""
    # The noun is the model's own singular or plural.
    objects = _get_objects(str(title.get("model", "")), number)
    parts = {"number": number_format(number, force_grouping=True), "objects": objects}
    match title.get("kind"):
        case "update":
            words = ngettext(
                "Update of %(number)s %(objects)s", "Update of %(number)s %(objects)s", number
            )
        case "delete":
            words = ngettext(
                "Deletion of %(number)s %(objects)s", "Deletion of %(number)s %(objects)s", number
            )
        case _:
            return ""
    return words % parts


def _get_objects(label: str, number: int) -> str:
    try:
        meta = apps.get_model(label)._meta
    except (LookupError, ValueError):
        # The model is gone.
        return label
    return str(meta.verbose_name if number == 1 else meta.verbose_name_plural)


def read_changes(extra: Mapping[str, Any]) -> list[Change]:
    """Return what a bulk update does to which field."""
    changes = extra.get("changes")
    if not isinstance(changes, list):
        return []
    return [
        Change(each[0], _write_value(*each[1:3]))
        for each in changes
        if isinstance(each, list)
        and len(each) in (2, 3)
        and all(isinstance(part, str) for part in each)
    ]


def _write_value(value: str, action: str = "") -> str:
    value = value or _("empty")
    if action == "add":
        return _("add %(objects)s") % {"objects": value}
    if action == "remove":
        return _("remove %(objects)s") % {"objects": value}
    return value


def read_names(extra: Mapping[str, Any]) -> list[str]:
    """Return the names of the first objects of a bulk delete, and how many more there are."""
    names, title = extra.get("names"), extra.get("title")
    if not isinstance(names, list):
        return []
    shown = [each for each in names if isinstance(each, str)]
    number = title.get("number") if isinstance(title, Mapping) else None
    if shown and type(number) is int and (more := number - len(shown)) > 0:
        shown.append(
            ngettext("and %(number)s more", "and %(number)s more", more)
            % {"number": number_format(more, force_grouping=True)}
        )
    return shown


def without_titles(stored: Any) -> Any:
    """Return an ``extra`` without what the page shows in words."""
    extra = read_extra(stored)
    readers = {"title": write_title, "changes": read_changes, "names": read_names}
    shown = {key for key, read in readers.items() if key in extra and read(extra)}
    return {key: extra[key] for key in extra if key not in shown} if shown else stored
