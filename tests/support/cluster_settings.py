"""Settings of the processes that a test with a real cluster starts: what differs travels as JSON.

``TEST_CLUSTER`` holds ``database``, ``cache``, ``queue`` (over ``Q_CLUSTER``) and ``dashboard``
(the setting of the app).
"""

import json
import os

from tests.settings import *  # noqa: F403

_given = json.loads(os.environ["TEST_CLUSTER"])

ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.support.cluster_urls"
DATABASES = {"default": _given["database"]}
DATABASE_ROUTERS = []
_is_redis = _given["cache"].startswith("redis://")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache"
        if _is_redis
        else "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": _given["cache"],
        # One Redis serves several projects, and PowerCRUD's keys are the same in each.
        "KEY_PREFIX": _given["queue"].get("name", ""),
    }
}
Q_CLUSTER = {
    "name": "tests",
    "orm": "default",
    "workers": 2,
    "timeout": 4,
    "retry": 6,
    "poll": 0.1,
    "guard_cycle": 0.2,
    "scheduler": False,
    **_given["queue"],
}
POWERCRUD_ASYNC_DASHBOARD = _given["dashboard"]
