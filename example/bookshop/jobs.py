"""The tasks that a button on the home page starts."""

from collections.abc import Callable
from dataclasses import dataclass

from . import tasks


@dataclass(frozen=True, kw_only=True)
class Job:
    """A button and the task behind it.

    Args:
        name: in the URL.
        label: of the button.
        hint: the text beside the button.
        func: the task function.
        objects: the label of the objects it works on.
        permission: required to start it; empty if a login is enough.
    """

    name: str
    label: str
    hint: str
    func: Callable[..., object]
    objects: str
    permission: str = ""


JOBS = {
    job.name: job
    for job in [
        Job(
            name="recalculate-prices",
            label="Recalculate all prices",
            hint="Takes about half a minute, reports its progress, and can be cancelled.",
            func=tasks.recalculate_prices,
            objects="all books",
            permission="bookshop.change_book",
        ),
        Job(
            name="fetch-supplier-prices",
            label="Fetch the supplier's prices",
            hint="Fails at first; the second attempt, 45 seconds later, succeeds.",
            func=tasks.fetch_supplier_prices,
            objects="the supplier's price list",
            permission="bookshop.change_book",
        ),
        Job(
            name="export-catalogue",
            label="Export the catalogue",
            hint="Succeeds after some seconds.",
            func=tasks.export_catalogue,
            objects="all books",
        ),
        Job(
            name="print-price-tags",
            label="Print price tags",
            hint="Fails after some seconds, with a traceback, and once more 45 seconds later.",
            func=tasks.print_price_tags,
            objects="all books",
        ),
    ]
}
