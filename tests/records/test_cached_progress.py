"""Progress that PowerCRUD's cache has of an open task, on the pages and in the poll."""

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe

from powercrud_tracking.factory import DashboardManager, get_manager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.cached_progress import find_cached_progress

pytestmark = pytest.mark.django_db

NAME = "nightly"
PATHS = ["/tasks/", f"/tasks/{NAME}/", "/tasks/mine/", "poll"]


@pytest.fixture
def show(client, auditor):
    def show(path, progress, has_row=True):
        manager = DashboardManager()
        manager.cache.set(f"{manager.progress_prefix}{NAME}", progress)
        if has_row:
            AsyncTaskRecord.objects.create(
                task_name=NAME,
                status="in_progress",
                created_at=timezone.now(),
                launched_by_id=str(auditor.pk),
            )
        client.force_login(auditor)
        if path == "poll":
            path = f"{reverse('powercrud:async_progress')}?task_name={NAME}"
        return client.get(path).text

    return show


@pytest.mark.parametrize("path", PATHS)
def test_markup_that_is_marked_as_safe_is_shown_as_text(show, path):
    assert "<b>" not in show(path, mark_safe("<b>half</b>"))


@pytest.mark.parametrize("path", PATHS)
def test_long_progress_is_cut(show, path):
    assert len(show(path, "x" * 1_000_000)) < 100_000


@pytest.mark.parametrize("path", PATHS)
def test_secrets_in_progress_are_masked(show, path):
    shown = show(path, "password=hunter2")

    assert "hunter2" not in shown
    assert "********" in shown


def test_the_poll_of_a_task_without_a_row_cuts_long_progress(show):
    assert len(show("poll", "x" * 1_000_000, has_row=False)) < 100_000


@pytest.mark.parametrize(
    ("value", "progress"),
    [
        (None, None),
        ("pending", ""),
        ("3/10", "3/10"),
        (mark_safe("<b>half</b>"), "<b>half</b>"),
        ({"done": 3, "token": "hunter2"}, '{"done": 3, "token": "********"}'),
    ],
    ids=["unknown", "queued", "text", "markup", "dict"],
)
def test_a_single_task_s_progress_is_plain_text(value, progress):
    manager = DashboardManager()
    if value is not None:
        manager.cache.set(f"{manager.progress_prefix}{NAME}", value)

    found = find_cached_progress(NAME, manager)

    assert found == progress
    assert type(found) in {str, type(None)}


def test_the_last_progress_of_an_ended_task_is_plain_and_bounded():
    manager = get_manager(payload_limit=1000)
    manager.cache.set(f"{manager.progress_prefix}{NAME}", mark_safe("<b>" + "x" * 5_000_000))

    found = manager.find_cached_progress(NAME)

    assert type(found) is str
    assert len(found) <= 1000
