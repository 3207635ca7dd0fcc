"""What is built and installed is what stands in the tree, and nothing else.

tox installs the built wheel. ``tox run -e package`` builds sdist and wheel once more, as they are
released, for the tests that open both.
"""

import configparser
import os
import re
import subprocess
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest

import powercrud_tracking

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "powercrud_tracking"
NAME = f"django_powercrud_tracking-{powercrud_tracking.__version__}"

KINDS = {
    "modules": "*.py",
    "migrations": "migrations/*.py",
    "commands": "management/commands/*_async_dashboard.py",
    "templates": "templates/powercrud_tracking/*.html",
    "static files": "static/powercrud_tracking/*.css",
    "scripts": "static/powercrud_tracking/*.js",
    "the stylesheet of others": "static/powercrud_tracking/vendor/*.css",
    "catalogues": "locale/*/LC_MESSAGES/django.mo",
    "its licence": "static/powercrud_tracking/vendor/*LICENSE*",
}
"""What must not be missing, whatever the tree says."""


def get_tree():
    """Return the files of the package in the tree."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def find_built(ending):
    """Return what was built with that ending; skip where nothing was."""
    if "TEST_DIST" not in os.environ:
        pytest.skip("sdist and wheel are not built; tox run -e package does that")
    (found,) = Path(os.environ["TEST_DIST"]).glob(f"*{ending}")
    return found


@pytest.fixture(scope="module")
def distribution():
    # In site-packages only: building leaves metadata of its own in the tree.
    found = metadata.Distribution.discover(
        name="django-powercrud-tracking", path=[sysconfig.get_path("purelib")]
    )
    for distribution in found:
        return distribution
    pytest.skip("the wheel is not installed; tox does that")


@pytest.fixture(scope="module")
def wheel():
    """The wheel's files, name to content."""
    with zipfile.ZipFile(find_built(".whl")) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.fixture(scope="module")
def sdist():
    """The sdist's files, name to content."""
    with tarfile.open(find_built(".tar.gz")) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in files}


@pytest.fixture(scope="module")
def said(wheel):
    """The wheel's metadata."""
    return message_from_bytes(wheel[f"{NAME}.dist-info/METADATA"])


class TestInstalled:
    def test_it_holds_every_file_of_the_package_and_nothing_else(self, distribution):
        installed = {
            file.as_posix()
            for file in distribution.files
            if ".dist-info" not in file.parts[0] and "__pycache__" not in file.parts
        }

        assert installed == get_tree()

    def test_its_version_is_the_package_s(self, distribution):
        assert distribution.version == powercrud_tracking.__version__


class TestWheel:
    def test_it_holds_every_file_of_the_package_its_licence_and_nothing_else(self, wheel):
        about = f"{NAME}.dist-info"

        assert set(wheel) == get_tree() | {
            f"{about}/{name}"
            for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE", "top_level.txt")
        }

    @pytest.mark.parametrize("pattern", KINDS.values(), ids=KINDS)
    def test_it_lacks_nothing_of_this_kind(self, wheel, pattern):
        tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).glob(pattern)}

        assert tree
        assert tree <= set(wheel)

    def test_each_file_is_the_one_of_the_tree(self, wheel):
        assert [name for name in get_tree() if wheel[name] != (ROOT / name).read_bytes()] == []

    def test_its_top_level_is_the_package_alone(self, wheel):
        assert wheel[f"{NAME}.dist-info/top_level.txt"].decode().split() == [PACKAGE]


class TestSdist:
    def test_it_holds_every_file_of_the_repository_and_nothing_else(self, sdist):
        if not (ROOT / ".git").exists():
            pytest.skip("this is no clone")
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        repository = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}

        files = {name.partition("/")[2] for name in sdist}
        made = {name for name in files if name == "PKG-INFO" or ".egg-info/" in name}

        assert {name.partition("/")[0] for name in sdist} == {NAME}
        assert files - made == repository

    @pytest.mark.parametrize("name", ["LICENSE", "README.md", "CHANGELOG.md", "MANIFEST.in"])
    def test_it_holds_what_people_look_for(self, sdist, name):
        assert sdist[f"{NAME}/{name}"] == (ROOT / name).read_bytes()

    def test_it_says_what_the_wheel_says(self, sdist, said):
        assert message_from_bytes(sdist[f"{NAME}/PKG-INFO"]).items() == said.items()


class TestMetadata:
    def test_they_name_package_version_and_licence(self, said):
        assert said["Name"] == "django-powercrud-tracking"
        assert said["Version"] == powercrud_tracking.__version__
        assert (said["License-Expression"], said["License-File"]) == ("MIT", "LICENSE")

    def test_the_long_description_is_the_readme(self, said):
        assert said.get_payload(decode=True).decode() == (ROOT / "README.md").read_text()

    def test_each_python_that_they_claim_is_tried_and_the_oldest_is_required(self, said):
        claimed = find_versions(said, r"Programming Language :: Python :: (3\.\d+)")

        assert claimed == (ROOT / ".python-version").read_text().split()
        assert said["Requires-Python"] == f">={claimed[0]}"

    def test_each_django_that_they_claim_is_tried_and_the_oldest_is_required(self, said):
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / "tox.ini")
        tried = re.findall(r"^django\d+: Django==(\d\.\d)\.\*", tox["testenv"]["deps"], re.M)

        claimed = find_versions(said, r"Framework :: Django :: (\d\.\d)")

        assert claimed == tried
        assert f"Django>={claimed[0]}" in said.get_all("Requires-Dist")


def find_versions(said, pattern):
    return [
        found[1]
        for classifier in said.get_all("Classifier")
        if (found := re.fullmatch(pattern, classifier))
    ]


class TestChangelog:
    HEADINGS = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)

    def test_it_speaks_of_what_is_coming_or_of_this_version(self):
        first = self.HEADINGS[0]

        assert first == "Unreleased" or first.startswith(f"{powercrud_tracking.__version__} (")

    def test_each_release_has_its_date_and_stands_above_the_older_ones(self):
        releases = [
            re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \((\d{4}-\d{2}-\d{2})\)", heading)
            for heading in self.HEADINGS
            if heading != "Unreleased"
        ]

        assert all(releases)
        versions = [tuple(map(int, release.groups()[:3])) for release in releases]
        assert versions == sorted(versions, reverse=True)
