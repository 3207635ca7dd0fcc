"""A truthful record of every PowerCRUD background task."""

__version__ = "0.1.0"
