"""What the commands that cancel and retry tasks share: which tasks, and what became of them."""

from collections import Counter
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations
from django.db import DatabaseError

from powercrud_tracking.actions import availability
from powercrud_tracking.actions.log import ActionResult
from powercrud_tracking.actions.many import act, summarize
from powercrud_tracking.config.validation import require_valid_setting
from powercrud_tracking.lifecycle import Action, Status
from powercrud_tracking.records import reading
from powercrud_tracking.records.filters import SEARCHED, RecordFilter
from powercrud_tracking.records.reading import Record

FILTERS = {
    "search": "q",
    "func": "func",
    "user": "user",
    "object": "object",
    "queued_from": "queued_from",
    "queued_to": "queued_to",
}
"""Option to the filter of the list, by the name that it has in the address."""


class ActionCommand(BaseCommand):
    """Do one thing with the tasks that are named, or with all that match the list's filters.

    Args:
        action: what is done.
        statuses: the tasks that filters find where ``--status`` is not given.
    """

    action: ClassVar[Action]
    statuses: ClassVar[tuple[Status, ...]]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task_names", nargs="*", metavar="NAME", help="the names of tasks")
        parser.add_argument(
            "--search",
            metavar="WORDS",
            help=f"words in the name, message or objects of the newest {SEARCHED:,} tasks",
        )
        parser.add_argument("--func", metavar="PATH", help="the dotted path of the function")
        parser.add_argument(
            "--user",
            metavar="KEY",
            help="the primary key of the user who queued the task, as in the address of the list",
        )
        parser.add_argument("--object", metavar="TEXT", help="text in the label of the objects")
        parser.add_argument("--queued-from", metavar="TIME", help='such as "2026-03-01 08:00"')
        parser.add_argument("--queued-to", metavar="TIME", help="before this time")
        parser.add_argument(
            "--status",
            action="append",
            choices=Status.values,
            help=f"may be repeated (default: {', '.join(self.statuses)})",
        )
        parser.add_argument(
            "--by",
            default="manage.py",
            metavar="TEXT",
            help="who does it, in the words of the record (default: %(default)s)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be done, but do nothing"
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_valid_setting()
            self._check_table()
            task_names = _find_task_names(options, self.statuses)
            if options["dry_run"]:
                self.stdout.write(self._rehearse(task_names))
            else:
                self.stdout.write(self._act(task_names, options))
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(f"The database reports: {exc}") from exc

    def _check_table(self) -> None:
        missing = availability.find_missing(self.action)
        if self.action is Action.CANCEL:
            # Queued tasks take nothing else; each running one says what it lacks.
            missing = [name for name in missing if name == "status"]
        if missing:
            raise CommandError(f"The record table has no field for: {', '.join(missing)}.")

    def _act(self, task_names: list[str], options: dict[str, Any]) -> str:
        by, reason = options["by"], options.get("reason") or ""
        results: list[ActionResult] = []
        try:
            for task_name in task_names:
                result = act(self.action, task_name, by=by, reason=reason)
                results.append(result)
                if options["verbosity"] > 1:
                    self.stdout.write(f"{task_name}: {_describe(result, task_name)}")
        except DatabaseError as exc:
            raise CommandError(
                f"{summarize(self.action, results)} Then the database reported: {exc}"
            ) from exc
        return summarize(self.action, results) if task_names else "No task matches."

    def _rehearse(self, task_names: list[str]) -> str:
        """Print what would become of each task, and return the sentence about all of them."""
        refusals: Counter[str] = Counter()
        for task_name in task_names:
            record = reading.find_record(task_name)
            refusal = self._find_refusal(record)
            if refusal:
                refusals[refusal] += 1
            words = refusal or availability.describe(self.action, record)  # type: ignore[arg-type]
            self.stdout.write(f"{task_name}: {words}")
        number = len(task_names) - refusals.total()
        sentences = [f"Would {self.action} {_count(number)}."]
        sentences += [f"{_count(n)}: {reason}" for reason, n in refusals.most_common()]
        return " ".join([*sentences, "Nothing was written."])

    def _find_refusal(self, record: Record | None) -> str | None:
        if record is None:
            return availability.get_unknown()
        return availability.find_refusal(self.action, record)


def _find_task_names(options: dict[str, Any], statuses: tuple[Status, ...]) -> list[str]:
    """Return the names of the tasks, oldest first, as they are when the command begins.

    All at once: a retry adds tasks that may match, too.
    """
    given = {name: options[option] for option, name in FILTERS.items() if options[option]}
    is_filtered = bool(given or options["status"])
    if options["task_names"]:
        if is_filtered:
            raise CommandError("Give names of tasks or filters, not both.")
        return list(dict.fromkeys(options["task_names"]))
    if not is_filtered:
        raise CommandError(
            "Which tasks? Give their names, or at least one filter: "
            f"{', '.join(f'--{option}'.replace('_', '-') for option in FILTERS)} or --status. "
            "For all tasks of a status, give --status alone."
        )
    rows = reading.get_rows().with_status(options["status"] or statuses)
    return _filter(given, rows).oldest_first().get_task_names()  # type: ignore[no-any-return]


def _filter(given: dict[str, str], rows: Any) -> Any:
    found = RecordFilter(given, queryset=rows)
    options = {name: f"--{option}".replace("_", "-") for option, name in FILTERS.items()}
    for name in given:
        if name not in found.filters:
            raise CommandError(f"The record table has no field for {options[name]}.")
    if not found.is_valid():
        name, errors = next(iter(found.errors.items()))
        raise CommandError(f"{options[name]}: {errors[0]}")
    return found.qs


def _describe(result: ActionResult, task_name: str) -> str:
    new = "" if result.task_name == task_name else f" {result.task_name}"
    return f"{result.message}{new}"


def _count(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"
