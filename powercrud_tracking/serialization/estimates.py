"""The progress of a task in numbers, from its last progress text."""

import re
from dataclasses import dataclass

_NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)"
_SHARE = re.compile(rf"(?<!\d){_NUMBER}\s*(?:/|of)\s*{_NUMBER}")
_PERCENT = re.compile(rf"(?<!\d){_NUMBER}\s*%")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The progress of a task in numbers.

    Args:
        fraction: what is done, from 0 to 1.
        rate: units per second, or the fraction per second where only a percentage is known;
            ``None`` if it is not known yet.
        remaining: seconds until the end at this rate, or ``None``.
    """

    fraction: float
    rate: float | None
    remaining: float | None

    @property
    def percent(self) -> int:
        """The fraction in whole percent; 100 only when all is done."""
        return int(self.fraction * 100)


def find_measure(text: str | None, *, elapsed: float | None = None) -> Measure | None:
    """Return the numbers in a progress text, or ``None`` if there are none.

    Args:
        text: such as ``"updating: 3/10"`` (as PowerCRUD and ``report()`` write) or ``"30%"``.
        elapsed: seconds from the start of the attempt to the last report.
    """
    share = _SHARE.search(text or "")
    percent = None if share else _PERCENT.search(text or "")
    if share:
        done, total = float(share[1]), float(share[2])
    elif percent:
        done, total = float(percent[1]) / 100, 1.0
    else:
        return None
    if not total:
        return None
    fraction = min(done / total, 1.0)
    # Clocks differ between machines: the start may lie in the future.
    rate = done / elapsed if elapsed and elapsed > 0 and done else None
    remaining = max(total - done, 0.0) / rate if rate else None
    return Measure(fraction=fraction, rate=rate, remaining=remaining)
