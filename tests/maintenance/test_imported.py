from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.db import models
from django_q.models import Task

from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance.imported import BackfillMapper, find_best, load_users
from powercrud_tracking.recording.values import ValueBuilder
from powercrud_tracking.records import mapping
from tests.project.models import BespokeRecord, InheritedRecord

AT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC if django_settings.USE_TZ else None)
LATER = AT + timedelta(minutes=5)
NAME = "0c9a4fd6-3a0a-4f0d-9f5b-2f1d2c1b7a10"


class Owner(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "project"
        managed = False

    def __str__(self):
        return self.name


class Kept(models.Model):
    key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=16)
    owner = models.ForeignKey(Owner, models.CASCADE)

    class Meta:
        app_label = "project"
        managed = False


def make_task(**values):
    given = {"name": NAME, "func": "math.floor", "success": True, "started": AT, "stopped": LATER}
    return Task(**given | values)


@pytest.fixture
def mapper():
    fields = mapping.get_record_map(get_config()).fields
    return BackfillMapper(get_config(), ValueBuilder(get_config(), fields))


class TestFindBest:
    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_success_counts_more_and_then_what_came_last(self, reverse):
        tasks = [
            make_task(name="a", id="1", success=True, stopped=AT),
            make_task(name="a", id="2", success=False, stopped=LATER),
            make_task(name="b", id="3", success=False, stopped=AT),
            make_task(name="b", id="4", success=False, stopped=LATER),
        ]

        best = find_best(reversed(tasks) if reverse else tasks)

        assert {name: task.id for name, task in best.items()} == {"a": "1", "b": "4"}


class TestReadResult:
    def test_the_time_of_its_start_is_not_known(self, mapper):
        past = mapper.read_result(make_task(), {})

        assert past.values["created_at"] == AT
        assert "started_at" not in past.values

    def test_a_result_that_means_failure_is_marked_as_judged(self, mapper):
        task = make_task(func="powercrud.tasks.bulk_delete_task", result=False)

        past = mapper.read_result(task, {}, "failed delete: locked")

        assert (past.values["status"], past.is_judged) == (Status.FAILED, True)
        assert past.values["message"] == "locked. Nothing was changed."

    def test_a_failure_is_not_judged(self, mapper):
        past = mapper.read_result(make_task(success=False, result="bad"), {})

        assert (past.values["status"], past.is_judged) == (Status.FAILED, False)

    @pytest.mark.django_db
    def test_the_users_of_a_batch_cost_one_query(self, user, django_assert_num_queries):
        tasks = [
            make_task(
                func="powercrud.tasks.bulk_delete_task", args=("project.Widget", [1], user.pk)
            )
            for _ in range(5)
        ]

        with django_assert_num_queries(1):
            users = load_users(tasks)

        assert users == {str(user.pk): user}


class TestReadRow:
    def read(self, mapper, row, status, field_map=(), task=None):
        config = DashboardConfig(record_model=row._meta.label, field_map=dict(field_map))
        old = mapping.get_record_map(config)
        return mapper.read_row(row, old, status=status, task=task, users={}).values

    def test_a_success_keeps_no_time_of_a_failed_attempt(self, mapper):
        row = InheritedRecord(task_name=NAME, completed_at=LATER, failed_at=AT)

        values = self.read(mapper, row, Status.SUCCESS)

        assert values["completed_at"] == LATER
        assert "failed_at" not in values

    def test_an_open_row_has_no_end(self, mapper):
        row = InheritedRecord(task_name=NAME, failed_at=AT, created_at=AT, updated_at=LATER)

        values = self.read(mapper, row, Status.IN_PROGRESS)

        assert not values.keys() & {"completed_at", "failed_at"}
        assert (values["created_at"], values["updated_at"]) == (AT, LATER)

    def test_a_date_is_its_midnight(self, mapper):
        names = {"task_name": "key", "status": "state", "created_at": "touched_on"}
        row = BespokeRecord(key=NAME, touched_on=AT.date())

        values = self.read(mapper, row, Status.SUCCESS, names)

        assert values["created_at"].date() == AT.date()

    def test_the_success_of_another_run_is_no_failure_though_the_last_result_is(self, mapper):
        row = InheritedRecord(task_name=NAME, completed_at=AT, message="well")

        values = self.read(mapper, row, Status.SUCCESS, task=make_task(success=False, result="bad"))

        assert (values["status"], values["message"]) == (Status.SUCCESS, "well")
        assert "failed_at" not in values

    def test_a_number_that_is_none_is_not_guessed(self, mapper):
        names = {"task_name": "key", "status": "state", "attempts": "note", "cleaned": "payload"}
        row = BespokeRecord(key=NAME, note="many", payload="yes")

        values = self.read(mapper, row, Status.SUCCESS, names)

        assert not values.keys() & {"attempts", "cleaned"}

    def test_who_is_no_user_has_a_name_and_no_key(self, mapper):
        names = {"task_name": "key", "status": "state", "user": "owner"}
        row = Kept(key=NAME, owner=Owner(pk=7, name="the night shift"))

        values = self.read(mapper, row, Status.SUCCESS, names)

        assert values["user"] == "the night shift"
        assert "launched_by_id" not in values

    def test_text_that_python_warns_of_is_read_in_peace(self, mapper):
        row = InheritedRecord(task_name=NAME)
        names = {"kwargs": "message"}
        row.message = r"{'pattern': '\d', 'token': 'abc'}"

        values = self.read(mapper, row, Status.SUCCESS, names)

        assert values["kwargs"] == {"pattern": "\\d", "token": "********"}
