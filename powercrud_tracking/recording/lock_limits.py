"""How long a write of this package may wait for a lock that somebody else holds.

django-q2 sends its signals in the worker and the monitor, where a receiver that blocks stops
every other task, and no timeout ends it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from powercrud_tracking.recording.savepoints import is_in_transaction

MOST_SECONDS = 2.0
"""How long all writes in one receiver or hook together may wait."""

deadline: ContextVar[float | None] = ContextVar("powercrud_tracking_deadline", default=None)
"""Until when writes may wait for locks here; ``None``: as long as the database lets them."""
_held: ContextVar[str | None] = ContextVar("powercrud_tracking_held_limit", default=None)
"""The alias of the database that has been told a limit for all that is written inside."""


@contextmanager
def limit_waiting(seconds: float) -> Iterator[None]:
    """Let all writes inside together wait for locks no longer than so many seconds."""
    token = deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        deadline.reset(token)


@contextmanager
def apply_limit(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Tell the database what is left of the limit, and put its own setting back afterwards.

    Not inside a transaction: there the lock, and with it the wait, is the caller's affair, and
    on PostgreSQL a limit that was set in a savepoint would stay with the caller's transaction.
    """
    until = deadline.get()
    dialect = _DIALECTS.get(connection.vendor)
    is_told = _held.get() == connection.alias
    if until is None or dialect is None or is_told or is_in_transaction(connection):
        yield
        return
    exchange, restore = dialect
    left = max(0.0, until - monotonic())
    with connection.cursor() as cursor:
        before = exchange(cursor, left)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            restore(cursor, before)


@contextmanager
def hold_limit(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    """Tell the database once that each write inside may wait so long: for many of them."""
    with limit_waiting(seconds), apply_limit(connection):
        token = _held.set(connection.alias)
        try:
            yield
        finally:
            _held.reset(token)


def _exchange_postgresql(cursor: Any, left: float) -> Any:
    # In the order of the list: the old value is read before the new one is set. 0 would mean
    # to wait for ever.
    cursor.execute(
        "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, false)",
        [f"{max(1, int(left * 1000))}ms"],
    )
    return cursor.fetchone()[0]


def _restore_postgresql(cursor: Any, before: Any) -> None:
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def _exchange_mysql(cursor: Any, left: float) -> Any:
    # Whole seconds, and MySQL takes no 0.
    cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
    before = cursor.fetchone()[0]
    cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [max(1, int(left))])
    return before


def _restore_mysql(cursor: Any, before: Any) -> None:
    cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])


def _exchange_sqlite(cursor: Any, left: float) -> Any:
    cursor.execute("PRAGMA busy_timeout")
    before = cursor.fetchone()[0]
    cursor.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
    return before


def _restore_sqlite(cursor: Any, before: Any) -> None:
    cursor.execute(f"PRAGMA busy_timeout = {int(before)}")


_DIALECTS = {
    "postgresql": (_exchange_postgresql, _restore_postgresql),
    "mysql": (_exchange_mysql, _restore_mysql),
    "sqlite": (_exchange_sqlite, _restore_sqlite),
}
"""By vendor; MariaDB calls itself MySQL. On another database the wait is its own."""
