"""The demo's own tests, which are also the examples of a page of the documentation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing-your-project.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)


def test_the_demos_own_tests_pass(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test", "bookshop"],
        cwd=ROOT / "example",
        env={
            **os.environ,
            "BOOKSHOP_VAR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "bookshop_site.settings",
            "PYTHONPATH": str(ROOT),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"^Ran [1-9]\d* tests in .*\n\nOK$", done.stderr, flags=re.M), done.stderr


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("(")[0].strip() for block in BLOCKS])
def test_every_example_of_the_page_stands_in_them_word_for_word(block):
    tests = (ROOT / "example" / "bookshop" / "tests.py").read_text(encoding="utf-8")

    assert f"\n{block}" in tests


def test_the_page_has_examples():
    assert len(BLOCKS) == 8
