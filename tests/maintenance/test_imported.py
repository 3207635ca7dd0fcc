from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django_q.models import Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance.imported import ImportedTasks
from powercrud_tracking.recording.cancellation import REFUSED
from tests.support.rows import NAME

AT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC if django_settings.USE_TZ else None)
LATER = AT + timedelta(minutes=5)
BULK_DELETE = "powercrud.tasks.bulk_delete_task"


def make_task(**values):
    given = {"name": NAME, "func": "math.floor", "success": True, "started": AT, "stopped": LATER}
    return Task(**given | values)


@pytest.fixture
def imported(manager):
    return ImportedTasks(manager)


class TestResult:
    def test_a_result_has_no_start_time(self, imported):
        facts = imported.read_result(make_task())

        assert facts["created_at"] == AT
        assert "started_at" not in facts

    def test_a_result_that_means_failure_has_the_reason_of_the_last_progress(self, imported):
        facts = imported.read_result(
            make_task(func=BULK_DELETE, result=False), "failed delete: locked"
        )

        assert (facts["status"], facts["failed_at"]) == (Status.FAILED, LATER)
        assert facts["message"] == "locked. Nothing was changed."

    def test_a_delivery_that_was_refused_is_a_cancelled_task(self, imported):
        facts = imported.read_result(make_task(success=False, result=REFUSED))

        assert (facts["status"], facts["message"]) == (Status.CANCELLED, REFUSED)
        assert (facts["cancelled_at"], "failed_at" in facts) == (LATER, False)

    @pytest.mark.django_db
    def test_each_user_costs_one_query(self, imported, user, django_assert_num_queries):
        task = make_task(func=BULK_DELETE, args=("project.Widget", [1], user.pk), result=True)

        with django_assert_num_queries(1):
            rows = [imported.build_row(imported.read_result(task)) for _ in range(5)]

        assert {values["user"] for values, _ in rows} == {user.get_username()}


class TestRow:
    def read(self, imported, kept, status, task=None):
        facts = imported.read_row({"task_name": NAME, **kept}, status, task)
        return imported.build_row(facts)[0]

    def test_a_successful_row_has_no_failed_at(self, imported):
        values = self.read(imported, {"completed_at": LATER, "failed_at": AT}, Status.SUCCESS)

        assert values["completed_at"] == LATER
        assert "failed_at" not in values

    def test_a_cancelled_row_keeps_its_time_and_message_beside_a_refused_delivery(self, imported):
        kept = {"cancelled_at": AT, "message": "Cancelled by ada.", "failed_at": AT}
        task = make_task(success=False, result=REFUSED)

        values = self.read(imported, kept, Status.CANCELLED, task)

        assert (values["status"], values["message"]) == ("cancelled", "Cancelled by ada.")
        assert (values["cancelled_at"], "failed_at" in values) == (AT, False)

    def test_a_cancelled_row_whose_function_finished_is_successful(self, imported):
        kept = {"cancelled_at": AT, "message": "Cancelled by ada."}

        values = self.read(imported, kept, Status.CANCELLED, make_task())

        assert (values["status"], values["completed_at"]) == ("success", LATER)
        assert "cancelled_at" not in values

    def test_an_open_row_has_no_end(self, imported):
        kept = {"failed_at": AT, "completed_at": AT, "created_at": AT, "updated_at": LATER}

        values = self.read(imported, kept, Status.IN_PROGRESS)

        assert not values.keys() & {"completed_at", "failed_at"}
        assert (values["created_at"], values["updated_at"]) == (AT, LATER)

    def test_a_value_that_is_not_a_time_is_ignored(self, imported):
        values = self.read(
            imported, {"created_at": AT.date(), "completed_at": LATER}, Status.SUCCESS
        )

        assert values["created_at"] == LATER

    @pytest.mark.parametrize(
        ("status", "success", "func", "result", "expected"),
        [
            ("pending", True, "math.floor", 3, "success"),
            ("in_progress", False, "math.floor", "bad", "failed"),
            ("lost", False, "math.floor", "bad", "failed"),
            ("lost", True, "math.floor", 3, "success"),
            ("failed", True, "math.floor", 3, "success"),
            ("success", True, BULK_DELETE, False, "failed"),
            ("success", False, "math.floor", "bad", "success"),
        ],
    )
    def test_the_end_of_a_row_is_that_of_its_last_attempt(
        self, imported, status, success, func, result, expected
    ):
        task = make_task(success=success, func=func, result=result)

        values = self.read(imported, {"message": "kept"}, Status(status), task)

        assert values["status"] == expected
        assert (values["message"] == "kept") is (status == expected)

    @pytest.mark.parametrize(("status", "success"), [("success", True), ("failed", False)])
    def test_a_row_with_the_status_of_its_result_keeps_its_message(self, imported, status, success):
        task = make_task(success=success, result="another")
        kept = {"message": "all well", "result": "mine"}

        values = self.read(imported, kept, Status(status), task)

        assert (values["status"], values["message"]) == (status, "all well")
        assert values["result"] == "mine"

    def test_a_successful_row_stays_successful_if_its_result_is_a_failure(self, imported):
        values = self.read(
            imported,
            {"completed_at": AT, "message": "well"},
            Status.SUCCESS,
            make_task(success=False, result="bad"),
        )

        assert (values["status"], values["message"]) == ("success", "well")
        assert (values["completed_at"], "failed_at" in values) == (AT, False)

    def test_a_successful_row_without_a_time_does_not_take_that_of_a_failure(self, imported):
        values = self.read(
            imported, {"created_at": AT}, Status.SUCCESS, make_task(success=False, result="bad")
        )

        assert "completed_at" not in values

    @pytest.mark.django_db
    def test_a_row_with_a_user_key_only_gets_the_label_of_the_user(self, imported, user):
        values = self.read(imported, {"launched_by_id": user.pk}, Status.SUCCESS)

        assert (values["user"], values["launched_by_id"]) == (user.get_username(), str(user.pk))

    @pytest.mark.django_db
    def test_a_stored_user_label_is_kept(self, imported, user):
        values = self.read(imported, {"launched_by_id": user.pk, "user": "A. K."}, Status.SUCCESS)

        assert values["user"] == "A. K."

    def test_format_payload_is_applied_to_imported_payloads(self):
        manager = get_manager(format_payload=lambda value: {"shown": str(value)})

        values = self.read(ImportedTasks(manager), {"args": "[1, 2]"}, Status.SUCCESS)

        assert values["args"] == {"shown": "[1, 2]"}
