"""Track PowerCRUD background tasks in the database."""

__version__ = "0.1.0"
