"""Addresses of the pages."""

from django.urls import reverse

from tests.support.rows import NAME

LIST = reverse("powercrud_tracking:list")
OVERVIEW = reverse("powercrud_tracking:overview")
MINE = reverse("powercrud_tracking:mine")
DETAIL = reverse("powercrud_tracking:detail", args=[NAME])
