"""A record table that has not been migrated: tasks still run, and the log says why, once."""

import logging

from django.db import DatabaseError, connections, models, router

logger = logging.getLogger("powercrud_tracking")

_told: set[str] = set()


def is_known(model: type[models.Model]) -> bool:
    """Return whether an error of the database is only that the table is not there.

    The first time, say so and what to type.
    """
    connection = connections[router.db_for_write(model)]
    if connection.needs_rollback:
        return False
    try:
        if model._meta.db_table in connection.introspection.table_names():
            return False
    except DatabaseError:
        return False
    if model._meta.label not in _told:
        _told.add(model._meta.label)
        logger.error(
            "No task is recorded: the table of %s does not exist. Run: manage.py migrate %s",
            model._meta.label,
            model._meta.app_label,
        )
    return True
