"""A large payload against smaller ones: the cost depends on the limit, not on the size."""

import uuid

from powercrud_tracking.factory import get_manager
from tests.bench.meter import compare, write_table

SIZES = (500, 5_000, 10_000_000)
"""Small; as much as the limit lets through; huge."""


def report(*, quick: bool) -> str:
    """Return the table of recording lists of different lengths."""
    manager = get_manager()

    def create_with(items: list[int]) -> None:
        manager._emit_lifecycle(
            "create",
            str(uuid.uuid4()),
            status="pending",
            affected_objects=items,
            task_args=[items],
            task_kwargs={"items": items},
        )

    lists = {size: [7] * size for size in SIZES}
    took = compare(
        {f"{size:,} items": lambda size=size: create_with(lists[size]) for size in lists},
        rounds=3 if quick else 7,
        times=3 if quick else 10,
    )
    return write_table(
        ["one create, the list as args, kwargs and objects", "ms"], list(took.items())
    )
