import uuid

import pytest
from django.db import connections, models, router, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps

from powercrud_tracking import actions, progress, upkeep
from powercrud_tracking.config.dashboard_config import DashboardConfig
from powercrud_tracking.factory import get_manager
from powercrud_tracking.models import AsyncTaskObject, AsyncTaskRecord
from powercrud_tracking.models.objects import get_label
from powercrud_tracking.recording.objects import Touched, collect, find_objects, link_more
from tests.project.models import InheritedRecord, SpreadRecord, Widget
from tests.project.tasks import add
from tests.support.marks import uses_worker
from tests.support.queue import run_queued_task
from tests.support.rows import NAME, RECORDS, get_row, make_row

BULK_UPDATE = "powercrud.tasks.bulk_update_task"
KEY = uuid.UUID("5b0f9d1e-7d3e-4e57-8a53-6f0b64c5b7de")


def get_links(task_name=NAME):
    links = AsyncTaskObject.objects.filter(task_name=task_name).order_by("pk")
    return list(links.values_list("model", "object_id", "number"))


def touch_more(keys, task_key):
    progress.touches(("project.widget", keys))


def touch_and_roll_back(task_key):
    with transaction.atomic(using=RECORDS):
        progress.touches(("project.widget", [1]))
        raise ValueError("no room")


def of_first_argument(func, args, kwargs):
    return ("project.widget", [args[0]])


def complain(func, args, kwargs):
    raise ValueError("no")


class TestCollect:
    @pytest.mark.parametrize(
        ("touches", "expected"),
        [
            (None, {}),
            ([], {}),
            (Widget(pk=1), {"project.widget": Touched(["1"], 1)}),
            (Widget(), {}),
            (("project.Widget", [1, "2", 2]), {"project.widget": Touched(["1", "2"], 2)}),
            (("project.Widget", range(2)), {"project.widget": Touched(["0", "1"], 2)}),
            (("project.widget", ["x", None, 3]), {"project.widget": Touched(["3"], 1)}),
            (("gone.Model", [KEY]), {"gone.model": Touched([str(KEY)], 1)}),
            (
                [Widget(pk=1), ("gone.model", ["a"]), [Widget(pk=2)]],
                {"project.widget": Touched(["1", "2"], 2), "gone.model": Touched(["a"], 1)},
            ),
        ],
        ids=[
            "nothing",
            "an empty list",
            "an instance",
            "an instance that is not saved",
            "a pair; each object once",
            "any iterable",
            "keys that the model cannot have",
            "a model that is not installed",
            "a list of these",
        ],
    )
    def test_it_takes_what_people_have(self, touches, expected):
        assert collect(touches, limit=10) == expected

    @pytest.mark.parametrize(
        "touches", [3, "project.widget", {"project.widget": [1]}, [[[[[[[1]]]]]]]]
    )
    def test_anything_else_is_refused(self, touches):
        with pytest.raises(TypeError, match="touches must be a model instance, a queryset"):
            collect(touches, limit=10)

    @pytest.mark.django_db
    def test_a_queryset_is_asked_for_its_keys_only(self, django_assert_num_queries):
        widgets = [Widget.objects.create(name=str(number)) for number in range(3)]

        with django_assert_num_queries(1):
            found = collect(Widget.objects.order_by("pk"), limit=10)

        assert found == {"project.widget": Touched([str(each.pk) for each in widgets], 3)}

    @pytest.mark.django_db
    def test_of_many_objects_no_more_are_read_than_are_stored(self):
        Widget.objects.bulk_create(Widget(name=str(number)) for number in range(5))

        found = collect(Widget.objects.all(), limit=2)["project.widget"]

        assert (len(found.keys), found.number) == (3, 5)


class TestLabel:
    def test_a_model_that_inherits_from_a_concrete_one_shares_its_name(self):
        assert get_label(SpreadRecord) == get_label(InheritedRecord) == "project.inheritedrecord"

    @isolate_apps("tests.project")
    def test_a_proxy_shares_the_name_of_its_model(self):
        class Bolt(Widget):
            class Meta:
                proxy = True
                app_label = "project"

        assert get_label(Bolt) == "project.widget"


