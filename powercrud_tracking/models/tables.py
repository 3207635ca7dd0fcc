"""The abstract record model, the built-in one, and the model of failed attempts."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from powercrud_tracking.lifecycle import FAILURES, Action, Outcome, Status
from powercrud_tracking.models.querysets import AsyncTaskRecordQuerySet


class AbstractAsyncTaskRecord(models.Model):
    """One row for each background task: inherit it to add fields of your own.

    No foreign key to the user: a constraint that is checked at commit would break the
    transaction of whoever launches a task.
    """

    task_name = models.CharField(_("task name"), max_length=255, unique=True)
    status = models.CharField(
        _("status"), max_length=16, choices=Status.choices, default=Status.PENDING
    )
    message = models.TextField(_("message"), blank=True, default="")
    progress_payload = models.TextField(_("progress"), blank=True, default="")
    user_label = models.CharField(_("user"), max_length=255, blank=True, default="")
    affected_objects = models.TextField(_("objects"), blank=True, default="")
    task_args = models.JSONField(_("arguments"), null=True, blank=True)
    task_kwargs = models.JSONField(_("keyword arguments"), null=True, blank=True)
    result_payload = models.JSONField(_("result"), null=True, blank=True)
    cleaned_up = models.BooleanField(_("cleaned up"), default=False)
    created_at = models.DateTimeField(_("queued at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)
    failed_at = models.DateTimeField(_("failed at"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    cancel_requested_at = models.DateTimeField(
        _("cancellation requested at"), null=True, blank=True
    )
    # A process that runs older code inserts rows without the columns that it does not know, so
    # those that a table may gain by a migration have a default in the database, or take NULL.
    attempts = models.PositiveIntegerField(_("attempts"), default=0, db_default=0)
    func = models.CharField(_("function"), max_length=255, blank=True, default="", db_default="")
    task_group = models.CharField(_("group"), max_length=255, blank=True, default="", db_default="")
    queue_id = models.CharField(
        _("id in the queue"), max_length=64, blank=True, default="", db_default=""
    )
    cluster = models.CharField(_("cluster"), max_length=100, blank=True, default="", db_default="")
    worker = models.CharField(_("worker"), max_length=255, blank=True, default="", db_default="")
    launched_by_id = models.CharField(
        _("key of the user"), max_length=255, blank=True, default="", db_default=""
    )
    retry_of = models.CharField(
        _("retry of"), max_length=255, blank=True, default="", db_default=""
    )
    retried_by = models.CharField(
        _("retried by"), max_length=255, blank=True, default="", db_default=""
    )
    extra = models.JSONField(_("extra"), null=True, blank=True)

    objects = AsyncTaskRecordQuerySet.as_manager()

    class Meta:
        abstract = True
        verbose_name = _("task record")
        verbose_name_plural = _("task records")
        # The actions of the pages have permissions of their own.
        default_permissions = ("add", "change", "delete", "view", "cancel", "retry")
        # What the pages read: newest first, and that within a status, a function, a person.
        indexes = (
            models.Index(fields=["-created_at"]),
            models.Index(fields=["status", "-created_at"]),
            models.Index(fields=["func", "-created_at"]),
            models.Index(fields=["launched_by_id", "-created_at"]),
        )

    def __str__(self) -> str:
        return f"{self.func or _('task')} {self.task_name}"


class AsyncTaskRecord(AbstractAsyncTaskRecord):
    """The built-in record model."""

    class Meta(AbstractAsyncTaskRecord.Meta):
        abstract = False


class AsyncTaskAttempt(models.Model):
    """One failed or lost attempt; a task that succeeds at once has none.

    By the task's name and without a foreign key, so that it serves custom tables too.
    """

    task_name = models.CharField(_("task name"), max_length=255)
    number = models.PositiveIntegerField(_("number"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"))
    worker = models.CharField(_("worker"), max_length=255, blank=True, default="")
    outcome = models.CharField(
        _("outcome"),
        max_length=16,
        choices=[(s.value, s.label) for s in sorted(FAILURES)],
    )
    exception_class = models.CharField(_("exception"), max_length=255, blank=True, default="")
    message = models.TextField(_("message"), blank=True, default="")
    traceback = models.TextField(_("traceback"), blank=True, default="")

    class Meta:
        verbose_name = _("failed attempt")
        verbose_name_plural = _("failed attempts")
        constraints = (
            models.UniqueConstraint(
                fields=["task_name", "number"], name="powercrud_tracking_attempt"
            ),
        )

    def __str__(self) -> str:
        return f"{self.task_name} #{self.number}"


class AsyncTaskAction(models.Model):
    """One action of a person on a task: what was done, or why it was refused.

    By the task's name and without a foreign key: it outlives the task.
    """

    task_name = models.CharField(_("task name"), max_length=255, db_index=True)
    action = models.CharField(_("action"), max_length=16, choices=Action.choices)
    by_id = models.CharField(_("key of the user"), max_length=255, blank=True, default="")
    by_label = models.CharField(_("user"), max_length=255, blank=True, default="")
    at = models.DateTimeField(_("at"), default=timezone.now, db_index=True)
    reason = models.TextField(_("reason"), blank=True, default="")
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices)
    message = models.TextField(_("message"), blank=True, default="")
    new_task_name = models.CharField(_("new task"), max_length=255, blank=True, default="")

    class Meta:
        verbose_name = _("action on a task")
        verbose_name_plural = _("actions on tasks")

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.task_name}"
