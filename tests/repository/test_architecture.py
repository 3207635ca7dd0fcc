"""Imports follow the layers that the architecture page lists, inside functions too."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "powercrud_tracking"
NAME = PACKAGE.name
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = [
    re.findall(r"`(\w+)/?`", row)
    for row in re.findall(
        r"^\| (`.*?`) \|", PAGE.partition("## Packages")[2].partition("\n## ")[0], re.MULTILINE
    )
]
"""From the ground up: the packages and modules of each layer."""

MOST_AT_THE_ROOT = 24
MOST_IN_A_PACKAGE = 14
# The folders where Django looks for files of its own.
PRESCRIBED = {"locale", "management", "migrations", "static", "templates", "templatetags"}

PURE = ("lifecycle", "serialization")
"""What needs neither settings, nor the registry of apps, nor a database."""


def get_module(path):
    """Return the dotted name of a file of the package, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def get_place(module):
    """Return the package or module at the root that a module belongs to."""
    return module.partition(".")[0]


FILES = {
    get_module(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "migrations" not in path.parts and path != PACKAGE / "__init__.py"
}
PLACES = {get_place(module) for module in FILES}


def find_imports(source):
    """Return the dotted names of all that a source imports, wherever the import is written."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def find_own_imports(source):
    """Return the modules of this package that a source imports."""
    own = set()
    for name in find_imports(source):
        parts = name.split(".")
        if parts[0] != NAME:
            continue
        # "from package.module import name": the longest part that is a module.
        for length in range(len(parts), 1, -1):
            module = ".".join(parts[1:length])
            if module in FILES:
                own.add(module)
                break
    return own


def get_rank(place):
    return next(number for number, layer in enumerate(LAYERS) if place in layer)


def find_wrong_imports(module, source):
    """Return what a module imports from its own layer or from one above it."""
    place = get_place(module)
    return {
        (module, other)
        for other in find_own_imports(source)
        if get_place(other) != place
        and get_rank(get_place(other)) >= get_rank(place)
        # Edges may know each other; a cycle among them is found by another test.
        and not (get_rank(place) == get_rank(get_place(other)) == len(LAYERS) - 1)
    }


modules = pytest.mark.parametrize("module", FILES)


class TestLayers:
    def test_every_module_has_its_place_once(self):
        listed = [name for layer in LAYERS for name in layer]

        assert sorted(listed) == sorted(PLACES)

    @modules
    def test_imports_point_down_only(self, module):
        wrong = find_wrong_imports(module, FILES[module].read_text(encoding="utf-8"))

        assert wrong == set()

    @pytest.mark.parametrize(
        "source",
        [
            "from powercrud_tracking import managers",
            "from powercrud_tracking.managers import ModelTrackingAsyncManager",
            "import powercrud_tracking.managers",
            "def later():\n    from powercrud_tracking import managers",
            "if TYPE_CHECKING:\n    from powercrud_tracking import managers",
        ],
        ids=["name", "from", "import", "in a function", "for types"],
    )
    def test_an_import_that_points_up_is_found_wherever_it_is_written(self, source):
        assert find_wrong_imports("records.reading", source) == {("records.reading", "managers")}

    @pytest.mark.parametrize("place", sorted(PLACES))
    def test_no_cycle_inside_a_package(self, place):
        graph = {
            module: {
                other
                for other in find_own_imports(path.read_text(encoding="utf-8"))
                if get_place(other) == place and other != module
            }
            for module, path in FILES.items()
            if get_place(module) == place
        }

        assert list(graphlib.TopologicalSorter(graph).static_order())

    def test_no_cycle_anywhere(self):
        graph = {
            module: find_own_imports(path.read_text(encoding="utf-8")) - {module}
            for module, path in FILES.items()
        }

        assert list(graphlib.TopologicalSorter(graph).static_order())


class TestSize:
    def test_the_root_can_be_read_at_a_glance(self):
        shown = PLACES - PRESCRIBED

        assert len(shown) <= MOST_AT_THE_ROOT

    @pytest.mark.parametrize("folder", sorted({path.parent for path in FILES.values()} - {PACKAGE}))
    def test_a_package_holds_few_modules(self, folder):
        held = [path for path in folder.glob("*.py") if path.name != "__init__.py"]

        assert len(held) <= MOST_IN_A_PACKAGE

    @modules
    def test_no_name_says_nothing(self, module):
        assert module.rpartition(".")[2] not in {"utils", "helpers", "common", "core", "misc"}


class TestPure:
    PURE_MODULES = sorted(module for module in FILES if get_place(module) in PURE)

    @pytest.mark.parametrize("module", PURE_MODULES)
    def test_a_pure_module_names_neither_settings_nor_registry_nor_database(self, module):
        forbidden = re.compile(
            r"django\.(conf|apps|core)\b"
            r"|django\.db\.(connections?|transaction|router|utils|backends)\b"
            r"|django_q\b|powercrud\b"
        )

        found = find_imports(FILES[module].read_text(encoding="utf-8"))

        assert {name for name in found if forbidden.match(name)} == set()

    def test_pure_modules_are_imported_without_settings(self):
        imports = ", ".join(f"{NAME}.{module}" for module in self.PURE_MODULES)
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


def find_strings(source):
    """Return the strings of a source that are no docstrings."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        str(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in docstrings
    }


def test_only_one_module_names_the_setting():
    naming = {
        module
        for module, path in FILES.items()
        if any(
            "POWERCRUD_ASYNC_DASHBOARD" in text
            for text in find_strings(path.read_text(encoding="utf-8"))
        )
    }

    assert naming == {"config.setting"}


class TestPaths:
    """The architecture page names functions and files; a reader must find each of them."""

    TEXT = PAGE.partition("## The path of an event")[2].partition("## Packages")[0]
    CODE = "\n".join(path.read_text(encoding="utf-8") for path in FILES.values())

    @pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:\w+\.)*(\w+)\(\)`", TEXT))))
    def test_each_function_that_is_named_exists(self, name):
        assert re.search(rf"^ *def {name}\b", self.CODE, re.MULTILINE)

    @pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z]\w+[a-z]\w*)`", TEXT))))
    def test_each_class_that_is_named_exists(self, name):
        assert re.search(rf"^class {name}\b", self.CODE, re.MULTILINE)

    @pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`", TEXT))))
    def test_each_file_that_is_named_exists(self, name):
        assert (PACKAGE / name).is_file()
