"""Every page of ours, wide and narrow, light and dark: nothing shuts out, nothing sticks out."""

import pytest

from tests.browser import LOOKS, PAGES

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(visit, name, look):
    visitor = visit("admin", look)

    PAGES[name](visitor.page)

    assert visitor.find_barriers() == []
    assert visitor.get_overflow() == 0
