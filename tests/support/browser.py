"""The bookshop in a real browser: the demo as it is, and Debian's Chromium."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30
"""How long anything that must happen may take, on a busy machine."""

OURS = "/tasks/"
"""Where the pages of the package are in the bookshop."""

SERIOUS = frozenset({"serious", "critical"})

_WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  window.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
});
"""


def find_chromium() -> str | None:
    """Return the path of Chromium, if it is installed."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def require_browser() -> None:
    """Skip, or fail where ``CI_BROWSER=1`` says that a browser must be there."""
    missing = []
    try:
        import axe_playwright_python  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as exc:
        missing.append(f"the package {exc.name}")
    if find_chromium() is None:
        missing.append("chromium")
    if missing:
        leave = pytest.fail if os.environ.get("CI_BROWSER") == "1" else pytest.skip
        leave(f"A real browser is needed: {' and '.join(missing)} not found.")


@contextmanager
def running_bookshop(directory: Path):
    """Return the address of a bookshop of its own, with a web server and a cluster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = directory / "demo.log"
    command = ["example/demo.py", "--data", str(directory / "data"), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for_web(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


def _wait_for_web(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"The bookshop did not start.\n{log.read_text(errors='replace')}")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a page is looked at."""

    width: int = 1280
    scheme: str = "light"
    language: str = "en-GB"
    has_script: bool = True

    def __str__(self) -> str:
        return f"{self.scheme}-{self.width}"


LOOKS = [Look(width=width, scheme=scheme) for width in (1280, 360) for scheme in ("light", "dark")]


def open_task(page: Any, status: str, of: str = "") -> None:
    """Go to the newest task that has this status and this word in its row."""
    page.goto(f"/tasks/?status={status}")
    page.get_by_role("row").filter(has_text=of).locator("td a").first.click()
    page.locator(".tracking-task h1").wait_for()


PAGES = {
    "overview": lambda page: page.goto("/tasks/overview/"),
    "list-filtered": lambda page: page.goto("/tasks/?status=failed&q=supplier&object=prices"),
    "list": lambda page: page.goto("/tasks/"),
    "list-failed": lambda page: page.goto("/tasks/?status=failed"),
    "list-open": lambda page: page.goto("/tasks/?status=open"),
    "mine": lambda page: page.goto("/tasks/mine/"),
    "task": lambda page: open_task(page, "success"),
    "task-failed": lambda page: open_task(page, "failed", "Fetch supplier"),
    "task-lost": lambda page: open_task(page, "lost"),
}
"""Every page of ours: its name, and how to get there."""


def open_bulk_form(page: Any, address: str, titles: list[str]) -> Any:
    """Tick rows in PowerCRUD's list and return the form of its modal."""
    page.goto(address)
    for number, title in enumerate(titles, 1):
        page.get_by_role("row").filter(has_text=title).get_by_role("checkbox").click()
        # PowerCRUD swaps the controls after each tick; what is clicked meanwhile is lost.
        page.get_by_text(f"Bulk Edit {number}").wait_for()
    page.get_by_text(f"Bulk Edit {len(titles)}").click()
    form = page.locator("#bulk-edit-form")
    form.wait_for()
    return form


def start_bulk_update(page: Any, titles: list[str], field: str, value: str) -> None:
    """Change a field of some books in PowerCRUD's modal."""
    form = open_bulk_form(page, "/books/", titles)
    form.locator(f'[name="fields_to_update"][value="{field}"]').check()
    control = form.locator(f'[name="{field}"]')
    if control.evaluate("control => control.tagName") == "SELECT":
        control.select_option(value)
    else:
        control.fill(value)
    form.get_by_role("button", name="Apply Changes").click()


class Visitor:
    """Somebody at a browser, who notices whatever goes wrong on our pages.

    Args:
        browser: Playwright's.
        address: of the bookshop.
        cookies: of somebody who is logged in; nobody's, unless given.
        look: the size, the colours and the language of the window.
        scale: pixels of the screen for one of the page.
    """

    def __init__(
        self,
        browser: Any,
        address: str,
        *,
        cookies: Any = None,
        look: Look | None = None,
        scale: int = 1,
    ) -> None:
        look = look or Look()
        self.address = address
        self.problems: list[str] = []
        self.context = browser.new_context(
            base_url=address,
            storage_state=cookies,
            viewport={"width": look.width, "height": 900},
            color_scheme=look.scheme,
            device_scale_factor=scale,
            locale=look.language,
            java_script_enabled=look.has_script,
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(SECONDS * 1000)
        self.context.expose_binding("reportViolation", self._note_violation)
        self.context.add_init_script(_WATCH)
        self.page = self.context.new_page()
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self._note(f"error: {error}"))

    def _note(self, problem: str) -> None:
        path = urlsplit(self.page.url).path
        if path.startswith(OURS):
            self.problems.append(f"{path}: {problem}")

    def _note_violation(self, source: Any, violation: str) -> None:
        self._note(f"against the policy: {violation}")

    def _note_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self._note(f"console: {message.text}")

    def log_in(self, name: str) -> None:
        """Log in somebody whose password is the name."""
        self.page.goto("/login/")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(name)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/tasks/**")

    def press_until(self, key: str, selector: str, *, most: int = 60) -> Any:
        """Press a key until what has the focus matches, and return it."""
        for _ in range(most):
            self.page.keyboard.press(key)
            found = self.page.locator(f"{selector}:focus")
            if found.count():
                return found
        raise AssertionError(f"{most} times {key} never led to {selector}.")

    def get_overflow(self) -> int:
        """Return how many pixels the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def find_barriers(self) -> list[str]:
        """Return what axe finds on this page that is serious or critical, in words."""
        # Only where a browser is: the package may be missing elsewhere.
        from axe_playwright_python.sync_playwright import Axe

        return [
            f"{found['id']}: {found['help']}: {node['html']}"
            for found in Axe().run(self.page).response["violations"]
            if found["impact"] in SERIOUS
            for node in found["nodes"]
        ]

    def close(self) -> None:
        self.context.close()
