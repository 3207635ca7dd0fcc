"""Run the bookshop: a web server and a django-q2 cluster, until Ctrl-C.

python example/demo.py            for a person, with the data in example/var/
python example/demo.py --check    for a machine: fresh data, bulk tasks, exit status 0 or 1
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connections

EXAMPLE_DIR = Path(__file__).resolve().parent
HOST = "127.0.0.1"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_TO_START = 30
SECONDS_TO_STOP = 15
LINES_OF_LOG = 40


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child process and its log file."""

    name: str
    log: Path
    process: subprocess.Popen

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        """Terminate it, then kill what is left of its process group."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(SECONDS_TO_STOP)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> int:
    arguments = parse_arguments()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.check:
            with tempfile.TemporaryDirectory(prefix="bookshop-") as var_dir:
                return check(Path(var_dir))
        return serve(arguments.data.resolve(), arguments.port)
    except KeyboardInterrupt:
        return 0 if not arguments.check else 130


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the bookshop until Ctrl-C.")
    parser.add_argument("--port", type=int, default=8000, help="default 8000, else a free one")
    parser.add_argument(
        "--data",
        type=Path,
        default=EXAMPLE_DIR / "var",
        metavar="DIRECTORY",
        help="where its databases and logs are kept; default example/var",
    )
    parser.add_argument("--check", action="store_true", help="test it, then stop")
    return parser.parse_args()


def serve(var_dir: Path, port: int) -> int:
    """Run the demo for a person until Ctrl-C; return 1 if it ends by itself."""
    prepare(var_dir)
    port = port if is_free(port) else find_free_port()
    with running(var_dir, port) as children:
        if wait_for_web(port, children):
            print(describe(port, children), flush=True)
            while not any(child.has_ended() for child in children):
                time.sleep(0.5)
        print_logs(children)
    return 1


def check(var_dir: Path) -> int:
    """Use the demo as a person would; return 1 if a row or a page is wrong."""
    prepare(var_dir)
    # It needs Django's apps, which prepare() has loaded.
    from demo_check import find_faults

    port = find_free_port()
    with running(var_dir, port) as children:
        faults = ["The bookshop did not start."]
        try:
            if wait_for_web(port, children):
                faults = find_faults(f"http://{HOST}:{port}")
        finally:
            if faults:
                print_logs(children)
    for fault in faults:
        print(f"WRONG  {fault}")
    if not faults:
        print("All rows and pages are correct.")
    return 1 if faults else 0


def prepare(var_dir: Path) -> None:
    """Create the databases and fill them, unless that has been done before."""
    var_dir.mkdir(parents=True, exist_ok=True)
    os.environ["BOOKSHOP_VAR"] = str(var_dir)
    os.environ["DJANGO_SETTINGS_MODULE"] = "bookshop_site.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", database="cache", verbosity=0)
    with Path(os.devnull).open("w") as nowhere:
        call_command("seed_bookshop", stdout=nowhere)
        call_command("seed_history", stdout=nowhere)
    connections.close_all()


@contextmanager
def running(var_dir: Path, port: int):
    """Start the web server and the cluster; stop both at the end."""
    commands = {
        "web": ["runserver", "--noreload", f"{HOST}:{port}"],
        "cluster": ["qcluster"],
    }
    with ExitStack() as stack:
        children = []
        for name, command in commands.items():
            child = start(name, command, var_dir / f"{name}.log")
            stack.callback(child.stop)
            children.append(child)
        try:
            yield children
        finally:
            # A second Ctrl-C must not interrupt the stopping.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def start(name: str, command: list[str], log: Path) -> Child:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", str(EXAMPLE_DIR / "child.py"), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C comes to us alone, and we stop it in order.
            start_new_session=True,
        )
    return Child(name=name, log=log, process=process)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_for_web(port: int, children: list[Child]) -> bool:
    """Return whether the home page answers before a child ends or the time is up."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and not any(child.has_ended() for child in children):
        with suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5).close()
            return True
        time.sleep(0.1)
    return False


def describe(port: int, children: list[Child]) -> str:
    logs = ", ".join(os.path.relpath(child.log) for child in children)
    return f"""
  Bookshop   http://{HOST}:{port}/
  Log in     admin / admin      may do everything
             reader / reader    may only look, and cancel what reader has started
  Logs       {logs}
  Stop       Ctrl-C
"""


def print_logs(children: list[Child]) -> None:
    for child in children:
        print(f"--- the last of {child.name} ({child.log.name}) ---")
        lines = child.log.read_text(errors="replace").splitlines()
        print("\n".join(lines[-LINES_OF_LOG:]))


if __name__ == "__main__":
    sys.exit(main())
