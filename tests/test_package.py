"""What is installed is what stands in the tree, and nothing else. tox installs the built wheel."""

import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import powercrud_tracking

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "powercrud_tracking"


@pytest.fixture(scope="module")
def distribution():
    # In site-packages only: building leaves metadata of its own in the tree.
    found = metadata.Distribution.discover(
        name="django-powercrud-tracking", path=[sysconfig.get_path("purelib")]
    )
    for distribution in found:
        return distribution
    pytest.skip("the wheel is not installed; tox does that")


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(distribution):
    tree = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    installed = {
        file.as_posix()
        for file in distribution.files
        if ".dist-info" not in file.parts[0] and "__pycache__" not in file.parts
    }

    assert installed == tree


def test_the_version_stands_in_one_place(distribution):
    assert distribution.version == powercrud_tracking.__version__


def test_the_changelog_speaks_of_what_is_coming_or_of_this_version():
    headings = [
        line.removeprefix("## ")
        for line in (ROOT / "CHANGELOG.md").read_text().splitlines()
        if line.startswith("## ")
    ]

    assert headings[0] == "Unreleased" or headings[0].startswith(powercrud_tracking.__version__)
