"""A project with a page at its root."""

from django.urls import path
from django.views.generic import RedirectView

from tests.urls import urlpatterns as others

urlpatterns = [path("", RedirectView.as_view(url="/widgets/"), name="home"), *others]
