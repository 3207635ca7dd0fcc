import logging
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.db import connections, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from powercrud_tracking.maintenance import queue
from powercrud_tracking.maintenance.queue import Cluster, Evidence, gather_evidence, read_queue
from powercrud_tracking.records import counts
from powercrud_tracking.records.counts import Count
from tests.project.tasks import add
from tests.support.brokers import (
    BrokenBroker,
    SilentBroker,
    UnreachableBroker,
    announce_cluster,
    redis_queues,
)

pytestmark = pytest.mark.django_db

OWN_CACHES = {
    name: {"BACKEND": f"django.core.cache.backends.{name}"}
    for name in ("locmem.LocMemCache", "dummy.DummyCache")
}


@pytest.fixture
def use_broker(monkeypatch):
    return lambda broker: monkeypatch.setattr(
        Conf, "BROKER_CLASS", f"{broker.__module__}.{broker.__name__}"
    )


def enqueue(number=1):
    for _ in range(number):
        get_broker().enqueue("a package")


@pytest.fixture
def redis_queue(monkeypatch):
    with redis_queues(monkeypatch) as name:
        yield name


class TestClusters:
    def test_without_a_cluster_the_list_is_empty(self):
        assert read_queue().clusters == ()

    def test_a_running_cluster_is_described_by_its_statistics(self):
        announced = announce_cluster()

        assert read_queue().clusters == (
            Cluster(
                id=str(announced.cluster_id),
                host="another-host",
                status="Idle",
                started_at=None,
                pids=(4711, 4712),
                prefetched=2,
                unsaved=1,
            ),
        )

    def test_clusters_are_ordered_by_host(self):
        for host in ("b", "a"):
            announce_cluster(host)

        assert [cluster.host for cluster in read_queue().clusters] == ["a", "b"]

    def test_a_stopped_cluster_is_left_out(self):
        announce_cluster(status=Conf.STOPPED)

        assert read_queue().clusters == ()

    @pytest.mark.parametrize("backend", OWN_CACHES)
    def test_with_a_cache_of_each_process_the_clusters_are_unknown(self, settings, backend):
        settings.CACHES = {"default": OWN_CACHES[backend]}
        assert caches["default"] is not None

        assert read_queue().clusters is None

    def test_without_a_cache_the_clusters_are_unknown(self, monkeypatch):
        monkeypatch.setattr(Conf, "CACHE", "none")

        assert read_queue().clusters is None


