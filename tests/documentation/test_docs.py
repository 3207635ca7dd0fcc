import ast
import configparser
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from bookshop.csp import STRICT
from django.core.management.base import BaseCommand

import powercrud_tracking
from powercrud_tracking import checks
from powercrud_tracking.actions.availability import NEEDED
from powercrud_tracking.actions.log import Attempt
from powercrud_tracking.config.dashboard_config import (
    DEFAULT_FIELDS,
    FIELD_ALIASES,
    SETTING_KEYS,
    DashboardConfig,
)
from powercrud_tracking.config.keys import VIEW_KEYS
from powercrud_tracking.lifecycle import ALL, OPEN, TABLE, Action, Event, Status, get_status_after
from powercrud_tracking.models import AsyncTaskAction
from powercrud_tracking.recording.launches import KEPT_OPTIONS, MOST_LOCKS
from powercrud_tracking.recording.recorder import Recorder
from powercrud_tracking.urls import urlpatterns

PACKAGE = Path(powercrud_tracking.__file__).parent
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]

CHECK_ID = re.compile(r"powercrud_tracking\.[EW]\d{3}")
COMMAND = re.compile(r"\b[a-z]+_async_(?:dashboard|tasks)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
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


def read_section(text, heading):
    """Return what stands between a heading and the next of any level."""
    _, found, below = text.partition(f"# {heading}\n")
    assert found, f"There is no heading {heading}"
    return re.split(r"^#+ ", below, flags=re.M)[0]


def get_documented_environments():
    """Return the environments that the page on testing describes."""
    rows = read_table(read("docs", "testing.md"), "| environment | what it runs |")
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}


class TestSettingsPage:
    TEXT = read("docs", "settings.md")
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

        assert len(written) == 9
        assert written == {key: repr(value).replace("'", '"') for key, value in defaults.items()}

    def test_its_logical_names_are_those_of_the_code(self):
        rows = read_table(read("docs", "settings.md"), "| logical name | default field | content |")

        written = {name.split(" ")[0].strip("`"): field.strip("`") for name, field, _ in rows}
        aliases = re.findall(r"`(\w+)` \(or `(\w+)`\)", " ".join(row[0] for row in rows))

        assert written == DEFAULT_FIELDS
        assert {alias: name for name, alias in aliases} == FIELD_ALIASES

    def test_its_statuses_are_those_of_the_code(self):
        (row,) = [line for line in self.TEXT.splitlines() if line.startswith("| `status` |")]

        assert CODE.findall(row.split(" | ")[2]) == Status.values

    def test_it_has_a_section_for_each_key_in_the_same_order(self):
        headings = re.findall(r"^### `(\w+)`$", self.TEXT, flags=re.M)

        assert headings == list(SETTING_KEYS)

    @pytest.mark.parametrize("key", SETTING_KEYS)
    def test_the_section_of_a_key_says_type_default_example_and_what_a_wrong_value_gets(self, key):
        section = read_section(self.TEXT, f"`{key}`")

        assert re.match(r"\n[A-Z][^\n]+\. Default: [^\n]+\.\n", section)
        (example,) = re.findall(
            r"^POWERCRUD_ASYNC_DASHBOARD = (.+?)\n```$", section, flags=re.M | re.S
        )
        assert f'"{key}"' in example
        assert re.search(rf'^Wrong: `\{{"{key}": ', section, flags=re.M)

    def test_each_wrong_value_gets_what_the_page_says(self, settings):
        wrong = re.findall(r"^Wrong: `(\{.*?\})` gets `(E\d{3})`: `(.*)`$", self.TEXT, flags=re.M)
        assert len(wrong) == len(SETTING_KEYS) + 1

        found = []
        for value, _, _ in wrong:
            settings.POWERCRUD_ASYNC_DASHBOARD = ast.literal_eval(value)
            first = checks.check_setting()[0]
            found.append((value, first.id.removeprefix("powercrud_tracking."), first.msg))

        assert found == wrong

    @pytest.mark.parametrize(
        ("page", "heading"),
        [("settings.md", "On a view"), ("views.md", "What a view may override")],
    )
    def test_what_a_view_may_override_is_what_the_code_lets_it(self, page, heading):
        section = read_section(read("docs", page), heading)
        section = re.sub(r"```.*?```", "", section, flags=re.S)
        sentence = next(part for part in section.split(".") if "FIELD_MAP" in part)

        named = {
            key
            for word in re.findall(r"`([A-Z_*]+)`", sentence)
            for key in SETTING_KEYS
            if re.fullmatch(word.replace("*", r"\w+"), key)
        }

        assert named == VIEW_KEYS

    def test_its_policy_is_the_one_that_the_demo_sends_and_a_browser_tried(self):
        assert f"\n    {STRICT}\n" in read("docs", "settings.md")


