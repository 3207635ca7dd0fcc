"""Brokers that fail, and a cluster that does not exist but is announced as one that does."""

from uuid import uuid4

from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.status import Status as ClusterStatus


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


def announce_cluster(host="another-host", status=Conf.IDLE, **values):
    """Write what a cluster on another host would write about itself."""
    cluster = ClusterStatus(pid=4700, cluster_id=uuid4())
    vars(cluster).update({"host": host, "workers": [4711, 4712], "status": status})
    vars(cluster).update({"task_q_size": 2, "done_q_size": 1, **values})
    get_broker().set_stat(Stat.get_key(cluster.cluster_id), SignedPackage.dumps(cluster, True), 60)
    return cluster
