"""Marks with a reason."""

import pytest

uses_worker = pytest.mark.django_db(transaction=True)
"""django-q2's worker closes the connections it finds, and with them a test's transaction."""
