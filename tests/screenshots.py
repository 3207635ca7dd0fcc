"""Pictures of every page, wide and narrow, light and dark: ``tox run -e screenshots``.

All of them go to ``build/screenshots/``; those that the documentation shows to ``docs/images/``.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.support.browser import (
    LOOKS,
    PAGES,
    ROOT,
    Visitor,
    find_chromium,
    running_bookshop,
    start_bulk_update,
)

ALL = ROOT / "build" / "screenshots"
SHOWN = ROOT / "docs" / "images"
BEST = {
    "overview.png": "overview-light-1280.png",
    "overview-dark.png": "overview-dark-1280.png",
    "modal.png": "modal-light-1280.png",
    "list.png": "list-light-1280.png",
    "list-dark.png": "list-failed-dark-1280.png",
    "list-narrow.png": "list-failed-light-360.png",
    "task.png": "task-failed-light-1280.png",
}
"""What the documentation shows: its file there, and here."""


def main() -> None:
    """Take the pictures, of the demo with its made-up history."""
    ALL.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="screenshots-") as directory,
        running_bookshop(Path(directory)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium())
        visitor = Visitor(browser, address)
        visitor.log_in("admin")
        cookies = visitor.context.storage_state()
        start_jobs(visitor.page)
        visitor.close()
        # PowerCRUD's modal last: each picture of it is one more failed task in our lists.
        for pages in (PAGES, {"home": show_home, "modal": show_modal}):
            for look in LOOKS:
                visitor = Visitor(browser, address, cookies=cookies, look=look)
                for name, go_to in pages.items():
                    go_to(visitor.page)
                    visitor.page.wait_for_timeout(300)
                    visitor.page.screenshot(path=ALL / f"{name}-{look}.png")
                visitor.close()
        browser.close()
    for name, source in BEST.items():
        shutil.copyfile(ALL / source, SHOWN / name)
    print(f"{len(list(ALL.glob('*.png')))} pictures in {ALL.relative_to(ROOT)}/.")


def start_jobs(page: Any) -> None:
    """Have something run while the pictures are taken.

    Nothing that fails: its traceback would show the paths of this machine.
    """
    for label in ["Export the catalogue", "Recalculate all prices"]:
        page.goto("/")
        page.get_by_role("button", name=label).click()
        page.wait_for_url("**/tasks/**")
    page.wait_for_timeout(6000)


def show_home(page: Any) -> None:
    page.goto("/")


def show_modal(page: Any) -> None:
    """PowerCRUD's modal at the end of a bulk update that fails."""
    start_bulk_update(page, ["The Amber Atlas", "The Amber Harbour"], "in_stock", "true")
    page.get_by_role("heading", name="Bulk Operation Failed").wait_for()


if __name__ == "__main__":
    main()
