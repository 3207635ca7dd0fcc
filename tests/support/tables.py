from contextlib import contextmanager

from django.db import connections, router


@contextmanager
def renamed_table(model):
    """Take the table of a model away, as if it had not been migrated."""
    using = connections[router.db_for_write(model)]
    table = model._meta.db_table
    with using.schema_editor() as editor:
        editor.alter_db_table(model, table, "gone")
    try:
        yield
    finally:
        with using.schema_editor() as editor:
            editor.alter_db_table(model, "gone", table)
