"""Statements of ours inside a transaction of somebody else's."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open: an ``atomic()`` block, or one by hand."""
    return connection.in_atomic_block or not connection.get_autocommit()


@contextmanager
def savepoint(using: str) -> Iterator[None]:
    """Let an error inside leave a transaction around it whole.

    Outside of one a single statement is atomic by itself, and costs no more.

    Args:
        using: the alias of the database.
    """
    if is_in_transaction(connections[using]):
        with transaction.atomic(using=using):
            yield
    else:
        yield
