"""Recording never breaks the transaction of whoever launches a task, and loses no row by it."""

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections, router, transaction
from django.utils import timezone
from django_q.models import Task

from powercrud_tracking.factory import get_manager
from powercrud_tracking.managers import ModelTrackingAsyncManager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.upkeep import backfill, reconcile
from tests.project.models import Widget

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NAME = "nightly"


def add(a, b, task_key):
    return a + b


def query_in_vain(*args):
    """Run a query that the database refuses, in the database of the caller."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def query_in_vain_and_hide_it(*args):
    """The same, without letting anybody know: PostgreSQL's transaction is unusable all the same."""
    try:
        query_in_vain()
    except DatabaseError:
        return {}
    return {}


class UnprintableWidget(Widget):
    class Meta:
        proxy = True
        app_label = "project"

    def __str__(self):
        query_in_vain()
        return "never"


KEYS = ("FORMAT_USER", "FORMAT_OBJECTS", "FORMAT_PAYLOAD", "CREATE_DEFAULTS")


@pytest.mark.parametrize("function", [query_in_vain, query_in_vain_and_hide_it])
@pytest.mark.parametrize("key", KEYS)
def test_a_failing_query_in_a_function_of_the_project_does_not_break_the_transaction(
    settings, key, function
):
    settings.POWERCRUD_ASYNC_DASHBOARD = {key: f"{__name__}.{function.__name__}"}
    user = get_user_model().objects.create_user("ada")

    with transaction.atomic():
        Widget.objects.create(name="Bolt")
        get_manager().launch_async_task(
            add, 1, 2, task_key=NAME, user=user, affected_objects=["Bolt"]
        )

    assert Widget.objects.get().name == "Bolt"
    row = AsyncTaskRecord.objects.get()
    assert (row.task_name, row.status, row.launched_by_id) == (NAME, "pending", str(user.pk))


def test_a_failing_query_in_the_text_of_an_object_does_not_break_the_transaction():
    with transaction.atomic():
        widget = UnprintableWidget.objects.create(name="Bolt")
        get_manager().launch_async_task(add, 1, 2, task_key=NAME, affected_objects=[widget])

    assert Widget.objects.get().name == "Bolt"
    assert AsyncTaskRecord.objects.get().task_name == NAME


def test_a_failing_query_in_failed_result_does_not_break_the_transaction(settings):
    settings.POWERCRUD_ASYNC_DASHBOARD = {"FAILED_RESULT": f"{__name__}.query_in_vain"}

    with transaction.atomic():
        Widget.objects.create(name="Bolt")
        get_manager().async_task_lifecycle("complete", NAME, result=1)

    assert Widget.objects.get().name == "Bolt"
    assert AsyncTaskRecord.objects.get().status == "success"


@pytest.mark.parametrize("key", ["FORMAT_PAYLOAD", "FAILED_RESULT"])
def test_a_failing_query_while_reconciling_does_not_break_the_transaction(settings, key):
    settings.POWERCRUD_ASYNC_DASHBOARD = {key: f"{__name__}.query_in_vain"}
    now = timezone.now()
    AsyncTaskRecord.objects.create(task_name=NAME, status="in_progress", created_at=now)
    Task.objects.create(
        id="1", name=NAME, func="math.floor", started=now, stopped=now, success=True, result=1
    )

    with transaction.atomic():
        Widget.objects.create(name="Bolt")
        reconcile(older_than=0)

    assert Widget.objects.get().name == "Bolt"
    assert AsyncTaskRecord.objects.get().status == "success"


@pytest.mark.parametrize("in_transaction", [False, True], ids=["outside", "in a transaction"])
def test_create_defaults_of_a_subclass_that_raise_cost_no_row(in_transaction, caplog):
    class ShopManager(ModelTrackingAsyncManager):
        def get_create_defaults(self, task_name, payload):
            raise LookupError("no tenant")

    if in_transaction:
        with transaction.atomic():
            ShopManager().async_task_lifecycle("create", NAME)
    else:
        ShopManager().async_task_lifecycle("create", NAME)

    assert AsyncTaskRecord.objects.get().task_name == NAME
    assert "no tenant" in caplog.text


def test_a_launch_in_a_transaction_costs_one_savepoint(django_assert_num_queries):
    manager = get_manager()
    connection = connections[router.db_for_write(AsyncTaskRecord)]
    # SAVEPOINT, INSERT, RELEASE SAVEPOINT. MariaDB cannot ignore one conflict alone: there the
    # INSERT has a savepoint of its own.
    queries = 3 if connection.features.supports_update_conflicts_with_target else 5

    with (
        transaction.atomic(using=connection.alias),
        django_assert_num_queries(queries, connection=connection),
    ):
        manager.async_task_lifecycle("create", NAME, user="ada", affected_objects=["Bolt"])


@pytest.mark.parametrize("defaults", [[1], {"nope": 1}, {"attempts": "abc"}])
def test_create_defaults_of_a_subclass_that_no_column_takes_cost_no_row(defaults, caplog):
    class ShopManager(ModelTrackingAsyncManager):
        def get_create_defaults(self, task_name, payload):
            return defaults

    ShopManager().async_task_lifecycle("create", NAME)

    assert AsyncTaskRecord.objects.get().task_name == NAME
    assert "cannot be stored" in caplog.text


@pytest.mark.parametrize("key", ["FORMAT_PAYLOAD", "CREATE_DEFAULTS", "FAILED_RESULT"])
@pytest.mark.parametrize("function", [query_in_vain, query_in_vain_and_hide_it])
def test_backfill_in_a_transaction_survives_a_query_that_fails(settings, key, function):
    settings.POWERCRUD_ASYNC_DASHBOARD = {key: f"{__name__}.{function.__name__}"}
    Task.objects.create(
        id="1",
        name=NAME,
        func="math.floor",
        args=(1,),
        started=timezone.now(),
        stopped=timezone.now(),
        success=True,
        result=1,
    )

    with transaction.atomic():
        Widget.objects.create(name="Bolt")
        backfill()

    assert Widget.objects.get().name == "Bolt"
    assert AsyncTaskRecord.objects.get().task_name == NAME
