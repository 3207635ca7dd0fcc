import configparser
import re
from pathlib import Path

import pytest
from bookshop.csp import STRICT

import powercrud_tracking
from powercrud_tracking.config import DEFAULT_FIELDS, FIELD_ALIASES, SETTING_KEYS, DashboardConfig

PACKAGE = Path(powercrud_tracking.__file__).parent
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

CHECK_ID = re.compile(r"powercrud_tracking\.[EW]\d{3}")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOX_RUN = re.compile(r"\btox run -e ([\w,.-]*\w)")

AT_WORK = {"dev", "bench", "bench-pages", "screenshots", "messages", "fix"}
"""Environments that change files, wait for a person or measure: no machine decides by them."""


def read(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def read_table(text, header):
    """Return the rows of the table with that header, a list of cells each."""
    lines = iter(text.splitlines())
    assert any(line == header for line in lines), f"There is no table {header}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def get_anchors(text):
    """Return what a page's headings are called in links, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in headings}


def get_environments():
    """Return the names of tox.ini: environments, and the factors that combine to further ones."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    names = {name.strip() for name in re.split(r"[,\s]+", tox["tox"]["env_list"]) if name.strip()}
    sections = {name.removeprefix("testenv:") for name in tox.sections() if ":" in name}
    values = "\n".join(value for section in tox.values() for value in section.values())
    factors = re.findall(r"^([\w,-]+): ", values, flags=re.M)
    return names | sections | {*",".join(factors).split(","), "py312", "py313"}


def get_documented_environments():
    """Return the environments that the page on testing describes."""
    rows = read_table(read("docs", "testing.md"), "| environment | what it tries |")
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}


class TestSettingsPage:
    ROWS = read_table(read("docs", "settings.md"), "| key | default | meaning |")

    def test_its_keys_are_those_of_the_setting(self):
        assert [row[0] for row in self.ROWS] == [f"`{key}`" for key in SETTING_KEYS]

    def test_its_literal_defaults_are_those_of_the_code(self):
        defaults = {
            key: getattr(DashboardConfig(), key.strip("`").lower())
            for key, default, *_ in self.ROWS
            if default.startswith("`")
        }

        written = {key: default.strip("`") for key, default, *_ in self.ROWS if key in defaults}

        assert len(written) == 8
        assert written == {key: repr(value).replace("'", '"') for key, value in defaults.items()}

    def test_its_logical_names_are_those_of_the_code(self):
        rows = read_table(
            read("docs", "settings.md"), "| logical name | default field | what it holds |"
        )

        written = {name.split(" ")[0].strip("`"): field.strip("`") for name, field, _ in rows}
        aliases = re.findall(r"`(\w+)` \(or `(\w+)`\)", " ".join(row[0] for row in rows))

        assert written == DEFAULT_FIELDS
        assert {alias: name for name, alias in aliases} == FIELD_ALIASES

    def test_its_policy_is_the_one_that_the_demo_sends_and_a_browser_tried(self):
        assert f"\n    {STRICT}\n" in read("docs", "settings.md")


class TestChecksPage:
    ROWS = read_table(read("docs", "checks.md"), "| id | what is wrong | example | what to type |")

    def test_its_ids_are_those_of_the_code(self):
        in_code = {
            found
            for path in PACKAGE.rglob("*.py")
            for found in CHECK_ID.findall(path.read_text(encoding="utf-8"))
        }

        assert [row[0].strip("`") for row in self.ROWS] == sorted(in_code)

    def test_it_leaves_no_cell_empty(self):
        assert {len(row) for row in self.ROWS} == {4}
        assert all(cell for row in self.ROWS for cell in row)


class TestCommands:
    def test_the_readme_names_both_ways_in(self):
        lines = read("README.md")

        assert ".venv/bin/tox run -e demo" in lines
        assert re.search(r"\.venv/bin/tox run$", lines, flags=re.M)

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_environment_that_a_page_runs_is_in_tox(self, page):
        known = get_environments()

        named = {
            name
            for found in TOX_RUN.findall(page.read_text(encoding="utf-8"))
            for name in found.split(",")
            if name
        }

        assert {
            name for name in named if name not in known and not known >= {*name.split("-")}
        } == (set())

    def test_the_page_on_testing_has_a_row_for_every_environment(self):
        known = get_environments()
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / "tox.ini")
        sections = {name.removeprefix("testenv:") for name in tox.sections() if ":" in name}

        rows = get_documented_environments()

        assert sections <= rows
        assert {name for name in rows if name not in known and not known >= {*name.split("-")}} == (
            set()
        )

    def test_the_workflow_runs_every_environment_that_is_not_for_people_at_work(self):
        workflow = read(".github", "workflows", "ci.yml")
        block = re.search(r"^ +tox:\n((?: +- .*\n)+)", workflow, flags=re.M)[1]
        run = [line.strip().removeprefix("- ").split(" ")[0] for line in block.splitlines()]

        assert len(run) == len(set(run))
        assert set(run) == get_documented_environments() - AT_WORK


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_relative_link_leads_somewhere(self, page):
        text = page.read_text(encoding="utf-8")
        links = [link for link in LINK.findall(text) if "://" not in link]

        broken = []
        for link in links:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (
                anchor and anchor not in get_anchors(target.read_text(encoding="utf-8"))
            ):
                broken.append(link)

        assert broken == []


class TestTaskPage:
    @pytest.mark.parametrize("template", ["record_detail.html", "_task.html"])
    def test_its_blocks_are_those_of_the_template(self, template):
        rows = read_table(read("docs", "task-page.md"), f"| block | in `{template}` |")
        source = read("powercrud_tracking", "templates", "powercrud_tracking", template)

        blocks = re.findall(r"{% block (task_\w+) %}", source.partition("{% endcomment %}")[2])

        assert [row[0].strip("`") for row in rows] == blocks
