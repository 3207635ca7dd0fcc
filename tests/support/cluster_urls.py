"""The pages of a project with a real cluster: the tests' own, and a view that launches."""

import json
import sys
import time

from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path

from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from tests import urls
from tests.support import cluster_tasks as tasks


def launch(request):
    """Launch, go on for ``seconds``, and tell what was seen meanwhile; ``fail`` by raising it.

    What is launched adds two numbers, or waits for the file at ``path``.
    """
    path = request.GET.get("path")
    call = (tasks.wait_for_file, path) if path else (tasks.add, 1, 2)
    name = get_manager().launch_async_task(*call)
    time.sleep(float(request.GET.get("seconds", 0)))
    seen = {
        "task_name": name,
        "in_transaction": connection.in_atomic_block,
        "status": AsyncTaskRecord.objects.get(task_name=name).status,
    }
    if "fail" in request.GET:
        raise RuntimeError(json.dumps(seen))
    return JsonResponse(seen)


def tell_what_was_raised(request):
    return HttpResponse(sys.exc_info()[1], status=500)


urlpatterns = [*urls.urlpatterns, path("launch/", launch)]
handler500 = tell_what_was_raised
