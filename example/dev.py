"""Run the bookshop for development: web server and cluster reload when a file changes.

Django's web server reloads itself. The cluster is restarted when a Python file has changed; it
finishes its running tasks first.
"""

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from demo import (
    EXAMPLE_DIR,
    HOST,
    STOP_SIGNALS,
    describe,
    find_free_port,
    is_free,
    prepare,
    print_logs,
    start,
    wait_for_web,
)

import powercrud_tracking

PORT = 8000
WATCHED = (EXAMPLE_DIR, Path(powercrud_tracking.__file__).parent)


def main() -> int:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        return serve(EXAMPLE_DIR / "var")
    except KeyboardInterrupt:
        return 0


def serve(var_dir: Path) -> int:
    """Run the bookshop until Ctrl-C; return 1 if its web server ends by itself."""
    prepare(var_dir)
    port = PORT if is_free(PORT) else find_free_port()
    with ExitStack() as stack:
        web = start("web", ["runserver", f"{HOST}:{port}"], var_dir / "web.log")
        stack.callback(web.stop)
        if wait_for_web(port, [web]):
            print(describe(port, [web]), flush=True)
        while not web.has_ended():
            cluster = start("cluster", ["qcluster"], var_dir / "cluster.log")
            with ExitStack() as running:
                running.callback(cluster.stop)
                seen = look()
                while look() == seen and not web.has_ended():
                    time.sleep(1)
            print("A file has changed: restarting the cluster.", flush=True)
        print_logs([web])
    return 1


def look() -> dict[Path, float]:
    """Return the modification time of each watched file."""
    files = (path for folder in WATCHED for path in folder.rglob("*.py"))
    return {path: path.stat().st_mtime for path in files if path.exists()}


if __name__ == "__main__":
    sys.exit(main())
