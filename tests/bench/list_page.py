"""Measures a list of fifty tasks, here and at another commit.

Each commit is measured in a process of its own. The processes take turns, so that a busy moment
of the machine meets both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 15
TIMES = 20
TASKS = 1_000


def main() -> None:
    """Print the median milliseconds of processor time of the list and of its poll."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.list_page", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="compare with the package there")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    options = parser.parse_args()
    with ExitStack() as stack:
        roots = {"here": ROOT}
        if options.against:
            roots[options.against] = stack.enter_context(checked_out(options.against))
        workers = {name: stack.enter_context(worker(root)) for name, root in roots.items()}
        took: Mapping[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for name, process in workers.items():
                print(file=process.stdin, flush=True)
                for part in process.stdout.readline().split():
                    page, _, number = part.partition("=")
                    took.setdefault((page, name), []).append(float(number))
    for (page, name), numbers in took.items():
        print(f"{page}, {name}: {statistics.median(numbers):.2f} ms")


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check the whole repository out at a commit, in a folder that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


@contextmanager
def worker(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that measures the package of this folder once for each line it is sent."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": str(root),
                "LIST_PAGE_WORKER": "1",
                "BENCH_DATABASE": str(Path(folder) / "bench.sqlite3"),
                "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.communicate()


def work() -> None:
    """Measure once for each line of the input. What it imports is there at every commit."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client

    from powercrud_tracking.models import AsyncTaskRecord

    settings.ALLOWED_HOSTS = ["testserver"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    person = get_user_model().objects.create(username="ada", is_superuser=True)
    AsyncTaskRecord.objects.bulk_create(AsyncTaskRecord(**values) for values in make_tasks())
    client = Client()
    client.force_login(person)
    rows = "".join(
        f"&row={pk}" for pk in AsyncTaskRecord.objects.open().values_list("pk", flat=True)
    )
    pages = {"list": "/tasks/", "poll": f"/tasks/?poll={rows}"}
    for _ in sys.stdin:
        medians = {name: measure(client, url) for name, url in pages.items()}
        print(*(f"{name}={median}" for name, median in medians.items()), flush=True)


def make_tasks() -> Iterator[dict[str, object]]:
    """Make tasks of fifty functions and a hundred people: one in ten open, two failed or lost."""
    from django.utils import timezone

    now = timezone.now()
    statuses = ["in_progress", "failed", "lost", *["success"] * 7]
    for number in range(TASKS):
        status = statuses[number % 10]
        queued = now - timedelta(minutes=10 * (TASKS - number))
        yield {
            "task_name": f"{number:08x}-3a0a-4f0d-9f5b-2f1d2c1b7a10",
            "status": status,
            "func": f"shop.tasks.update_books_{number % 50}",
            "user_label": f"person{number % 100:03}",
            "launched_by_id": str(number % 100),
            "affected_objects": f"shop.Book: {number}, {number + 1}, {number + 2}",
            "message": "" if status == "success" else f"ValueError: no price for book {number}",
            "progress_payload": f"{number % 90}/100 books",
            "created_at": queued,
            "started_at": queued + timedelta(seconds=12),
            "completed_at": queued + timedelta(seconds=200) if status == "success" else None,
            "failed_at": queued + timedelta(seconds=99) if status == "failed" else None,
            "attempts": 1,
        }


def measure(client, url: str) -> float:
    """Return the median milliseconds of processor time of one request."""
    took = []
    for _ in range(TIMES):
        began = time.process_time()
        response = client.get(url)
        took.append((time.process_time() - began) * 1000)
        assert response.status_code == 200, response.status_code
    return statistics.median(took)


if __name__ == "__main__":
    work() if "LIST_PAGE_WORKER" in os.environ else main()
