"""Settings of the demo project. The part to copy is marked; the rest is plain Django."""

import os
from pathlib import Path
from typing import Any

import django
import powercrud

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("BOOKSHOP_VAR", BASE_DIR / "var"))

DEBUG = True
SECRET_KEY = "not-a-secret-this-is-a-demo"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "bookshop",
    "powercrud_tracking",
    "powercrud",
    "neapolitan",
    "django_filters",
    "django_htmx",
    # Template partials are a part of Django since 6.0.
    *(["template_partials"] if django.VERSION < (6, 0) else []),
    "crispy_forms",
    "crispy_tailwind",
    "django_q",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

# --- PowerCRUD, its tracking and django-q2 -------------------------------------------------

POWERCRUD_SETTINGS = {
    "ASYNC_ENABLED": True,
    "CACHE_NAME": "default",
    # Every view that says nothing else records its tasks with this manager.
    "ASYNC_MANAGER_DEFAULT": {"manager_class": "powercrud_tracking.factory.DashboardManager"},
}

POWERCRUD_ASYNC_DASHBOARD = {
    # Our own layout with the shop's navigation on top. The strict policy for these pages (see
    # bookshop/csp.py) would not let the layout of PowerCRUD's pages work.
    "BASE_TEMPLATE": "bookshop/tasks.html",
}

Q_CLUSTER = {
    "name": "bookshop",
    "orm": "default",
    "workers": 2,
    "poll": 0.2,
    "timeout": 40,
    # Longer than the timeout: a task that still runs must not be handed out again. And the
    # time after which a task that failed gets its second attempt.
    "retry": 45,
    "max_attempts": 2,
}

CRISPY_ALLOWED_TEMPLATE_PACKS = "tailwind"
CRISPY_TEMPLATE_PACK = "tailwind"

# PowerCRUD's compiled stylesheet and scripts. They load each other from "/static/".
STATIC_URL = "/static/"
STATICFILES_DIRS = [Path(powercrud.__file__).parent / "assets"]

# --- Plain Django --------------------------------------------------------------------------

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # The pages of tasks speak the browser's language; the shop's own texts are English.
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "bookshop.csp.ContentSecurityPolicyMiddleware",
]

ROOT_URLCONF = "bookshop_site.urls"
WSGI_APPLICATION = "bookshop_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def sqlite(name: str) -> dict[str, Any]:
    """Return a SQLite database in which the web process and the workers wait for each other."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / name,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


DATABASES = {"default": sqlite("bookshop.sqlite3"), "cache": sqlite("cache.sqlite3")}
DATABASE_ROUTERS = ["bookshop_site.routers.CacheRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "bookshop_cache",
        # PowerCRUD's locks live here; the default of 300 entries would throw some away.
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}
# A page view must not wait for a worker's transaction to store its session.
SESSION_ENGINE = "django.contrib.sessions.backends.cache"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "show-tasks"
LOGOUT_REDIRECT_URL = "home"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
