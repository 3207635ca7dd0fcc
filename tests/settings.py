"""Settings of the test project.

``TEST_DATABASE`` chooses the database (sqlite, postgresql, mariadb), ``TEST_USE_TZ=0`` local
times, ``TEST_LAYOUT=split`` a user model keyed by UUID and the records in a second database.
"""

import copy
import os
import tempfile
from pathlib import Path

import django

DATABASES = {
    "default": {
        "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "postgresql": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "USER": "postgres",
            "NAME": "test",
            "TEST": {"NAME": "test_powercrud_tracking"},
        },
        "mariadb": {
            "ENGINE": "django.db.backends.mysql",
            "HOST": "127.0.0.1",
            "USER": "root",
            "NAME": "test",
            "OPTIONS": {"charset": "utf8mb4"},
            "TEST": {"NAME": "test_powercrud_tracking", "CHARSET": "utf8mb4"},
        },
    }[os.environ.get("TEST_DATABASE", "sqlite")]
}
IS_SPLIT = os.environ.get("TEST_LAYOUT") == "split"
if IS_SPLIT:
    DATABASES["records"] = copy.deepcopy(DATABASES["default"])
    if "TEST" in DATABASES["records"]:
        DATABASES["records"]["TEST"]["NAME"] += "_records"
    DATABASE_ROUTERS = ["tests.support.routers.RecordsRouter"]
    AUTH_USER_MODEL = "people.Person"
SECRET_KEY = "tests"
USE_TZ = os.environ.get("TEST_USE_TZ", "1") == "1"
ROOT_URLCONF = "tests.urls"
LOGIN_URL = "/login/"
STATIC_URL = "/static/"
INSTALLED_APPS = [
    "crispy_forms",
    "crispy_tailwind",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_filters",
    "django_htmx",
    # Template partials are a part of Django since 6.0.
    *(["template_partials"] if django.VERSION < (6, 0) else []),
    "django_q",
    "neapolitan",
    "powercrud",
    "powercrud.contrib.favourites",
    "powercrud_tracking",
    "tests.project",
    *(["tests.people"] if IS_SPLIT else []),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
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
# A cache of files: PowerCRUD refuses one that is not shared, and it adds no SQL to count.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(Path(tempfile.gettempdir()) / f"powercrud_tracking_{os.getpid()}"),
    }
}
Q_CLUSTER = {
    "name": "tests",
    "orm": "default",
    "workers": 1,
    "timeout": 30,
    "retry": 60,
    "poll": 0.1,
}
POWERCRUD_SETTINGS = {
    "ASYNC_ENABLED": True,
    "ASYNC_MANAGER_DEFAULT": {"manager_class": "powercrud_tracking.factory.DashboardManager"},
}
CRISPY_ALLOWED_TEMPLATE_PACKS = "tailwind"
CRISPY_TEMPLATE_PACK = "tailwind"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
