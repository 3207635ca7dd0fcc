"""What goes wrong again and again: failures by function and kind."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from powercrud_tracking.dashboard.overview.finished_tasks import Ended
from powercrud_tracking.lifecycle import FAILURES, Status

_MOST_WORDS = 6
_MOST_LETTERS = 60

# "ValueError: text", "shop.errors.Broken", "KeyError": a path of words whose last is a class.
_CLASS = re.compile(r"((?:\w+\.)*_*[A-Z]\w*)(?::\s|:?\Z)")
# Where the words end that failures of one kind share, and what each of them has begins.
_OWN = re.compile(r"[\d'\"`<>(){}\[\]:;,]|\.\s")


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Failures of one function and one kind.

    Args:
        func: the dotted path of the function, empty if it is not kept.
        status: whether they failed or were lost.
        kind: the class of the exception, or the first words of the reason; empty for lost
            tasks and where no reason is kept.
        is_class: whether ``kind`` is a class.
        count: how many.
        last_at: when the last of them was queued.
        example: the reason of the last.
    """

    func: str
    status: Status
    kind: str
    is_class: bool
    count: int
    last_at: datetime
    example: str


def get_failure_groups(ended: Iterable[Ended]) -> list[FailureGroup]:
    """Return the failed and lost of these tasks in groups, the largest first.

    Args:
        ended: tasks, newest first.
    """
    counts: Counter[tuple[str, Status, str, bool]] = Counter()
    latest: dict[tuple[str, Status, str, bool], Ended] = {}
    for each in ended:
        if each.status in FAILURES:
            key = (each.func or "", Status(each.status), *find_kind(each.status, each.message))
            counts[key] += 1
            latest.setdefault(key, each)
    groups = [
        FailureGroup(
            func=func,
            status=status,
            kind=kind,
            is_class=is_class,
            count=counts[key],
            last_at=each.created_at,
            example=each.message or "",
        )
        for key, each in latest.items()
        for func, status, kind, is_class in [key]
    ]
    # As they were met the latest comes first, and sorting leaves it so among equals.
    return sorted(groups, key=lambda group: -group.count)


def find_kind(status: str, message: str | None) -> tuple[str, bool]:
    """Return what failures of one kind have in common, and whether it is a class.

    Args:
        status: a lost task has no reason of its own: its message is what was looked at.
        message: the one-line reason.
    """
    if status == Status.LOST:
        return "", False
    message = (message or "").strip()
    if match := _CLASS.match(message):
        return match[1], True
    words = " ".join(_OWN.split(message, maxsplit=1)[0].split()[:_MOST_WORDS])
    # A reason that begins with what is its own shares nothing but its beginning.
    return (words or message)[:_MOST_LETTERS].strip(), False
