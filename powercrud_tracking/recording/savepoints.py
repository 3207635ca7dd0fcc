"""Savepoints that keep a transaction of the caller usable, whatever fails inside."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open: an ``atomic()`` block, or one by hand."""
    return connection.in_atomic_block or (
        connection.connection is not None and not connection.autocommit
    )


def find_open_transactions() -> list[str]:
    """Return the aliases of the databases on which a transaction is open here."""
    return [
        each.alias for each in connections.all(initialized_only=True) if is_in_transaction(each)
    ]


@contextmanager
def savepoint(using: str) -> Iterator[None]:
    """Let an error inside leave an open transaction usable.

    Outside of one a single statement is atomic by itself, and this costs nothing.

    Args:
        using: the alias of the database.
    """
    if is_in_transaction(connections[using]):
        with transaction.atomic(using=using):
            yield
    else:
        yield


@contextmanager
def savepoints(aliases: Iterable[str]) -> Iterator[None]:
    """Set a savepoint in the transactions that are open on these databases.

    Args:
        aliases: what ``find_open_transactions()`` returned.
    """
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(transaction.atomic(using=alias))
        yield
