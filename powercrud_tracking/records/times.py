"""Times as the project's fields take them: aware with ``USE_TZ``, else naive."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]


def get_time(at: Any) -> datetime:
    """Return a time as the project's fields take it: aware with ``USE_TZ``, else naive.

    Args:
        at: when something happened; now, if that is not known.
    """
    if not isinstance(at, datetime):
        return timezone.now()
    if timezone.is_aware(at) is settings.USE_TZ:
        return at
    return timezone.make_aware(at) if settings.USE_TZ else timezone.make_naive(at)


def find_past(**age: float) -> datetime | None:
    """Return the time of this age; ``None`` if no date expresses it.

    Args:
        **age: as ``timedelta`` takes it.
    """
    try:
        return find_time(timezone.now() - timedelta(**age))
    except OverflowError:
        return None


def find_time(at: datetime) -> datetime | None:
    """Return a time from user input as the project's fields take it.

    ``None`` if no database accepts it: at the ends of the calendar the same moment in UTC may be
    out of range.
    """
    try:
        time = get_time(at)
        if timezone.is_aware(time):
            time.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return time


def get_local(at: datetime) -> datetime:
    """Return a time in the active time zone; unchanged where the calendar of that ends."""
    try:
        local: datetime = template_localtime(at)
    except (OverflowError, ValueError):
        return at
    return local
