"""Where the shapes of a chart stand. Numbers in, coordinates out; the templates draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_HEIGHT = 2
"""Pixels that a part has which is not nothing, however small it is."""

ABOVE = 16
"""Pixels above the highest column, for the number on it."""

_LIFT = 4
"""Pixels between a column and the number on it."""

_GAP = 0.25
"""How much of a column's place stays empty."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a column.

    Args:
        kind: what it counts.
        y: its upper edge, in pixels from the top.
        height: in pixels.
    """

    kind: str
    y: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a chart, as wide as the chart lets it be.

    Args:
        x: its left edge, with the unit: a part of the width.
        width: its width.
        place: the left edge of its place, which the gap to the next one belongs to.
        place_width: the width of its place.
        middle: the middle of it.
        label_y: where the number on it stands, in pixels from the top.
        parts: from the bottom upwards, without the empty ones.
    """

    x: str
    width: str
    place: str
    place_width: str
    middle: str
    label_y: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line across a chart, and the number that it stands for."""

    y: int
    value: int


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A chart of stacked columns.

    Args:
        height: in pixels.
        columns: from left to right.
        lines: from the highest to nought.
    """

    height: int
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def build_columns(values: Sequence[Mapping[str, int]], *, height: int) -> Columns:
    """Return a chart of stacked columns.

    Widths are parts of the whole and heights are pixels, so that it fits any width and no
    letter in it is distorted.

    Args:
        values: for each column what it counts, from the bottom upwards.
        height: of the whole chart, in pixels.
    """
    most = get_ceiling(max((sum(each.values()) for each in values), default=0))
    share = 100 / max(len(values), 1)
    room = height - ABOVE
    columns = []
    for number, each in enumerate(values):
        left = number * share
        parts = _stack(each, most=most, height=height, room=room)
        columns.append(
            Column(
                x=_percent(left + share * _GAP / 2),
                width=_percent(share * (1 - _GAP)),
                place=_percent(left),
                place_width=_percent(share),
                middle=_percent(left + share / 2),
                label_y=(parts[-1].y if parts else height) - _LIFT,
                parts=parts,
            )
        )
    steps = (most, most // 2, 0) if most % 2 == 0 else (most, 0)
    lines = tuple(Line(y=height - round(room * step / most), value=step) for step in steps)
    return Columns(height=height, columns=tuple(columns), lines=lines)


def _stack(each: Mapping[str, int], *, most: int, height: int, room: int) -> tuple[Part, ...]:
    counted = {kind: number for kind, number in each.items() if number > 0}
    heights = {
        kind: max(round(room * number / most), LEAST_HEIGHT) for kind, number in counted.items()
    }
    # What small parts were given is taken from the largest, so that none leaves the chart.
    if (over := sum(heights.values()) - room) > 0:
        largest = max(heights, key=heights.__getitem__)
        heights[largest] -= over
    edges = [height]
    for part in heights.values():
        edges.append(edges[-1] - part)
    return tuple(
        Part(kind=kind, y=upper, height=lower - upper)
        for kind, (lower, upper) in zip(heights, pairwise(edges), strict=True)
    )


def get_ceiling(number: int) -> int:
    """Return the round number at which the scale of a chart ends: 4, 10, 20, 50, 100, 200."""
    if number <= 4:
        return 4
    power: int = 10 ** (len(str(number - 1)) - 1)
    for step in (1, 2, 4, 5, 6, 8, 10):
        if number <= step * power:
            return step * power
    return 10 * power


def get_share(number: float, most: float) -> str:
    """Return how much of the most a number is, as the length of a bar."""
    return _percent(100 * min(number / most, 1) if most > 0 else 0)


def _percent(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".") + "%"
