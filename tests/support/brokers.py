"""Brokers that fail, and a cluster that does not exist but is announced as one that does."""

from contextlib import contextmanager
from uuid import uuid4

import pytest
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.status import Status as ClusterStatus

REDIS = "redis://127.0.0.1:6379/9"


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


@contextmanager
def redis_queues(monkeypatch):
    """Use a real Redis server as the broker, and return the name of this process's queue.

    Without a server the test is skipped. Names of other queues must begin with this name.
    """
    redis = pytest.importorskip("redis")
    name = f"tests-{uuid4().hex[:12]}"
    server = redis.Redis.from_url(REDIS)
    try:
        server.ping()
    except redis.ConnectionError:
        pytest.skip("needs Redis")
    values = {"ORM": None, "REDIS": REDIS, "PREFIX": name, "CLUSTER_NAME": name}
    for key, value in {**values, "Q_STAT": f"django_q:{name}:cluster"}.items():
        monkeypatch.setattr(Conf, key, value)
    try:
        yield name
    finally:
        for key in server.scan_iter(f"*{name}*"):
            server.delete(key)
        server.close()


def announce_cluster(host="another-host", status=Conf.IDLE, **values):
    """Write what a cluster on another host would write about itself."""
    cluster = ClusterStatus(pid=4700, cluster_id=uuid4())
    vars(cluster).update({"host": host, "workers": [4711, 4712], "status": status})
    vars(cluster).update({"task_q_size": 2, "done_q_size": 1, **values})
    get_broker().set_stat(Stat.get_key(cluster.cluster_id), SignedPackage.dumps(cluster, True), 60)
    return cluster
