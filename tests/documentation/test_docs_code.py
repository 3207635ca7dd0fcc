"""Every block of Python in the README and the documentation runs.

``tests/pages.py`` says how a page tells which block goes where.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support.documents import (
    PAGES,
    QUICKSTART,
    README,
    ROOT,
    find_own_tests,
    is_tracking,
    make_project,
    read_blocks,
    write_files,
)

SECONDS = 120


def run_page(page, project):
    """Run a page's blocks in its project."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.run_page", str(page), str(project)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """The quickstart's project, and the same before it brings in this package."""
    home, blocks = tmp_path_factory.mktemp("projects"), read_blocks(QUICKSTART)
    return {
        "tracked": make_project(home / "tracked", blocks),
        "untracked": make_project(home / "untracked", [b for b in blocks if not is_tracking(b)]),
    }


@pytest.fixture
def build(projects, tmp_path):
    """What makes the project of a page: the quickstart's, with the blocks of the page."""

    def build(page):
        blocks, project = read_blocks(page), tmp_path / "project"
        if page.name == QUICKSTART.name:
            return make_project(project, blocks)
        start = "untracked" if page.name == README.name else "tracked"
        shutil.copytree(projects[start], project)
        write_files(blocks, project)
        return project

    return build


WITH_PYTHON = [
    page
    for page in PAGES
    if any(b.language == "python" for b in read_blocks(page)) and find_own_tests(page) is None
]


class TestPages:
    @pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
    def test_every_block_of_a_page_runs(self, page, build):
        done = run_page(page, build(page))

        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_block_says_what_it_is_written_in_and_is_found(self, page):
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^ *```(.*)$", text, flags=re.M)

        assert len(fences) % 2 == 0
        assert all(fences[::2])
        assert text.count("```python") == sum(b.language == "python" for b in read_blocks(page))

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_a_page_with_tests_of_its_own_is_read_by_them(self, page):
        tests = find_own_tests(page)

        assert tests is None or page.name in tests.read_text(encoding="utf-8")


class TestBrokenPages:
    """A block that is broken fails: otherwise the tests above would say nothing."""

    @pytest.mark.parametrize(
        ("name", "right", "wrong", "error"),
        [
            ("README.md", "DashboardManager.get_url", "DashboardManager.got_url", "no attribute"),
            ("README.md", "get_manager().launch", "get_manger().launch", "NameError"),
            ("quickstart.md", 'url_base = "books"', 'url_base == "books"', "NameError"),
            ("quickstart.md", '= ["powercrud_tracking"]', '= ["powercrud_tracing"]', "No module"),
            ("settings.md", '"PAYLOAD_LIMIT": 4096', '"PAYLOAD_LIMT": 4096', "E002"),
            ("settings.md", 'DASHBOARD = {"LOST', 'DASHBORD = {"LOST', "no such settings"),
            ("settings.md", "POWERCRUD_ASYNC_DASHBOARD", "POWERCRUD_DASHBOARD", "AssertionError"),
            ("formatters.md", "user.get_full_name()", "user.full_name()", "AssertionError"),
            ("views.md", "(AsyncDashboardMixin, ", "(AsyncDashboardMixn, ", "NameError"),
            ("signals.md", "@receiver(task_recorded)", "@receiver(task_record)", "NameError"),
            ("progress.md", "in track(", "in trck(", "NameError"),
            ("tables.md", '"user": "who"', '"user": "whom"', "E008"),
            ("commands.md", "tracking.upkeep.prune", "tracking.upkep.prune", "AssertionError"),
        ],
    )  # fmt: skip
    def test_a_block_that_is_broken_fails(self, name, right, wrong, error, build, tmp_path):
        page = next(page for page in PAGES if page.name == name)
        text = page.read_text(encoding="utf-8")
        assert right in text
        broken = tmp_path / name
        broken.write_text(text.replace(right, wrong), encoding="utf-8")

        done = run_page(broken, build(broken))

        assert done.returncode != 0
        assert error in done.stdout + done.stderr
