"""Every page of ours, wide and narrow, light and dark: nothing shuts out, nothing sticks out."""

import pytest

from tests.support.browser import LOOKS, PAGES, Look

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(visit, name, look):
    visitor = visit("admin", look)

    PAGES[name](visitor.page)

    assert visitor.find_barriers() == []
    assert visitor.get_overflow() == 0


@pytest.mark.parametrize("name", ["overview", "list-filtered", "task-failed", "task-lost"])
@pytest.mark.parametrize("language", ["de", "es", "fr", "ja"])
def test_long_words_of_a_language_do_not_make_a_page_wider_than_a_telephone(visit, language, name):
    visitor = visit("admin", Look(width=360, language=language))

    PAGES[name](visitor.page)
    visitor.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    assert visitor.page.locator("html").get_attribute("lang") == language
    assert visitor.get_overflow() == 0
