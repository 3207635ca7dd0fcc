import inspect

import pytest
from django_q import tasks
from django_q.brokers import get_broker
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ
from django_q.signals import post_execute_in_worker, pre_execute
from django_q.signing import SignedPackage

from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording import launches
from powercrud_tracking.recording.launches import (
    Launch,
    find_launch,
    find_launching_manager,
    take_task_name,
)
from tests.project.models import Widget
from tests.project.tasks import add
from tests.support.rows import NAME


def make_wrapped(cause):
    """Return what PowerCRUD raises where a task raised ``cause``."""
    try:
        try:
            raise cause
        except type(cause) as exc:
            raise Exception(f"Failed to enqueue async task: {exc}")  # noqa: B904
    except Exception as wrapped:  # noqa: BLE001
        return wrapped


def make_timeout():
    """Return a timeout that struck while another error was being handled."""
    try:
        try:
            raise KeyError("price")
        except KeyError:
            raise TimeoutException("Task exceeded maximum timeout value (1 seconds)")  # noqa: B904
    except TimeoutException as exc:
        return exc


class TestQueueOptions:
    def test_the_queue_options_are_those_that_django_q2_and_powercrud_consume(self):
        source = inspect.getsource(tasks.async_task)
        kept = {name for name in launches.QUEUE_OPTIONS if f'"{name}"' in source}

        assert kept == launches.QUEUE_OPTIONS


@pytest.mark.django_db
class TestCluster:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"cluster": "night"},
            {"cluster": None},
            {"q_options": {"cluster": "night"}},
            {"q_options": {"cluster": "night"}, "cluster": "day"},
        ],
        ids=str,
    )
    def test_the_row_names_the_queue_that_holds_the_task(self, manager, options):
        manager.launch_async_task(add, 1, 2, **options)

        assert AsyncTaskRecord.objects.get().cluster == OrmQ.objects.get().key

    @pytest.mark.parametrize("name", ["broker", "q_options"])
    def test_the_queue_of_a_broker_that_the_caller_passes_is_unknown(self, manager, name):
        broker = get_broker("night")

        manager.launch_async_task(
            add, 1, 2, **{name: broker if name == "broker" else {"broker": broker}}
        )

        assert OrmQ.objects.get().key == "night"
        assert AsyncTaskRecord.objects.get().cluster == ""

    def test_the_worker_names_its_cluster_where_the_launch_could_not(self, manager):
        manager.launch_async_task(add, 1, 2, broker=get_broker("night"))
        package = SignedPackage.loads(OrmQ.objects.get().payload)

        pre_execute.send(sender="test", func=add, task={**package, "cluster": "night"})
        post_execute_in_worker.send(sender="test", func=add, task=package)

        assert AsyncTaskRecord.objects.get().cluster == "night"


class TestTakeTaskName:
    @pytest.mark.parametrize(
        ("task_key", "args", "taken"),
        [
            (None, (), (None, ())),
            (None, (1, "two"), (None, (1, "two"))),
            (None, (1, NAME), (NAME, (1,))),
            (None, (NAME, 1), (None, (NAME, 1))),
            ("mine", (1, NAME), ("mine", (1, NAME))),
        ],
        ids=["nothing", "another string", "a UUID last", "a UUID first", "a name of its own"],
    )
    def test_a_uuid_as_last_argument_is_taken_as_the_name(self, task_key, args, taken):
        assert take_task_name(task_key, args) == taken


class TestUnderWay:
    def test_outside_a_launch_no_launch_is_found(self):
        assert find_launch(NAME) is None
        assert find_launching_manager(NAME) is None

    def test_a_launch_is_found_by_its_own_name_only(self):
        with launches.begin("manager", NAME) as launch:
            found = [find_launch(NAME), find_launch("another"), find_launching_manager(NAME)]

        assert found == [launch, None, "manager"]
        assert find_launch(NAME) is None

    def test_a_nested_launch_hides_the_outer_one_until_it_ends(self):
        with launches.begin("outer", NAME):
            with launches.begin("inner", "another"):
                inside = find_launching_manager(NAME)
            after = find_launching_manager(NAME)

        assert (inside, after) == (None, "outer")

    def test_a_launch_that_raises_is_over(self):
        with pytest.raises(ValueError, match="bad"), launches.begin("manager", NAME):
            raise ValueError("bad")

        assert find_launch(NAME) is None


class TestDescribeFailure:
    def test_the_reason_of_a_task_that_never_started_is_powercruds_message(self):
        message, result = Launch(None, NAME).describe_failure(make_wrapped(ValueError("bad")))

        assert message == "Failed to enqueue async task: bad"
        assert result.startswith("Traceback (most recent call last):\n")

    def test_a_queryset_in_the_exception_of_a_launch_is_not_evaluated(
        self, db, django_assert_num_queries
    ):
        exc = make_wrapped(ValueError("no widgets", Widget.objects.all()))

        with django_assert_num_queries(0):
            message, _ = Launch(None, NAME, is_started=True).describe_failure(exc)

        assert message.startswith('["no widgets", "<QuerySet of project.Widget>"] : Traceback')

    def test_the_reason_of_a_task_that_started_is_what_it_raised(self):
        launch = Launch(None, NAME, is_started=True)

        message, result = launch.describe_failure(make_wrapped(ValueError("bad")))

        assert message == result
        assert result.startswith("bad : Traceback (most recent call last):\n")
        assert result.endswith("ValueError: bad\n")

    def test_the_reason_of_a_timeout_is_the_timeout(self):
        launch = Launch(None, NAME, is_started=True)

        message, _ = launch.describe_failure(make_timeout())

        assert message.startswith("Task exceeded maximum timeout value (1 seconds) : Traceback")
