"""Measures the pages with a small number of tasks and with a large one."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from html import unescape
from typing import Any
from urllib.parse import urlencode

import django
from django.core.cache import cache
from django.db import connections
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

SHORT, LONG = "default", "long"
ROUNDS = 25
PATIENCE = 4_000
"""Milliseconds after which a slow page is not requested again, except for three rounds."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The rows of one history from which the addresses of pages are built.

    Args:
        succeeded: the name of a task that succeeded.
        failed: the name of one that failed.
        func: the function that ran most often.
        rare_func: one that ran rarely.
        flawless: one that ran often and never failed.
        person: the primary key of the user who queued most tasks.
        now: when the newest task was queued.
        middle: the position of the task in the middle of the history.
    """

    succeeded: str
    failed: str
    func: str
    rare_func: str
    flawless: str
    person: str
    now: datetime
    middle: str


def to_list(**query: str) -> str:
    return f"{reverse('powercrud_tracking:list')}?{urlencode(query)}"


def to_task(task_name: str) -> str:
    return reverse("powercrud_tracking:detail", args=[task_name])


def to_days(now: datetime, begin: int, end: int) -> str:
    days = [timezone.localtime(now - timedelta(days=ago)) for ago in (begin, end)]
    since, until = (f"{day:%Y-%m-%dT%H:%M}" for day in days)
    return to_list(queued_from=since, queued_to=until)


PAGES: Mapping[str, Callable[[Sample], str]] = {
    "list": lambda of: to_list(),
    "tab Open": lambda of: to_list(status="open"),
    "tab Failed": lambda of: to_list(status="failed"),
    "tab Lost": lambda of: to_list(status="lost"),
    "tab Succeeded": lambda of: to_list(status="success"),
    "function, the most frequent": lambda of: to_list(func=of.func),
    "function, a rare one": lambda of: to_list(func=of.rare_func),
    "function and Failed": lambda of: to_list(func=of.func, status="failed"),
    "function that never fails and Failed": lambda of: to_list(func=of.flawless, status="failed"),
    "user": lambda of: to_list(user=of.person),
    "user and Failed": lambda of: to_list(user=of.person, status="failed"),
    "queued from/to, ten days": lambda of: to_days(of.now, 20, 10),
    "object, found often": lambda of: to_list(object="Book"),
    "object, found nowhere": lambda of: to_list(object="zeppelin"),
    "text, found often": lambda of: to_list(q="completed"),
    "text, found nowhere": lambda of: to_list(q="zeppelin"),
    "everything, found nowhere": lambda of: to_list(
        q="zeppelin", object="Book", func=of.func, user=of.person, status="failed"
    ),
    "Older, at half": lambda of: to_list(older=of.middle),
    "Newer, at half": lambda of: to_list(newer=of.middle),
    "My tasks": lambda of: reverse("powercrud_tracking:mine"),
    "task that succeeded": lambda of: to_task(of.succeeded),
    "task that failed": lambda of: to_task(of.failed),
    "overview": lambda of: reverse("powercrud_tracking:overview"),
    "admin": lambda of: reverse("admin:powercrud_tracking_asynctaskrecord_changelist"),
}
"""Names to addresses. One whose address does not exist is left out."""


def run(*, quick: bool) -> None:
    """Print all tables for the database that ``BENCH_DATABASE`` names."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.pages_settings"
    django.setup()
    # They need the settings and the models.
    from tests.bench import crowd
    from tests.bench.database import describe
    from tests.bench.history import write_history

    counts = {SHORT: 1_000, LONG: 50_000 if quick else 1_000_000}
    with databases():
        print(f"## {describe()}\n", flush=True)
        began = time.perf_counter()
        for alias, count in counts.items():
            write_history(alias, count=count)
        print(f"Written in {time.perf_counter() - began:.0f} s.\n", flush=True)
        print(f"### Pages\n\n{report(counts, quick=quick)}\n", flush=True)
        if connections[LONG].vendor == "postgresql":
            table = crowd.report(LONG, quick=quick)
            print(f"### Fifty users\n\n{table}\n", flush=True)


