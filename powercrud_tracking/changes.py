"""What a page that is open somewhere asks every few seconds, and whether it has to be told."""

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag

from powercrud_tracking.models import AsyncTaskRecordQuerySet, find_key
from powercrud_tracking.paging import SIZE
from powercrud_tracking.records import Record

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


def get_token(records: Iterable[Record], *parts: Any) -> str:
    """Return a short text that changes when a page has to be told something.

    Args:
        records: the tasks that it asks about.
        parts: what else it shows.
    """
    shown = [(r.pk, r.status, r.updated_at, r.progress_text, r.message) for r in records]
    is_moving = any(record.is_open for record in records)
    period = int(time.time() / (SECONDS_OF_TIMES if is_moving else SECONDS_OF_COUNTS))
    return hashlib.sha256(repr((shown, period, parts)).encode()).hexdigest()[:20]


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