class TestChecksPage:
    ROWS = read_table(read("docs", "checks.md"), "| id | problem | example | solution |")

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

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_id_on_any_page_has_its_row(self, page):
        ids = {row[0].strip("`") for row in self.ROWS}

        assert set(CHECK_ID.findall(page.read_text(encoding="utf-8"))) <= ids


DASH = "\N{EN DASH}"


def describe_moves(event):
    """Return the row of an event in the table of statuses, in the words of the page."""
    rule = TABLE[event]
    cells = []
    for status in [None, *Status]:
        before = status or Status.PENDING
        if status is None and not rule.inserts:
            cells.append("none")
        elif rule.accepts_status and before in OPEN:
            cells.append("incoming")
        else:
            after = get_status_after(event, before)
            cells.append(DASH if after == status else f"`{after}`")
    return [f"`{event}`", *cells]


def describe_statuses(statuses):
    return ", ".join(f"`{status}`" for status in Status if status in statuses)


def describe_write(write):
    """Return in the words of the page when a value is written."""
    if write.if_empty == ALL:
        return "if the field is empty"
    parts = ["always"] if not write.unless else [f"not on {describe_statuses(write.unless)}"]
    if write.if_empty:
        parts.append(f"on {describe_statuses(write.if_empty)} only if the field is empty")
    return "; ".join(parts)


def describe_writes(event):
    """Return the rows of an event in the table of what is written."""
    rule = TABLE[event]
    by_condition = {}
    for name, write in rule.writes.items():
        condition = describe_write(write)
        if len(rule.only_on) > len(ALL) / 2:
            left_out = ALL - rule.only_on - write.unless
            condition += f"; not on {describe_statuses(left_out)}" if left_out else ""
        else:
            condition += f", on {describe_statuses(rule.only_on)} only"
        by_condition.setdefault(condition, []).append(name)
    for name in sorted(rule.increments):
        by_condition.setdefault("incremented by one", []).append(name)
    for name, statuses in rule.clears.items():
        where = "cleared" if statuses == ALL else f"cleared on {describe_statuses(statuses)}"
        by_condition.setdefault(where, []).append(name)
    return [
        [f"`{event}`", ", ".join(f"`{name}`" for name in names), condition]
        for condition, names in by_condition.items()
    ]


class TestEventsPage:
    TEXT = read("docs", "events.md")

    def test_its_statuses_are_those_of_the_code(self):
        rows = read_table(self.TEXT, "| status | shown as | meaning |")

        assert [row[:2] for row in rows] == [[f"`{s.value}`", str(s.label)] for s in Status]

    def test_its_events_are_those_of_the_code(self):
        rows = read_table(self.TEXT, "| event | comes from | when |")

        assert [row[0] for row in rows] == [f"`{event}`" for event in Event]

    def test_its_moves_are_those_of_the_table(self):
        statuses = " | ".join(f"`{status}`" for status in Status)
        rows = read_table(self.TEXT, f"| event | no row | {statuses} |")

        assert rows == [describe_moves(event) for event in Event]

    def test_its_writes_are_those_of_the_table(self):
        rows = read_table(self.TEXT, "| event | names | written |")

        assert rows == [row for event in Event for row in describe_writes(event)]

    def test_the_fields_that_keep_a_row_from_an_event_are_those_of_the_table(self):
        header = "| event | does not change a row in which this field is filled |"
        rows = read_table(self.TEXT, header)

        assert rows == [
            [f"`{event}`", ", ".join(f"`{name}`" for name in sorted(rule.unless_filled))]
            for event, rule in TABLE.items()
            if rule.unless_filled
        ]


