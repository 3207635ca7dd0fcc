"""The ends of the calendar, which some time zones do not have."""

from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.urls import reverse

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records.pagination import SIZE

pytestmark = pytest.mark.django_db

ZONE = UTC if settings.USE_TZ else None
FIRST = datetime(1, 1, 1, tzinfo=ZONE)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=ZONE)
LIST = reverse("powercrud_tracking:list")

everywhere = pytest.mark.parametrize(
    ("at", "zone"),
    [(FIRST, "America/Los_Angeles"), (LAST, "Asia/Tokyo")],
    ids=["west of UTC", "east of UTC"],
)


@everywhere
@pytest.mark.parametrize("status", ["pending", "in_progress", "success", "failed", "lost"])
@pytest.mark.parametrize("page", ["list", "overview", "mine", "detail"])
def test_each_page_shows_tasks_at_the_ends_of_the_calendar(
    admin_client, admin_user, settings, at, zone, status, page
):
    settings.TIME_ZONE = zone
    AsyncTaskRecord.objects.create(
        task_name="a",
        func="shop.sort",
        status=status,
        launched_by_id=str(admin_user.pk),
        created_at=at,
        started_at=at,
        completed_at=at,
        failed_at=at,
    )
    AsyncTaskAttempt.objects.create(
        task_name="a", number=1, outcome="failed", started_at=at, ended_at=at
    )
    url = reverse(f"powercrud_tracking:{page}", args=["a"] if page == "detail" else [])

    assert admin_client.get(url).status_code == 200


@everywhere
@pytest.mark.parametrize("parameter", ["queued_from", "queued_to"])
def test_a_filter_accepts_times_at_the_ends_of_the_calendar(
    admin_client, settings, at, zone, parameter
):
    settings.TIME_ZONE = zone
    asked = {parameter: f"{at.year:04}-{at:%m-%dT%H:%M}"}

    assert admin_client.get(LIST, asked).status_code == 200


@everywhere
def test_pagination_continues_past_tasks_at_the_ends_of_the_calendar(
    admin_client, settings, at, zone
):
    settings.TIME_ZONE = zone
    AsyncTaskRecord.objects.bulk_create(
        AsyncTaskRecord(task_name=f"{n:02}", created_at=at) for n in range(SIZE + 2)
    )
    older = admin_client.get(LIST).context["older"]

    records = admin_client.get(f"{LIST}?{older}").context["records"]

    assert [record.task_name for record in records] == ["01", "00"]
