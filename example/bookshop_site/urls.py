"""The bookshop's addresses."""

from bookshop.views import (
    AuthorView,
    BookView,
    HomeView,
    TaskRecordView,
    show_tasks,
    start_job,
)
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from neapolitan.views import Role

from powercrud_tracking.factory import DashboardManager

urlpatterns = [
    path("", HomeView.as_view(), name="home"),
    path("start/<slug:name>/", start_job, name="start-job"),
    *BookView.get_urls(),
    *AuthorView.get_urls(),
    *TaskRecordView.get_urls(roles=[Role.LIST, Role.DETAIL]),
    DashboardManager.get_urlpatterns(),
    path("tasks/", include("powercrud_tracking.urls")),
    path("show-tasks/", show_tasks, name="show-tasks"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