def get_commands():
    """Return the names of the management commands with their own options."""
    commands = {}
    for path in sorted((PACKAGE / "management" / "commands").glob("[a-z]*.py")):
        module = import_module(f"powercrud_tracking.management.commands.{path.stem}")
        parser = module.Command().create_parser("manage.py", path.stem)
        plain = BaseCommand().create_parser("manage.py", path.stem)
        own = {option for action in parser._actions for option in action.option_strings}
        own -= {option for action in plain._actions for option in action.option_strings}
        commands[path.stem] = own
    return commands


class TestCommandsPage:
    ROWS = read_table(read("docs", "commands.md"), "| command | what it does | options |")

    def test_its_commands_and_options_are_those_of_the_code(self):
        written = {row[0].strip("`"): set(CODE.findall(row[2])) for row in self.ROWS}

        assert written == get_commands()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_command_on_any_page_is_one_of_them(self, page):
        named = set(COMMAND.findall(page.read_text(encoding="utf-8")))

        assert named <= set(get_commands())


class TestSignalsPage:
    def test_its_arguments_are_those_that_are_sent(self):
        sent = re.findall(r"^ +(\w+)=", inspect.getsource(Recorder._send), flags=re.M)
        rows = read_table(read("docs", "signals.md"), "| argument | meaning |")

        assert [row[0].strip("`") for row in rows] == sent

    def test_the_arguments_of_an_action_are_those_that_are_sent(self):
        _, _, sending = inspect.getsource(Attempt.finish).partition("task_acted.send_robust")
        rows = read_table(read("docs", "signals.md"), "| argument | meaning for an action |")

        assert [row[0].strip("`") for row in rows] == re.findall(r"^ +(\w+)=", sending, flags=re.M)


class TestPagesPage:
    def test_its_addresses_are_those_of_the_code(self):
        rows = read_table(
            read("docs", "dashboard.md"), "| name | address | content | who can open it |"
        )
        written = {name.strip("`"): address.strip("`") for name, address, *_ in rows}

        assert written == {
            each.name: f"tasks/{re.sub('<[^:>]+:', '<', str(each.pattern))}" for each in urlpatterns
        }


class TestTestingPage:
    def test_its_environments_are_in_tox_and_all_of_tox_is_there(self):
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / "tox.ini")
        sections = {name.removeprefix("testenv:") for name in tox.sections() if ":" in name}

        written = get_documented_environments()
        factors = {factor for name in written for factor in name.split("-")}

        assert sections <= written
        assert written - sections <= {name for name in written if known_to_tox(name)}
        assert get_environments() - sections - {"tests", "py312"} <= factors

    def test_what_ci_runs_is_in_tox(self):
        named = TOX_RUN.findall(read(".ci", "run"))

        assert named
        assert all(known_to_tox(name) for names in named for name in names.split(","))

    def test_the_workflow_runs_every_environment_that_is_not_for_people_at_work(self):
        workflow = read(".github", "workflows", "ci.yml")
        block = re.search(r"^ +tox:\n((?: +- .*\n)+)", workflow, flags=re.M)[1]
        run = [line.strip().removeprefix("- ").split(" ")[0] for line in block.splitlines()]

        assert len(run) == len(set(run))
        assert set(run) == get_documented_environments() - AT_WORK


def known_to_tox(name):
    known = get_environments()
    return name in known or known >= {*name.split("-")}