@contextmanager
def databases() -> Iterator[None]:
    """Make both databases and remove them at the end."""
    names = {alias: connections[alias].settings_dict["NAME"] for alias in (SHORT, LONG)}
    made = []
    try:
        for alias in names:
            connections[alias].creation.create_test_db(
                verbosity=0, autoclobber=True, serialize=False
            )
            made.append(alias)
        yield
    finally:
        cache.clear()
        for alias in made:
            connections[alias].creation.destroy_test_db(names[alias], verbosity=0)


def report(counts: Mapping[str, int], *, quick: bool) -> str:
    """Return the table of all pages."""
    from tests.bench.meter import write_table

    visitors = {alias: Visitor(alias) for alias in counts}
    rows = []
    for name, build in PAGES.items():
        try:
            gets = {
                alias: partial(visitor.get, build(visitor.sample))
                for alias, visitor in visitors.items()
            }
        except NoReverseMatch:
            continue
        rows.append((name, *_measure(gets, quick=quick)))
    polls = {alias: visitor.build_poll() for alias, visitor in visitors.items()}
    rows.append(("list, unchanged poll", *_measure(polls, quick=quick)))
    heads = [f"{count:,} tasks, ms" for count in counts.values()]
    return write_table(["page", *heads, "ratio", "SQL statements", "kB"], rows)


def _measure(
    gets: Mapping[str, Callable[[], Any]], *, quick: bool
) -> tuple[float, float, float, str, str]:
    from tests.bench.meter import compare, measure, time_call

    statements, sizes = [], []
    for get in gets.values():
        get()
        with measure() as measured:
            response = get()
        statements.append(f"{len(measured.statements)}")
        sizes.append(f"{len(response.content) / 1000:.0f}")
    slowest = max(time_call(get) for get in gets.values())
    rounds = max(3, min(ROUNDS // 5 if quick else ROUNDS, int(PATIENCE / slowest)))
    short, long = compare(gets, rounds=rounds, times=1).values()
    return short, long, long / short, _join(statements), _join(sizes)


def _join(values: list[str]) -> str:
    """Return the values of both histories, once if they are equal."""
    return " / ".join(dict.fromkeys(values))


class Visitor:
    """A user who may see all rows, with a client for one of the histories."""

    def __init__(self, alias: str) -> None:
        from django.contrib.auth import get_user_model
        from django.test import Client

        from tests.bench.history import use

        self._use = partial(use, alias)
        self._client = Client()
        with self._use():
            self.sample = take_sample()
            self._client.force_login(get_user_model().objects.get(pk=self.sample.person))

    def get(self, address: str, *, expect: int = 200, **headers: str) -> Any:
        """Return the response of the page."""
        with self._use():
            response = self._client.get(address, headers=headers)
        if response.status_code != expect:
            raise RuntimeError(f"{address} answered {response.status_code}.")
        return response

    def build_poll(self) -> Callable[[], Any]:
        """Return a function that polls an open list in which nothing has changed."""
        address = build_poll(self.get(to_list()).content.decode())
        token = ""

        def ask() -> Any:
            nonlocal token
            with self._use():
                response = self._client.get(address, headers={"If-None-Match": token})
            if response.status_code == 200:
                # Every fifteenth second the times of open tasks are updated.
                token = response.headers["ETag"]
                return ask()
            return response

        return ask


def build_poll(page: str) -> str:
    """Return the address that an open list polls, as its script builds it.

    Args:
        page: the list, as HTML.
    """
    asked = unescape(re.search(r'hx-get="([^"]+)"', page)[1])
    rows = re.findall(r'data-row="([^"]+)"[^>]* data-open', page)
    return f"{reverse('powercrud_tracking:list')}{asked}&{urlencode({'row': rows}, doseq=True)}"


def take_sample() -> Sample:
    """Return the rows for the addresses, from the history in use."""
    from powercrud_tracking.models import AsyncTaskRecord
    from tests.bench.history import FLAWLESS, FUNCS

    rows = AsyncTaskRecord.objects.newest_first()
    newest = rows[0]
    middle = rows[rows.count() // 2]
    return Sample(
        # Of a function with a full page of runs in either history.
        succeeded=rows.of_func(FUNCS[0]).with_status(["success"])[0].task_name,
        failed=rows.of_func(FUNCS[0]).with_status(["failed"])[0].task_name,
        func=FUNCS[0],
        rare_func=FUNCS[-4],
        flawless=FLAWLESS,
        person="1",
        now=newest.created_at,
        middle=f"{middle.pk}@{middle.created_at.isoformat()}",
    )
