import pytest
from django.core.management import call_command
from django.db import connections, router
from django.utils import timezone

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord

COLUMNS_OF_POWERCRUD = {
    "task_name": "a-task",
    "status": "pending",
    "message": "",
    "progress_payload": "",
    "user_label": "",
    "affected_objects": "",
    "task_kwargs": None,
    "task_args": None,
    "result_payload": None,
    "cleaned_up": False,
    "created_at": None,
    "updated_at": None,
    "completed_at": None,
    "failed_at": None,
}
"""The columns that a process knows which still records with PowerCRUD's tracker."""


@pytest.mark.django_db
def test_models_and_migrations_say_the_same(capsys):
    call_command("makemigrations", "powercrud_tracking", check=True, dry_run=True)

    assert capsys.readouterr().out == "No changes detected in app 'powercrud_tracking'\n"


@pytest.mark.django_db
@pytest.mark.parametrize("model", [AsyncTaskRecord, AsyncTaskAttempt])
def test_the_migrated_table_has_the_columns_of_the_model(model):
    connection = connections[router.db_for_write(model)]

    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, model._meta.db_table)

    assert {column.name for column in columns} == {
        field.column for field in model._meta.concrete_fields
    }


@pytest.mark.parametrize("model", [AsyncTaskRecord, AsyncTaskAttempt])
def test_no_table_has_a_foreign_key(model):
    assert [field.name for field in model._meta.concrete_fields if field.is_relation] == []


@pytest.mark.django_db
def test_a_process_that_knows_only_powercruds_columns_can_insert_into_the_migrated_table():
    meta = AsyncTaskRecord._meta
    connection = connections[router.db_for_write(AsyncTaskRecord)]
    now = timezone.now()
    row = {**COLUMNS_OF_POWERCRUD, "created_at": now, "updated_at": now}
    fields = [meta.get_field(name) for name in row]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    values = [field.get_db_prep_save(row[field.name], connection) for field in fields]

    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {connection.ops.quote_name(meta.db_table)} ({columns}) "
            f"VALUES ({', '.join(['%s'] * len(values))})",
            values,
        )

    record = AsyncTaskRecord.objects.get()
    assert (record.attempts, record.func, record.worker, record.launched_by_id) == (0, "", "", "")
