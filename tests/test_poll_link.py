import pytest
from django.contrib.auth.models import AnonymousUser

from powercrud_tracking import poll
from powercrud_tracking.config.dashboard_config import DashboardConfig, get_config
from powercrud_tracking.records import reading
from tests.support.rows import NAME

pytestmark = pytest.mark.django_db


@pytest.fixture
def record(manager, user):
    manager.async_task_lifecycle("create", NAME, user=user)
    return reading.find_record(NAME)


@pytest.fixture
def request_of(rf):
    def build(user):
        request = rf.get("/")
        request.user = user
        return request

    return build


class TestFindPage:
    def test_no_record_has_no_page(self, request_of, user):
        assert poll.find_page(None, get_config(), request_of(user)) == ""

    def test_anonymous_people_have_none(self, record, request_of):
        assert poll.find_page(record, get_config(), request_of(AnonymousUser())) == ""

    def test_a_table_that_the_pages_do_not_show_has_none(self, record, request_of, user):
        config = DashboardConfig(record_model="project.LooseRecord")

        assert poll.find_page(record, config, request_of(user)) == ""

    def test_the_same_table_in_another_spelling_has_it(self, record, request_of, user):
        config = DashboardConfig(record_model="powercrud_tracking.asynctaskrecord")

        assert poll.find_page(record, config, request_of(user)) == f"/tasks/{NAME}/"

    def test_the_launcher_has_it_without_further_queries(
        self, record, request_of, user, django_assert_num_queries
    ):
        with django_assert_num_queries(0):
            page = poll.find_page(record, get_config(), request_of(user))

        assert page == f"/tasks/{NAME}/"

    def test_holders_of_the_permission_have_it(self, record, request_of, admin_user):
        assert poll.find_page(record, get_config(), request_of(admin_user)) == f"/tasks/{NAME}/"


class TestFindPageOfQueued:
    def test_an_error_is_logged_and_spoils_no_transaction(self, request_of, user, settings, caplog):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.break_on_rows"}
        poll.reading.get_rows().create(task_name=NAME, launched_by_id=str(user.pk))

        page = poll.find_page_of_queued(NAME, get_config(), request_of(user))

        assert page == ""
        assert f"Could not find the page of task {NAME}." in caplog.text
        assert reading.find_record(NAME) is not None


class TestBuildLink:
    def test_an_address_stays_in_its_attribute(self):
        assert poll.build_link('/"><b>/').startswith(
            '<a class="link" href="/&quot;&gt;&lt;b&gt;/">'
        )
