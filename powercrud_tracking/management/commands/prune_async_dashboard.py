"""``manage.py prune_async_dashboard``."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from powercrud_tracking import upkeep


class Command(BaseCommand):
    help = (
        "Remove finished tasks that are older than RETENTION_DAYS of the setting, with their "
        "failed attempts. Open tasks always stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            metavar="N",
            help="keep N days of every status (default: RETENTION_DAYS of the setting)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, but remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        days, dry_run = options["days"], options["dry_run"]
        if days is not None and days < 0:
            raise CommandError("--days must be 0 or more.")
        removed = upkeep.prune(days=days, dry_run=dry_run)
        tasks = "1 task" if removed == 1 else f"{removed} tasks"
        self.stdout.write(f"{'Would remove' if dry_run else 'Removed'} {tasks}.")
