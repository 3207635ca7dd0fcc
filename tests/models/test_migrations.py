import pytest
from django.core.management import call_command
from django.db import connections, router

from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord


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
