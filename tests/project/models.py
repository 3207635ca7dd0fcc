"""A project's own models: what its tasks work on, and record tables of its own."""

import time

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from powercrud_tracking.models import AbstractAsyncTaskRecord


class Widget(models.Model):
    name = models.CharField(max_length=50)
    price = models.IntegerField(default=0)
    broken = models.BooleanField(default=False)

    def __str__(self):
        return self.name

    def clean(self):
        if self.name.startswith("slow"):
            time.sleep(0.01)
        if self.broken:
            raise ValidationError(f"{self.name} is broken and cannot be sold.")


class InheritedRecord(AbstractAsyncTaskRecord):
    """The abstract model with a required column of the project's own."""

    tenant = models.CharField(max_length=20)


class BespokeRecord(models.Model):
    """Other names, few columns."""

    key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=16, default="pending")
    note = models.CharField(max_length=40, default="")
    payload = models.TextField(null=True)
    touched = models.DateTimeField(auto_now=True)
    touched_on = models.DateField(auto_now=True)


class NameOnlyRecord(models.Model):
    """Nothing but a task name."""

    task_name = models.CharField(max_length=36, unique=True)


class DefaultedRecord(models.Model):
    """Columns that the database itself fills."""

    task_name = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16, db_default="pending")
    tenant = models.CharField(max_length=20, db_default="none")


class SpreadRecord(InheritedRecord):
    """Inherits from a concrete model, which is an error."""

    class Meta:
        indexes = ()


class ShortRecord(models.Model):
    """Every column too short or of the wrong kind."""

    task_name = models.CharField(max_length=35, unique=True)
    status = models.CharField(max_length=10)


class LooseRecord(models.Model):
    """A task name that is not unique."""

    task_name = models.CharField(max_length=64)


class OldLog(models.Model):
    """What a project wrote by hand before: other names, other words, text for everything."""

    name = models.CharField(max_length=300, null=True)
    outcome = models.CharField(max_length=20)
    who = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False
    )
    what = models.TextField(default="")
    arguments = models.TextField(default="")
    answer = models.TextField(null=True)
    note = models.TextField(default="")
    said = models.TextField(default="")
    began = models.DateTimeField(auto_now_add=True)
    ended = models.DateTimeField(null=True)


class OwnedRecord(models.Model):
    """Who queued a task as a foreign key; when, not for all of them."""

    task_name = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16, default="pending")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False
    )
    queued = models.DateTimeField(null=True)


class NestedRecord(models.Model):
    """Refers to another row by a constraint that most databases check at the commit."""

    task_name = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=16, default="pending")
    parent = models.ForeignKey("self", models.CASCADE, null=True)


class UnmigratedRecord(AbstractAsyncTaskRecord):
    """A table that nobody has made yet."""

    class Meta(AbstractAsyncTaskRecord.Meta):
        managed = False
        db_table = "nobody_has_made_it"


class BrokenRecord(AbstractAsyncTaskRecord):
    """A table that exists and lacks most columns of its model."""

    class Meta(AbstractAsyncTaskRecord.Meta):
        managed = False
        db_table = "project_widget"
