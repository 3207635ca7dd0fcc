"""What the pages do by themselves, and what people do with the list, in a real browser."""

import re
from itertools import pairwise

import pytest

from tests.support.browser import SECONDS

pytestmark = pytest.mark.browser

POLL = re.compile(r"[?&]poll=")


def start_task(visitor, label="Export the catalogue"):
    """Queue one of the bookshop's tasks, and return the address of its page."""
    visitor.page.goto("/")
    visitor.page.get_by_role("button", name=label).click()
    visitor.page.wait_for_url("**/tasks/**")
    return visitor.page.url


def wait_for_poll(page, *, status=None):
    """Wait until the page has asked its server and been answered so."""
    with page.expect_response(
        lambda answer: POLL.search(answer.url) and status in (None, answer.status),
        timeout=2 * SECONDS * 1000,
    ) as caught:
        pass
    return caught.value


class TestLive:
    def test_an_open_row_moves_to_its_end_by_itself(self, visit):
        starter, watcher = visit("admin"), visit("admin")
        address = start_task(starter, "Recalculate all prices")
        page = watcher.page
        page.goto("/tasks/")
        row = page.get_by_role("row").filter(
            has=page.locator(f'a[href="{address.removeprefix(visit.bookshop)}"]')
        )
        loads = []
        page.on("load", lambda: loads.append(page.url))

        row.get_by_role("progressbar").wait_for()
        row.filter(has_text="Succeeded").wait_for(timeout=4 * SECONDS * 1000)

        assert loads == []
        assert (
            "Recalculate prices: Succeeded" in page.locator("#tracking-announcement").inner_text()
        )

    def test_new_tasks_are_announced_and_shift_nothing(self, visit):
        starter, watcher = visit("admin"), visit("admin")
        page = watcher.page
        page.goto("/tasks/")
        first = page.locator("tbody tr").first.get_attribute("id")

        start_task(starter)
        news = page.get_by_role("link", name=re.compile("new task"))
        news.wait_for()

        assert page.locator("tbody tr").first.get_attribute("id") == first
        news.click()
        page.wait_for_load_state()
        assert page.locator("tbody tr").first.get_attribute("id") != first

    def test_a_page_that_knows_it_all_is_answered_304(self, visit):
        page = visit("admin").page
        page.goto("/tasks/?status=lost")

        wait_for_poll(page, status=200)

        assert wait_for_poll(page, status=304).status == 304

    def test_it_pauses_in_a_hidden_tab_and_goes_on_when_it_is_seen(self, visit):
        page = visit("admin").page
        page.goto("/tasks/")
        wait_for_poll(page)
        asked = []
        page.on("request", lambda request: POLL.search(request.url) and asked.append(request.url))
        hide = """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }"""

        page.evaluate(hide, True)
        page.wait_for_timeout(12_000)
        while_hidden = len(asked)
        page.evaluate(hide, False)
        page.wait_for_timeout(2_000)

        assert while_hidden == 0
        assert len(asked) == 1

    def test_it_waits_while_a_row_has_the_focus(self, visit):
        page = visit("admin").page
        page.goto("/tasks/")
        wait_for_poll(page)
        asked = []
        page.on("request", lambda request: POLL.search(request.url) and asked.append(request.url))

        page.locator("tbody tr a").first.focus()
        page.wait_for_timeout(12_000)
        while_in_hand = len(asked)
        page.locator("tbody tr a").first.blur()
        wait_for_poll(page)

        assert while_in_hand == 0

    def test_when_the_server_fails_it_says_so_and_asks_less_and_less(self, visit):
        visitor = visit("admin")
        page = visitor.page
        times = []
        page.goto("/tasks/")
        wait_for_poll(page)

        def fail(route):
            times.append(page.evaluate("performance.now()"))
            route.fulfill(status=503, body="")

        page.route(POLL, fail)
        page.get_by_text("Updates paused").wait_for()
        page.wait_for_timeout(33_000)
        page.unroute(POLL)
        wait_for_poll(page, status=200)
        page.locator("#tracking-paused:empty").wait_for(state="attached")
        # A browser puts each of these answers into its console, and so does htmx.
        visitor.problems[:] = [p for p in visitor.problems if "503" not in p]

        pauses = [later - sooner for sooner, later in pairwise(times)]
        assert len(pauses) >= 2
        assert pauses[1] > 1.5 * pauses[0]

    def test_the_page_of_an_open_task_stays_while_nothing_changes(self, visit):
        visitor = visit("admin")
        page = visitor.page
        # Two that keep both workers busy.
        for _ in range(2):
            start_task(visitor, "Recalculate all prices")
        start_task(visitor)
        page.locator("#tracking-task[data-status=pending]").wait_for()

        wait_for_poll(page, status=304)
        page.wait_for_timeout(500)

        assert page.locator("#tracking-task .tracking-status").is_visible()

    def test_who_is_logged_out_meanwhile_is_told_that_updates_are_paused(self, visit):
        visitor = visit("admin")
        page = visitor.page
        page.goto("/tasks/")
        before = page.locator("tbody tr").first.get_attribute("id")
        visitor.context.clear_cookies()

        page.get_by_text("Updates paused").wait_for()

        assert page.locator("tbody tr").first.get_attribute("id") == before
        assert not page.get_by_label("Password").count()

    def test_the_page_of_a_finished_task_asks_nothing(self, visit):
        page = visit("admin").page
        page.goto("/tasks/?status=success")
        page.locator("tbody tr a").first.click()
        asked = []
        page.on("request", lambda request: POLL.search(request.url) and asked.append(request.url))

        page.wait_for_timeout(7_000)

        assert asked == []


