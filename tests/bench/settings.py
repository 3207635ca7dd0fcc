"""Settings of the benchmark: the test project's, on one database of its own.

``BENCH_DATABASE`` chooses it: the path of an SQLite file, or ``postgresql``.
"""

import os
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import CACHES, Q_CLUSTER

BENCH_DATABASE = os.environ["BENCH_DATABASE"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "USER": "postgres",
        "NAME": "postgres",
        "TEST": {"NAME": "bench_powercrud_tracking"},
        # A commit does not wait for the disk, or that were all we measure.
        "OPTIONS": {"options": "-c synchronous_commit=off"},
    }
    if BENCH_DATABASE == "postgresql"
    else {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BENCH_DATABASE,
        "TEST": {"NAME": BENCH_DATABASE},
        # As a website runs it; here too no commit waits.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
    }
}
# django-q2's broker would close it before each command, and connecting cost more than all else.
DATABASES["default"]["CONN_MAX_AGE"] = None
# No pruning: django-q2's own would read all results at each end.
Q_CLUSTER = {**Q_CLUSTER, "save_limit": 0, "log_level": "CRITICAL"}
# Files in memory, where the system has them: like Redis, they wait for no disk.
if Path("/dev/shm").is_dir():
    CACHES["default"]["LOCATION"] = f"/dev/shm/powercrud_tracking_{os.getpid()}"
