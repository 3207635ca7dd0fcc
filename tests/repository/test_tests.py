"""Rules of this folder itself."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(set(TESTS.rglob("*.py")) - {Path(__file__)})
# Also in a string, which is a program of another process.
IMPORT_OF_TESTS = re.compile(
    r"^[\s\"']*(?:from|import) +(tests(?:\.\w+)*\.test_\w+|tests(?:\.\w+)* import .*\btest_\w+)",
    re.MULTILINE,
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_module_imports_a_test_module(path):
    source = path.read_text(encoding="utf-8")

    assert IMPORT_OF_TESTS.findall(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.test_signals import heard",
        "from tests.records.test_filters import make",
        "from tests.records import test_filters",
        "    import tests.records.test_filters",
        'PROGRAM = """\nfrom tests.test_signals import heard\n"""',
    ],
)
def test_an_import_of_a_test_module_is_found_wherever_it_is_written(line):
    assert len(IMPORT_OF_TESTS.findall(line)) == 1
