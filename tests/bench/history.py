"""Histories of tasks, each in a database of its own and written by one SQL statement."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone

DAYS = 30
OPEN = 20
"""How many tasks are open: the newest. A queue does not grow with the history."""

NOUNS = ("books", "orders", "invoices", "customers", "prices")
VERBS = ("update", "import", "export", "print", "send", "check", "merge", "delete", "copy", "count")
FUNCS = [f"shop.tasks.{verb}_{noun}" for verb in VERBS for noun in NOUNS]
FLAWLESS = FUNCS[1]
"""One that runs often and never fails: hard to search for failures."""
USERS = [f"person{number:03}" for number in range(200)]
EXCEPTIONS = {
    "ValueError": "price must not be negative",
    "TimeoutError": "the warehouse did not answer within 30 seconds",
    "django.db.utils.IntegrityError": "duplicate key value violates a unique constraint",
    "KeyError": "'isbn'",
    "ConnectionRefusedError": "[Errno 111] Connection refused",
    "shop.errors.OutOfPrint": "this book is out of print",
}

# What a row says; $name is a column of the SELECT.
FRAME = '  File "/srv/shop/shop/tasks.py", line 42, in update_books\n    book.save(price)\n'
TRACEBACK = f"Traceback (most recent call last):\n{FRAME * 20}$reason"
OBJECTS = "shop.Book: $many, $half, $g"
ARGS = [["$many", "$half", "$g"], "price", {"reason": "spring sale", "shops": ["Paris", "Kyoto"]}]
KWARGS = {"field": "price", "value": "$many", "note": "as the publisher asked on the telephone"}
RESULT = {"updated": "$many", "skipped": 3, "messages": ["2 books were changed by others"]}

# The fractional parts of the multiples of an irrational number fill an interval evenly and in no
# visible order; each thing that is drawn has an irrational number of its own.
MODULUS = 2_147_483_647
DRAWS = {
    "status": 0.6180339887,
    "func": 0.4142135623,
    "func_too": 0.7320508075,
    "user": 0.2360679774,
    "user_too": 0.6457513110,
    "user_also": 0.3166247903,
    "exception": 0.6055512754,
    "waited": 0.1231056256,
    "ran": 0.3588989435,
    "many": 0.7958315233,
}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What the databases say differently; ``{ago}`` is milliseconds before ``{now}``."""

    numbers: str
    task_name: str
    time: str
    json: str
    # What autovacuum does on PostgreSQL by itself, some time later.
    tidy: str


DIALECTS = {
    "postgresql": Dialect(
        numbers="SELECT g::bigint FROM generate_series(1, {count}) AS series(g)",
        task_name="gen_random_uuid()::text",
        time="'{now}+00'::timestamptz - ({ago}) * interval '1 millisecond'",
        json="({text})::jsonb",
        tidy="VACUUM ANALYZE",
    ),
    "sqlite": Dialect(
        numbers="SELECT 1 UNION ALL SELECT g + 1 FROM numbers WHERE g < {count}",
        task_name="lower(hex(randomblob(16))) || '-0-0'",
        # Six digits of a second, as Django writes times.
        time="strftime('%Y-%m-%d %H:%M:%f', '{now}', (({ago}) / -1e3) || ' seconds') || '001'",
        json="{text}",
        tidy="ANALYZE",
    ),
}


_in_use = "default"


class HistoryRouter:
    """Leads all reads and writes to the database that is in use."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _in_use

    db_for_write = db_for_read


@contextmanager
def use(alias: str) -> Iterator[None]:
    """Use the history in this database until the end of the block."""
    global _in_use
    before, _in_use = _in_use, alias
    try:
        yield
    finally:
        _in_use = before


def write_history(using: str, *, count: int) -> None:
    """Write thirty days of that many tasks into empty tables, and the people who queued them.

    Functions and people are spread unevenly: the first of each is met most often. One task in
    twenty failed and one in a hundred was lost, each with its attempt.
    """
    user_model = get_user_model()
    user_model.objects.using(using).bulk_create(
        user_model(pk=number, username=name, is_superuser=True, is_staff=True)
        for number, name in enumerate(USERS, start=1)
    )
    dialect = DIALECTS[connections[using].vendor]
    with connections[using].cursor() as cursor:
        cursor.execute(_build_records(dialect, count))
        cursor.execute(_build_attempts())
        cursor.execute(dialect.tidy)


def _draw(name: str, size: int) -> str:
    """Return the SQL of a number from 0 to below a size, from the row's number ``g``."""
    return f"(((g * {int(MODULUS * DRAWS[name])}) % {MODULUS}) * {size} / {MODULUS})"


def _write(text: object) -> str:
    """Return the SQL of a text, or of anything else as JSON."""
    quoted = (text if isinstance(text, str) else json.dumps(text)).replace("'", "''")
    return "'" + re.sub(r"\$(\w+)", r"' || \1 || '", quoted) + "'"


