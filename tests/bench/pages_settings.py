"""Settings of the benchmark of pages: a short history and a long one, in a database each.

``BENCH_SERVED`` makes the database of that name the only one, for a web server.
"""

import copy
import os

from tests.bench.settings import *  # noqa: F403
from tests.bench.settings import BENCH_DATABASE, CACHES, DATABASES

ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
# One folder for all processes that serve.
if "BENCH_CACHE" in os.environ:
    CACHES["default"]["LOCATION"] = os.environ["BENCH_CACHE"]

DATABASES["long"] = copy.deepcopy(DATABASES["default"])
if BENCH_DATABASE == "postgresql":
    DATABASES["default"]["TEST"]["NAME"] = "bench_pages_short"
    DATABASES["long"]["TEST"]["NAME"] = "bench_pages_long"
else:
    DATABASES["long"]["NAME"] = DATABASES["long"]["TEST"]["NAME"] = f"{BENCH_DATABASE}-long"

DATABASE_ROUTERS = ["tests.bench.history.HistoryRouter"]
if "BENCH_SERVED" in os.environ:
    DATABASES = {"default": {**DATABASES["long"], "NAME": os.environ["BENCH_SERVED"]}}
    DATABASE_ROUTERS = []
