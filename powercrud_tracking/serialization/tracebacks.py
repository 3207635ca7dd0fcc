"""A traceback as text, taken apart into exceptions and frames, own frames told apart."""

import re
from dataclasses import dataclass, replace
from typing import Literal

Link = Literal["", "cause", "context", "member"]

_BARS = re.compile(r" *[|+](?: |$)")
_GROUP = "Exception Group Traceback (most recent call last):"
_HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):$")
_FRAME = re.compile(r' +File "(.+)", line (\d+)(?:, in (.*))?$')
_BETWEEN = re.compile(r" *(?:\+-)?\+?-{4,}(?: (\d+|\.\.\.) -{4,})?$")
_MARKS = re.compile(r"[\s~^]*$")
_LINKS: dict[str, Link] = {
    "The above exception was the direct cause of the following exception:": "cause",
    "During handling of the above exception, another exception occurred:": "context",
}
# Of others: installed packages (pex and eggs too), the standard library (in a zip, on Windows and
# on conda's Windows too), and what stands in no file, such as <frozen importlib._bootstrap>.
_FOREIGN = re.compile(
    r"""
      [/\\](?:site-packages|dist-packages|installed_wheels|\.deps)[/\\]
    | \.egg[/\\]
    | [/\\]lib(?:64)?[/\\](?:python|pypy)\d[\d.t]*[/\\]
    | [/\\]python\d+\.zip[/\\]
    | ^[A-Za-z]:\\.*\\Lib\\
    | ^<.*>$
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A place in the code.

    Args:
        file: as the traceback writes it.
        line: the number of the line.
        function: what ran there; empty where a file could not be compiled.
        code: the line itself; empty if the traceback has none.
    """

    file: str
    line: int
    function: str
    code: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it is code of the project: no installed package, not the standard library."""
        return not _FOREIGN.search(self.file)


@dataclass(frozen=True, kw_only=True)
class Raised:
    """An exception in a traceback.

    Args:
        exception: its line, "ValueError: bad price"; empty if the traceback was cut off.
        frames: where it passed, the innermost first.
        link: what it was to the exception told after it: its ``cause``, or the ``context`` in
            which that one was raised. ``member``: it is one of a group told before.
    """

    exception: str
    frames: tuple[Frame, ...]
    link: Link = ""

    @property
    def own_frames(self) -> tuple[Frame, ...]:
        """The project's own frames, the innermost first."""
        return tuple(frame for frame in self.frames if frame.is_own)


def parse_traceback(text: str) -> tuple[Raised, ...]:
    """Return the exceptions in a traceback, the last one first; this never raises.

    The last one is what made the task fail; what led to it follows, and the members of a group
    follow the group.

    Whatever cannot be read is left out, so that a text without a traceback has none.

    Args:
        text: what ``traceback.format_exc()`` gave, whole or cut off at either end.
    """
    in_bars = _GROUP in text
    reader = _Reader()
    for raw in text.splitlines():
        reader.read(_BARS.sub("", raw, count=1) if in_bars else raw)
    return reader.close()


class _Reader:
    def __init__(self) -> None:
        self._found: list[Raised] = []
        self._frames: list[Frame] = []
        self._exception = ""
        self._in_exception = False
        self._is_member = False
        self._waits_for_code = False

    def read(self, line: str) -> None:
        match = _FRAME.match(line)
        if match and not self._exception:
            self._frames.append(
                Frame(file=match[1], line=int(match[2][:9]), function=match[3] or "")
            )
            self._waits_for_code = True
        elif _HEADER.search(line):
            self._finish()
            self._in_exception = True
        elif line.strip() in _LINKS:
            self._finish()
            self._link(_LINKS[line.strip()])
        elif between := _BETWEEN.match(line):
            self._finish()
            self._is_member = self._in_exception = between[1] is not None
        elif line.startswith(" "):
            self._read_code(line)
        elif line and not self._exception and (self._frames or self._in_exception):
            self._exception = line

    def _read_code(self, line: str) -> None:
        if self._waits_for_code and not self._exception and not _MARKS.match(line):
            self._frames[-1] = replace(self._frames[-1], code=line.strip())
        self._waits_for_code = False

    def _link(self, link: Link) -> None:
        """Say what the exception just told, with all its members, is to the next."""
        for number, raised in reversed(list(enumerate(self._found))):
            if raised.link != "member":
                self._found[number] = replace(raised, link=link)
                break
        self._is_member = False

    def _finish(self) -> None:
        if self._frames or self._exception:
            self._found.append(
                Raised(
                    exception=self._exception,
                    frames=tuple(reversed(self._frames)),
                    link="member" if self._is_member else "",
                )
            )
        self._frames, self._exception = [], ""
        self._in_exception = self._waits_for_code = False

    def close(self) -> tuple[Raised, ...]:
        self._finish()
        groups: list[list[Raised]] = []
        for raised in self._found:
            if raised.link == "member" and groups:
                groups[-1].append(raised)
            else:
                groups.append([raised])
        return tuple(raised for group in reversed(groups) for raised in group)
