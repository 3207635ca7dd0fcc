"""The quickstart and the wiring of the README, word by word, as a new user has them.

An empty folder, the wheel that is built here, and what a package index gives. Commands and code
are read from the pages. Nothing else is added but a port that is free.
"""

import http.cookiejar
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.documents import QUICKSTART, README, ROOT, is_tracking, read_blocks, write_files

pytestmark = pytest.mark.wheel

SECONDS = 60
SECONDS_TO_INSTALL = 600
STOP_POLLING = 286
OUT_OF_PRINT = 20
USERNAME, PASSWORD = re.search(
    r"PASSWORD=(?P<password>\w+).*--username (?P<name>\w+)", QUICKSTART.read_text(), flags=re.S
).group("name", "password")


class Terminal:
    """A shell in which a reader types the commands of a page."""

    def __init__(self, home: Path, wheel: Path) -> None:
        self.home = self.directory = home
        programs = home / "programs"
        programs.mkdir()
        python = programs / "python3"
        python.write_text(f'#!/bin/sh\nexec "{Path(sys._base_executable).resolve()}" "$@"\n')
        python.chmod(0o755)
        constraint = home / "constraint.txt"
        constraint.write_text(f"django-powercrud-tracking @ {wheel.as_uri()}\n")
        left_out = {"PYTHONPATH", "VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE", "PYTHONHOME"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in left_out},
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            # The name on the page means the wheel that was built here.
            "PIP_CONSTRAINT": str(constraint),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, commands: str) -> None:
        """Run what a block says; the folder and the variables stay for the next one."""
        after = self.home / "after"
        done = subprocess.run(
            ["bash", "-euc", f"{commands}\n{{ pwd; env -0; }} > {shlex.quote(str(after))}"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_TO_INSTALL,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        directory, _, variables = after.read_text().partition("\n")
        self.directory = Path(directory)
        self.environment = dict(each.split("=", 1) for each in variables.split("\0") if each)

    @contextmanager
    def running(self, command: str):
        """Start a command that stays, with a log; all of its processes end with the block."""
        log = self.home / f"{command.split()[2]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield log
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def type(self, blocks) -> None:
        """Do what these blocks of a page say, in order, but for the commands that stay."""
        for block in blocks:
            if block.language == "sh" and block.kind != "stays":
                self.run(block.text)
            write_files([block], self.directory)


class Visitor:
    """A browser, as far as PowerCRUD's bulk form needs one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def open(self, path, fields=None, *, htmx=False):
        headers = {"HX-Request": "true"} if htmx else {}
        data = None
        if fields is not None:
            token = next((c.value for c in self.cookies if c.name == "csrftoken"), "")
            data = urllib.parse.urlencode([*fields, ("csrfmiddlewaretoken", token)]).encode()
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            answer = self.opener.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read().decode(), answer.headers

    def wait_for_server(self, logs) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                self.open("/admin/login/")
                return
            time.sleep(0.2)
        raise AssertionError("\n".join(log.read_text(errors="replace") for log in logs))

    def log_in(self) -> None:
        path = "/admin/login/?next=/books/"
        self.open(path)
        status, text, _ = self.open(path, [("username", USERNAME), ("password", PASSWORD)])
        assert status == 200
        assert "Book 1" in text

    def put_in_stock(self, *keys: int) -> str:
        """Send the bulk form for these books, and return the name of the task."""
        ids = [("selected_ids[]", str(key)) for key in keys]
        self.open(f"/books/bulk-edit/?{urllib.parse.urlencode(ids)}", htmx=True)
        fields = [("bulk_submit", "1"), ("fields_to_update", "in_stock"), ("in_stock", "true")]
        status, text, headers = self.open("/books/bulk-edit/", [*ids, *fields], htmx=True)
        assert status == 200, text
        # What the dialog that comes back polls.
        self.poll = re.search(r'"(/[^"?]*async/progress/)', text)[1]
        return json.loads(headers["HX-Trigger"])["taskName"]

    def follow(self, task_name: str) -> dict:
        """Poll as PowerCRUD's dialog does until the task has ended, and return what it said."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            status, text, _ = self.open(f"{self.poll}?task_name={task_name}")
            if status == STOP_POLLING:
                return json.loads(text)
            time.sleep(0.2)
        raise AssertionError(f"Task {task_name} does not end: {text}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, built from a copy: building leaves files behind."""
    home = tmp_path_factory.mktemp("wheel")
    for name in ["setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"]:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, home)
    shutil.copytree(ROOT / "powercrud_tracking", home / "powercrud_tracking")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "dist", "."],
        cwd=home,
        check=True,
        timeout=SECONDS_TO_INSTALL,
    )
    (built,) = (home / "dist").glob("*.whl")
    return built


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def assert_holds_the_wheel_alone(terminal):
    """The package comes from the environment that the page made, not from this tree."""
    terminal.run(
        "python -c \"import powercrud_tracking as p; assert p.__file__.startswith('$PWD/.venv/')\""
    )


