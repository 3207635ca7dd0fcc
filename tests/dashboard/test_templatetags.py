from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed

import pytest
from django.conf import settings
from django.utils import timezone, translation

from powercrud_tracking.dashboard.formats import build_age, get_label_of_tasks, write_duration
from powercrud_tracking.lifecycle import FINISHED
from powercrud_tracking.templatetags.powercrud_tracking_overview import percent
from powercrud_tracking.templatetags.powercrud_tracking_task import due_date, exact_time

AT = datetime(2026, 1, 2, 3, 4, 5, 67_890, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)


class TestNothing:
    @pytest.mark.parametrize("write", [exact_time, build_age])
    def test_an_unknown_time_is_empty(self, write):
        assert write(None) == ""


class TestExactTime:
    def test_an_exact_time_has_milliseconds(self):
        assert exact_time(NAIVE).endswith(">2026-01-02 03:04:05.067</time>")

    def test_an_exact_time_leaves_out_the_date_of_the_time_before(self):
        assert exact_time(NAIVE, NAIVE).endswith(">03:04:05.067</time>")
        assert ">2026-01-02 " in exact_time(NAIVE, NAIVE - timedelta(days=1))

    @pytest.mark.skipif(not settings.USE_TZ, reason="local times have no zone")
    def test_an_exact_time_is_in_the_active_time_zone(self):
        with timezone.override(fixed(timedelta(hours=5, minutes=30))):
            written = exact_time(AT)

        assert written == (
            '<time datetime="2026-01-02T08:34:05.067890+05:30">2026-01-02 08:34:05.067</time>'
        )


class TestRelativeTime:
    def test_a_relative_time_has_the_exact_time_as_title(self):
        written = build_age(timezone.now() - timedelta(minutes=3, seconds=5))

        assert ">3\xa0minutes ago</time>" in written
        assert " title=" in written


class TestDueDate:
    def test_a_future_due_date_is_a_date(self):
        assert due_date(timezone.now() + timedelta(days=3)).endswith("</time>")

    def test_a_past_due_date_names_the_next_pruning(self):
        written = due_date(timezone.now() - timedelta(days=3))

        assert written.endswith("</time> (the next pruning removes it)")


@pytest.mark.parametrize(
    ("value", "text"), [(2 / 3, "66.7 %"), (0.024, "2.4 %"), (1, "100.0 %"), (0.0004, "0.0 %")]
)
def test_a_share_is_rounded_and_not_cut(value, text):
    assert percent(value) == text


def test_seconds_are_rounded_and_not_cut():
    assert write_duration(2.97) == "3.0 s"


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_a_finished_status_has_a_label_of_its_own_for_several_tasks(status):
    with translation.override("fr"):
        assert get_label_of_tasks(status) != status.label
