from django.contrib import admin
from django.urls import include, path

from powercrud_tracking.factory import DashboardManager
from tests.project.views import WidgetView

app_name = "project"
urlpatterns = [
    DashboardManager.get_urlpatterns(),
    path("tasks/", include("powercrud_tracking.urls")),
    path("admin/", admin.site.urls),
    *WidgetView.get_urls(),
]
