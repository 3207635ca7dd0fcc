"""``manage.py backfill_async_dashboard``."""

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from powercrud_tracking import upkeep
from powercrud_tracking.maintenance.backfill import Backfilled


class Command(BaseCommand):
    help = (
        "Make a row for each task that ran before this package was installed and has none: from "
        "django-q2's results and, with --from, from an old table. It can be repeated: rows that "
        "exist are left unchanged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from",
            dest="source",
            metavar="app.Model",
            help="the model of the old table, which is read first (default: none)",
        )
        parser.add_argument(
            "--field-map",
            type=_read_json,
            default={},
            metavar="JSON",
            help="logical names to the fields of that model, as in FIELD_MAP; null does not read "
            "a field (default: the fields of PowerCRUD's sample model)",
        )
        parser.add_argument(
            "--statuses",
            type=_read_json,
            default={},
            metavar="JSON",
            help="words in the status field of that model to statuses, beside the statuses "
            """themselves, for example '{"done": "success"}'""",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, but write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = {name: options[name] for name in ("source", "field_map", "statuses", "dry_run")}
        if (wanted["field_map"] or wanted["statuses"]) and not wanted["source"]:
            raise CommandError("--field-map and --statuses describe an old table: add --from.")
        try:
            report = upkeep.backfill(**wanted)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"The database reports: {exc} Rows that were added before are kept; repeat the "
                "command when this is corrected."
            ) from exc
        self.stdout.write(_describe(report, dry_run=wanted["dry_run"]))
        for reason, number in sorted(report.left_out.items()):
            self.stdout.write(f"Left out {_count(number)}: {reason}.")


def _read_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"this is not JSON ({exc}): {text}") from exc
    if not isinstance(found, dict) or not all(
        value is None or isinstance(value, str) for value in found.values()
    ):
        raise ArgumentTypeError(f"this is not a JSON object of strings: {text}")
    return found


def _describe(report: Backfilled, *, dry_run: bool) -> str:
    added = [f"{number} from {source}" for source, number in report.added.items()]
    sentence = f"{'Would add' if dry_run else 'Added'} {_count(report.added.total())}"
    sentence += f" ({' and '.join(added)})." if added else "."
    if report.existing:
        sentence += f" {_count(report.existing)} had a row already."
    return sentence


def _count(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"
