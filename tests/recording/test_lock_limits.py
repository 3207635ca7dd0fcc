import sqlite3
from contextlib import contextmanager
from time import monotonic

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper

from powercrud_tracking import receivers
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.recording.lock_limits import SECONDS, limit_waiting
from tests.support.packages import make_ended_package
from tests.support.rows import NAME, get_row

TABLE = "powercrud_tracking_asynctaskrecord"
SLACK = 0.7
"""Seconds for all that is not waiting."""

SETTINGS = {
    "sqlite": "PRAGMA busy_timeout",
    "postgresql": "SHOW lock_timeout",
    "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout",
}


def ask_limit():
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS[connection.vendor])
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
class TestLimitWaiting:
    def test_the_lock_timeout_of_the_connection_is_restored(self):
        before = ask_limit()

        with limit_waiting("default", 3):
            inside = ask_limit()

        assert ask_limit() == before
        assert inside != before

    def test_the_lock_timeout_is_restored_after_an_error(self):
        before = ask_limit()

        with pytest.raises(KeyError), limit_waiting("default", 3):
            raise KeyError

        assert ask_limit() == before

    def test_inside_a_transaction_no_lock_timeout_is_set(self, django_assert_num_queries):
        with transaction.atomic(), django_assert_num_queries(0), limit_waiting("default"):
            pass

    def test_many_writes_set_the_lock_timeout_once(self, django_assert_num_queries):
        manager = get_manager()
        using = manager.get_database()
        asked = 1 if connections[using].vendor == "postgresql" else 2

        with (
            django_assert_num_queries(asked + 2 + 1, connection=connections[using]),
            limit_waiting(using),
        ):
            manager.async_task_lifecycle("create", NAME)
            manager.async_task_lifecycle("start", NAME)

    def test_a_database_that_does_not_answer_stops_no_task(self, monkeypatch):
        reached = []

        def refuse(*args, **kwargs):
            raise OperationalError("away")

        monkeypatch.setattr(connection, "cursor", refuse)
        with limit_waiting("default"):
            reached.append(True)

        assert reached == [True]


@contextmanager
def holding_the_row():
    """Hold the lock on every row in another connection."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"UPDATE {TABLE} SET message = 'held'")
        yield
        other.rollback()
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="its tests share one connection's memory")
class TestReceiversBesideALock:
    @pytest.fixture
    def package(self):
        manager = get_manager(progress_interval=60)
        manager.async_task_lifecycle("create", NAME)
        return make_ended_package(powercrud_tracking=manager.get_manager_reference())

    def measure(self, function, package):
        started = monotonic()
        function(task=package)
        return monotonic() - started

    def test_start_waits_no_longer_than_two_seconds(self, package, caplog):
        with holding_the_row():
            seconds = self.measure(receivers.start, package)

        assert SECONDS / 2 < seconds < 2 * SECONDS + SLACK
        assert f"Could not record start for task {NAME}." in caplog.text
        receivers.leave(task=package)

    def test_leave_waits_no_longer_than_two_seconds_for_all_writes(self, package):
        receivers.start(task=package)
        manager = get_manager(progress_interval=60)
        manager.update_progress(NAME, "1/2")
        manager.update_progress(NAME, "2/2")

        with holding_the_row():
            seconds = self.measure(receivers.leave, package)

        assert seconds < 2 * SECONDS + SLACK

    def test_end_waits_no_longer_than_two_seconds_for_all_writes(self, package, caplog):
        with holding_the_row():
            seconds = self.measure(receivers.end, package)

        assert SECONDS / 2 < seconds < 2 * SECONDS + SLACK
        assert f"Could not record complete for task {NAME}." in caplog.text

    def test_a_start_that_hit_the_lock_timeout_is_written_when_the_task_leaves(self, package):
        with holding_the_row():
            receivers.start(task=package)

        receivers.leave(task=package)

        assert (get_row().status, get_row().attempts) == (Status.IN_PROGRESS, 1)


class TestSqliteFile:
    def test_a_locked_sqlite_file_is_waited_for_no_longer_than_two_seconds(
        self, tmp_path, django_db_blocker
    ):
        settings = {**connections["default"].settings_dict, "NAME": str(tmp_path / "db")}
        settings |= {"OPTIONS": {"timeout": 30}, "ENGINE": "django.db.backends.sqlite3"}
        ours, holder = DatabaseWrapper(settings), sqlite3.connect(tmp_path / "db")
        holder.execute("CREATE TABLE t (x)")
        holder.commit()
        holder.execute("BEGIN IMMEDIATE")

        with django_db_blocker.unblock():
            started = monotonic()
            connections["ours"] = ours
            with (
                pytest.raises(OperationalError, match="locked"),
                limit_waiting("ours", 0.5),
                ours.cursor() as cursor,
            ):
                cursor.execute("INSERT INTO t VALUES (1)")
            del connections["ours"]
            seconds = monotonic() - started
            ours.close()
        holder.close()

        assert 0.3 < seconds < 0.5 + SLACK
