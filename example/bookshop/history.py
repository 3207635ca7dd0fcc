"""A week of made-up tasks, so that the demo has something to show.

They are random but reproducible: the same hour of the week always has the same tasks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from powercrud_tracking.lifecycle import Action, Outcome, Status
from powercrud_tracking.models import AsyncTaskAction, AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.serialization.bulk_results import (
    describe_bulk_failure,
    describe_bulk_success,
)

MARK = {"demo": True}
"""The ``extra`` of each of these records."""

DAYS = 7
RETRY = timedelta(seconds=45)
WORKERS = ["shop-1:4021", "shop-1:4022", "shop-2:3310", "shop-2:3311"]
AT_NIGHT, IN_THE_EVENING, AT_WORK = 3, 12, 45
"""Tasks an hour, on a working day."""

SITE = "/srv/bookshop/.venv/lib/python3.12/site-packages"
SHOP = "/srv/bookshop"


type People = dict[str, tuple[str, str]]
"""User name to primary key and label."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to fail.

    Args:
        exception: the class, as a traceback names it; empty if PowerCRUD's worker catches it.
        message: of the exception, or PowerCRUD's last progress text.
        frames: file, line, function and code of each frame, outermost first.
        at: the share of the work after which it happens.
    """

    exception: str
    message: str
    frames: Sequence[tuple[str, int, str, str]] = ()
    at: float = 0.4

    @property
    def reason(self) -> str:
        if self.exception:
            return f"{self.exception}: {self.message}"
        return describe_bulk_failure(self.message)

    @property
    def traceback(self) -> str:
        if not self.frames:
            return ""
        lines = ["Traceback (most recent call last):"]
        worker = (f"{SITE}/django_q/worker.py", 109, "worker", 'res = f(*task["args"], **kwargs)')
        for path, line, function, code in [worker, *self.frames]:
            lines += [f'  File "{path}", line {line}, in {function}', f"    {code}"]
        return "\n".join([*lines, f"{self.exception}: {self.message}\n"])

    @property
    def result(self) -> str | bool:
        """The result that django-q2 stores."""
        return f"{self.message} : {self.traceback}" if self.frames else False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A function, how long it takes, and how it fails."""

    func: str
    weight: int
    people: Sequence[str]
    seconds: float
    seconds_an_item: float
    items: tuple[int, int]
    word: str
    noun: str
    objects: str = "{items} {noun}"
    faults: Sequence[Fault] = ()
    fault_rate: float = 0.0


IMPORT = "bookshop.tasks.import_books"
FETCH = "bookshop.tasks.fetch_supplier_prices"
REPORT = "bookshop.tasks.write_nightly_report"
STAFF = ["admin", "mira", "joan", "tomas"]

UNREACHABLE = Fault(
    exception="bookshop.tasks.SupplierUnreachableError",
    message="No answer for page 4 within 5 seconds.",
    frames=[
        (f"{SHOP}/bookshop/tasks.py", 40, "fetch_supplier_prices", "page = read_page(number)"),
        (f"{SITE}/urllib3/connectionpool.py", 466, "_make_request", "self._raise_timeout(err)"),
        (f"{SHOP}/bookshop/supplier.py", 71, "read_page", "raise SupplierUnreachableError(text)"),
    ],
)
DEADLOCK = Fault(
    exception="django.db.utils.OperationalError",
    message="deadlock detected",
    frames=[
        (f"{SHOP}/bookshop/tasks.py", 31, "recalculate_prices", "book.save()"),
        (f"{SITE}/django/db/models/base.py", 902, "save", "self.save_base("),
        (f"{SITE}/django/db/backends/utils.py", 105, "_execute", "return self.cursor.execute(sql)"),
    ],
)
NO_NUMBER = Fault(
    exception="ValueError",
    message="Line 214: the price “free” is not a number.",
    frames=[
        (f"{SHOP}/bookshop/tasks.py", 88, "import_books", "book.price = read_price(row)"),
        (f"{SHOP}/bookshop/rows.py", 19, "read_price", "raise ValueError(problem)"),
    ],
)
NO_TEXT = Fault(
    exception="UnicodeDecodeError",
    message="'utf-8' codec can't decode byte 0xe9 in position 1302: invalid continuation byte",
    frames=[
        (f"{SHOP}/bookshop/tasks.py", 81, "import_books", "for row in csv.reader(lines):"),
        ("/usr/lib/python3.12/codecs.py", 322, "decode", "self._buffer_decode(data, final)"),
    ],
    at=0.1,
)
NO_SPACE = Fault(
    exception="OSError",
    message="[Errno 28] No space left on device: '/srv/bookshop/reports/sales.pdf'",
    frames=[(f"{SHOP}/bookshop/reports.py", 57, "write_nightly_report", "document.save(path)")],
    at=0.9,
)
OUT_OF_PRINT = Fault(
    exception="",
    message=(
        "failed update: [('in_stock', ['“The Hollow Garden” is out of print and cannot be put "
        "in stock.'])]"
    ),
)
PROTECTED = Fault(
    exception="",
    message=(
        "failed delete: [('general', ['Cannot delete some authors: books of theirs are still "
        "listed.'])]"
    ),
)

