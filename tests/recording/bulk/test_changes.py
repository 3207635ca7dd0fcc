import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connections, router, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from powercrud_tracking import actions
from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.recording.bulk.changes import describe_launch
from powercrud_tracking.records import reading
from tests.project.models import Widget
from tests.project.tasks import add
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, get_row

pytestmark = pytest.mark.django_db

DELETED = {"kind": "delete", "number": 3, "model": "project.widget"}
UPDATE = "powercrud.tasks.bulk_update_task"
DELETE = "powercrud.tasks.bulk_delete_task"


def make_change(field, value=None, action=None, values=()):
    """One field of a bulk update, as PowerCRUD's view describes it to its worker."""
    return {
        "field": field,
        "value": value,
        "info": {"verbose_name": field.capitalize(), "control": "<select></select>"},
        "m2m_action": action,
        "m2m_values": list(values),
    }


def launch_update(manager, path, *changes, keys=("1", "2"), **options):
    fields = [each["field"] for each in changes]
    return manager.launch_async_task(
        UPDATE, path, list(keys), None, fields, fields, list(changes), task_key=NAME, **options
    )


def launch_delete(manager, keys):
    return manager.launch_async_task(DELETE, "project.Widget", keys, None, task_key=NAME)


def find_reads(queries, model):
    """Return the statements that read this table."""
    table = model._meta.db_table
    return [
        each["sql"] for each in queries if each["sql"].startswith("SELECT") and table in each["sql"]
    ]


def get_changes(manager, path, *changes):
    launch_update(manager, path, *changes)
    return get_row().extra["changes"]


def submit(client, user, widgets, **data):
    """Submit PowerCRUD's bulk form, and return the row and the answer."""
    client.force_login(user)
    keys = [widget.pk for widget in widgets]
    response = client.post(
        "/widget/bulk-edit/",
        {"selected_ids[]": keys, "bulk_submit": "true", **data},
        headers={"HX-Request": "true"},
    )
    return AsyncTaskRecord.objects.get(), response


@pytest.fixture
def widgets():
    return [Widget.objects.create(name=name) for name in ("Bolt", "Nut", "Screw")]


class TestView:
    def test_a_bulk_update_is_described_by_fields_and_values(self, client, admin_user, widgets):
        row, response = submit(
            client,
            admin_user,
            widgets,
            fields_to_update=["price", "broken"],
            price="7",
            broken="true",
        )

        assert row.extra == {
            "title": {"kind": "update", "number": 3, "model": "project.widget"},
            "changes": [["price", "7"], ["broken", "yes"]],
        }
        assert "Update of 3 widgets: price → 7, broken → yes<br>" in response.text

    def test_a_bulk_delete_keeps_the_names_of_its_objects(self, client, admin_user, widgets):
        row, response = submit(client, admin_user, widgets, delete_selected="true")

        assert row.extra == {
            "title": {"kind": "delete", "number": 3, "model": "project.widget"},
            "names": ["Bolt", "Nut", "Screw"],
        }
        assert "Deletion of 3 widgets: Bolt, Nut, Screw<br>" in response.text

    @uses_worker
    def test_what_a_row_says_stays_true_after_the_operation(self, client, admin_user, widgets):
        row, _ = submit(client, admin_user, widgets, delete_selected="true")

        run_queued_task()

        assert not Widget.objects.exists()
        record = reading.find_record(row.task_name)
        assert record.title == "Deletion of 3 widgets"
        assert record.summary == "Bolt, Nut, Screw"

    def test_no_widget_is_stored(self, client, admin_user, widgets):
        row, _ = submit(client, admin_user, widgets, fields_to_update=["price"], price="7")

        assert "<" not in f"{row.task_args}{row.task_kwargs}{row.extra}"


