import pytest
from django.urls import resolve, reverse
from powercrud.contrib.favourites import views

from tests.support.rows import NAME

pytestmark = pytest.mark.django_db(databases="__all__")


class TestGetUrlpatterns:
    def test_the_poll_is_ours_and_stands_once_where_powercrud_has_it(self, client):
        answer = client.get(reverse("powercrud:async_progress"), {"task_name": NAME})

        assert reverse("powercrud:async_progress") == "/powercrud/powercrud/async/progress/"
        assert answer.json()["progress"] == "unknown"

    def test_urls_that_powercrud_includes_are_kept_under_their_names(self):
        url = reverse("powercrud:favourites-toolbar")

        assert url == "/powercrud/favourites/toolbar/"
        assert resolve(url).func is views.favourites_toolbar

    def test_favourites_answer_beside_the_poll(self, client, user):
        client.force_login(user)

        answer = client.get(reverse("powercrud:favourites-toolbar"), {"view_key": "widget"})

        assert answer.status_code == 200
