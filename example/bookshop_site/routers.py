"""Which of the two databases holds what."""

from typing import Any

from django.db.models import Model


class CacheRouter:
    """Give the cache table a database of its own.

    PowerCRUD's bulk tasks report progress from inside their transaction. In the same
    database that report would stay invisible to everybody else until the commit.
    """

    label = "django_cache"

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return "cache" if model._meta.app_label == self.label else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "cache") == (app_label == self.label)
