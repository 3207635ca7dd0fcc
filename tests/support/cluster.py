"""A project of its own with a real cluster: databases, processes and kills are real.

The test's own process never touches that project's database. It asks a process of the project,
as a browser asks a web server.
"""

import json
import multiprocessing.connection
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
"""How long anything that must happen may take, on a busy machine."""


class Project:
    """A project with a database and a cache of its own.

    Args:
        directory: where it lives.
        queue: over ``Q_CLUSTER``.
        dashboard: ``POWERCRUD_ASYNC_DASHBOARD``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        queue: dict[str, Any] | None = None,
        dashboard: dict[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.given = {
            "database": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(directory / "db.sqlite3"),
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            },
            "cache": str(directory / "cache"),
            "queue": queue or {},
            "dashboard": dashboard or {},
        }
        self.clusters: list[Cluster] = []
        self._webs: list[Web] = []

    def get_environment(self, **given: Any) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.support.cluster_settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "TEST_CLUSTER": json.dumps({**self.given, **given}),
        }

    def open(self) -> None:
        """Start the process that stands for the web."""
        self._webs.append(Web(self, "web"))

    def close(self) -> None:
        """End every process of the project."""
        for process in (*self.clusters, *self._webs):
            process.kill()

    def ask(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a function returns in the process that stands for the web."""
        return self._webs[0].ask(function, *args, **kwargs)

    def start_web(self, **given: Any) -> "Web":
        """Start one more; what differs from the settings of the first can be given."""
        web = Web(self, f"web{len(self._webs)}", **given)
        self._webs.append(web)
        return web

    def wait_for(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Ask until the answer is true, and return it."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if answer := self.ask(function, *args, **kwargs):
                return answer
            time.sleep(0.05)
        logs = "".join(cluster.read_log() for cluster in self.clusters)
        raise AssertionError(f"{function.__name__}{args} stays false.\n{logs}")

    def start_cluster(self, **given: Any) -> "Cluster":
        """Start a cluster; what differs from the web's settings can be given."""
        cluster = Cluster(self, **given)
        self.clusters.append(cluster)
        return cluster

    @contextmanager
    def serve(self, **database: Any) -> Iterator[str]:
        """Run a real web server inside, and return its address.

        Args:
            **database: over its settings of the database.
        """
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env=self.get_environment(database={**self.given["database"], **database}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait(SECONDS)

    def read_log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 5)):
            return
        time.sleep(0.05)
    raise AssertionError(f"No server answers at port {port}.")


def visit(url: str) -> tuple[int, Any]:
    """Return what a page answers: its status and its JSON."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer)


class Web:
    """A process that stands for the web: it does what it is asked, one thing after the other.

    Args:
        project: whose it is.
        name: of its log.
    """

    def __init__(self, project: Project, name: str, **given: Any) -> None:
        self._project, self._name = project, name
        listener = multiprocessing.connection.Listener(str(project.directory / name), "AF_UNIX")
        with listener, (project.directory / f"{name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.cluster_web", listener.address],
                cwd=ROOT,
                env=project.get_environment(**given),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            listener._listener._socket.settimeout(SECONDS)
            self._connection = listener.accept()

    def begin(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Let it call a function; ``end()`` waits for the answer."""
        self._function = function
        self._connection.send((function, args, kwargs))

    def end(self) -> Any:
        """Return what the function that was begun has returned."""
        if not self._connection.poll(SECONDS):
            log = self._project.read_log(self._name)
            raise AssertionError(f"No answer from {self._function.__name__}. {log}")
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a function returns in this process."""
        self.begin(function, *args, **kwargs)
        return self.end()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        self._connection.close()


class Cluster:
    """A running ``manage.py qcluster``.

    Args:
        project: whose it is.
        name: of the cluster and its queue, if it is one of ``ALT_CLUSTERS``.
        inside: a command that runs it, in a namespace for example.
    """

    def __init__(
        self, project: Project, *, name: str = "", inside: Sequence[str] = (), **given: Any
    ) -> None:
        self._log = project.directory / f"cluster{len(project.clusters)}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*inside, sys.executable, "-m", "django", "qcluster"],
                cwd=ROOT,
                env=project.get_environment(**given) | {"Q_CLUSTER_NAME": name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that it can be killed whole and alone.
                start_new_session=True,
            )

    def kill(self) -> None:
        """End all of its processes at once, as a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)
        # Until the last of them is gone, it may take one more task from a queue in Redis.
        deadline = time.monotonic() + SECONDS
        with suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(0.01)

    def read_log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.read_log():
            if time.monotonic() > deadline:
                raise AssertionError(f"The cluster never said {text!r}.\n{self.read_log()}")
            time.sleep(0.05)


@contextmanager
def running_project(directory: Path, **options: Any):
    """Return a project with its tables made; its processes end with the block."""
    project = Project(directory, **options)
    shutil.copy(make_database(directory.parent), directory / "db.sqlite3")
    project.open()
    try:
        yield project
    finally:
        project.close()


def make_database(directory: Path) -> Path:
    """Return an SQLite file with all tables, which is made once a directory."""
    made = directory / "migrated.sqlite3"
    if not made.exists():
        home = directory / f"making-{uuid4().hex}"
        home.mkdir()
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"],
            cwd=ROOT,
            env=Project(home).get_environment(),
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=SECONDS * 2,
        )
        (home / "db.sqlite3").replace(made)
    return made
