"""Time, statements, and the tables that show them."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

type Statement = tuple[str, Any]


@dataclass
class Measured:
    """What was measured inside a ``with measure()``."""

    milliseconds: float = 0.0
    statements: list[Statement] = field(default_factory=list)


@contextmanager
def measure() -> Iterator[Measured]:
    """Measure the time and keep the SQL statements of what happens inside."""
    measured = Measured()

    def keep(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        measured.statements.append((sql, params))
        return execute(sql, params, *rest)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(keep))
        began = time.perf_counter()
        try:
            yield measured
        finally:
            measured.milliseconds = (time.perf_counter() - began) * 1000


def time_call(call: Callable[..., Any], *args: Any) -> float:
    """Return the milliseconds that a call takes."""
    began = time.perf_counter()
    call(*args)
    return (time.perf_counter() - began) * 1000


def compare(
    contenders: Mapping[str, Callable[[], Any]], *, rounds: int, times: int
) -> dict[str, float]:
    """Return the milliseconds of one call of each: the median of rounds.

    The contenders take turns within a round, so that a busy moment of the machine meets all.
    """
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = sorted(time_call(contenders[name]) for _ in range(times))
            seen[name].append(statistics.median(took))
    return {name: statistics.median(medians) for name, medians in seen.items()}


def write_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; numbers stand to the right."""
    cells = [[_write_cell(cell) for cell in row] for row in rows]
    rules = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(heads), rules, *cells])


def _write_cell(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.2f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
