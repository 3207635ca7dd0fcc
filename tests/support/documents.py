"""The pages of the documentation, taken apart: which code stands on them and where it goes.

An HTML comment right above a block says what the block is; readers do not see it.

``<!-- file: shop/views.py -->``      it goes to the end of that file of the page's project
``<!-- replace: shop/views.py -->``   it becomes that file
``<!-- extend: shop/models.py -->``   its class, which is in that file, gets its base and its fields
``<!-- settings -->``                 what it names is set for the rest of the page
``<!-- stays -->``                    a command that runs until it is stopped

Python without a comment is run in the namespace of its page. A comment that itself goes on after
its first line is a block that nobody reads: what the page presumes (``file``), or ``<!-- run`` and
a few lines that try what the block before promises.

``<!-- tested by: tests/test_x.py -->`` on a line of its own gives a whole page to tests of its own.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "docs" / "quickstart.md"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

KINDS = {"file", "replace", "extend", "settings", "stays", "run"}
_BLOCK = re.compile(
    r"^<!-- (?P<hidden_kind>\w+)(?:: (?P<hidden_path>\S+))?\n(?P<hidden>.*?)^-->$"
    r"|^(?:<!-- (?P<kind>\w+)(?:: (?P<path>\S+))? -->\n)?"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```$"
    r"|^#+ (?P<heading>[^\n]+)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Code on a page.

    Args:
        kind: what the comment says; empty without one.
        path: the file that it names.
        language: of the fence; empty for a block in a comment.
        text: the code.
        line: the line of the page on which the code begins.
        heading: the heading above it.
    """

    kind: str
    path: str
    language: str
    text: str
    line: int
    heading: str

    @property
    def is_of_project(self) -> bool:
        return self.kind in {"file", "replace", "extend"}

    @property
    def is_run(self) -> bool:
        """Whether it is Python for the namespace of its page."""
        return not self.is_of_project and (self.language == "python" or self.kind == "run")


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    return list(_find_blocks(page.read_text(encoding="utf-8")))


def _find_blocks(text: str) -> Iterator[Block]:
    heading = ""
    for match in _BLOCK.finditer(text):
        if match["heading"]:
            heading = match["heading"]
            continue
        hidden = match["hidden"] is not None
        kind = (match["hidden_kind"] if hidden else match["kind"]) or ""
        if kind and kind not in KINDS:
            raise ValueError(f"What is a block called {kind!r}?")
        group = "hidden" if hidden else "text"
        yield Block(
            kind=kind,
            path=(match["hidden_path"] if hidden else match["path"]) or "",
            language=match["language"] or "",
            text=match[group],
            line=text.count("\n", 0, match.start(group)) + 1,
            heading=heading,
        )


def find_own_tests(page: Path) -> Path | None:
    """Return the file of tests that a page names as its own, or ``None``."""
    match = re.search(r"^<!-- tested by: (\S+) -->$", page.read_text(encoding="utf-8"), flags=re.M)
    return ROOT / match[1] if match else None


def write_files(blocks: Iterable[Block], project: Path) -> None:
    """Write into a project what its blocks say, as a reader would."""
    for block in blocks:
        if not block.is_of_project:
            continue
        target = project / block.path
        target.parent.mkdir(parents=True, exist_ok=True)
        above = target.read_text(encoding="utf-8") if target.exists() else ""
        if block.kind == "extend":
            text = _extend(above, block.text)
        else:
            text = (
                block.text if block.kind == "replace" or not above else f"{above}\n\n{block.text}"
            )
        target.write_text(text, encoding="utf-8")


def _extend(module: str, text: str) -> str:
    """Return a module whose class has the base, and besides its own the fields, of a block."""
    imports, line, body = re.split(r"^(class .+:)\n", text, maxsplit=1, flags=re.MULTILINE)
    name = line.partition("(")[0]
    old = re.search(rf"^{name}\(.+:\n((?: .*)?\n)+", module, flags=re.MULTILINE)
    assert old is not None, f"There is no {name} to extend."
    own = old[0].partition("\n")[2].rstrip()
    return module.replace(old[0], f"{imports}{line}\n{own}\n{body}")


def is_tracking(block: Block) -> bool:
    """Whether a block of the quickstart brings in this package."""
    return block.heading.startswith("3. ")


def make_project(project: Path, blocks: Iterable[Block]) -> Path:
    """Make a project as the quickstart does, with these of its blocks."""
    project.mkdir()
    for command in (["startproject", "mysite", "."], ["startapp", "shop"]):
        subprocess.run([sys.executable, "-m", "django", *command], cwd=project, check=True)
    write_files(blocks, project)
    # Template partials are a part of Django since 6.0: the quickstart says so in words.
    settings = project / "mysite" / "settings.py"
    add = (
        "import django\n\nif django.VERSION < (6, 0):\n    INSTALLED_APPS += ['template_partials']"
    )
    settings.write_text(f"{settings.read_text()}\n\n{add}\n")
    return project
