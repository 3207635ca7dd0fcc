"""How many rows there are, counted no further than people care to know."""

from dataclasses import dataclass

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
