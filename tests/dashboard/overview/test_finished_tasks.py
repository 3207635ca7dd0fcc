from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from powercrud_tracking.dashboard.overview import finished_tasks
from powercrud_tracking.dashboard.overview.finished_tasks import read_finished_tasks
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.reading import get_rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rows():
    now = timezone.now()
    for number in range(4):
        for status in ("pending", "in_progress", "success", "failed", "lost"):
            AsyncTaskRecord.objects.create(
                task_name=f"{status}-{number}",
                status=status,
                message=f"{status}-{number}",
                created_at=now - timedelta(minutes=number),
            )
    return get_rows()


class TestReadFinishedTasks:
    def test_finished_tasks_are_read_in_one_query(self, rows, django_assert_num_queries):
        with django_assert_num_queries(1, connection=connections[rows.db]):
            found = read_finished_tasks(rows)

        assert len(found) == 12

    def test_the_newest_tasks_of_each_final_status_are_read(self, rows, monkeypatch):
        monkeypatch.setattr(finished_tasks, "LIMIT", 2)

        found = {each.message for each in read_finished_tasks(rows)}

        assert found == {
            f"{status}-{n}" for status in ("success", "failed", "lost") for n in (0, 1)
        }

    def test_the_newest_finished_tasks_come_first(self, rows):
        times = [each.created_at for each in read_finished_tasks(rows)]

        assert times == sorted(times, reverse=True)

    def test_tasks_outside_the_given_rows_are_not_read(self, rows):
        found = read_finished_tasks(rows.queued_since(timezone.now() - timedelta(seconds=30)))

        assert {each.message for each in found} == {"success-0", "failed-0", "lost-0"}
