"""How many rows there are, counted no further than people care to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery
from django.utils.formats import number_format

LIMIT = 10_000
"""Where counting stops: ten thousand and ten million look alike to who reads them."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many rows were found.

    Args:
        number: how many, at most ``LIMIT``.
        has_more: whether there are more than that.
    """

    number: int = 0
    has_more: bool = False

    def __str__(self) -> str:
        text = number_format(self.number, force_grouping=True)
        return f"{text}+" if self.has_more else text


class _CappedCount(Subquery):
    template = "(SELECT COUNT(*) FROM (%(subquery)s) capped)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet, **extra: Any) -> None:
        super().__init__(rows.order_by().values("pk")[: LIMIT + 1], **extra)


def get_counts(selections: Mapping[str, QuerySet]) -> dict[str, Count]:
    """Return how many rows each of these selections of one table has, in one query.

    Args:
        selections: name to rows, of one model in one database.
    """
    rows = next(iter(selections.values()))
    columns = {f"_{n}": _CappedCount(selected) for n, selected in enumerate(selections.values())}
    # A row to hang the columns on; an empty table has none, and nothing to count.
    anything = rows.model._base_manager.using(rows.db).annotate(**columns).values_list(*columns)
    for found in anything[:1]:
        return {
            name: Count(number=min(number or 0, LIMIT), has_more=(number or 0) > LIMIT)
            for name, number in zip(selections, found, strict=True)
        }
    return dict.fromkeys(selections, Count())
