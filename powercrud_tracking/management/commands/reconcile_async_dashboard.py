"""``manage.py reconcile_async_dashboard``."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from powercrud_tracking import upkeep


class Command(BaseCommand):
    help = (
        "Find out what became of open tasks that have had no activity for long: record the end if "
        "django-q2 has a result, leave the task open if it may still wait or run, and otherwise "
        "mark it as lost, or as cancelled if it was asked to stop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=float,
            metavar="SECONDS",
            help="seconds without activity (default: LOST_AFTER of the setting)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be done, but write nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        try:
            report = upkeep.reconcile(older_than=options["older_than"], dry_run=dry_run)
        except (ImproperlyConfigured, ValueError) as exc:
            raise CommandError(str(exc)) from exc
        is_verbose = options["verbosity"] > 1 or dry_run
        if is_verbose:
            for name in report.ended:
                self.stdout.write(f"{name}: ended, django-q2 has the result")
            for name in report.lost:
                self.stdout.write(f"{name}: lost")
            for name in report.cancelled:
                self.stdout.write(f"{name}: cancelled, it was asked to stop")
            for name, reason in report.left.items():
                self.stdout.write(f"{name}: left open, {reason}")
        numbers = {
            "ended": report.ended,
            "lost": report.lost,
            "cancelled": report.cancelled,
            "left open": report.left,
        }
        found = sum(map(len, numbers.values()))
        counted = ", ".join(f"{len(names)} {word}" for word, names in numbers.items())
        self.stdout.write(
            f"Found {found} open {'task' if found == 1 else 'tasks'} without activity: {counted}."
            + (" Nothing was written." if dry_run else "")
        )
        if report.left and not is_verbose:
            self.stdout.write("Why a task is left open is printed with --verbosity 2.")
