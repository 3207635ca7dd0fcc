"""Detect missing migrations; the log and the pages then show the command to run."""

import logging
from collections.abc import Iterable

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models, router

logger = logging.getLogger("powercrud_tracking")

_logged: set[str] = set()


def is_known(model: type[models.Model]) -> bool:
    """Return whether a database error means that the table of this model does not exist.

    The first time, log it with the command to run.
    """
    if _find_columns(model) != set():
        return False
    if model._meta.label not in _logged:
        _logged.add(model._meta.label)
        logger.error(
            "No task is recorded: the table of %s does not exist. Run: manage.py %s",
            model._meta.label,
            get_migrate_command(model),
        )
    return True


def find_unmigrated(candidates: Iterable[type[models.Model]]) -> type[models.Model] | None:
    """Return the first of these models whose table does not exist or lacks a column."""
    for model in candidates:
        columns = _find_columns(model)
        wanted = {str(field.column).lower() for field in model._meta.local_concrete_fields}
        if columns is not None and not wanted <= columns:
            return model
    return None


def get_migrate_command(model: type[models.Model]) -> str:
    """Return the management command that migrates the app of a model: ``migrate shop``."""
    using = router.db_for_write(model)
    database = "" if using == DEFAULT_DB_ALIAS else f" --database={using}"
    return f"migrate {model._meta.app_label}{database}"


def _find_columns(model: type[models.Model]) -> set[str] | None:
    """Return the columns of a table in lower case, none if it does not exist.

    ``None`` if the database cannot be asked, inside a broken transaction for example.
    """
    connection = connections[router.db_for_write(model)]
    if connection.needs_rollback:
        return None
    table, introspection = model._meta.db_table, connection.introspection
    try:
        with connection.cursor() as cursor:
            if table not in introspection.table_names(cursor):
                return set()
            description = introspection.get_table_description(cursor, table)
    except DatabaseError:
        return None
    return {column.name.lower() for column in description}
