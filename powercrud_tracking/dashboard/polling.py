"""What a page that is open somewhere asks every few seconds, and whether it has to be told."""

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
"""How often a page asks."""

SECONDS_OF_TIMES = 15
"""How old the durations of open tasks may get while nothing else changes."""

SECONDS_OF_COUNTS = 60
"""How old the counts may get while nothing on the page changes."""


def get_shown_rows(rows: AsyncTaskRecordQuerySet, keys: Iterable[str]) -> AsyncTaskRecordQuerySet:
    """Return the rows that a page asks about; what is no key of theirs is left out.

    Args:
        rows: those that somebody may see.
        keys: primary keys, as the page had them.
    """
    found = [find_key(rows.model._meta.pk, key) for key in list(keys)[:SIZE]]
    return rows.with_keys(key for key in found if key is not None)


class State(NamedTuple):
    """What of a task has to change before a page is told of it."""

    task_name: str
    status: str | None = None
    updated_at: datetime | None = None
    progress: str | None = None
    message: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


def get_states(rows: AsyncTaskRecordQuerySet) -> list[State]:
    """Return how these tasks stand: a few columns, and no more until a page has to be told."""
    return [State._make(values) for values in rows.get_values(*State._fields)]


def get_token(states: Iterable[State], *parts: Any) -> str:
    """Return a short text that changes when a page has to be told something.

    Args:
        states: of the tasks that it asks about.
        parts: what else it shows.
    """
    states = list(states)
    is_moving = any(state.is_open for state in states)
    period = int(time.time() / (SECONDS_OF_TIMES if is_moving else SECONDS_OF_COUNTS))
    return hashlib.sha256(repr((states, period, parts)).encode()).hexdigest()[:20]


def find_unchanged_response(request: HttpRequest, token: str) -> HttpResponse | None:
    """Return a 304 if the page that asks has this token already, else ``None``."""
    unchanged = get_conditional_response(request, etag=quote_etag(token))
    return None if unchanged is None else add_token(unchanged, token)


def add_token(response: HttpResponse, token: str) -> HttpResponse:
    """Let a page know the token of what it is told, and keep the answer out of caches.

    The token knows neither the person nor the language: a browser that kept the answer would
    give it to the next one who logs in there.
    """
    response["ETag"] = quote_etag(token)
    response["Cache-Control"] = "private, no-store"
    return response