KINDS = [
    Kind(
        func="powercrud.tasks.bulk_update_task",
        weight=40,
        people=STAFF,
        seconds=0.4,
        seconds_an_item=0.05,
        items=(2, 120),
        word="updating",
        noun="books",
        faults=[OUT_OF_PRINT],
        fault_rate=0.05,
    ),
    Kind(
        func="powercrud.tasks.bulk_delete_task",
        weight=9,
        people=["admin", "mira"],
        seconds=0.3,
        seconds_an_item=0.02,
        items=(2, 6),
        word="deleting",
        noun="authors",
        faults=[PROTECTED],
        fault_rate=0.08,
    ),
    Kind(
        func=IMPORT,
        weight=14,
        people=["mira", "reader"],
        seconds=2,
        seconds_an_item=0.05,
        items=(150, 900),
        word="importing",
        noun="rows",
        objects="delivery of {items} {noun}",
        faults=[NO_NUMBER, NO_NUMBER, NO_TEXT],
        fault_rate=0.07,
    ),
    Kind(
        func="bookshop.tasks.recalculate_prices",
        weight=12,
        people=["admin", "joan"],
        seconds=1,
        seconds_an_item=0.2,
        items=(120, 120),
        word="recalculating",
        noun="books",
        objects="all books",
        faults=[DEADLOCK],
        fault_rate=0.03,
    ),
    Kind(
        func=FETCH,
        weight=18,
        people=[""],
        seconds=1,
        seconds_an_item=0.25,
        items=(10, 30),
        word="fetching",
        noun="pages",
        objects="the supplier's price list",
        faults=[UNREACHABLE],
        fault_rate=0.04,
    ),
    Kind(
        func="bookshop.tasks.export_catalogue",
        weight=7,
        people=["reader", "tomas"],
        seconds=1,
        seconds_an_item=0.05,
        items=(100, 120),
        word="exporting",
        noun="books",
        objects="all books",
    ),
]
NIGHTLY = Kind(
    func=REPORT,
    weight=0,
    people=[""],
    seconds=30,
    seconds_an_item=1.6,
    items=(110, 130),
    word="writing",
    noun="pages",
    objects="sales of the day",
)


@dataclass
class Task:
    """A record and its failed attempts."""

    record: AsyncTaskRecord
    attempts: list[AsyncTaskAttempt]


CANCEL_RATE, RETRY_RATE = 0.02, 0.25
REASONS = ["wrong file", "started twice", "prices are not final", ""]
"""Why people cancel tasks."""


def build_actions(
    records: Sequence[AsyncTaskRecord], now: datetime, people: People
) -> list[AsyncTaskAction]:
    """Cancel some of these tasks and link some failed ones to a later run; return the actions.

    Args:
        records: the tasks of the week, which are changed.
        now: the end of the week.
        people: the users that the kinds name.
    """
    actions = []
    successes = [each for each in records if each.status == Status.SUCCESS]
    taken: set[str] = set()
    for record in records:
        # A seed for each task, so that the rest does not depend on the time of the call.
        random = Random(record.task_name)
        if record.status == Status.SUCCESS and random.random() < CANCEL_RATE:
            if record.task_name not in taken:
                actions.append(_cancel(record, random, people))
                taken.add(record.task_name)
        elif record.status == Status.FAILED and random.random() < RETRY_RATE:
            later = _find_later_run(record, successes, taken)
            if later is not None:
                actions.append(_retry(record, later, people))
                taken.add(later.task_name)
    return [action for action in actions if action.at < now]


