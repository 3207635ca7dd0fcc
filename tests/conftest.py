"""What most tests start from: a manager as the settings have it, a user, an empty cache."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache

from powercrud_tracking import factory
from powercrud_tracking.recording import outcomes
from tests.settings import IS_SPLIT
from tests.support import browser


def pytest_collection_modifyitems(config, items):
    """Let each test reach all databases where the records live in a second one.

    What needs a package index runs only if it is asked for, with ``-m wheel``. Tests with real
    clusters come first: they take longest, so that several workers end at about the same time.
    """
    for item in items if IS_SPLIT else ():
        marker = item.get_closest_marker("django_db")
        if marker is not None:
            marker.kwargs.setdefault("databases", "__all__")
    if "wheel" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("wheel")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


@pytest.fixture(autouse=True)
def empty_cache():
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def no_end_is_remembered(monkeypatch):
    monkeypatch.setattr(outcomes, "_last_end", None)


@pytest.fixture
def manager():
    return factory.get_manager()


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user("ada", password="ada")


@pytest.fixture
def auditor(db):
    """Somebody who may see the records."""
    auditor = get_user_model().objects.create_user("auditor")
    auditor.user_permissions.add(Permission.objects.get(codename="view_asynctaskrecord"))
    return auditor


@pytest.fixture(scope="session")
def bookshop(tmp_path_factory):
    """The address of the demo, with a web server and a cluster of its own."""
    browser.require_browser()
    with browser.running_bookshop(tmp_path_factory.mktemp("bookshop")) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    # To the end of a file only: while it runs, Django takes this thread for an asynchronous one
    # and refuses it the database.
    browser.require_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.find_chromium())
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def cookies():
    """Of those who have logged in before."""
    return {}


@pytest.fixture
def visit(bookshop, chromium, cookies):
    """Somebody at a browser; at the end nothing may have gone wrong on our pages."""
    visitors = []

    def open_browser(name, look=None):
        visitor = browser.Visitor(chromium, bookshop, cookies=cookies.get(name), look=look)
        visitors.append(visitor)
        if name not in cookies:
            visitor.log_in(name)
            cookies[name] = visitor.context.storage_state()
        return visitor

    open_browser.bookshop = bookshop
    yield open_browser
    for visitor in visitors:
        visitor.close()
    assert [problem for visitor in visitors for problem in visitor.problems] == []
