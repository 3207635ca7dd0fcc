"""``manage.py prune_async_dashboard``."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from powercrud_tracking import upkeep


class Command(BaseCommand):
    help = (
        "Remove finished tasks that are older than RETENTION_DAYS of the setting, with their "
        "failed attempts. Open tasks are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            metavar="N",
            help="keep tasks of every status for N days after their end "
            "(default: RETENTION_DAYS of the setting)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, but remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        try:
            removed = upkeep.prune(days=options["days"], dry_run=dry_run)
        except (ImproperlyConfigured, ValueError) as exc:
            raise CommandError(str(exc)) from exc
        tasks = "1 task" if removed == 1 else f"{removed} tasks"
        self.stdout.write(f"{'Would remove' if dry_run else 'Removed'} {tasks}.")
