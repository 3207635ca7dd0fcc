"""A site that is nothing but our pages."""

from django.urls import include, path

urlpatterns = [path("", include("powercrud_tracking.urls"))]
