"""The bookshop's addresses."""

from bookshop.views import AuthorView, BookView
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import TemplateView

from powercrud_tracking.factory import DashboardManager

urlpatterns = [
    path("", TemplateView.as_view(template_name="bookshop/home.html"), name="home"),
    *BookView.get_urls(),
    *AuthorView.get_urls(),
    DashboardManager.get_urlpatterns(),
    path("tasks/", include("powercrud_tracking.urls")),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
