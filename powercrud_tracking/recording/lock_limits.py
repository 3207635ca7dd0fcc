"""How long a write of this package may wait for a lock that somebody else holds.

django-q2 sends its signals in the worker and the monitor, where a receiver that blocks stops
every other task, and no timeout ends it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import Error, connections

from powercrud_tracking.recording.savepoints import is_in_transaction

SECONDS = 1.0
"""How long each write in a receiver, a hook or a reconcile may wait for a lock."""


@contextmanager
def limit_waiting(using: str, seconds: float = SECONDS) -> Iterator[None]:
    """Let each statement inside wait for a lock no longer than so many seconds.

    Not inside a transaction: there the lock, and with it the wait, is the caller's affair, and
    on PostgreSQL a limit that was set in a savepoint would stay with the caller's transaction.

    Args:
        using: the alias of the database.
        seconds: MySQL and MariaDB take whole seconds only.
    """
    connection = connections[using]
    dialect = _DIALECTS.get(connection.vendor)
    if dialect is None or is_in_transaction(connection):
        yield
        return
    exchange, restore = dialect
    try:
        with connection.cursor() as cursor:
            before = exchange(cursor, seconds)
    except Error:
        # A database that does not answer lets nobody wait for a lock either.
        yield
        return
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:
            restore(cursor, before)


def _exchange_postgresql(cursor: Any, seconds: float) -> Any:
    # In the order of the list: the old value is read before the new one is set. 0 would mean
    # to wait for ever.
    cursor.execute(
        "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, false)",
        [f"{max(1, int(seconds * 1000))}ms"],
    )
    return cursor.fetchone()[0]


def _restore_postgresql(cursor: Any, before: Any) -> None:
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def _exchange_mysql(cursor: Any, seconds: float) -> Any:
    # Whole seconds, and MySQL takes no 0.
    cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
    before = cursor.fetchone()[0]
    cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [max(1, int(seconds))])
    return before


def _restore_mysql(cursor: Any, before: Any) -> None:
    cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])


def _exchange_sqlite(cursor: Any, seconds: float) -> Any:
    cursor.execute("PRAGMA busy_timeout")
    before = cursor.fetchone()[0]
    cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    return before


def _restore_sqlite(cursor: Any, before: Any) -> None:
    cursor.execute(f"PRAGMA busy_timeout = {int(before)}")


_DIALECTS = {
    "postgresql": (_exchange_postgresql, _restore_postgresql),
    "mysql": (_exchange_mysql, _restore_mysql),
    "sqlite": (_exchange_sqlite, _restore_sqlite),
}
"""By vendor; MariaDB calls itself MySQL. On another database the wait is its own."""
