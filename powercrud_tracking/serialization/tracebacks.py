"""The exceptions and frames of a traceback in a text, and which frames are the project's own."""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Link = Literal["", "cause", "context", "member"]

_HEADER = "Traceback (most recent call last):"
_GROUP = f"Exception Group {_HEADER}"
_BARS = re.compile(r" *[|+](?: |$)")
_FRAME = re.compile(r' +File "(.+)", line (\d+)(?:, in (.*))?$')
_BETWEEN = re.compile(r" *(?:\+-)?\+?-{4,}(?: (\d+|\.\.\.) -{4,})?$")
CONTEXT = "During handling of the above exception, another exception occurred:"
_LINKS: dict[str, Link] = {
    "The above exception was the direct cause of the following exception:": "cause",
    CONTEXT: "context",
}
# Installed packages (also pex and eggs), the standard library (also in a zip, on Windows, and in
# conda on Windows), and code that is in no file, such as <frozen importlib._bootstrap>.
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


class Frame(NamedTuple):
    """A place in the code.

    Args:
        file: as the traceback writes it.
        line: the number of the line.
        function: empty where a file could not be compiled.
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


@dataclass(kw_only=True)
class Raised:
    """An exception in a traceback.

    Args:
        exception: its line, "ValueError: bad price"; empty if the traceback was cut off.
        frames: innermost first.
        link: what it was to the exception listed before it: its ``cause``, the ``context`` in
            which that one was raised, or a ``member`` of that group.
    """

    exception: str = ""
    frames: list[Frame] = field(default_factory=list)
    link: Link = ""

    @property
    def own_frames(self) -> list[Frame]:
        return [frame for frame in self.frames if frame.is_own]


def parse_traceback(text: str) -> list[Raised]:
    """Return the exceptions in a traceback, the last one first; this never raises.

    The last one made the task fail; its causes follow, and the members of a group follow the
    group. Lines that cannot be parsed are left out: a text without a traceback has no exceptions.

    Args:
        text: the result of ``traceback.format_exc()``, whole or cut off at either end.
    """
    has_bars = _GROUP in text
    # Each exception of the chain, with the members of its group.
    chain: list[list[Raised]] = []
    current = Raised()
    is_inside = is_member = code_follows = False
    for raw in text.splitlines():
        line = raw[bars.end() :] if has_bars and (bars := _BARS.match(raw)) else raw
        frame = None if current.exception else _FRAME.match(line)
        if frame:
            current.frames.append(Frame(frame[1], int(frame[2][:9]), frame[3] or ""))
        elif line.endswith(_HEADER):
            _add(chain, current)
            current = Raised(link="member" if is_member else "")
            is_inside = True
        elif link := _LINKS.get(line.strip()):
            _add(chain, current)
            if chain:
                chain[-1][0].link = link
            current = Raised()
            is_inside = is_member = False
        elif between := _BETWEEN.match(line):
            _add(chain, current)
            is_inside = is_member = between[1] is not None
            current = Raised(link="member" if is_member else "")
        elif line.startswith(" "):
            if code_follows and not current.exception and line.strip(" ~^"):
                current.frames[-1] = current.frames[-1]._replace(code=line.strip())
        elif line and not current.exception and (current.frames or is_inside):
            current.exception = line
        code_follows = bool(frame)
    _add(chain, current)
    return [
        raised for group in reversed(chain) for raised in group if raised.exception or raised.frames
    ]


def _add(chain: list[list[Raised]], raised: Raised) -> None:
    raised.frames.reverse()
    if raised.link == "member" and chain:
        chain[-1].append(raised)
    elif raised.frames or raised.exception:
        chain.append([raised])
