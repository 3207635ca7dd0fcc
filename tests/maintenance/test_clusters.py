import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import caches
from django.db import connections, transaction
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.status import Status as ClusterStatus

from powercrud_tracking.maintenance import clusters
from powercrud_tracking.maintenance.clusters import Cluster
from powercrud_tracking.records import counts
from powercrud_tracking.records.counts import Count

pytestmark = pytest.mark.django_db

OWN_CACHES = {
    name: {"BACKEND": f"django.core.cache.backends.{name}"}
    for name in ("locmem.LocMemCache", "dummy.DummyCache")
}


class SilentBroker(Broker):
    """Cannot say how long its queue is, as some cannot."""


class BrokenBroker(Broker):
    def queue_size(self):
        raise ConnectionError("no broker")

    def get_stats(self, pattern):
        raise ConnectionError("no broker")


class UnreachableBroker(Broker):
    def __init__(self, list_key=None):
        raise ConnectionError("no broker")


@pytest.fixture
def use_broker(monkeypatch):
    return lambda broker: monkeypatch.setattr(Conf, "BROKER_CLASS", f"{__name__}.{broker.__name__}")


def tell_of_a_cluster(host="another-host", status=Conf.IDLE):
    """Tell what a cluster on another host tells of itself."""
    told = ClusterStatus(pid=4700, cluster_id=uuid4())
    told.host, told.workers, told.status = host, [4711, 4712], status
    told.task_q_size, told.done_q_size = 2, 1
    get_broker().set_stat(Stat.get_key(told.cluster_id), SignedPackage.dumps(told, True), 60)


def enqueue(number=1):
    for _ in range(number):
        get_broker().enqueue("a package")


class TestClusters:
    def test_without_one_there_is_none(self):
        assert clusters.look().clusters == ()

    def test_a_live_one_tells_of_itself(self):
        tell_of_a_cluster()

        assert clusters.look().clusters == (
            Cluster(host="another-host", status="Idle", workers=2, inside=2),
        )

    def test_they_are_in_the_order_of_their_hosts(self):
        for host in ("b", "a"):
            tell_of_a_cluster(host)

        assert [cluster.host for cluster in clusters.look().clusters] == ["a", "b"]

    def test_one_that_has_stopped_is_not_alive(self):
        tell_of_a_cluster(status=Conf.STOPPED)

        assert clusters.look().clusters == ()

    @pytest.mark.parametrize("backend", OWN_CACHES)
    def test_a_cache_that_each_process_has_for_its_own_says_nothing(self, settings, backend):
        settings.CACHES = {"default": OWN_CACHES[backend]}
        assert caches["default"] is not None

        assert clusters.look().clusters is None

    def test_no_cache_says_nothing(self, monkeypatch):
        monkeypatch.setattr(Conf, "CACHE", "none")

        assert clusters.look().clusters is None


class TestLength:
    def test_it_is_that_of_the_broker_and_of_what_clusters_have_taken(self):
        enqueue(3)
        tell_of_a_cluster()

        assert clusters.look().length == Count(number=5)

    def test_it_is_what_the_broker_itself_says(self):
        enqueue(2)
        OrmQ.objects.using(Conf.ORM).update(lock=timezone.now() + timedelta(minutes=1))
        enqueue(3)

        assert clusters.look().length.number == get_broker().queue_size() == 3

    @pytest.mark.django_db(transaction=True)
    def test_it_is_one_query(self, django_assert_num_queries):
        enqueue()

        with django_assert_num_queries(1, connection=connections[Conf.ORM]):
            clusters.look()

    def test_counting_stops_at_the_limit(self, monkeypatch):
        monkeypatch.setattr(clusters, "LIMIT", 2)
        monkeypatch.setattr(counts, "LIMIT", 2)
        enqueue(4)

        assert clusters.look().length == Count(number=2, has_more=True)

    def test_it_is_not_asked_for_in_vain(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert clusters.look(measure=False).length is None

    def test_a_broker_that_cannot_say_is_taken_at_its_word(self, use_broker):
        use_broker(SilentBroker)
        tell_of_a_cluster()

        found = clusters.look()

        assert (found.length, len(found.clusters)) == (None, 1)


class TestTrouble:
    @pytest.mark.parametrize("broker", [BrokenBroker, UnreachableBroker])
    def test_a_broker_that_does_not_answer_costs_a_warning(self, use_broker, caplog, broker):
        use_broker(broker)

        found = clusters.look()

        assert (found.clusters, found.length) == (None, None)
        assert {record.levelno for record in caplog.records} == {logging.WARNING}

    def test_an_error_of_the_database_leaves_a_transaction_around_it_whole(self, monkeypatch):
        with transaction.atomic(using=Conf.ORM):
            with monkeypatch.context() as patch:
                patch.setattr(OrmQ._meta, "db_table", "nowhere")
                found = clusters.look()
            count = OrmQ.objects.using(Conf.ORM).count()

        assert (found.length, count) == (None, 0)
