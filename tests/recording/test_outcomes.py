from datetime import timedelta

from powercrud_tracking.lifecycle import Status
from powercrud_tracking.recording import outcomes
from powercrud_tracking.serialization.failures import is_failed_result
from tests.support.rows import AT

BULK = "powercrud.tasks.bulk_update_task"


def judge(result, *, func=BULK, progress=None, found=None, is_failed=is_failed_result):
    return outcomes.judge(
        func,
        result,
        is_failed=is_failed,
        progress=progress,
        find_progress=lambda: found,
        limit=1000,
        redact=None,
    )


class TestJudge:
    def test_a_returned_value_is_a_success(self):
        assert judge(True, func="shop.tasks.sort", progress="1/2") == (Status.SUCCESS, None)

    def test_a_bulk_worker_that_returned_false_failed_for_the_reason_in_its_progress(self):
        status, message = judge(False, progress="failed update: [('price', ['Too low.'])]")

        assert status is Status.FAILED
        assert message.startswith("price: Too low.")

    def test_an_unknown_last_progress_is_read_from_the_row(self):
        status, message = judge(False, found="failed update: [('price', ['Too low.'])]")

        assert status is Status.FAILED
        assert message.startswith("price: Too low.")

    def test_without_progress_the_reason_is_the_result(self):
        assert judge(False) == (Status.FAILED, "The task returned False.")

    def test_a_failed_result_that_raises_gives_way_to_the_built_in_one(self, caplog):
        def explode(func, result):
            raise RuntimeError("no opinion")

        assert judge(False, is_failed=explode)[0] is Status.FAILED
        assert "no opinion" in caplog.text

    def test_a_result_whose_repr_raises_is_described(self):
        class Nameless:
            def __repr__(self):
                raise RuntimeError("no name")

            __str__ = __repr__

        status, message = judge(Nameless(), is_failed=lambda func, result: True)

        assert status is Status.FAILED
        assert message.startswith("The task returned ")

    def test_a_long_result_is_bounded(self):
        _, message = judge("x" * 100_000, is_failed=lambda func, result: True)

        assert len(message.encode()) <= 1000

    def test_a_bulk_success_whose_progress_left_the_cache_is_looked_up(self):
        assert judge(True, found="completed update: 480 processed") == (
            Status.SUCCESS,
            "480 updated",
        )

    def test_a_persistence_backend_of_the_project_may_have_changed_something(self):
        _, message = outcomes.judge(
            BULK,
            False,
            is_failed=is_failed_result,
            progress="failed update: [('price', ['Too low.'])]",
            limit=1000,
            redact=None,
            rolled_back=False,
        )

        assert message == "price: Too low."


class TestRememberEnd:
    def test_the_last_recorded_end_is_remembered(self):
        outcomes.remember_end({"django_q2_task_id": "f" * 32, "timestamp": AT})

        assert outcomes.is_recorded("f" * 32, AT)

    def test_a_later_attempt_of_the_same_task_is_another_end(self):
        outcomes.remember_end({"django_q2_task_id": "f" * 32, "timestamp": AT})

        assert not outcomes.is_recorded("f" * 32, AT + timedelta(seconds=1))

    def test_an_end_that_does_not_come_from_django_q2_is_not_remembered(self):
        outcomes.remember_end({"message": "it never left"})

        assert not outcomes.is_recorded("f" * 32, AT)
