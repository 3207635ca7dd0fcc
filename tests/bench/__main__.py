"""The command: each database is measured in a process of its own."""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Measure on SQLite, and on PostgreSQL if it answers."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows")
    parser.add_argument("--pages", action="store_true", help="the pages instead of the events")
    options = parser.parse_args()

    if "BENCH_DATABASE" in os.environ:
        # Django must not be loaded before the database is chosen.
        from tests.bench import database, pages

        (pages if options.pages else database).run(quick=options.quick)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / "bench.sqlite3")]
        if _answers("127.0.0.1", 5432):
            names.append("postgresql")
        else:
            print("No PostgreSQL at 127.0.0.1:5432; measuring on SQLite only.\n", flush=True)
        return max(_measure(name) for name in names)


def _measure(name: str) -> int:
    command = [sys.executable, "-m", "tests.bench", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, "BENCH_DATABASE": name}).returncode


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
