"""Events of many tasks, written together: one call of the database for each shape of event."""

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections, transaction

from powercrud_tracking.lifecycle import Event
from powercrud_tracking.recording.attempts import Ended

logger = logging.getLogger("powercrud_tracking")

_ORDER = {event: number for number, event in enumerate(Event)}


@dataclass(frozen=True, kw_only=True)
class HeldWrite:
    """The write of one event, held back.

    Args:
        event: what happened.
        task_name: whose row it is.
        using: the alias of the database.
        sql: the UPDATE, which is the same for all events of one shape.
        parameters: what is put into it.
        write_alone: writes the event by itself.
        tell: tells of it, once it has been written.
    """

    event: Event
    task_name: str
    using: str
    sql: str
    parameters: list[Any]
    write_alone: Callable[[], Any]
    tell: Callable[[], None]


class Batch:
    """What is held back until all of it is written together."""

    def __init__(self) -> None:
        self._writes: dict[tuple[str, str], list[HeldWrite]] = defaultdict(list)
        self._ended: dict[Hashable, list[Ended]] = defaultdict(list)
        self._keepers: dict[Hashable, Callable[[list[Ended]], None]] = {}

    def hold(self, write: HeldWrite) -> None:
        """Hold a write back."""
        self._writes[write.using, write.sql].append(write)

    def hold_attempt(
        self, ended: Ended, keep: Callable[[list[Ended]], None], key: Hashable
    ) -> None:
        """Hold back an attempt that has ended, until its row says so."""
        self._keepers[key] = keep
        self._ended[key].append(ended)

    def send(self) -> None:
        """Write everything, in the order of a task's life."""
        for writes in sorted(self._writes.values(), key=lambda writes: _ORDER[writes[0].event]):
            if not _write_together(writes):
                _write_alone(writes)
        for key, ended in self._ended.items():
            try:
                self._keepers[key](ended)
            except Exception:
                names = ", ".join(attempt.task_name for attempt in ended)
                logger.exception("Could not keep the attempts of tasks %s.", names)


_current: ContextVar[Batch | None] = ContextVar("powercrud_tracking_batch", default=None)


@contextmanager
def write_together() -> Iterator[None]:
    """Hold back what is written of old rows inside, and write it together at the end.

    The UPDATEs are those that each event has by itself, and as conditional. Where one of them
    is refused or finds no row, each is written by itself, so that it spoils no other.
    """
    batch = Batch()
    token = _current.set(batch)
    try:
        yield
    finally:
        _current.reset(token)
        batch.send()


def find_batch() -> Batch | None:
    """Return the batch in which this code writes, or ``None``."""
    return _current.get()


def keep_attempt(ended: Ended, keep: Callable[[list[Ended]], None], *, key: Hashable) -> None:
    """Keep an attempt that has ended; in a batch, at its end with those of all tasks.

    Args:
        ended: which has ended, why and when.
        keep: what keeps a list of them.
        key: attempts with an equal one are kept by one call.
    """
    batch = find_batch()
    if batch is None:
        keep([ended])
    else:
        batch.hold_attempt(ended, keep, key)


def _write_together(writes: list[HeldWrite]) -> bool:
    """Return whether all of these have been written; otherwise none has."""
    using, sql = writes[0].using, writes[0].sql
    try:
        with transaction.atomic(using=using):
            with connections[using].cursor() as cursor:
                cursor.executemany(sql, [write.parameters for write in writes])
                if cursor.rowcount != len(writes):
                    transaction.set_rollback(True, using=using)
                    return False
            for write in writes:
                write.tell()
    except Error:
        return False
    return True


def _write_alone(writes: list[HeldWrite]) -> None:
    for write in writes:
        try:
            write.write_alone()
        except Exception:
            logger.exception("Could not record %s for task %s.", write.event, write.task_name)
