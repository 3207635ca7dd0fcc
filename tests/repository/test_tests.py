"""Rules of this folder itself."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SOURCES = {
    ".".join(path.relative_to(TESTS.parent).with_suffix("").parts): path.read_text("utf-8")
    for path in TESTS.rglob("*.py")
    if path != Path(__file__)
}
# Also in a string, which is a program of another process or a setting.
IMPORT = re.compile(
    r"^[\s\"']*(?:from|import) +(tests(?:\.\w+)*\.test_\w+|tests(?:\.\w+)* import .*\btest_\w+)",
    re.MULTILINE,
)
DOTTED_PATH = re.compile(r"[\"'](tests(?:\.\w+)*\.test_\w+)\.\w+")


def find_test_modules(module, source):
    """Return the test modules, beside itself, that a module imports or names."""
    return {*IMPORT.findall(source), *DOTTED_PATH.findall(source)} - {module}


def test_no_module_imports_a_test_module():
    found = {module: find_test_modules(module, source) for module, source in SOURCES.items()}

    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from tests.test_signals import heard",
        "from tests.records.test_filters import make",
        "from tests.records import test_filters",
        "    import tests.records.test_filters",
        'PROGRAM = """\nfrom tests.test_signals import heard\n"""',
        'settings.X = {"VISIBLE": "tests.test_signals.refuse"}',
    ],
)
def test_an_import_of_a_test_module_is_found_wherever_it_is_written(source):
    assert len(find_test_modules("tests.test_poll", source)) == 1
