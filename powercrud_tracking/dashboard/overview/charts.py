"""The geometry of the overview's charts: all of it in percent, so that it fits any size."""

from collections.abc import Mapping, Sequence
from typing import Any


def build_columns(values: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Return a chart of stacked columns.

    Args:
        values: for each column the counts by kind, from the bottom upwards.

    Returns:
        ``columns`` (each with its left edge ``x``, its upper edge ``y`` and its ``parts``),
        their ``width``, and ``lines``: the values on the scale and their ``y``.
    """
    ceiling = get_ceiling(max((sum(counts.values()) for counts in values), default=0))
    width = 100 / max(len(values), 1)
    columns = []
    for number, counts in enumerate(values):
        x, y, total, parts = _percent(number * width), "100%", 0, []
        for kind, count in counts.items():
            if count:
                total += count
                y = get_share(ceiling - total, ceiling)
                parts.append({"kind": kind, "y": y, "height": get_share(count, ceiling)})
        columns.append({"x": x, "y": y, "parts": parts})
    steps = (ceiling, ceiling // 2, 0) if ceiling % 2 == 0 else (ceiling, 0)
    lines = [(step, get_share(ceiling - step, ceiling)) for step in steps]
    return {"columns": columns, "width": _percent(width), "lines": lines}


def get_ceiling(number: int) -> int:
    """Return the round number at which the scale of a chart ends: 4, 10, 20, 50, 100, 200."""
    if number <= 4:
        return 4
    power: int = 10 ** (len(str(number - 1)) - 1)
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if number <= step * power)


def get_share(number: float, most: float) -> str:
    """Return a number as a share of the largest one: "40%"."""
    return _percent(100 * min(number / most, 1) if most > 0 else 0)


def _percent(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".") + "%"
