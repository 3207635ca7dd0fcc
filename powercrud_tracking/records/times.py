"""Times as the fields of a project take them: aware with ``USE_TZ``, else naive."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone


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


def find_time(at: datetime) -> datetime | None:
    """Return a time that somebody typed as the project's fields take it.

    ``None`` if no database and no page could write it: at the ends of the calendar one time
    zone has times that another has not.
    """
    try:
        time = get_time(at)
        for zone in (UTC, timezone.get_current_timezone()):
            time.astimezone(zone)
    except (OverflowError, ValueError):
        return None
    return time
