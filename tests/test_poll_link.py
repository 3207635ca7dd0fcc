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
    def test_a_task_without_a_record_has_no_page(self, request_of, user):
        assert poll.find_page(None, get_config(), request_of(user)) == ""

    def test_anonymous_users_have_no_page(self, record, request_of):
        assert poll.find_page(record, get_config(), request_of(AnonymousUser())) == ""

    def test_a_task_in_a_table_that_the_pages_do_not_show_has_no_page(
        self, record, request_of, user
    ):
        config = DashboardConfig(record_model="project.LooseRecord")

        assert poll.find_page(record, config, request_of(user)) == ""

    def test_the_case_of_the_record_model_does_not_matter_for_the_page(
        self, record, request_of, user
    ):
        config = DashboardConfig(record_model="powercrud_tracking.asynctaskrecord")

        assert poll.find_page(record, config, request_of(user)) == f"/tasks/{NAME}/"

    def test_the_page_of_the_launcher_costs_no_query(
        self, record, request_of, user, django_assert_num_queries
    ):
        with django_assert_num_queries(0):
            page = poll.find_page(record, get_config(), request_of(user))

        assert page == f"/tasks/{NAME}/"

    def test_holders_of_the_permission_have_the_page(self, record, request_of, admin_user):
        assert poll.find_page(record, get_config(), request_of(admin_user)) == f"/tasks/{NAME}/"


class TestBuildMessageOfQueued:
    def test_an_error_is_logged_and_does_not_break_the_transaction(
        self, request_of, user, settings, caplog
    ):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"VISIBLE": "tests.project.tracking.break_on_rows"}
        poll.reading.get_rows().create(task_name=NAME, launched_by_id=str(user.pk))

        message = poll.build_message_of_queued(NAME, get_config(), request_of(user))

        assert message == ""
        assert f"Could not find the page of task {NAME}." in caplog.text
        assert reading.find_record(NAME) is not None


class TestBuildLink:
    def test_a_url_is_escaped_in_its_attribute(self):
        assert poll.build_link('/"><b>/').startswith(
            '<a class="link" href="/&quot;&gt;&lt;b&gt;/">'
        )