class TestLength:
    def test_the_length_includes_what_clusters_have_prefetched(self):
        enqueue(3)
        announce_cluster()

        assert read_queue().length == Count(number=5)

    def test_the_length_is_that_of_the_orm_broker(self):
        enqueue(2)
        OrmQ.objects.using(Conf.ORM).update(lock=timezone.now() + timedelta(minutes=1))
        enqueue(3)

        assert read_queue().length.number == get_broker().queue_size() == 3

    @pytest.mark.django_db(transaction=True)
    def test_the_length_costs_one_query(self, django_assert_num_queries):
        enqueue()

        with django_assert_num_queries(1, connection=connections[Conf.ORM]):
            read_queue()

    def test_the_length_includes_every_queue_of_the_settings(self, settings):
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"night": {}}}
        enqueue(2)
        for name in ("night", "another-project"):
            get_broker(name).enqueue("a package")

        assert read_queue().length == Count(number=3)

    def test_the_length_includes_every_queue_of_redis(self, settings, redis_queue):
        other = f"{redis_queue}-other"
        settings.Q_CLUSTER = {"name": redis_queue, "ALT_CLUSTERS": {other: {}}}
        enqueue(2)
        get_broker(other).enqueue("a package")

        assert read_queue().length == Count(number=3)

    def test_the_length_is_counted_up_to_the_limit(self, monkeypatch):
        monkeypatch.setattr(queue, "LIMIT", 2)
        monkeypatch.setattr(counts, "LIMIT", 2)
        enqueue(4)

        assert read_queue().length == Count(number=2, has_more=True)

    def test_the_length_is_not_read_unless_asked_for(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert read_queue(measure=False).length is None

    def test_the_length_is_unknown_with_a_broker_that_does_not_count(self, use_broker):
        use_broker(SilentBroker)
        announce_cluster()

        found = read_queue()

        assert (found.length, len(found.clusters)) == (None, 1)


class TestTrouble:
    @pytest.mark.parametrize("broker", [BrokenBroker, UnreachableBroker])
    def test_a_broker_that_does_not_answer_costs_a_warning(self, use_broker, caplog, broker):
        use_broker(broker)

        found = read_queue()

        assert (found.clusters, found.length) == (None, None)
        assert {record.levelno for record in caplog.records} == {logging.WARNING}

    def test_a_database_error_does_not_break_the_transaction_around_it(self, monkeypatch):
        # A field keeps the name of its table from its first query on.
        read_queue()

        with transaction.atomic(using=Conf.ORM):
            with monkeypatch.context() as patch:
                patch.setattr(OrmQ._meta, "db_table", "nowhere")
                found = read_queue()
            count = OrmQ.objects.using(Conf.ORM).count()

        assert (found.length, count) == (None, 0)


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(queue, "PAUSE", 0)


@pytest.mark.usefixtures("no_pause")
class TestEvidenceOfTheOrmBroker:
    def test_without_tasks_and_clusters_the_evidence_is_empty(self):
        assert gather_evidence([]) == Evidence(
            queued=frozenset(), waiting={}, redelivers=True, clusters=()
        )

    def test_queued_and_locked_tasks_are_listed_whatever_their_queue(self):
        async_task(add, 1, 2, task_name="locked")
        get_broker().dequeue()
        async_task(add, 1, 2, task_name="queued")
        async_task(add, 1, 2, task_name="other", cluster="night")

        assert gather_evidence([]).queued == {"locked", "queued", "other"}

    def test_a_package_of_another_project_is_ignored(self):
        OrmQ.objects.create(key="tests", payload="signed:with:another secret", lock=None)

        assert gather_evidence([]).queued == frozenset()

    def test_a_package_that_cannot_be_read_makes_the_list_unknown(self, caplog):
        payload = SignedPackage.dumps({"without": "a name"})
        OrmQ.objects.create(key="tests", payload=payload, lock=None)

        assert gather_evidence([]).queued is None
        assert "Could not read the queue of django-q2." in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_a_thousand_packages_cost_one_query(self, django_assert_num_queries):
        payload = SignedPackage.dumps({"name": "queued"})
        OrmQ.objects.bulk_create(OrmQ(key="tests", payload=payload) for _ in range(1000))

        with django_assert_num_queries(1, connection=connections[Conf.ORM]):
            gather_evidence([])


@pytest.mark.usefixtures("no_pause")
class TestEvidenceOfRedis:
    def test_each_queue_of_redis_is_asked_by_its_name(self, redis_queue):
        other = f"{redis_queue}-other"
        async_task(add, 1, 2, cluster=other)
        async_task(add, 1, 2, cluster=other)

        evidence = gather_evidence([redis_queue, other])

        assert evidence.waiting == {redis_queue: 0, other: 2}
        assert (evidence.queued, evidence.redelivers) == (None, False)

    def test_a_cluster_has_its_start_time(self, redis_queue):
        announced = announce_cluster(tob=timezone.now())

        cluster, *_ = gather_evidence([]).clusters

        assert cluster.started_at == announced.tob
        assert (cluster.host, cluster.pids) == ("another-host", (4711, 4712))

    def test_a_server_that_does_not_answer_leaves_everything_unknown(
        self, redis_queue, monkeypatch, caplog
    ):
        monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:1/0")

        evidence = gather_evidence([redis_queue])

        assert (evidence.queued, evidence.waiting, evidence.clusters) == (None, {}, None)
        assert "Could not ask for the length of a queue of django-q2." in caplog.text


@pytest.mark.usefixtures("no_pause")
class TestEvidenceThatIsMissing:
    @pytest.mark.parametrize("broker", [BrokenBroker, UnreachableBroker])
    def test_a_broker_that_does_not_answer_leaves_everything_unknown(self, use_broker, broker):
        use_broker(broker)

        evidence = gather_evidence(["tests"])

        assert (evidence.queued, evidence.waiting, evidence.clusters) == (None, {}, None)

    def test_a_broker_that_does_not_count_leaves_its_queue_unknown(self, use_broker):
        use_broker(SilentBroker)

        assert gather_evidence(["tests"]).waiting == {}


class TestIsReachable:
    @pytest.mark.parametrize(
        ("name", "is_reachable"),
        [("tests", True), ("same", True), ("far", False), ("unlisted", True), ("", False)],
    )
    def test_a_queue_with_a_broker_of_its_own_is_not_reachable(self, settings, name, is_reachable):
        settings.Q_CLUSTER = {
            **settings.Q_CLUSTER,
            "ALT_CLUSTERS": {
                "same": {"timeout": 600, "orm": "default"},
                "far": {"redis": {"host": "queue.internal"}},
            },
        }

        assert queue.is_reachable(name) is is_reachable

    def test_without_other_clusters_every_queue_is_reachable(self):
        assert queue.is_reachable("")

    def test_a_process_reaches_the_queue_of_its_own_cluster(self, settings, monkeypatch):
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"far": {"orm": "other"}}}
        monkeypatch.setattr(Conf, "CLUSTER_NAME", "far")

        assert (queue.is_reachable("far"), queue.is_reachable("tests")) == (True, False)
