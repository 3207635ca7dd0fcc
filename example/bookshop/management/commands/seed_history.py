"""Fill the task pages with a week of made-up tasks; each is marked in ``extra``."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from bookshop.formatters import full_name_and_login
from bookshop.history import MARK, build_actions, build_history
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt, AsyncTaskRecord

BATCH = 500
STALE_AFTER = timedelta(hours=12)


class Command(BaseCommand):
    help = "Fill the task pages with a week of made-up tasks, unless there are recent ones."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        made_up = AsyncTaskRecord.objects.filter(extra=MARK)
        if made_up.filter(created_at__gte=now - STALE_AFTER).exists():
            self.stdout.write("There is a history already; nothing to do.")
            return
        people = {"": ("", "")} | {
            user.get_username(): (str(user.pk), full_name_and_login(user))
            for user in get_user_model().objects.all()
        }
        with transaction.atomic():
            names = made_up.values("task_name")
            AsyncTaskAttempt.objects.filter(task_name__in=names).delete()
            AsyncTaskAction.objects.filter(task_name__in=names).delete()
            made_up.delete()
            records, attempts = build_history(now, people)
            actions = build_actions(records, now, people)
            AsyncTaskRecord.objects.bulk_create(records, BATCH)
            AsyncTaskAttempt.objects.bulk_create(attempts, BATCH)
            AsyncTaskAction.objects.bulk_create(actions, BATCH)
            # auto_now has set it to this moment.
            made_up.update(updated_at=Coalesce("completed_at", "failed_at", "cancelled_at"))
        self.stdout.write(f"Made up {len(records)} tasks and {len(attempts)} failed attempts.")
