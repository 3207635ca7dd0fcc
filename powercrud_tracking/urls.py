"""The pages: ``path("tasks/", include("powercrud_tracking.urls"))``."""

from django.urls import path

from powercrud_tracking import views

app_name = "powercrud_tracking"

urlpatterns = [
    path("", views.RecordList.as_view(), name="list"),
    path("<path:task_name>/", views.RecordDetail.as_view(), name="detail"),
]