def assert_a_bulk_update_is_followed(terminal):
    """Run server and cluster as the quickstart says, and do what it says a reader does."""
    port = find_free_port()
    stays = [block.text.strip() for block in read_blocks(QUICKSTART) if block.kind == "stays"]
    cluster, server = stays
    with ExitStack() as stack:
        logs = [
            stack.enter_context(terminal.running(cluster)),
            stack.enter_context(terminal.running(f"{server} 127.0.0.1:{port}")),
        ]
        visitor = Visitor(f"http://127.0.0.1:{port}")
        visitor.wait_for_server(logs)
        visitor.log_in()

        done = visitor.put_in_stock(1, 2)
        end = visitor.follow(done)
        assert end["status"] == "success", end

        broken = visitor.put_in_stock(3, OUT_OF_PRINT)
        end = visitor.follow(broken)
        assert end["status"] == "failed", end

        reason = f"Book {OUT_OF_PRINT} is out of print. Nothing was changed."
        assert f"`{reason}`" in QUICKSTART.read_text()
        assert reason in end["progress"]
        for name, words in {done: ["Succeeded"], broken: ["Failed", reason]}.items():
            status, text, _ = visitor.open(f"/tasks/{name}/")
            assert status == 200, text
            missing = [word for word in [*words, USERNAME, "2 books"] if word not in text]
            assert not missing, text
        status, text, _ = visitor.open("/tasks/")
        assert status == 200, text
        assert all(word in text for word in [done, broken, reason, USERNAME])

        # Every stylesheet and script that the page asks for is there.
        _, text, _ = visitor.open("/books/")
        assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
        assert {path.rpartition(".")[2] for path in assets} >= {"css", "js"}
        assert {visitor.open(path)[0] for path in assets} == {200}
        anonymous = Visitor(visitor.address)
        _, text, _ = anonymous.open("/tasks/")
        assert 'id="id_username"' in text
    stock = "from shop.models import Book; print(*Book.objects.filter(in_stock=True))"
    terminal.run(f'test "$(python manage.py shell -v 0 -c {shlex.quote(stock)})" = "Book 1 Book 2"')


def test_the_quickstart_leads_to_a_followed_bulk_update(wheel, tmp_path):
    terminal = Terminal(tmp_path, wheel)

    terminal.type(read_blocks(QUICKSTART))

    assert_holds_the_wheel_alone(terminal)
    assert_a_bulk_update_is_followed(terminal)


def test_the_wiring_of_the_readme_tracks_a_project_that_runs_powercrud(wheel, tmp_path):
    terminal = Terminal(tmp_path, wheel)
    quickstart = read_blocks(QUICKSTART)
    before = [block for block in quickstart if not is_tracking(block)]
    # The tables, the person and the books of step 3 belong to that project too.
    filled = [block for block in quickstart if is_tracking(block) and block.language == "sh"]
    wiring = [block for block in read_blocks(README) if block.heading == "Install it"]
    terminal.type(before)
    terminal.type(filled)

    terminal.type(wiring)

    assert_holds_the_wheel_alone(terminal)
    assert_a_bulk_update_is_followed(terminal)
