"""``manage.py reconcile_async_dashboard``."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from powercrud_tracking import upkeep


class Command(BaseCommand):
    help = (
        "Find out what became of open tasks that have been silent for long: record the end that "
        "django-q2 knows, leave what is queued or running, and call lost what nothing speaks for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=float,
            metavar="SECONDS",
            help="seconds without a sign of life (default: LOST_AFTER of the setting)",
        )
        parser.add_argument("--dry-run", action="store_true", help="judge, but write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        older_than, dry_run = options["older_than"], options["dry_run"]
        if older_than is not None and older_than < 0:
            raise CommandError("--older-than must be 0 or more seconds.")
        report = upkeep.reconcile(older_than=older_than, dry_run=dry_run)
        if options["verbosity"] > 1 or dry_run:
            for name in report.ended:
                self.stdout.write(f"{name}: ended, django-q2 knows how")
            for name in report.lost:
                self.stdout.write(f"{name}: lost")
            for name, reason in report.left.items():
                self.stdout.write(f"{name}: left alone, {reason}")
        self.stdout.write(
            f"{'Would record' if dry_run else 'Recorded'} the end of {len(report.ended)}, "
            f"{len(report.lost)} lost, {len(report.left)} left alone."
        )