class TestCommands:
    def test_the_readme_names_both_ways_in(self):
        lines = read("README.md")

        assert ".venv/bin/tox run -e demo" in lines
        assert re.search(r"\.venv/bin/tox run$", lines, flags=re.M)

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_environment_that_a_page_runs_is_in_tox(self, page):
        named = {
            name
            for found in TOX_RUN.findall(page.read_text(encoding="utf-8"))
            for name in found.split(",")
            if name
        }

        assert {name for name in named if not known_to_tox(name)} == set()


class TestApiPage:
    DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)\w+:: powercrud_tracking\.(\S+)$", re.M)

    @pytest.mark.parametrize(
        "name",
        [
            "actions.ActionResult",
            "actions.cancel",
            "actions.delete",
            "actions.retry",
            "config.DashboardConfig",
            "factory",
            "factory.DashboardManager",
            "managers.ModelTrackingAsyncManager",
            "mixins.AsyncDashboardMixin",
            "models.AbstractAsyncTaskRecord",
            "models.AsyncTaskAction",
            "models.AsyncTaskAttempt",
            "models.AsyncTaskRecord",
            "progress.TaskCancelled",
            "progress.check_cancelled",
            "progress.report",
            "progress.track",
            "signals.task_acted",
            "signals.task_recorded",
            "testing.assert_task",
            "testing.cancel_while_running",
            "testing.run_task",
            "testing.task_queue",
            "upkeep.backfill",
            "upkeep.prune",
            "upkeep.reconcile",
        ],
    )
    def test_it_has_every_public_name(self, name):
        assert name in self.DIRECTIVE.findall(read("docs", "api.md"))


class TestTree:
    """What is in the site, and can be found there."""

    def test_every_page_is_in_the_table_of_contents_once(self):
        trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", read("docs", "index.md"), re.M | re.S)
        lines = [line for tree in trees for line in tree.splitlines() if line and line[0] != ":"]
        entries = [re.sub(r".*<(.+)>", r"\1", line) for line in lines]

        assert sorted([*entries, "index"]) == sorted(page.stem for page in DOCS.glob("*.md"))

    @pytest.mark.parametrize("name", ["contributing", "changelog"])
    def test_a_page_of_the_root_is_linked_and_included(self, name):
        assert LINK.findall(read("docs", f"{name}.md")) == [f"../{name.upper()}.md"]
        assert f'"{name}": "{name.upper()}.md"' in read("docs", "conf.py")


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
    @pytest.mark.parametrize("template", ["detail.html", "_live.html"])
    def test_its_blocks_are_those_of_the_template(self, template):
        rows = read_table(read("docs", "task-page.md"), f"| block | in `task/{template}` |")
        source = read("powercrud_tracking", "templates", "powercrud_tracking", "task", template)

        blocks = re.findall(r"{% block (task_\w+) %}", source.partition("{% endcomment %}")[2])

        assert [row[0].strip("`") for row in rows] == blocks


class TestActionsPage:
    TEXT = read("docs", "actions.md")

    def test_it_says_what_each_action_does_in_each_status(self):
        actions = " | ".join(Action.values)
        rows = read_table(self.TEXT, f"| status | {actions} |")

        assert [row[0] for row in rows] == [f"`{status}`" for status in Status]

    def test_it_names_the_columns_of_the_table_of_actions(self):
        section = read_section(self.TEXT, "The table of actions")

        columns = {field.name for field in AsyncTaskAction._meta.fields} - {"id"}

        assert columns <= {*CODE.findall(section)}

    def test_it_names_the_options_that_a_retry_repeats(self):
        (row,) = [line for line in self.TEXT.splitlines() if line.startswith("| options |")]

        assert {*CODE.findall(row)} == {*KEPT_OPTIONS, "group"}

    def test_its_number_of_locks_is_that_of_the_code(self):
        assert f"if these were at most {MOST_LOCKS}." in self.TEXT

    def test_the_columns_that_actions_need_are_on_the_page_of_tables(self):
        text = read_section(read("docs", "tables.md"), "Actions")

        assert {name for names in NEEDED.values() for name in names} <= {*CODE.findall(text)}