def _cancel(record: AsyncTaskRecord, random: Random, people: People) -> AsyncTaskAction:
    key, label = people["admin"]
    reason = random.choice(REASONS)
    started, end = _get_start(record), _get_end(record)
    is_queued = random.random() < 0.4
    at = record.created_at + (started - record.created_at) / 2
    if not is_queued:
        at = started + (end - started) / 2
    record.status = Status.CANCELLED
    record.completed_at, record.result_payload = None, None
    record.message = f"Cancelled by {label}: {reason}" if reason else f"Cancelled by {label}."
    if is_queued:
        record.started_at, record.attempts, record.worker = None, 0, ""
        record.progress_payload, record.cancelled_at = "", at
    else:
        record.cancel_requested_at = at
        record.cancelled_at = min(at + timedelta(seconds=0.3), end)
        record.progress_payload = f"{_get_word(record)}: 1/2"
    record.updated_at = record.cancelled_at
    return AsyncTaskAction(
        task_name=record.task_name,
        action=Action.CANCEL,
        by_id=key,
        by_label=label,
        at=at,
        reason=reason,
        outcome=Outcome.DONE if is_queued else Outcome.REQUESTED,
        message="Cancelled." if is_queued else "The task was asked to stop.",
    )


def _get_word(record: AsyncTaskRecord) -> str:
    return next(kind.word for kind in [*KINDS, NIGHTLY] if kind.func == record.func)


def _find_later_run(
    record: AsyncTaskRecord, successes: Sequence[AsyncTaskRecord], taken: set[str]
) -> AsyncTaskRecord | None:
    """Return the next successful run of the same function, within two hours."""
    ended = _get_end(record)
    for each in successes:
        if (
            each.func == record.func
            and each.status == Status.SUCCESS
            and ended < each.created_at < ended + timedelta(hours=2)
            and each.task_name not in taken
        ):
            return each
    return None


def _retry(record: AsyncTaskRecord, later: AsyncTaskRecord, people: People) -> AsyncTaskAction:
    key, label = people["admin"]
    record.retried_by, later.retry_of = later.task_name, record.task_name
    later.launched_by_id, later.user_label = key, label
    later.task_args, later.affected_objects = record.task_args, record.affected_objects
    return AsyncTaskAction(
        task_name=record.task_name,
        action=Action.RETRY,
        by_id=key,
        by_label=label,
        at=later.created_at,
        outcome=Outcome.DONE,
        message="Queued again as a new task.",
        new_task_name=later.task_name,
    )