class TestList:
    def test_filters_are_in_the_address_and_back_takes_them_away(self, visit):
        page = visit("admin").page
        page.goto("/tasks/")
        total = page.locator("tbody tr").count()

        page.get_by_role("link", name=re.compile("^Failed")).click()
        page.wait_for_url("**/?status=failed")
        page.get_by_label("Search").fill("supplier")
        page.get_by_label("Search").press("Enter")
        page.wait_for_url("**/?status=failed&q=supplier**")
        filtered = page.locator("tbody tr").all_inner_texts()
        page.go_back()
        page.go_back()

        assert filtered
        assert all("supplier" in text.lower() and "Failed" in text for text in filtered)
        assert page.url.endswith("/tasks/")
        assert page.locator("tbody tr").count() == total

    def test_a_filter_is_taken_away_by_one_click(self, visit):
        page = visit("admin").page
        page.goto("/tasks/?q=supplier&status=failed")

        page.get_by_role("link", name="Search: supplier").click()

        page.wait_for_url("**/?status=failed")

    def test_more_filters_are_chosen_from_what_there_is(self, visit):
        page = visit("admin").page
        page.goto("/tasks/")
        page.get_by_text("More filters").click()
        options = page.get_by_label("Function").locator("option").all_inner_texts()

        # The title of a bulk operation says more than its function.
        chosen = next(option for option in options if option.startswith("Recalculate"))
        page.get_by_label("Function").select_option(label=chosen)
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**func=**")

        titles = set(page.locator("tbody tr td a").all_inner_texts())
        assert titles == {chosen.partition(" (")[0]}
        assert page.get_by_label("Function").is_visible()

    def test_older_and_newer_lead_there_and_back(self, visit):
        page = visit("admin").page
        # Of a tab in which nothing new comes while this runs.
        page.goto("/tasks/?status=lost")
        if not page.get_by_role("link", name="Older").count():
            page.goto("/tasks/?status=failed")
        get_ids = "rows => rows.map(row => row.id)"
        first = page.locator("tbody tr").evaluate_all(get_ids)

        page.get_by_role("link", name="Older").click()
        page.wait_for_url("**older=**")
        second = page.locator("tbody tr").evaluate_all(get_ids)
        page.get_by_role("link", name="Newer").click()
        page.wait_for_url(lambda url: "older=" not in url)
        back = page.locator("tbody tr").evaluate_all(get_ids)

        assert not set(first) & set(second)
        assert back == first

    def test_it_is_used_by_keyboard_alone(self, visit):
        visitor = visit("admin")
        page = visitor.page
        page.goto("/tasks/")

        visitor.press_until("Tab", 'a[href="?status=failed"]')
        page.keyboard.press("Enter")
        page.wait_for_url("**/?status=failed")
        visitor.press_until("Tab", "input[name=q]")
        page.keyboard.type("supplier")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=supplier**")
        visitor.press_until("Tab", ".tracking-active a")
        page.keyboard.press("Enter")

        page.wait_for_url("**/?status=failed")


class TestOverview:
    def test_it_has_something_to_show_and_leads_to_the_list(self, visit):
        page = visit("admin").page
        page.goto("/tasks/overview/")
        assert page.get_by_role("heading", name="Tasks per hour").is_visible()

        page.get_by_role("link", name="7 days").click()
        page.wait_for_url("**window=7d")
        page.locator(".tracking-often a").first.click()

        page.wait_for_url("**queued_from=**")
        assert page.locator("tbody tr").count()

    def test_it_is_renewed_by_itself(self, visit):
        page = visit("admin").page
        page.goto("/tasks/overview/")
        before = page.locator(".tracking-overview").element_handle()

        with page.expect_response(
            lambda answer: "/tasks/overview/?window=24h&poll=" in answer.url,
            timeout=2 * SECONDS * 1000,
        ):
            pass
        page.wait_for_timeout(500)

        assert not before.evaluate("element => element.isConnected")
        assert page.get_by_role("heading", name="Tasks per hour").is_visible()

    def test_whoever_is_logged_out_meanwhile_keeps_what_they_read_and_is_told(self, visit):
        page = visit("admin").page
        page.goto("/tasks/overview/")

        page.context.clear_cookies()

        page.get_by_text("you are logged out").wait_for(timeout=4 * SECONDS * 1000)
        assert page.get_by_role("heading", name="Tasks per hour").is_visible()
