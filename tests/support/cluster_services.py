"""Projects whose database, cache and queue are servers on this machine."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.brokers import REDIS
from tests.support.cluster import ROOT, SECONDS, Project


@contextmanager
def project_on_postgresql(
    directory: Path, *, with_redis_broker: bool = False, **options: Any
) -> Iterator[Project]:
    """A project in a PostgreSQL database of its own, with its locks and progress in Redis."""
    import redis

    broker = {"orm": None, "redis": REDIS} if with_redis_broker else {}
    project = _make_project(directory, queue=broker, **options)
    project.given["cache"] = REDIS
    project.given["database"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "USER": "postgres",
        "NAME": project.name,
    }
    try:
        with _opened(project, run_on_postgresql, " WITH (FORCE)"):
            yield project
    finally:
        with redis.Redis.from_url(REDIS) as server:
            for key in server.scan_iter(f"*{project.name}*"):
                server.delete(key)


@contextmanager
def project_on_mariadb(directory: Path, **options: Any) -> Iterator[Project]:
    """A project in a MariaDB database of its own, with its locks and progress in files."""
    project = _make_project(directory, queue={}, **options)
    project.given["database"] = {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "127.0.0.1",
        "USER": "root",
        "NAME": project.name,
        "OPTIONS": {"charset": "utf8mb4"},
    }
    with _opened(project, run_on_mariadb):
        yield project


def run_on_postgresql(sql: str) -> None:
    import psycopg

    with psycopg.connect(host="127.0.0.1", user="postgres", dbname="test", autocommit=True) as c:
        c.execute(sql)


def run_on_mariadb(sql: str) -> None:
    import MySQLdb

    connection = MySQLdb.connect(host="127.0.0.1", user="root")
    try:
        connection.cursor().execute(sql)
    finally:
        connection.close()


def _make_project(directory: Path, *, queue: dict[str, Any], **options: Any) -> Project:
    name = f"cluster_{uuid4().hex[:12]}"
    queue = {"name": name, "timeout": 60, "retry": 120, "workers": 4, **queue}
    project = Project(directory, queue=queue, **options)
    project.name = name
    return project


@contextmanager
def _opened(project: Project, run: Callable[[str], None], drop: str = "") -> Iterator[None]:
    run(f"CREATE DATABASE {project.name}")
    try:
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"],
            cwd=ROOT,
            env=project.get_environment(),
            check=True,
            timeout=SECONDS * 2,
        )
        project.open()
        try:
            yield
        finally:
            project.close()
    finally:
        run(f"DROP DATABASE {project.name}{drop}")
