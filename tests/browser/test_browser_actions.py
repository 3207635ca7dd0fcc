"""Every button that acts on tasks, in a real browser: with script, and without."""

import pytest

from tests.support.browser import Look, start_bulk_update

pytestmark = pytest.mark.browser

STATUS = "#tracking-task .tracking-status"
MESSAGE = "#tracking-messages .tracking-message"

LOOKS = [Look(), Look(has_script=False)]


@pytest.fixture(params=LOOKS, ids=["script", "no-script"])
def look(request):
    return request.param


def assert_no_barriers(visitor, look):
    # axe is a script.
    if look.has_script:
        assert visitor.find_barriers() == []


def start_job(page, label="Recalculate all prices"):
    page.goto("/")
    page.get_by_role("button", name=label).click()
    page.wait_for_url("**/tasks/**")
    return page.url


def reload_until(page, locator):
    for _ in range(120):
        if locator.count():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError(f"{page.url} never had {locator}.")


def press(page, name):
    page.locator("#tracking-actions").get_by_role("button", name=name, exact=True).click()


def cancel(page, reason):
    page.get_by_label("Reason").fill(reason)
    press(page, "Cancel")
    page.locator(MESSAGE).wait_for()


def open_row(page, address):
    return page.get_by_role("row").filter(
        has=page.locator(f'a[href="{address[address.index("/tasks/") :]}"]')
    )


class TestTaskPage:
    def test_a_task_is_cancelled_with_a_reason_and_ends_so(self, visit, look):
        visitor = visit("admin", look)
        page = visitor.page
        start_job(page)
        reload_until(page, page.locator(STATUS).filter(has_text="Running"))
        loads = []
        page.on("load", lambda: loads.append(page.url))

        cancel(page, "wrong prices")
        assert page.locator(MESSAGE).inner_text() == "The task was asked to stop."
        assert_no_barriers(visitor, look)
        if look.has_script:
            page.locator(STATUS).filter(has_text="Cancelled").wait_for()
            assert loads == []
        else:
            reload_until(page, page.locator(STATUS).filter(has_text="Cancelled"))

        text = page.locator(".tracking-task").inner_text()
        assert "wrong prices" in text
        assert_no_barriers(visitor, look)

    def test_a_failed_task_is_retried_then_its_record_is_deleted(self, visit, look):
        visitor = visit("admin", look)
        page = visitor.page
        first = start_job(page, "Print price tags")
        reload_until(page, page.locator(STATUS).filter(has_text="Failed"))

        press(page, "Retry")
        page.wait_for_url(lambda url: url.split("?")[0] != first)
        assert page.locator(MESSAGE).inner_text() == "Queued again as a new task."
        second = page.url
        page.goto(first)
        assert page.get_by_role("link", name=second.rstrip("/").rpartition("/")[2][:30]).count()
        assert not page.get_by_role("button", name="Retry", exact=True).count()
        page.locator("#tracking-actions summary").click()
        assert_no_barriers(visitor, look)
        press(page, "Delete this task")
        page.wait_for_url("**/tasks/")

        assert page.locator(MESSAGE).inner_text() == "Deleted."
        assert not open_row(page, first).count()

    def test_a_reason_that_is_being_written_outlives_the_polls(self, visit):
        page = visit("admin").page
        start_job(page)
        page.locator(STATUS).filter(has_text="Running").wait_for()

        page.get_by_label("Reason").fill("because")
        page.get_by_role("heading", level=1).click()
        page.get_by_label("Reason").blur()
        with page.expect_response(lambda answer: "poll=" in answer.url and answer.status == 200):
            pass
        page.wait_for_timeout(300)

        assert page.get_by_label("Reason").input_value() == "because"
        press(page, "Cancel")

    def test_whoever_is_logged_out_meanwhile_is_sent_to_the_login(self, visit):
        visitor = visit("admin")
        page = visitor.page
        start_job(page)
        page.locator(STATUS).filter(has_text="Running").wait_for()
        kept = visitor.context.cookies()
        visitor.context.clear_cookies(name="sessionid")

        press(page, "Cancel")
        page.wait_for_url("**/login/**")

        visitor.context.add_cookies(kept)


class TestLists:
    def test_an_own_task_is_cancelled_on_my_tasks(self, visit, look):
        page = visit("admin", look).page
        address = start_job(page)
        page.goto("/tasks/mine/")

        open_row(page, address).get_by_role("button", name="Cancel").click()
        page.locator(MESSAGE).wait_for()

        assert page.url.endswith("/tasks/mine/")
        assert not open_row(page, address).get_by_role("button", name="Cancel").count()

    def test_a_selection_is_confirmed_and_counted(self, visit, look):
        visitor = visit("admin", look)
        page = visitor.page
        addresses = [start_job(page, "Export the catalogue") for _ in range(2)]
        page.goto(addresses[1])
        reload_until(page, page.locator(STATUS).filter(has_text="Succeeded"))
        page.goto("/tasks/?status=success")
        assert_no_barriers(visitor, look)

        for address in addresses:
            open_row(page, address).get_by_role("checkbox").check()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("heading", name="Delete 2 tasks?").wait_for()
        assert_no_barriers(visitor, look)
        page.get_by_role("button", name="Delete", exact=True).click()
        page.locator(MESSAGE).wait_for()

        assert page.locator(MESSAGE).inner_text() == "2 tasks deleted."
        assert page.url.endswith("/tasks/?status=success")

    def test_all_that_match_are_taken(self, visit, look):
        page = visit("admin", look).page
        address = start_job(page, "Export the catalogue")
        name = address.rstrip("/").rpartition("/")[2]
        reload_until(page, page.locator(STATUS).filter(has_text="Succeeded"))
        page.goto(f"/tasks/?q={name}")

        page.get_by_label("all tasks that match").check()
        page.get_by_role("button", name="Retry", exact=True).click()
        page.locator(MESSAGE).wait_for()

        assert page.locator(MESSAGE).inner_text() == "1 task queued again."

    def test_a_poll_keeps_the_selection(self, visit):
        page = visit("admin").page
        address = start_job(page)
        page.goto("/tasks/")
        box = open_row(page, address).get_by_role("checkbox")
        box.check()
        box.blur()

        with page.expect_response(lambda answer: "poll=" in answer.url and answer.status == 200):
            pass
        page.wait_for_timeout(300)
        assert box.is_checked()
        page.get_by_role("button", name="Cancel", exact=True).click()
        page.locator(MESSAGE).wait_for()

        assert page.locator(MESSAGE).inner_text() in {
            "1 task asked to stop.",
            "1 task cancelled.",
        }


class TestPowerCrudModal:
    def test_a_queued_bulk_update_is_cancelled_where_it_was_started(self, visit):
        page = visit("admin").page
        jobs = [start_job(page) for _ in range(2)]

        start_bulk_update(page, ["The Amber Bridge", "The Amber Garden"], "price", "4.75")
        page.get_by_role("button", name="Cancel this task").click()
        page.get_by_role("heading", name="Bulk Operation Failed").wait_for()

        assert "cancelled" in page.locator("#progress-display").inner_text()
        assert not page.get_by_role("button", name="Cancel this task").count()
        for job in jobs:
            page.goto(job)
            if page.locator("#tracking-actions form").count():
                cancel(page, "")
