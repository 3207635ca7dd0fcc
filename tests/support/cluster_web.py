"""The process that stands for a project's web server: it runs what the tests ask it to."""

import sys
from multiprocessing.connection import Client

import django
from django.db import close_old_connections


def main(address: str) -> None:
    with Client(address, "AF_UNIX") as tests:
        django.setup()
        while True:
            try:
                function, args, kwargs = tests.recv()
            except EOFError:
                return
            try:
                answer = function(*args, **kwargs)
            except Exception as exc:  # noqa: BLE001
                answer = AssertionError(f"{function.__name__}: {type(exc).__name__}: {exc}")
            close_old_connections()
            tests.send(answer)


if __name__ == "__main__":
    main(sys.argv[1])