class TestChanges:
    @pytest.mark.parametrize(
        ("value", "text"),
        [("true", "yes"), ("false", "no"), ("", ""), (None, ""), ("null", "")],
    )
    def test_booleans_are_yes_no_or_empty(self, manager, value, text):
        changes = get_changes(manager, "project.Widget", make_change("broken", value))

        assert changes == [["broken", text]]

    def test_choices_are_written_by_their_labels(self, manager):
        changes = get_changes(manager, "admin.LogEntry", make_change("action_flag", "3"))

        assert changes == [["action flag", "Deletion"]]

    def test_a_value_that_is_no_choice_stays_as_it_is(self, manager):
        changes = get_changes(manager, "admin.LogEntry", make_change("action_flag", "9"))

        assert changes == [["action flag", "9"]]

    @pytest.mark.parametrize("value", ["null", "", None])
    def test_an_emptied_relation_is_empty(self, manager, value):
        changes = get_changes(manager, "admin.LogEntry", make_change("content_type", value))

        assert changes == [["content type", ""]]

    def test_a_related_object_has_the_name_of_the_time_of_the_launch(self, manager):
        group = Group.objects.create(name="Staff")
        members = make_change("groups", action="add", values=[str(group.pk)])
        launch_update(manager, "auth.User", members)

        Group.objects.update(name="Former staff")

        assert get_row().extra["changes"] == [["groups", "Staff", "add"]]
        assert reading.find_record(NAME).summary == "groups → add Staff"

    def test_a_foreign_key_is_written_by_the_name_of_its_object(self, manager):
        kind = ContentType.objects.get_for_model(Widget)

        changes = get_changes(manager, "auth.Permission", make_change("content_type", str(kind.pk)))

        assert changes == [["content type", str(kind)]]

    def test_an_object_that_is_not_there_is_written_by_its_key(self, manager):
        changes = get_changes(manager, "auth.Permission", make_change("content_type", "4711"))

        assert changes == [["content type", "4711"]]

    @pytest.mark.parametrize(
        ("action", "text"),
        [
            ("add", "groups → add B, A"),
            ("remove", "groups → remove B, A"),
            ("replace", "groups → B, A"),
            (None, "groups → B, A"),
        ],
    )
    def test_many_objects_are_written_with_what_is_done_with_them(self, manager, action, text):
        a, b = (Group.objects.create(name=name) for name in "AB")

        launch_update(
            manager,
            "auth.User",
            make_change("groups", action=action, values=[str(b.pk), str(a.pk)]),
        )

        assert reading.find_record(NAME).summary == text

    def test_each_relation_costs_one_query_and_twenty_objects_are_named(self, manager):
        groups = [Group.objects.create(name=f"G{number:02}") for number in range(25)]
        members = make_change("groups", action="add", values=[str(each.pk) for each in groups])

        with CaptureQueriesContext(connections[router.db_for_read(Group)]) as queries:
            launch_update(manager, "auth.User", make_change("username", "ada"), members)

        assert len(find_reads(queries, Group)) == 1
        assert reading.find_record(NAME).summary.endswith("G18, G19, … [5 more]")

    def test_a_value_without_a_relation_costs_no_query(self, manager):
        payload = {
            "func": UPDATE,
            "task_args": ["project.Widget", ["1"], None, [], [], [make_change("price", "7")]],
        }

        with CaptureQueriesContext(connections[router.db_for_read(Widget)]) as queries:
            described = describe_launch(NAME, payload, redact=None)

        assert described["changes"] == [["price", "7"]]
        assert find_reads(queries, Widget) == []

    def test_secrets_are_masked_by_the_name_of_the_field(self, manager):
        changes = get_changes(
            manager, "auth.User", make_change("password", "hunter2"), make_change("username", "ada")
        )

        assert changes == [["password", "********"], ["username", "ada"]]
        assert "hunter2" not in str(get_row().task_args)

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"REDACT": ["^price$"]})
    def test_the_setting_says_what_is_masked(self):
        changes = get_changes(get_manager(), "project.Widget", make_change("price", "7"))

        assert changes == [["price", "********"]]

    def test_a_long_value_is_cut(self, manager):
        changes = get_changes(manager, "project.Widget", make_change("name", "x" * 5000))

        assert changes == [["name", "x" * 199 + "…"]]

    def test_a_field_that_does_not_exist_is_written_by_its_name(self, manager):
        changes = get_changes(manager, "project.Widget", make_change("colour", "red"))

        assert changes == [["colour", "red"]]

    @override_settings(LANGUAGE_CODE="de")
    def test_names_are_those_of_the_language_of_the_project(self, manager):
        assert get_changes(manager, "project.Widget", make_change("broken", "true")) == [
            ["broken", "Ja"]
        ]


class TestNames:
    def test_the_first_twenty_names_cost_one_query(self, manager):
        widgets = [Widget.objects.create(name=f"W{number}") for number in range(23)]
        keys = [str(each.pk) for each in widgets]

        with CaptureQueriesContext(connections[router.db_for_read(Widget)]) as queries:
            launch_delete(manager, keys)

        assert len(find_reads(queries, Widget)) == 1
        assert get_row().extra["names"] == [f"W{number}" for number in range(20)]
        assert reading.find_record(NAME).object_names[-2:] == ["W19", "and 3 more"]

    def test_an_object_that_is_not_there_has_no_name(self, manager, widgets):
        launch_delete(manager, [str(widgets[0].pk), "4711"])

        assert get_row().extra["names"] == ["Bolt"]


class TestErrors:
    def test_a_query_that_fails_costs_the_names_only_and_not_the_transaction(
        self, manager, widgets, caplog
    ):
        path = "project.UnmigratedRecord"

        with transaction.atomic(using=router.db_for_write(Widget)):
            manager.launch_async_task(DELETE, path, ["1", "2"], None, task_key=NAME)
            assert Widget.objects.count() == 3

        assert get_row().extra == {"title": {"kind": "delete", "number": 2, "model": path.lower()}}
        assert f"Could not describe what task {NAME} changes." in caplog.text

    @pytest.mark.parametrize("keys", [["no number"], [None], [{}]], ids=repr)
    def test_keys_that_are_none_cost_the_names_only(self, manager, keys, caplog):
        describe = {"func": DELETE, "task_args": ["project.Widget", keys, None]}

        assert describe_launch(NAME, describe, redact=None)["title"]["number"] == 1

    @pytest.mark.parametrize(
        "args",
        [None, [], ["project.Widget"], [3, ["1"], None], ["project.Widget", "12", None]],
        ids=repr,
    )
    def test_arguments_of_another_version_have_no_description(self, args):
        payload = {"func": UPDATE, "task_args": args}

        assert describe_launch(NAME, payload, redact=None) == {}

    def test_a_model_that_is_gone_is_named_by_its_label(self, manager):
        launch_update(manager, "project.Gadget", make_change("price", "7"))

        assert reading.find_record(NAME).title == "Update of 2 project.gadget"


