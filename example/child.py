"""Run one management command for demo.py, and end when demo.py does.

    python child.py runserver --noreload 127.0.0.1:8000

Standard input is a pipe from demo.py. It closes when demo.py ends, even if that was killed
and could not say goodbye.
"""

import os
import signal
import sys
import threading

from django.core.management import execute_from_command_line


def end_with_parent() -> None:
    # Not sys.stdin.read(): it holds a lock that the cluster's forked processes would wait for.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    execute_from_command_line(sys.argv)
