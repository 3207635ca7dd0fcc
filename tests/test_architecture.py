"""Which module may know which: the list on the architecture page, held against the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "powercrud_tracking"
NAME = PACKAGE.name
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LAYERS = [
    module
    for row in re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    for module in re.findall(r"`(\w+)`", row)
]
PURE = (
    "lifecycle",
    "redaction",
    "payloads",
    "formatters",
    "failures",
    "tracebacks",
    "measures",
    "charts",
)
# The management commands stand below everything; migrations and __init__ import nothing of ours.
LAST = "management"

KNOW_POWERCRUD = {"checks", "live", "managers", "poll", "receivers"}
"""The modules that import PowerCRUD when they are imported themselves."""


def get_layer(path):
    """Return the name in the list for a file of the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py" and get_layer(path) != "migrations"
)
files = pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])


def walk_module_level(node):
    """Yield what runs when the module is imported: everything outside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from walk_module_level(child)


def get_imported(nodes):
    """Return the dotted names of what these nodes import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def get_own(imported):
    """Return the modules of ours among imported names."""
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    own = {name.split(".")[1] for name in imported if name.startswith(f"{NAME}.")}
    return own & modules


def get_module_level_imports(path):
    return get_imported(walk_module_level(ast.parse(path.read_text())))


class TestList:
    def test_every_module_has_its_place_once(self):
        modules = {get_layer(path) for path in FILES} - {LAST}

        assert sorted(LAYERS) == sorted(modules)

    @files
    def test_imports_point_up_the_list_only(self, path):
        order = [*LAYERS, LAST]
        layer = order.index(get_layer(path))

        below = {
            module
            for module in get_own(get_module_level_imports(path))
            if order.index(module) >= layer
        }

        assert below == set()

    def test_only_these_modules_know_powercrud(self):
        knowing = {
            get_layer(path)
            for path in FILES
            if any(name.split(".")[0] == "powercrud" for name in get_module_level_imports(path))
        }

        assert knowing == KNOW_POWERCRUD

    @files
    def test_a_deferred_import_has_its_reason_above_it(self, path):
        lines = path.read_text().splitlines()
        tree = ast.parse(path.read_text())
        at_once = set(walk_module_level(tree))
        deferred = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in at_once
        ]

        without = []
        for node in deferred:
            above = node.lineno - 2
            while lines[above].strip().startswith(("import ", "from ")):
                above -= 1
            if not lines[above].strip().startswith("#"):
                without.append(node.lineno)

        assert without == []

    @files
    def test_nothing_has_a_name_that_says_nothing(self, path):
        assert path.stem not in {"utils", "helpers", "common", "core", "misc"}


class TestPure:
    def test_the_page_names_them(self):
        sentence = re.search(r"^(.*) are pure: ", PAGE, re.MULTILINE)

        assert tuple(re.findall(r"`(\w+)`", sentence[1])) == PURE

    @pytest.mark.parametrize("module", PURE)
    def test_a_pure_module_imports_only_pure_ones(self, module):
        own = get_own(get_module_level_imports(PACKAGE / f"{module}.py"))

        assert own <= set(PURE)

    @pytest.mark.parametrize("module", PURE)
    def test_a_pure_module_names_neither_settings_nor_registry_nor_database(self, module):
        tree = ast.parse((PACKAGE / f"{module}.py").read_text())
        forbidden = re.compile(
            r"django\.(conf|apps|core)\b"
            r"|django\.db\.(connections?|transaction|router|utils|backends)\b"
            r"|django_q\b|powercrud\b"
        )

        found = {name for name in get_imported(ast.walk(tree)) if forbidden.match(name)}

        assert found == set()

    def test_pure_modules_are_imported_without_settings(self):
        imports = ", ".join(f"{NAME}.{module}" for module in PURE)
        script = (
            f"import {imports}\n"
            "from django.apps import apps\n"
            "from django.conf import settings\n"
            "print(settings.configured, apps.ready)"
        )

        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert (done.stdout, done.stderr) == ("False False\n", "")


class TestSetting:
    def test_only_conf_names_it(self):
        # In strings that run; what docstrings explain is no use of it.
        naming = set()
        for path in FILES:
            tree = ast.parse(path.read_text())
            told = {
                id(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            }
            naming |= {
                get_layer(path)
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and id(node) not in told
                and "POWERCRUD_ASYNC_DASHBOARD" in str(node.value)
            }

        assert naming == {"conf"}
