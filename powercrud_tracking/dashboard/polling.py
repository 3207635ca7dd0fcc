"""Polling: which rows an open page asks about, and whether anything has changed."""

import hashlib
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag

from powercrud_tracking.lifecycle import OPEN
from powercrud_tracking.models import AsyncTaskRecordQuerySet, find_key
from powercrud_tracking.records.pagination import SIZE

SECONDS = 5
"""The polling interval of the list and the task page."""

SECONDS_OF_TIMES = 15
"""The maximum age of the durations of open tasks while nothing else changes."""

SECONDS_OF_COUNTS = 60
"""The maximum age of the counts while nothing on the page changes."""


def get_shown_rows(rows: AsyncTaskRecordQuerySet, keys: Iterable[str]) -> AsyncTaskRecordQuerySet:
    """Return the rows that a page asks about, without invalid keys.

    Args:
        rows: the rows that the user may see.
        keys: primary keys, as text.
    """
    found = [find_key(rows.model._meta.pk, key) for key in list(keys)[:SIZE]]
    return rows.with_keys(key for key in found if key is not None)


class State(NamedTuple):
    """The columns whose change an open page shows."""

    task_name: str
    status: str | None = None
    updated_at: datetime | None = None
    progress: str | None = None
    message: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


def get_states(rows: AsyncTaskRecordQuerySet) -> list[State]:
    """Return the states of these tasks: a few columns; the rest is read only after a change."""
    return [State._make(values) for values in rows.get_values(*State._fields)]


def get_token(states: Iterable[State], *parts: Any) -> str:
    """Return a short text that changes with anything that the page shows.

    Args:
        states: of the tasks that the page asks about.
        parts: what else the page shows.
    """
    states = list(states)
    has_open = any(state.is_open for state in states)
    period = int(time.time() / (SECONDS_OF_TIMES if has_open else SECONDS_OF_COUNTS))
    return hashlib.sha256(repr((states, period, parts)).encode()).hexdigest()[:20]


def find_unchanged_response(request: HttpRequest, token: str) -> HttpResponse | None:
    """Return a 304 if the page has this token already, else ``None``."""
    unchanged = get_conditional_response(request, etag=quote_etag(token))
    return None if unchanged is None else add_token(unchanged, token)


def add_token(response: HttpResponse, token: str) -> HttpResponse:
    """Send the token with the answer, and keep the answer out of caches.

    The token depends neither on the user nor on the language: a browser that cached the answer
    could show it to the next user who logs in there.
    """
    response["ETag"] = quote_etag(token)
    response["Cache-Control"] = "private, no-store"
    return response
