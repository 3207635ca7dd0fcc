"""What people do, in a real browser, with a real web server and a real cluster."""

import time

import pytest

from tests.support.browser import SECONDS, open_bulk_form, start_bulk_update

pytestmark = pytest.mark.browser

STATUS = "#tracking-task .tracking-status"


def start_job(page, label):
    """Press a button on the home page, which leads to the task."""
    page.goto("/")
    page.get_by_role("button", name=label).click()
    page.wait_for_url("**/tasks/**")


def reload_until(page, locator, *, seconds=SECONDS):
    """Look at a page again and again until something is there."""
    deadline = time.monotonic() + seconds
    while not locator.count():
        assert time.monotonic() < deadline, f"{page.url} never had {locator}."
        page.wait_for_timeout(500)
        page.reload()


def wait_for_status(page, word, *, seconds=SECONDS):
    """Look at a task's page, which moves by itself, until it says so."""
    page.locator(STATUS).filter(has_text=word).wait_for(timeout=seconds * 1000)


def note_loads(page):
    """Return a list that grows whenever the page is loaded anew."""
    loads = []
    page.on("load", lambda: loads.append(page.url))
    return loads


class TestBulkUpdate:
    def test_one_that_succeeds_is_followed_from_the_modal_to_its_page(self, visit):
        page = visit("admin").page
        # Both workers are busy for a while: PowerCRUD closes the modal when the update is done.
        start_job(page, "Recalculate all prices")
        start_job(page, "Recalculate all prices")

        start_bulk_update(page, ["The Amber Bridge", "The Amber Garden"], "price", "4.50")
        page.get_by_role("link", name="Follow this task").focus()
        for _ in range(3):
            page.wait_for_event("response", lambda answer: "async/progress" in answer.url)
        page.get_by_role("heading", name="Bulk Operation Starting").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url("**/tasks/**")
        loads = note_loads(page)
        wait_for_status(page, "Succeeded", seconds=90)

        assert loads == []
        assert page.get_by_role("heading", name="Update of 2 books").is_visible()
        assert "completed update: 2 processed" in page.locator(".tracking-task").inner_text()

    def test_one_that_fails_shows_its_reason_in_the_modal_and_on_its_page(self, visit):
        page = visit("admin").page
        reason = "“The Amber Atlas” is out of print and cannot be put in stock."

        start_bulk_update(page, ["The Amber Atlas", "The Amber Harbour"], "in_stock", "true")
        page.get_by_role("heading", name="Bulk Operation Failed").wait_for()
        assert reason in page.locator("#progress-display").inner_text()
        page.get_by_role("link", name="Follow this task").click()
        page.wait_for_url("**/tasks/**")

        assert page.locator(STATUS).inner_text() == "Failed"
        assert page.get_by_text(reason).first.is_visible()

    def test_a_view_without_the_mixin_has_the_link_in_its_poll(self, visit):
        page = visit("admin").page

        form = open_bulk_form(page, "/authors/", ["Amara Osei", "Benedikt Lund"])
        form.get_by_role("button", name="Delete All Selected Items").click()
        form.get_by_role("checkbox").last.check()
        form.locator("#confirm-delete-button").click()
        page.get_by_role("heading", name="Bulk Operation Failed").wait_for()
        shown = page.locator("#progress-display")
        assert "Cannot delete" in shown.inner_text()
        shown.get_by_role("link", name="Follow this task").click()
        page.wait_for_url("**/tasks/**")

        assert page.locator(STATUS).inner_text() == "Failed"

    def test_a_running_one_is_followed_to_its_end_without_a_reload(self, visit):
        page = visit("admin").page
        start_job(page, "Recalculate all prices")

        loads = note_loads(page)
        bar = page.locator("#tracking-task").get_by_role("progressbar")
        bar.wait_for()
        seen = {bar.get_attribute("value")}
        wait_for_status(page, "Running")
        while len(seen) < 3:
            page.wait_for_timeout(500)
            seen.add(bar.get_attribute("value"))
        wait_for_status(page, "Succeeded", seconds=3 * SECONDS)

        assert loads == []
        assert (
            page.locator("#tracking-announcement").inner_text() == "Recalculate prices: Succeeded"
        )
        assert page.get_by_text("Arguments and result").is_visible()