def _choose(index: str, texts: Iterable[str]) -> str:
    whens = " ".join(f"WHEN {number} THEN {_write(text)}" for number, text in enumerate(texts))
    return f"CASE {index} {whens} END"


def _build_records(dialect: Dialect, count: int) -> str:
    step = DAYS * 24 * 3600 * 1000 // count
    now = timezone.now().strftime("%Y-%m-%d %H:%M:%S")
    queued, started, ended = (
        dialect.time.format(now=now, ago=ago)
        for ago in ("queued_ago", "queued_ago - waited", "queued_ago - waited - ran")
    )
    func = f"({_draw('func', 50)} * {_draw('func_too', 50)} / 50)"
    failed = json.dumps(TRACEBACK)
    result = (
        f"CASE status WHEN 'success' THEN {_write(RESULT)} WHEN 'failed' THEN {_write(failed)} END"
    )
    # The newest was queued ten minutes ago, so that no time of a row lies in the future.
    return f"""
INSERT INTO powercrud_tracking_asynctaskrecord (
    task_name, status, message, progress_payload, user_label, affected_objects, task_args,
    task_kwargs, result_payload, cleaned_up, created_at, updated_at, started_at, completed_at,
    failed_at, attempts, func, task_group, queue_id, cluster, worker, launched_by_id, extra
)
WITH RECURSIVE
numbers(g) AS ({dialect.numbers.format(count=count)}),
drawn AS (
    SELECT g,
        CASE
            WHEN g > {count - OPEN // 2} THEN 'pending'
            WHEN g > {count - OPEN} THEN 'in_progress'
            WHEN {func} = {FUNCS.index(FLAWLESS)} THEN 'success'
            WHEN {_draw("status", 100)} < 1 THEN 'lost'
            WHEN {_draw("status", 100)} < 6 THEN 'failed'
            ELSE 'success'
        END AS status,
        {func} AS func,
        {_draw("user", 200)} * {_draw("user_too", 200)} * {_draw("user_also", 200)} / 40000
            AS person,
        {_draw("exception", len(EXCEPTIONS))} AS exception,
        600000 + ({count} - g) * {step} AS queued_ago,
        1000 + {_draw("waited", 29_000)} AS waited,
        500 + {_draw("ran", 200_000)} AS ran,
        2 + {_draw("many", 400)} AS many,
        1 + {_draw("many", 200)} AS half
    FROM numbers
),
told AS (
    SELECT drawn.*,
        {_choose("func", FUNCS)} AS func_name,
        {_choose("person", USERS)} AS user_name,
        {_choose("exception", (f"{name}: {text}" for name, text in EXCEPTIONS.items()))} AS reason
    FROM drawn
)
SELECT
    {dialect.task_name},
    status,
    CASE status
        WHEN 'failed' THEN reason
        WHEN 'lost' THEN 'Lost: no activity, its worker is in no live cluster.'
        WHEN 'success' THEN 'Task completed'
        ELSE 'Task queued'
    END,
    CASE status
        WHEN 'pending' THEN ''
        WHEN 'success' THEN {_write("updating: $many/$many")}
        ELSE {_write("updating: $half/$many")}
    END,
    user_name,
    {_write(OBJECTS)},
    {dialect.json.format(text=_write(ARGS))},
    {dialect.json.format(text=_write(KWARGS))},
    {dialect.json.format(text=result)},
    CASE WHEN status IN ('success', 'failed') THEN TRUE ELSE FALSE END,
    {queued},
    CASE status WHEN 'pending' THEN {queued} WHEN 'in_progress' THEN {started} ELSE {ended} END,
    CASE WHEN status <> 'pending' THEN {started} END,
    CASE WHEN status = 'success' THEN {ended} END,
    CASE WHEN status IN ('failed', 'lost') THEN {ended} END,
    CASE WHEN status = 'pending' THEN 0 ELSE 1 END,
    func_name, '', '', 'default',
    CASE WHEN status = 'pending' THEN '' ELSE {_write("worker:$half")} END,
    CAST(person + 1 AS varchar(9)),
    NULL
FROM told"""


def _build_attempts() -> str:
    classes = " ".join(
        f"WHEN {_write(f'{name}: {text}')} THEN {_write(name)}" for name, text in EXCEPTIONS.items()
    )
    return f"""
INSERT INTO powercrud_tracking_asynctaskattempt (
    task_name, number, started_at, ended_at, worker, outcome, exception_class, message, traceback
)
SELECT task_name, 1, started_at, failed_at, worker, status,
    CASE message {classes} ELSE '' END,
    message,
    CASE status WHEN 'failed' THEN {_write(TRACEBACK.replace("reason", "message"))} ELSE '' END
FROM powercrud_tracking_asynctaskrecord WHERE status IN ('failed', 'lost')"""