def build_history(
    now: datetime, people: People
) -> tuple[list[AsyncTaskRecord], list[AsyncTaskAttempt]]:
    """Return the records of a week, all finished before now, and their failed attempts.

    Args:
        now: the end of the week.
        people: the users that the kinds name; ``""`` is nobody.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [hour - timedelta(hours=back) for back in reversed(range(DAYS * 24 + 1))]
    days = sorted({each.date() for each in hours})
    tasks = [
        task
        for each in hours
        for task in _build_hour(each, days_ago=(days[-1] - each.date()).days, people=people)
        if _get_end(task.record) < now and task.record.created_at > now - timedelta(days=DAYS)
    ]
    records = [task.record for task in tasks]
    return records, [attempt for task in tasks for attempt in task.attempts]


def _get_end(record: AsyncTaskRecord) -> datetime:
    end = record.completed_at or record.failed_at
    assert end is not None, "every task has ended"
    return end


def _get_start(record: AsyncTaskRecord) -> datetime:
    assert record.started_at is not None, "every task was started"
    return record.started_at


def _build_hour(hour: datetime, *, days_ago: int, people: People) -> Iterator[Task]:
    # A seed for each hour of the week, so that an hour does not depend on the time of the call.
    random = Random(f"{days_ago} {hour.hour}")
    times = sorted(random.uniform(0, 3600) for _ in range(_count(hour, random)))
    for seconds in times:
        kind = random.choices(KINDS, [kind.weight for kind in KINDS])[0]
        at = hour + timedelta(seconds=seconds)
        yield _build_task(kind, at, days_ago=days_ago, random=random, people=people)
    if hour.hour == 2:
        at = hour + timedelta(minutes=15)
        yield _build_task(NIGHTLY, at, days_ago=days_ago, random=random, people=people)


def _count(hour: datetime, random: Random) -> int:
    if 8 <= hour.hour < 18:
        rate = AT_WORK - 12 * (hour.hour == 12)
    else:
        rate = IN_THE_EVENING if 6 <= hour.hour < 22 else AT_NIGHT
    weekend = 0.4 if hour.weekday() >= 5 else 1
    return max(1, round(random.gauss(rate * weekend, rate / 6)))


def _build_task(kind: Kind, at: datetime, *, days_ago: int, random: Random, people: People) -> Task:
    person = random.choice(kind.people)
    key, label = people[person]
    items = random.randint(*kind.items)
    cost = (kind.seconds + items * kind.seconds_an_item) * random.lognormvariate(0, 0.35)
    waited = random.lognormvariate(-0.9, 0.8) * (4 if 9 <= at.hour < 12 else 1)
    started = at + timedelta(seconds=waited)
    # Four days ago no cluster was running for 35 minutes.
    if days_ago == 4 and at.hour == 15 and at.minute < 35:
        started = at.replace(minute=35, second=0) + timedelta(seconds=random.uniform(1, 240))
    record = AsyncTaskRecord(
        task_name=str(UUID(int=random.getrandbits(128), version=4)),
        func=kind.func,
        user_label=label,
        launched_by_id=key,
        affected_objects=kind.objects.format(items=items, noun=kind.noun),
        task_args=_get_args(kind, items),
        task_kwargs={},
        queue_id=f"{random.getrandbits(128):032x}",
        worker=random.choice(WORKERS),
        created_at=at,
        started_at=started,
        attempts=1,
        cleaned_up=True,
        extra=MARK,
    )
    task = Task(record, [])
    _end(task, kind, items=items, cost=cost, days_ago=days_ago, random=random)
    record.updated_at = _get_end(record)
    return task


def _get_args(kind: Kind, items: int) -> list[Any]:
    if not kind.func.startswith("powercrud."):
        return [f"deliveries/{items}.csv"] if kind.func == IMPORT else []
    return [f"bookshop.{kind.noun.title()[:-1]}", list(range(1, items + 1))]


def _end(task: Task, kind: Kind, *, items: int, cost: float, days_ago: int, random: Random) -> None:
    record = task.record
    # Yesterday a worker was killed.
    if days_ago == 1 and record.created_at.hour == 11 and 20 <= record.created_at.minute < 24:
        return _lose(task, kind, items)
    fault = _find_fault(kind, record.created_at, days_ago=days_ago, random=random)
    attempts = 2 if fault is not None and fault.frames else 1
    heals = attempts == 2 and random.random() < 0.45
    for number in range(1, attempts + 1):
        record.attempts = number
        if number == 2:
            again = RETRY + timedelta(seconds=random.uniform(0, 2))
            record.started_at = _get_start(record) + again
        if fault is None or (number == 2 and heals):
            return _succeed(record, kind, items, cost)
        _fail(task, fault, kind, items, cost)
    return None


def _find_fault(kind: Kind, at: datetime, *, days_ago: int, random: Random) -> Fault | None:
    chance = random.random()
    # Two days ago the supplier's server was down for three hours; three days ago a disk was full.
    if kind.func == FETCH and days_ago == 2 and 10 <= at.hour < 13:
        return UNREACHABLE
    if kind is NIGHTLY and days_ago == 3:
        return NO_SPACE
    return random.choice(kind.faults) if chance < kind.fault_rate else None


def _succeed(record: AsyncTaskRecord, kind: Kind, items: int, cost: float) -> None:
    record.status = Status.SUCCESS
    record.completed_at = _get_start(record) + timedelta(seconds=cost)
    record.failed_at = None
    is_bulk = kind.func.startswith("powercrud.")
    record.result_payload = is_bulk or {kind.noun: items}
    done = f"completed {record.func.split('_')[1]}: {items} processed"
    record.progress_payload = done if is_bulk else f"{kind.word}: {items}/{items}"
    record.message = describe_bulk_success(record.progress_payload) or "Task completed successfully"


def _fail(task: Task, fault: Fault, kind: Kind, items: int, cost: float) -> None:
    record = task.record
    record.status = Status.FAILED
    record.failed_at = _get_start(record) + timedelta(seconds=max(0.2, cost * fault.at))
    record.message = fault.reason
    record.result_payload = fault.result
    far = f"{kind.word}: {max(1, int(items * fault.at))}/{items}"
    record.progress_payload = far if fault.frames else fault.message
    _add_attempt(task, Status.FAILED, fault.exception, fault.traceback)


def _lose(task: Task, kind: Kind, items: int) -> None:
    record = task.record
    record.status = Status.LOST
    record.failed_at = _get_start(record) + timedelta(minutes=6)
    record.message = (
        "Lost: no activity, django-q2 has no result, it is not in the queue, its worker "
        f"{record.worker} is in no live cluster, 2 live clusters checked."
    )
    record.cleaned_up = False
    record.progress_payload = f"{kind.word}: {max(1, items // 3)}/{items}"
    _add_attempt(task, Status.LOST, "", "")


def _add_attempt(task: Task, outcome: Status, exception: str, traceback: str) -> None:
    record = task.record
    task.attempts.append(
        AsyncTaskAttempt(
            task_name=record.task_name,
            number=record.attempts,
            started_at=record.started_at,
            ended_at=_get_end(record),
            worker=record.worker,
            outcome=outcome,
            exception_class=exception,
            message=record.message,
            traceback=traceback,
        )
    )