class TestTitle:
    def test_a_function_of_the_project_has_the_title_it_was_launched_with(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, title="Sum of the day")

        package = SignedPackage.loads(OrmQ.objects.get().payload)
        assert get_row().extra == {"title": "Sum of the day"}
        assert get_row().task_kwargs == {}
        assert "title" not in package["kwargs"]
        assert reading.find_record(NAME).title == "Sum of the day"

    def test_a_title_is_kept_beside_the_options_of_the_launch(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, title="Sum", timeout=7)

        assert get_row().extra == {"title": "Sum", "options": {"timeout": 7}}

    def test_a_translated_title_is_stored_as_text(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, title=gettext_lazy("Monday"))

        assert get_row().extra == {"title": "Monday"}

    def test_a_title_is_one_short_line_without_secrets(self, manager):
        title = "Import\nfrom https://ada:hunter2@example.org/ " + "x" * 500
        manager.launch_async_task(add, 1, 2, task_key=NAME, title=title)

        stored = get_row().extra["title"]
        assert stored.startswith("Import from https://ada:********@example.org/ x")
        assert len(stored) == 200

    def test_a_title_replaces_that_of_a_bulk_operation(self, manager):
        launch_update(manager, "project.Widget", make_change("price", "7"), title="Sale")

        record = reading.find_record(NAME)
        assert (record.title, record.summary) == ("Sale", "price → 7")

    def test_a_title_that_is_no_text_is_refused_before_anything_is_written(self, manager):
        with pytest.raises(TypeError, match="title must be text, got 3"):
            manager.launch_async_task(add, 1, 2, task_key=NAME, title=3)

        assert not AsyncTaskRecord.objects.exists()

    def test_a_launch_without_title_stores_nothing(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME)

        assert get_row().extra is None

    def test_a_launch_under_a_finished_name_has_its_own_title(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, title="First")
        manager.async_task_lifecycle("complete", NAME)

        manager.launch_async_task(add, 1, 2, task_key=NAME, title="Second")

        assert reading.find_record(NAME).title == "Second"


class TestFirstEvent:
    """Rows that do not begin with the launch of a tracking manager."""

    @pytest.mark.parametrize("event", ["create", "start"])
    def test_a_row_that_begins_with_another_event_is_described(self, manager, widgets, event):
        change = [make_change("price", "7")]
        args = ["project.Widget", ["1", "2"], None, ["price"], ["price"], change]
        manager.async_task_lifecycle(event, NAME, func=UPDATE, task_args=args)

        assert get_row().extra == {"title": {**DELETED, "kind": "update", "number": 2}} | {
            "changes": [["price", "7"]]
        }
        assert "select" not in str(get_row().task_args)

    def test_a_start_of_a_launched_task_costs_no_query_for_it(self, manager, widgets):
        keys = [str(each.pk) for each in widgets]
        launch_delete(manager, keys)

        with CaptureQueriesContext(connections[router.db_for_read(Widget)]) as queries:
            manager.async_task_lifecycle(
                "start", NAME, func=DELETE, task_args=["project.Widget", keys, None]
            )

        assert find_reads(queries, Widget) == []

    @override_settings(
        POWERCRUD_ASYNC_DASHBOARD={
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state", "extra": "payload"},
        }
    )
    def test_a_table_that_keeps_extra_as_text_has_titles_too(self):
        launch_update(get_manager(), "project.Widget", make_change("price", "7"))

        record = reading.find_record(NAME)
        assert (record.title, record.summary) == ("Update of 2 widgets", "price → 7")

    @override_settings(POWERCRUD_ASYNC_DASHBOARD={"RECORD_MODEL": "project.NameOnlyRecord"})
    def test_a_table_without_extra_costs_no_query(self, widgets):
        manager = get_manager()

        with CaptureQueriesContext(connections[router.db_for_read(Widget)]) as queries:
            launch_delete(manager, [str(each.pk) for each in widgets])

        assert find_reads(queries, Widget) == []


@uses_worker
class TestRetry:
    def test_a_retry_keeps_the_title(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, title="Sum of the day")
        run_queued_task()

        new = actions.retry(NAME).task_name

        assert reading.find_record(new).title == "Sum of the day"

    def test_a_retry_of_a_bulk_update_has_title_and_changes(self, client, admin_user, widgets):
        Widget.objects.update(broken=True)
        row, _ = submit(client, admin_user, widgets, fields_to_update=["price"], price="7")
        run_queued_task()

        result = actions.retry(row.task_name)

        row.refresh_from_db()
        assert row.status == "failed"
        record = reading.find_record(result.task_name)
        assert (record.title, record.summary) == ("Update of 3 widgets", "price → 7")
