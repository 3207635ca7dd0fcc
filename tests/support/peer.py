"""Other processes that record events of the same tasks in the same database.

Such a process reads calls of the functions below from its input, one JSON list a line, and
answers each on a line of its own.
"""

import json
import random
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
"""How long a call may take, on a busy machine."""


class Peer:
    """A process that records what it is told to.

    Args:
        databases: over ``DATABASES`` in that process, by alias.
    """

    def __init__(self, databases: dict[str, dict[str, Any]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.peer", json.dumps(databases)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, function: str, *args: Any) -> None:
        """Let it call a function of this module."""
        self._process.stdin.write(json.dumps([function, args], default=str) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """Return what the function that was begun has returned."""
        return json.loads(self._process.stdout.readline())

    def call(self, function: str, *args: Any) -> Any:
        self.begin(function, *args)
        return self.end()

    def close(self) -> str:
        """End it, and return what it has written to its standard error."""
        try:
            return self._process.communicate(timeout=SECONDS)[1]
        finally:
            self._process.kill()


def send(event: str, task_name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    """Record an event, and return the row as it is afterwards."""
    from powercrud_tracking.factory import get_manager
    from powercrud_tracking.models import AsyncTaskRecord

    # As JSON the time is text.
    at = datetime.fromisoformat(payload["timestamp"])
    get_manager().async_task_lifecycle(event, task_name, **{**payload, "timestamp": at})
    return AsyncTaskRecord.objects.values().filter(task_name=task_name).first()


def send_to_all(event: str, task_names: list[str], payload: dict[str, Any]) -> None:
    """Record the same event of many tasks, in an order of its own."""
    shuffled = list(task_names)
    random.Random(event).shuffle(shuffled)
    for task_name in shuffled:
        send(event, task_name, payload)


def get_rows() -> list[dict[str, Any]]:
    from powercrud_tracking.models import AsyncTaskRecord

    return list(AsyncTaskRecord.objects.values())


def main(databases: dict[str, dict[str, Any]]) -> None:
    import django
    from django.conf import settings

    for alias, database in databases.items():
        settings.DATABASES[alias].update(database)
    django.setup()
    for line in sys.stdin:
        signal.alarm(SECONDS)
        function, args = json.loads(line)
        answer = globals()[function](*args)
        signal.alarm(0)
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
