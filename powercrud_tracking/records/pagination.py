"""Keyset pagination: rows that are added or removed meanwhile do not shift the pages."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from powercrud_tracking.lifecycle import ALL, Status
from powercrud_tracking.models import AsyncTaskRecordQuerySet, find_key
from powercrud_tracking.records import reading
from powercrud_tracking.records.reading import Record
from powercrud_tracking.records.times import find_time

SIZE = 50
"""How many tasks a page shows."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of tasks, newest first.

    Args:
        records: the tasks.
        older: the position after which the next page begins, empty if there is none.
        newer: the position before which the previous page ends, empty if there is none.
        top: the position of the first task, empty if there is none.
    """

    records: list[Record]
    older: str = ""
    newer: str = ""
    top: str = ""


def get_page(
    rows: AsyncTaskRecordQuerySet,
    *,
    statuses: Collection[Status] = ALL,
    older: str = "",
    newer: str = "",
) -> Page:
    """Return the page next to a position, or the first page without one.

    Args:
        rows: the rows to page through.
        statuses: only rows with one of these.
        older: show the tasks after this position, which an earlier page returned.
        newer: show the tasks before it.
    """
    if position := _find_position(rows, older):
        found = _read(rows.older_than(*position).newest_first(), statuses)
        if found:
            return _build_page(found[:SIZE], has_older=len(found) > SIZE, has_newer=True)
    elif position := _find_position(rows, newer):
        found = _read(rows.newer_than(*position).oldest_first(), statuses)
        # If they do not fill a page, the first page shows them and more.
        if len(found) > SIZE:
            return _build_page(found[:SIZE][::-1], has_older=True, has_newer=True)
    found = _read(rows.newest_first(), statuses)
    return _build_page(found[:SIZE], has_older=len(found) > SIZE, has_newer=False)


def _read(rows: AsyncTaskRecordQuerySet, statuses: Collection[Status]) -> list[Record]:
    """Return the rows of one page, and one more if there is one."""
    if len(statuses) == 1:
        rows = rows.with_status(statuses)
    elif statuses != ALL:
        rows = rows.first_of_each(statuses, SIZE + 1)
    return reading.read(rows.without_payloads()[: SIZE + 1])


def _build_page(found: list[Record], *, has_older: bool, has_newer: bool) -> Page:
    return Page(
        records=found,
        older=_describe(found[-1]) if has_older else "",
        newer=_describe(found[0]) if has_newer else "",
        top=_describe(found[0]) if found else "",
    )


def count_newer(rows: AsyncTaskRecordQuerySet, top: str) -> int:
    """Return how many rows were added since a page was rendered, at most ``SIZE``.

    Args:
        rows: the rows of all pages.
        top: the position of the first task on the page, empty if there was none.
    """
    position = _find_position(rows, top)
    newer = rows.newer_than(*position) if position else rows
    return len(newer.newest_first().values_list("pk")[:SIZE])


def _describe(record: Record) -> str:
    at = record.created_at
    return f"{record.pk}@{at.isoformat() if at else ''}"


def _find_position(rows: AsyncTaskRecordQuerySet, text: str) -> tuple[datetime | None, Any] | None:
    """Return the time and the key of a position; ``None`` if it is invalid."""
    key, _, at = text.rpartition("@")
    pk = find_key(rows.model._meta.pk, key) if key else None
    if pk is None:
        return None
    if not at:
        return None, pk
    try:
        parsed = parse_datetime(at)
    except ValueError:
        return None
    time = parsed and find_time(parsed)
    return None if time is None else (time, pk)
