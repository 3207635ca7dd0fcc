"""A small shop that follows a guide: its files come from the page, its cluster is real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.documents import ROOT, Block, read_blocks, write_files

SECONDS = 120

FILES = {
    "manage.py": """
        import os
        import sys

        from django.core.management import execute_from_command_line

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
        execute_from_command_line(sys.argv)
    """,
    "mysite/__init__.py": "",
    "mysite/settings.py": """
        from pathlib import Path

        import django

        BASE_DIR = Path(__file__).resolve().parent.parent
        SECRET_KEY = "shop"
        USE_TZ = True
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "mysite.urls"
        STATIC_URL = "/static/"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        INSTALLED_APPS = [
            "shop.apps.ShopConfig",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django_filters",
            "django_htmx",
            *(["template_partials"] if django.VERSION < (6, 0) else []),
            "django_q",
            "neapolitan",
            "powercrud",
        ]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django_htmx.middleware.HtmxMiddleware",
        ]
        TEMPLATES = [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ]
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": BASE_DIR / "db.sqlite3",
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
            }
        }
        CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
                "LOCATION": BASE_DIR / "cache",
            }
        }
        Q_CLUSTER = {
            "name": "shop",
            "orm": "default",
            "workers": 1,
            "timeout": 30,
            "retry": 60,
            "poll": 0.1,
            "guard_cycle": 0.2,
            "max_attempts": 1,
            "ack_failures": True,
            "scheduler": False,
        }
        POWERCRUD_SETTINGS = {"ASYNC_ENABLED": True}
    """,
    "mysite/urls.py": """
        from powercrud.async_manager import AsyncManager
        from shop.views import AuthorView, BookView

        urlpatterns = [
            *BookView.get_urls(),
            *AuthorView.get_urls(),
            AsyncManager.get_urlpatterns(),
        ]
    """,
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
    # It writes down each event of ours, and loads the receivers that the project has.
    "shop/apps.py": """
        import json
        from importlib import import_module
        from importlib.util import find_spec

        from django.apps import AppConfig
        from django.conf import settings

        from powercrud_tracking.signals import task_recorded


        def note(task_name, event, sender, **kwargs):
            with (settings.BASE_DIR / "events.log").open("a") as log:
                log.write(json.dumps([task_name, str(event), sender._meta.label]) + "\\n")


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                task_recorded.connect(note)
                if find_spec("shop.receivers"):
                    import_module("shop.receivers")
    """,
    "shop/models.py": """
        from django.core.exceptions import ValidationError
        from django.db import models


        class Book(models.Model):
            title = models.CharField(max_length=100)
            in_stock = models.BooleanField(default=False)
            out_of_print = models.BooleanField(default=False)

            def __str__(self):
                return self.title

            def clean(self):
                if self.in_stock and self.out_of_print:
                    raise ValidationError(f"{self.title} is out of print.")


        class Author(models.Model):
            name = models.CharField(max_length=100)
            retired = models.BooleanField(default=False)

            def __str__(self):
                return self.name

            def clean(self):
                if self.retired and self.name == "Busy":
                    raise ValidationError(f"{self.name} is not retired.")
    """,
    "shop/jobs.py": """
        def add(a, b, task_key):
            return a + b


        def fail(task_key, **kwargs):
            raise ValueError("the price is wrong")
    """,
    "shop/pages.py": """
        from neapolitan.views import CRUDView
        from powercrud.mixins import PowerCRUDAsyncMixin


        class ShopView(PowerCRUDAsyncMixin, CRUDView):
            base_template_path = "shop/base.html"
            bulk_async = True
            bulk_min_async_records = 1
            use_htmx = True
            use_modal = True
    """,
    "shop/views.py": """
        from shop.models import Author, Book
        from shop.pages import ShopView


        class BookView(ShopView):
            model = Book
            fields = ["title", "in_stock", "out_of_print"]
            bulk_fields = ["in_stock"]


        class AuthorView(ShopView):
            model = Author
            fields = ["name", "retired"]
            bulk_fields = ["retired"]
    """,
    "shop/templates/shop/base.html": "{% block content %}{% endblock %}",
}


def read_guide(name: str) -> dict[str, list[Block]]:
    """Return the blocks of a guide by the heading above them."""
    guide = defaultdict(list)
    for block in read_blocks(ROOT / "docs" / name):
        guide[block.heading].append(block)
    return guide


class Shop:
    """A project in a folder of its own."""

    def __init__(self, directory: Path, files: Mapping[str, str] = FILES) -> None:
        self.directory = directory
        for path, text in files.items():
            self.write(path, textwrap.dedent(text).lstrip())

    def write(self, path: str, text: str, *, mode: str = "w") -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open(mode, encoding="utf-8") as opened:
            opened.write(text)

    def follow(self, *blocks: Block) -> str:
        """Do what these blocks say; return what the commands among them said."""
        said = ""
        for block in blocks:
            if block.language == "sh":
                said += self.type(block.text)
            else:
                assert block.is_of_project, f"A block without a place:\n{block.text}"
                write_files([block], self.directory)
        return said

    def copy(self, directory: Path) -> "Shop":
        """Return a second copy of the code as it is now, with the same database and cache."""
        shared = ("db.sqlite3", "cache")
        shutil.copytree(self.directory, directory, ignore=shutil.ignore_patterns(*shared))
        for name in shared:
            (directory / name).symlink_to(self.directory / name)
        return Shop(directory, files={})

    def type(self, commands: str) -> str:
        """Type commands in the folder; return what they said."""
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.directory,
            env=self.get_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def ask(self, function: str, *args):
        """Return what a function of ``migrating_web`` returns in a process of the shop."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.migrating_web", json.dumps([function, *args])],
            cwd=self.directory,
            env=self.get_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS * 2,
        )
        assert done.returncode == 0, f"{function}{args}\n{done.stdout}{done.stderr}{self.logs}"
        return json.loads(done.stdout.splitlines()[-1])

    def get_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{self.directory}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @contextmanager
    def running_cluster(self):
        """Let a real cluster run inside."""
        with (self.directory / "cluster.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=self.directory,
                env=self.get_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)

    @property
    def logs(self) -> str:
        log = self.directory / "cluster.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def get_events(self, task_name: str) -> list[str]:
        """Return which events of a task our recorder has written, and into which table."""
        log = self.directory / "events.log"
        lines = log.read_text().splitlines() if log.exists() else []
        events = [json.loads(line) for line in lines]
        return [event for name, event, _ in events if name == task_name]
