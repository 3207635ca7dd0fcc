"""Which objects a task works on: one row for each task and object."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ALL_OBJECTS = "*"
"""The ``object_id`` of the one link of a task that works on more objects than are stored."""


class AsyncTaskObject(models.Model):
    """A link from a task to an object that it works on.

    By names and without foreign keys: it outlives the object, and serves any record table.
    """

    task_name = models.CharField(_("task name"), max_length=255)
    model = models.CharField(_("model"), max_length=255)
    object_id = models.CharField(_("key of the object"), max_length=255)
    number = models.PositiveIntegerField(_("number"), default=1)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("object of a task")
        verbose_name_plural = _("objects of tasks")
        constraints = (
            models.UniqueConstraint(
                fields=["task_name", "model", "object_id"], name="powercrud_tracking_object"
            ),
        )
        # The newest of an object.
        indexes = (
            models.Index(
                fields=["model", "object_id", "-created_at"], name="powercrud_tracking_newest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model}:{self.object_id}"


def get_label(model: type[models.Model]) -> str:
    """Return the name under which the objects of a model are linked, "shop.book".

    Proxies and models that inherit from a concrete one share the name of the model that has the
    key.
    """
    concrete: Any = model._meta.concrete_model
    while concrete._meta.pk.remote_field and concrete._meta.pk.remote_field.parent_link:
        concrete = concrete._meta.pk.remote_field.model
    return str(concrete._meta.label_lower)


def find_label(path: str) -> str:
    """Return the name of the model of this path; a path that names none stays as it is."""
    try:
        return get_label(apps.get_model(path))
    except (LookupError, ValueError):
        return path.lower()


def get_keys(label: str, keys: Iterable[Any]) -> list[str]:
    """Return the keys of objects as text, without those that their model cannot have.

    Args:
        label: of the model.
        keys: of any type, such as the text "7" of a number.
    """
    try:
        field: Any = apps.get_model(label)._meta.pk
    except (LookupError, ValueError):
        return [str(key) for key in keys]
    while field.remote_field is not None:
        field = field.target_field
    found = []
    for key in keys:
        with suppress(ValidationError, TypeError, ValueError):
            converted = field.to_python(key)
            if converted is not None:
                found.append(str(converted))
    return found
