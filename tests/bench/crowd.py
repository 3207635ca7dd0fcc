"""Fifty users who have the list open, and a web server that answers them."""

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.urls import reverse

from tests.bench.history import use
from tests.bench.meter import write_table
from tests.bench.pages import build_poll

PEOPLE = 50
SECONDS = 20
PAUSE = 5.0
"""Seconds between two polls of an open page."""
HOST, PORT = "127.0.0.1", 8123
WORKERS, THREADS = 2, 4


@dataclass
class Answers:
    """The responses to all users.

    Args:
        milliseconds: the time of each response.
        errors: the number of requests without a response, or with another status.
        seconds: the time until the last response.
    """

    milliseconds: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0


def report(alias: str, *, quick: bool) -> str:
    """Return the table of the list with fifty users, for the history in a database."""
    seconds = SECONDS // 5 if quick else SECONDS
    cookies = log_in(alias)
    rows = []
    with serving(alias):
        connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
        address = reverse("powercrud_tracking:list")
        _, page, _ = _get(connection, address, cookies[0])
        for name, asked in {"full pages": address, "polls": build_poll(page.decode())}.items():
            for pace, pause in {"without pause": 0.0, f"every {PAUSE:.0f} s": PAUSE}.items():
                answers = ask(cookies, asked, seconds=seconds, pause=pause)
                rows.append((f"{name}, {pace}", *_sum_up(answers)))
    heads = ["requests a second", "median, ms", "95th percentile, ms", "errors"]
    table = write_table([f"{PEOPLE} users for {seconds} s", *heads], rows)
    server = f"gunicorn with {WORKERS} workers of {THREADS} threads"
    return f"{table}\n\n{server}; {os.cpu_count()} cores for it, the database and the users."


def _sum_up(answers: Answers) -> tuple[float, float, float, int]:
    took = answers.milliseconds
    return (
        len(took) / answers.seconds,
        statistics.median(took),
        statistics.quantiles(took, n=20)[-1],
        answers.errors,
    )


def log_in(alias: str) -> list[str]:
    """Return the session cookies of fifty users."""
    cookies = []
    with use(alias):
        for person in get_user_model().objects.order_by("pk")[:PEOPLE]:
            client = Client()
            client.force_login(person)
            cookies.append(f"sessionid={client.cookies['sessionid'].value}")
    return cookies


@contextmanager
def serving(alias: str) -> Iterator[None]:
    """Serve the test project with gunicorn, using this database."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread"),
            *("--bind", f"{HOST}:{PORT}", "--workers", str(WORKERS), "--threads", str(THREADS)),
            *("--keep-alive", "30", "--log-level", "error", "--no-control-socket"),
            "django.core.wsgi:get_wsgi_application()",
        ]
        environment = {
            **os.environ,
            "BENCH_SERVED": connections[alias].settings_dict["NAME"],
            "BENCH_CACHE": folder,
        }
        server = subprocess.Popen(command, env=environment)
        try:
            _wait_for(server)
            yield
        finally:
            server.terminate()
            server.wait(15)


def _wait_for(server: subprocess.Popen) -> None:
    for _ in range(100):
        if server.poll() is not None:
            raise RuntimeError("gunicorn did not start.")
        with suppress(OSError):
            _get(http.client.HTTPConnection(HOST, PORT, timeout=5), "/", "")
            return
        time.sleep(0.1)
    raise RuntimeError("gunicorn does not answer.")


def ask(cookies: list[str], address: str, *, seconds: float, pause: float) -> Answers:
    """Send the requests of all users for some seconds, as the page's script does."""
    answers = Answers()
    begin = time.perf_counter() + 0.5

    def look(cookie: str, late: float) -> None:
        connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
        due, token = begin + late, ""
        while due < begin + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            try:
                status, _, told = _get(connection, address, cookie, token)
                token = told or token
            except (OSError, http.client.HTTPException):
                status = None
                connection.close()
            if status in {200, 304}:
                answers.milliseconds.append((time.perf_counter() - began) * 1000)
            else:
                answers.errors += 1
            due = max(due + pause, time.perf_counter())

    threads = [
        threading.Thread(target=look, args=(cookie, pause * number / len(cookies)))
        for number, cookie in enumerate(cookies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.seconds = time.perf_counter() - begin
    return answers


def _get(
    connection: http.client.HTTPConnection, address: str, cookie: str, token: str = ""
) -> tuple[int, bytes, str]:
    """Return status, content and ETag of a response."""
    headers = {"Cookie": cookie, **({"If-None-Match": token} if token else {})}
    connection.request("GET", address, headers=headers)
    response = connection.getresponse()
    return response.status, response.read(), response.headers["ETag"] or ""
