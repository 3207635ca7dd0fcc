"""Group failed and lost tasks by function, exception class and message pattern."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from powercrud_tracking.dashboard.overview.finished_tasks import FinishedTask
from powercrud_tracking.lifecycle import FAILURES, Status
from powercrud_tracking.serialization.bulk_results import describe_bulk_failure

VARIABLE = "…"
"""The placeholder for a number, a quoted text or an id in a pattern."""

_READ_LENGTH = 1000

# "ValueError: text", "shop.errors.Broken", "KeyError": a dotted path that ends with a class.
_KIND = re.compile(r"((?:\w+\.)*_*[A-Z]\w*)(?::\s|:?\Z)")

_VARIABLES = re.compile(
    r"""
    # Quoted text; not the apostrophe of a word.
      (?<!\w) (?: '[^']*' | "[^"]*" | `[^`]*` ) (?!\w)
    | “[^“”]*” | \u2018[^\u2018\u2019]*\u2019 | «[^«»]*» | „[^„“”]*[“”] | 「[^「」]*」
    # An address of the web or of mail.
    | (?<!\w) [a-z]+:// [^\s'")\]>,]+
    | (?<![^\s<('"]) [^\s@<>('"]+ @ [\w.-]+
    # UUIDs, hexadecimal digests, numbers, dates, and words with a digit.
    | (?<!\w) [0-9a-f]{8} (?: -[0-9a-f]{4} ){3} -[0-9a-f]{12} (?!\w)
    | (?<!\w) [-+]? \w*\d\w* (?: [-.,:/+] \w*\d\w* )*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LIST_OF_VARIABLES = re.compile(rf"{VARIABLE}(?:[ ,;]+{VARIABLE})+")
_EMPTY = re.compile(r"[\W_]*\Z")


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """Failed or lost tasks of one function and one kind of error.

    Args:
        func: the dotted path of the function, empty if it is not stored.
        status: failed or lost.
        kind: the class of the exception; empty if the message names none.
        pattern: the rest of the message, with ``VARIABLE`` for what varies; empty for lost tasks
            and where nothing else is left.
        count: how many tasks.
        last_at: when the newest of them was queued.
        example: the whole message of the newest.
    """

    func: str
    status: Status
    kind: str
    pattern: str
    count: int
    last_at: datetime
    example: str

    @property
    def title(self) -> str:
        """The kind and the pattern: "ValueError: no price for …"."""
        return ": ".join(part for part in (self.kind, self.pattern) if part)

    @property
    def search(self) -> str:
        """The words that all messages of the group have, for the search of the list."""
        words = self.title.replace(VARIABLE, " ").split()
        return " ".join(word for word in words if not _EMPTY.match(word))


def group_errors(tasks: Iterable[FinishedTask]) -> list[ErrorGroup]:
    """Return the failed and lost of these tasks in groups, the largest first.

    Args:
        tasks: finished tasks, newest first.
    """
    counts: Counter[tuple[str, Status, str, str]] = Counter()
    newest: dict[tuple[str, Status, str, str], FinishedTask] = {}
    for task in tasks:
        if task.status in FAILURES:
            key = (task.func or "", Status(task.status), *split_message(task.status, task.message))
            counts[key] += 1
            newest.setdefault(key, task)
    # Newest first as they were found; sorting keeps that order among groups of equal size.
    return [
        ErrorGroup(
            func=func,
            status=status,
            kind=kind,
            pattern=pattern,
            count=count,
            last_at=newest[func, status, kind, pattern].created_at,
            example=newest[func, status, kind, pattern].message or "",
        )
        for (func, status, kind, pattern), count in counts.most_common()
    ]


def split_message(status: str, message: str | None) -> tuple[str, str]:
    """Return the kind of an error and the pattern of its message.

    Args:
        status: of the task; the message of a lost one is the evidence, not a reason.
        message: one line; of a longer one the beginning counts.
    """
    if status == Status.LOST:
        return "", ""
    # Older rows store PowerCRUD's bulk failures in their original form.
    text = describe_bulk_failure((message or "")[:_READ_LENGTH], rolled_back=False)
    kind = ""
    if match := _KIND.match(text):
        kind, text = match[1], text[match.end() :].strip()
    pattern = _LIST_OF_VARIABLES.sub(VARIABLE, _VARIABLES.sub(VARIABLE, text))
    return kind, "" if _EMPTY.match(pattern) else pattern
