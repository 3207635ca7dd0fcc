"""``manage.py backfill_async_dashboard``."""

import json
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from powercrud_tracking import upkeep
from powercrud_tracking.config.problems import get_guess
from powercrud_tracking.maintenance.backfill import Backfilled, BackfillError


class Command(BaseCommand):
    help = (
        "Make a row for each task of the past that has none: from django-q2's results and, with "
        "--from, from an old table. Tasks that have a row stay as they are; repeat it at will."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from",
            dest="source",
            metavar="app.Model",
            help="a model whose rows are brought in first (default: none)",
        )
        parser.add_argument(
            "--field-map",
            nargs="+",
            default=[],
            metavar="NAME=FIELD",
            help="logical names and that model's fields, as NAME=FIELD or as one JSON object; "
            "NAME= does not read (default: the names of PowerCRUD's sample model)",
        )
        parser.add_argument(
            "--statuses",
            nargs="+",
            default=[],
            metavar="WORD=STATUS",
            help="words of that model and our statuses, as WORD=STATUS or as one JSON object "
            "(default: pending, in_progress, success, failed and lost mean themselves)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, but write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        field_map = _read_pairs("--field-map", options["field_map"])
        statuses = _read_pairs("--statuses", options["statuses"])
        if (field_map or statuses) and not options["source"]:
            raise CommandError("--field-map and --statuses speak of a table: name it with --from.")
        try:
            report = upkeep.backfill(
                source=_get_model(options["source"]) if options["source"] else None,
                field_map={name: value or None for name, value in field_map.items()},
                statuses=statuses,
                dry_run=options["dry_run"],
            )
        except (BackfillError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(
                f"The database refused: {exc} What was brought in before is there; mend this, "
                "then repeat the command."
            ) from exc
        self.stdout.write(_describe(report, dry_run=options["dry_run"]))


def _get_model(path: str) -> Any:
    try:
        return apps.get_model(path)
    except (LookupError, ValueError) as exc:
        known = [model._meta.label for model in apps.get_models()]
        guess = get_guess(path, known, "Write it as app_label.ModelName.")
        raise CommandError(f"--from names {path!r}, which is no installed model. {guess}") from exc


def _read_pairs(option: str, words: list[str]) -> dict[str, str]:
    """Return what stands in an option: NAME=VALUE pairs, or one JSON object."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            pairs = json.loads(words[0])
        except ValueError as exc:
            raise CommandError(f"{option} is no JSON: {exc}.") from exc
        wrong = {name: value for name, value in pairs.items() if not _is_text_or_none(value)}
        if wrong:
            raise CommandError(f"{option} must map text to text, got {json.dumps(wrong)}.")
        return {name: value or "" for name, value in pairs.items()}
    for word in words:
        if not word.partition("=")[0] or "=" not in word:
            raise CommandError(f"{option} takes NAME=VALUE pairs or one JSON object, got {word!r}.")
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _describe(report: Backfilled, *, dry_run: bool) -> str:
    """Return in one sentence what became of the tasks."""
    added = _join(f"{number} from {origin}" for origin, number in report.added.items() if number)
    total = report.added.total()
    sentence = f"{'Would add' if dry_run else 'Added'} {total} {'task' if total == 1 else 'tasks'}"
    sentence += f" ({added})" if added else ""
    sentence += f", found {report.existing} in the table already"
    if report.left_out:
        reasons = _join(
            f"{number} because {why}" for why, number in sorted(report.left_out.items())
        )
        sentence += f", left out {reasons}"
    return f"{sentence}."


def _join(parts: Iterable[str]) -> str:
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last