class TestFailure:
    def test_a_task_that_raised_shows_its_reason_and_its_traceback(self, visit):
        page = visit("admin").page
        start_job(page, "Print price tags")

        wait_for_status(page, "Failed")

        assert "PrinterError: Out of paper" in page.locator(".tracking-task").inner_text()
        assert "in print_price_tags" in page.locator(".tracking-task").inner_text()

    def test_a_second_attempt_that_succeeds_leaves_the_first_to_be_read(self, visit):
        page = visit("admin").page
        start_job(page, "Fetch the supplier's prices")

        wait_for_status(page, "Failed")
        # django-q2 hands it out again after `retry` seconds, 45 here. The page of a task that has
        # ended asks no more.
        again = page.locator(STATUS).filter(has_text="Succeeded")
        reload_until(page, again, seconds=45 + SECONDS)

        assert "SupplierUnreachableError: No answer" in page.locator(".tracking-task").inner_text()


class TestMyTasks:
    def test_somebody_without_rights_begins_there(self, visit):
        page = visit("reader").page

        page.goto("/show-tasks/")

        assert page.url.endswith("/tasks/mine/")
        assert page.get_by_role("link", name="My tasks").is_visible()
        assert not page.get_by_role("link", name="All tasks").count()

    def test_they_see_what_they_queued_and_can_open_it(self, visit):
        page = visit("reader").page
        start_job(page, "Export the catalogue")
        address = page.url

        page.goto("/tasks/mine/")
        own = page.locator(f'a[href="{address.removeprefix(visit.bookshop)}"]')
        own.click()

        wait_for_status(page, "Succeeded")
        assert page.url == address

    def test_nobody_else_s_tasks_are_theirs(self, visit):
        someone, reader = visit("admin"), visit("reader")
        start_job(someone.page, "Export the catalogue")

        # By request and not by page: a browser puts a refusal into its console.
        answers = [
            reader.context.request.get(address).status
            for address in ["/tasks/", someone.page.url, f"{someone.page.url}x/"]
        ]

        assert answers == [403, 403, 403]


class TestKeyboard:
    def test_the_list_leads_to_a_task_and_its_details_open(self, visit):
        visitor = visit("admin")
        page = visitor.page
        page.goto("/tasks/?status=failed")

        link = visitor.press_until("Tab", "td a")
        title = link.inner_text()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name=title, level=1).wait_for()
        summary = visitor.press_until("Tab", "summary")
        details = summary.locator("xpath=..")
        before = details.get_attribute("open")
        page.keyboard.press("Enter")

        assert (before is None) != (details.get_attribute("open") is None)

    def test_the_bookshop_and_its_tasks_lead_to_each_other(self, visit):
        visitor = visit("admin")
        page = visitor.page
        page.goto("/tasks/")

        visitor.press_until("Tab", 'a[href="/books/"]')
        page.keyboard.press("Enter")
        page.wait_for_url("**/books/")
        visitor.press_until("Tab", 'a[href="/show-tasks/"]')
        page.keyboard.press("Enter")

        page.wait_for_url("**/tasks/**")


class TestPolicy:
    def test_our_pages_allow_nothing_inline(self, visit):
        for path in ["/tasks/", "/tasks/mine/"]:
            policy = visit("admin").context.request.get(path).headers["content-security-policy"]

            assert "default-src 'none'" in policy
            assert "unsafe" not in policy

    def test_what_is_against_it_would_be_noticed(self, visit):
        visitor = visit("admin")
        visitor.page.goto("/tasks/")

        visitor.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))"
        )
        visitor.page.wait_for_timeout(200)
        problems = visitor.problems[:]
        visitor.problems.clear()

        assert any("against the policy: script-src" in problem for problem in problems)
        assert any("console: " in problem for problem in problems)


class TestRecordsInPowerCrud:
    def test_its_own_list_filters_our_records_and_changes_none(self, visit):
        page = visit("admin").page

        page.goto("/task-records/?status=lost")
        page.get_by_role("table").wait_for()

        text = page.get_by_role("table").inner_text()
        assert "Lost: no activity" in text
        assert "Succeeded" not in text
        assert not page.get_by_role("link", name="Create").count()
        assert not page.locator('a[href*="/delete/"], a[href*="/edit/"]').count()
