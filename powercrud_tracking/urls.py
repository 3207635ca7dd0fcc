"""The pages: ``path("tasks/", include("powercrud_tracking.urls"))``."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from powercrud_tracking.dashboard.actions.many import ActOnTasks
from powercrud_tracking.dashboard.actions.one import ActOnTask
from powercrud_tracking.dashboard.list.view import OwnRecordList, RecordList
from powercrud_tracking.dashboard.overview.view import RecordOverview
from powercrud_tracking.dashboard.task.view import RecordDetail
from powercrud_tracking.lifecycle import Action


class TaskNameConverter(StringConverter):
    """Any text, also with slashes and line breaks: the launching code chooses the task name."""

    regex = r"[\s\S]+"


register_converter(TaskNameConverter, "powercrud_task_name")

app_name = "powercrud_tracking"

urlpatterns = [
    path("", RecordList.as_view(), name="list"),
    path("overview/", RecordOverview.as_view(), name="overview"),
    path("mine/", OwnRecordList.as_view(), name="mine"),
    path("act/", ActOnTasks.as_view(), name="act"),
    # Before the page of a task, whose name may end like these. They leave it to a GET.
    *(
        path(
            f"<powercrud_task_name:task_name>/{action}/",
            ActOnTask.as_view(action=action),
            name=action.value,
        )
        for action in Action
    ),
    path("<powercrud_task_name:task_name>/", RecordDetail.as_view(), name="detail"),
]
