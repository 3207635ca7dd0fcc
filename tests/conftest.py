"""What most tests start from: a manager as the settings have it, a user, an empty cache."""

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache

from powercrud_tracking import factory
from tests.settings import IS_SPLIT


def pytest_collection_modifyitems(config, items):
    """Let each test reach all databases where the records live in a second one.

    What needs a package index runs only if it is asked for, with ``-m wheel``.
    """
    for item in items if IS_SPLIT else ():
        marker = item.get_closest_marker("django_db")
        if marker is not None:
            marker.kwargs.setdefault("databases", "__all__")
    if "wheel" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("wheel")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def empty_cache():
    yield
    cache.clear()


@pytest.fixture
def manager():
    return factory.get_manager()


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user("ada", password="ada")
