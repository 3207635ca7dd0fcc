"""Runs all measurements on one database, which is created for them and removed."""

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import django
from django.core.cache import cache
from django.db import connection

PACKAGES = ("Django", "django-powercrud", "django-q2")


def describe() -> str:
    """Return which versions of everything are measured."""
    if connection.vendor == "sqlite":
        database = f"SQLite {'.'.join(map(str, connection.get_database_version()))}, a file"
    else:
        database = f"PostgreSQL {'.'.join(map(str, connection.get_database_version()))}"
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    return ", ".join([database, f"Python {platform.python_version()}", *packages])


def run(*, quick: bool) -> None:
    """Print all tables for the database that ``BENCH_DATABASE`` names."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
    django.setup()
    # They need the settings and the models.
    from tests.bench import launches, lives, reports, sizes, upkeeps

    parts: dict[str, Callable[..., str]] = {
        "The events of one task": lives.report,
        "A large payload": sizes.report,
        "A launch and a whole task": launches.report,
        "Progress": reports.report,
        "Maintenance": upkeeps.report,
    }
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        print(f"## {describe()}\n", flush=True)
        for title, report in parts.items():
            began = time.perf_counter()
            table = report(quick=quick)
            took = time.perf_counter() - began
            print(f"### {title}\n\n{table}\n\nMeasured in {took:.0f} s.\n", flush=True)
    finally:
        cache.clear()
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)
