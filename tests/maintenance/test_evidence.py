import os
import socket
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.status import Status as ClusterStatus
from django_q.tasks import async_task

from powercrud_tracking.config.dashboard_config import get_config
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.maintenance import evidence
from powercrud_tracking.maintenance.evidence import Evidence
from powercrud_tracking.models import AsyncTaskRecord
from powercrud_tracking.records.mapping import get_record_map
from powercrud_tracking.records.reading import Record
from tests.project.tasks import add

ELSEWHERE = "another-host:4711"


def make_record(status=Status.IN_PROGRESS, worker=ELSEWHERE):
    row = AsyncTaskRecord(task_name="silent", status=status, worker=worker)
    return Record(row, get_record_map(get_config()))


def make_evidence(**values):
    """Everything was seen, and nothing speaks for any task."""
    given = {
        "listed": None,
        "waiting": 0,
        "redelivers": False,
        "workers": frozenset(),
        "clusters": 0,
        "inside": 0,
    }
    return Evidence(**{**given, **values})


@pytest.fixture
def cluster_elsewhere(db):
    """Tell what a cluster on another host tells of itself."""
    status = ClusterStatus(pid=4700, cluster_id=uuid4())
    status.host, status.workers = "another-host", [4711, 4712]
    status.task_q_size, status.done_q_size = 2, 1
    package = SignedPackage.dumps(status, compressed=True)
    get_broker().set_stat(Stat.get_key(status.cluster_id), package, 60)
    return status


class TestFindReasonToLeave:
    @pytest.mark.parametrize(
        ("seen", "record", "reason"),
        [
            ({"listed": {"silent"}}, {}, "it is in the queue"),
            ({"listed": {"silent"}}, {"status": Status.PENDING}, "it is in the queue"),
            ({"workers": {ELSEWHERE}}, {}, "its worker is alive"),
            ({"listed": set(), "workers": {ELSEWHERE}}, {}, "its worker is alive"),
            (
                {"waiting": None},
                {"status": Status.PENDING},
                "what the broker holds cannot be known",
            ),
            ({"waiting": 1}, {"status": Status.PENDING}, "the queue is not empty"),
            ({"inside": 1}, {"status": Status.PENDING}, "the queue is not empty"),
            ({"inside": 1}, {}, "a cluster has results that are not saved yet"),
            ({"redelivers": True, "waiting": 1}, {}, "the broker may deliver it again"),
            ({"redelivers": True, "waiting": None}, {}, "the broker may deliver it again"),
        ],
    )
    def test_whatever_speaks_for_a_task_saves_it(self, seen, record, reason):
        seen = {k: frozenset(v) if isinstance(v, set) else v for k, v in seen.items()}

        found = make_evidence(**seen).find_reason_to_leave(make_record(**record))

        assert found == reason

    @pytest.mark.parametrize(
        ("seen", "record"),
        [
            ({}, {"status": Status.PENDING}),
            ({}, {}),
            ({"listed": frozenset(["another"]), "waiting": 1}, {"status": Status.PENDING}),
            ({"listed": frozenset(["another"]), "waiting": 1, "inside": 1}, {}),
            ({"workers": frozenset(["another-host:4712"]), "clusters": 1}, {}),
            ({"redelivers": True, "waiting": 0}, {}),
            ({}, {"worker": ""}),
            ({}, {"worker": None}),
        ],
    )
    def test_where_nothing_speaks_for_it_it_is_lost(self, seen, record):
        found = make_evidence(**seen).find_reason_to_leave(make_record(**record))

        assert found is None

    def test_a_process_on_this_host_is_alive_without_a_cluster(self):
        worker = f"{socket.gethostname()}:{os.getpid()}"

        found = make_evidence().find_reason_to_leave(make_record(worker=worker))

        assert found == "its worker is alive"

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
    def test_a_process_that_has_died_and_was_not_buried_is_dead(self):
        child = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        found = make_evidence().find_reason_to_leave(
            make_record(worker=f"{socket.gethostname()}:{child.pid}")
        )

        child.wait(10)
        assert found is None

    def test_a_process_of_this_number_on_another_host_is_not_it(self):
        worker = f"another-host:{os.getpid()}"

        found = make_evidence().find_reason_to_leave(make_record(worker=worker))

        assert found is None


class TestDescribe:
    @pytest.mark.parametrize(
        ("seen", "record", "words"),
        [
            (
                {"listed": frozenset(), "clusters": 1},
                {},
                "it is not in the queue, its worker another-host:4711 is in no live cluster, "
                "1 live cluster looked at",
            ),
            (
                {"clusters": 2},
                {"status": Status.PENDING},
                "the queue is empty, 2 live clusters looked at",
            ),
            (
                {},
                {"worker": ""},
                "the queue is empty, its worker is unknown and is in no live cluster, "
                "0 live clusters looked at",
            ),
        ],
        ids=["at work", "in the queue", "no worker known"],
    )
    def test_it_says_what_was_looked_at(self, seen, record, words):
        text = make_evidence(**seen).describe(make_record(**record))

        assert text == f"Lost: no sign of life, django-q2 has no result, {words}."


@pytest.mark.django_db
class TestGather:
    @pytest.fixture(autouse=True)
    def no_pause(self, monkeypatch):
        monkeypatch.setattr(evidence, "PAUSE", 0)

    def test_without_queue_and_clusters_nothing_is_seen(self):
        seen = evidence.gather()

        assert seen == make_evidence(listed=frozenset(), redelivers=True)

    def test_workers_of_live_clusters_are_seen_with_their_host(self, cluster_elsewhere):
        seen = evidence.gather()

        assert seen.workers == {"another-host:4711", "another-host:4712"}
        assert (seen.clusters, seen.inside) == (1, 3)

    def test_queued_and_locked_tasks_are_listed(self):
        async_task(add, 1, 2, task_name="locked")
        get_broker().dequeue()
        async_task(add, 1, 2, task_name="queued")

        seen = evidence.gather()

        assert seen.listed == {"locked", "queued"}
        assert seen.waiting == 2

    def test_tasks_of_another_queue_are_listed_too(self):
        async_task(add, 1, 2, task_name="aside", cluster="night")

        seen = evidence.gather()

        assert seen.listed == {"aside"}

    def test_a_package_of_another_project_is_none_of_ours(self):
        OrmQ.objects.create(key="tests", payload="signed:with:another secret", lock=None)

        seen = evidence.gather()

        assert seen.listed == frozenset()

    def test_a_package_that_cannot_be_read_makes_the_list_unknown(self, caplog):
        payload = SignedPackage.dumps({"without": "a name"})
        OrmQ.objects.create(key="tests", payload=payload, lock=None)

        seen = evidence.gather()

        assert seen.listed is None
        assert "Could not read a package in the queue." in caplog.text

    def test_a_thousand_packages_cost_as_many_queries_as_one(self, django_assert_num_queries):
        payload = SignedPackage.dumps({"name": "queued"})
        OrmQ.objects.bulk_create(OrmQ(key="tests", payload=payload) for _ in range(1000))

        with django_assert_num_queries(2 * evidence.LOOKS + 2):
            evidence.gather()
