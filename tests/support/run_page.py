"""Run the blocks of one page in its project, in a process of their own.

``python -m tests.support.run_page PAGE PROJECT``
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import django

IMPORTED = {"DEFAULT_REDACT"}
"""What blocks of settings import under a name in capitals."""


def main(page: Path, project: Path) -> None:
    os.chdir(project)
    sys.path.insert(0, str(project))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    django.setup()

    from django.conf import settings
    from django.core.management import call_command
    from django.test import override_settings

    from tests.support.documents import read_blocks

    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("check", fail_level="WARNING")
    namespace = {"__name__": "page"}
    with ExitStack() as stack:
        # A page shows a table that lacks columns, and says what is missing.
        silenced = ["powercrud_tracking.W005"]
        stack.enter_context(override_settings(SILENCED_SYSTEM_CHECKS=silenced))
        for block in read_blocks(page):
            if not block.is_run:
                continue
            known = set(namespace)
            # Blank lines above, so that a traceback tells the line of the page.
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, str(page), "exec"), namespace)
            if block.kind == "settings":
                names = {name for name in namespace if name.isupper()} - known
                unknown = {name for name in names if not hasattr(settings, name)} - IMPORTED
                assert not unknown, f"There are no such settings: {unknown}"
                stack.enter_context(override_settings(**{n: namespace.pop(n) for n in names}))
                call_command("check", fail_level="WARNING")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