class TestSources:
    CONFIG = DashboardConfig(objects_of="tests.recording.test_objects.of_first_argument")
    PAYLOAD = {
        "func": BULK_UPDATE,
        "task_args": ["project.Widget", ["7"], None, [], [], []],
        "affected_objects": [Widget(pk=4)],
    }

    @pytest.mark.parametrize(
        ("payload", "config", "key"),
        [
            ({"touches": {"project.widget": Touched(["1"], 1)}}, CONFIG, "1"),
            ({"task_args": [2]}, CONFIG, "2"),
            ({"conflict_ids": {"project.widget": {3}}}, DashboardConfig(), "3"),
            ({}, DashboardConfig(), "7"),
            ({"func": "shop.sort", "task_args": []}, DashboardConfig(), "4"),
        ],
        ids=["the caller", "OBJECTS_OF", "PowerCRUD's locks", "its arguments", "instances"],
    )
    def test_the_first_that_answers_counts(self, payload, config, key):
        found = find_objects({**self.PAYLOAD, **payload}, config)

        assert found == {"project.widget": Touched([key], 1)}

    def test_a_function_of_the_project_that_raises_is_logged_and_the_next_source_asked(
        self, caplog
    ):
        config = DashboardConfig(objects_of="tests.recording.test_objects.complain")

        found = find_objects(self.PAYLOAD, config)

        assert found == {"project.widget": Touched(["7"], 1)}
        assert "raised" in caplog.text

    @pytest.mark.django_db
    def test_no_queryset_is_evaluated_for_a_label(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert find_objects({"affected_objects": Widget.objects.all()}, DashboardConfig()) == {}


@uses_worker
class TestLinks:
    def test_a_launch_is_linked_to_the_objects_that_it_touches(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=Widget(pk=7))
        run_queued_task()

        assert get_links() == [("project.widget", "7", 1)]
        assert get_row().result_payload == 3
        assert get_row().task_kwargs == {}

    def test_objects_cost_one_statement(self, manager, monkeypatch):
        connection = connections[router.db_for_write(AsyncTaskRecord)]

        def count(**options):
            with CaptureQueriesContext(connection) as queries:
                manager.launch_async_task(add, 1, 2, **options)
            return len([q for q in queries if "powercrud_tracking" in q["sql"]])

        count()
        without = count()
        assert count(touches=("project.widget", range(10))) == without + 1

    def test_wrong_objects_are_refused_before_anything_happens(self, manager):
        with pytest.raises(TypeError, match="touches must be"):
            manager.launch_async_task(add, 1, 2, task_key=NAME, touches=3)

        assert AsyncTaskRecord.objects.count() == 0

    def test_of_too_many_objects_the_number_is_stored(self):
        manager = get_manager(objects_limit=2)

        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=("project.widget", range(9)))

        assert get_links() == [("project.widget", "*", 9)]

    def test_a_running_task_adds_objects(self, manager):
        manager.launch_async_task(touch_more, [2, 3], task_key=NAME, touches=Widget(pk=2))
        run_queued_task()

        assert [key for _, key, _ in get_links()] == ["2", "3"]

    def test_what_is_rolled_back_was_not_touched(self, manager):
        manager.launch_async_task(touch_and_roll_back, task_key=NAME)
        run_queued_task()

        assert get_links() == []

    def test_a_row_that_begins_with_its_start_is_linked(self, manager):
        manager.async_task_lifecycle(
            "start", NAME, func=BULK_UPDATE, task_args=["project.Widget", ["7"], None, [], [], []]
        )

        assert get_links() == [("project.widget", "7", 1)]

    def test_a_launch_under_a_finished_name_has_objects_of_its_own(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=Widget(pk=7))
        run_queued_task()

        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=Widget(pk=8))

        assert [key for _, key, _ in get_links()] == ["8"]

    def test_a_retry_touches_the_same_objects(self, manager):
        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=Widget(pk=7))
        run_queued_task()

        result = actions.retry(NAME)

        assert get_links(result.task_name) == [("project.widget", "7", 1)]

    def test_links_that_cannot_be_written_cost_a_line_in_the_log(
        self, manager, monkeypatch, caplog
    ):
        def refuse(*args, **kwargs):
            raise ValueError("no")

        monkeypatch.setattr("powercrud_tracking.recording.objects.link", refuse)
        manager.launch_async_task(add, 1, 2, task_key=NAME, touches=Widget(pk=7))

        assert get_row().status == "pending"
        assert "Could not link task" in caplog.text


@pytest.mark.django_db
class TestLinkMore:
    def test_beyond_the_limit_only_the_number_grows(self):
        for keys in (["1"], ["2"], ["3", "4"], ["5"]):
            link_more(NAME, {"project.widget": Touched(keys, len(keys))}, limit=2)

        assert get_links() == [
            ("project.widget", "1", 1),
            ("project.widget", "2", 1),
            ("project.widget", "*", 3),
        ]


@pytest.mark.django_db
class TestRemoval:
    @pytest.fixture
    def task(self):
        AsyncTaskObject.objects.create(task_name=NAME, model="project.widget", object_id="7")
        return make_row(status="success")

    def test_deleting_a_task_deletes_its_links(self, task):
        actions.delete(NAME)

        assert get_links() == []

    def test_pruning_a_task_deletes_its_links(self, task):
        with override_settings(POWERCRUD_ASYNC_DASHBOARD={"RETENTION_DAYS": 0}):
            upkeep.prune()

        assert (AsyncTaskRecord.objects.count(), get_links()) == (0, [])


@pytest.mark.django_db
class TestTouching:
    def test_the_tasks_of_an_object_are_found(self):
        widget = Widget.objects.create(name="Bolt")
        for name, key in {"its": widget.pk, "another": widget.pk + 1}.items():
            AsyncTaskObject.objects.create(task_name=name, model="project.widget", object_id=key)
            make_row(name)

        found = AsyncTaskRecord.objects.touching(widget).get_task_names()

        assert found == ["its"]

    def test_an_object_without_a_key_has_none(self):
        assert AsyncTaskRecord.objects.touching(Widget()).get_task_names() == []


def test_models_of_the_package_have_short_names_of_indexes():
    names = [index.name for index in AsyncTaskObject._meta.indexes]

    assert all(len(name) <= models.Index.max_name_length for name in names)
