import sqlite3
from contextlib import contextmanager
from time import monotonic

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper

from powercrud_tracking import receivers
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.recording.lock_limits import (
    MOST_SECONDS,
    apply_limit,
    hold_limit,
    limit_waiting,
)
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
class TestApplyLimit:
    def test_the_setting_of_the_connection_is_put_back(self):
        before = ask_limit()

        with limit_waiting(1.5), apply_limit(connection):
            inside = ask_limit()

        assert ask_limit() == before
        assert inside != before

    def test_it_is_put_back_after_an_error(self):
        before = ask_limit()

        with pytest.raises(KeyError), limit_waiting(1.5), apply_limit(connection):
            raise KeyError

        assert ask_limit() == before

    def test_what_has_been_waited_counts(self):
        with limit_waiting(-1), apply_limit(connection):
            inside = ask_limit()

        assert inside in {0, 1, "1ms"}

    def test_without_a_limit_nothing_is_asked(self, django_assert_num_queries):
        with django_assert_num_queries(0), apply_limit(connection):
            pass

    def test_inside_a_transaction_nothing_is_asked(self, django_assert_num_queries):
        with (
            transaction.atomic(),
            limit_waiting(1),
            django_assert_num_queries(0),
            apply_limit(connection),
        ):
            pass


@pytest.mark.django_db(transaction=True)
class TestHoldLimit:
    def test_many_writes_inside_set_it_once(self, django_assert_num_queries):
        before = ask_limit()

        with hold_limit(connection, 1.5):
            inside = ask_limit()
            with django_assert_num_queries(0), limit_waiting(1.5), apply_limit(connection):
                pass

        assert ask_limit() == before
        assert inside != before

    def test_it_is_put_back_after_an_error(self):
        before = ask_limit()

        with pytest.raises(KeyError), hold_limit(connection, 1.5):
            raise KeyError

        assert ask_limit() == before
        with limit_waiting(1.5), apply_limit(connection):
            assert ask_limit() != before

    def test_another_database_is_told_each_time(self):
        other = connection.copy("other")
        try:
            with hold_limit(connection, 1.5), other.cursor() as cursor:
                cursor.execute(SETTINGS[connection.vendor])
                before = cursor.fetchone()
                with apply_limit(other):
                    cursor.execute(SETTINGS[connection.vendor])
                    inside = cursor.fetchone()
        finally:
            # Not close(): that keeps the connection of a database in memory open.
            other.connection.close()

        assert inside != before


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
        return make_ended_package(powercrud_tracking=manager.get_travelling())

    def measure(self, function, package):
        started = monotonic()
        function(task=package)
        return monotonic() - started

    def test_start_waits_no_longer_than_two_seconds(self, package, caplog):
        with holding_the_row():
            seconds = self.measure(receivers.start, package)

        assert MOST_SECONDS / 2 < seconds < MOST_SECONDS + SLACK
        assert f"Could not record start for task {NAME}." in caplog.text
        receivers.leave(task=package)

    def test_leave_waits_no_longer_for_all_it_has_to_write(self, package):
        receivers.start(task=package)
        manager = get_manager(progress_interval=60)
        manager.update_progress(NAME, "1/2")
        manager.update_progress(NAME, "2/2")

        with holding_the_row():
            seconds = self.measure(receivers.leave, package)

        assert seconds < MOST_SECONDS + SLACK

    def test_end_waits_no_longer_for_all_it_has_to_write(self, package, caplog):
        with holding_the_row():
            seconds = self.measure(receivers.end, package)

        assert MOST_SECONDS / 2 < seconds < MOST_SECONDS + SLACK
        assert f"Could not record complete for task {NAME}." in caplog.text

    def test_a_start_that_waited_in_vain_is_written_when_the_task_leaves(self, package):
        with holding_the_row():
            receivers.start(task=package)

        receivers.leave(task=package)

        assert (get_row().status, get_row().attempts) == (Status.IN_PROGRESS, 1)


class TestSqliteFile:
    def test_a_locked_file_is_waited_no_longer(self, tmp_path, django_db_blocker):
        settings = {**connections["default"].settings_dict, "NAME": str(tmp_path / "db")}
        settings |= {"OPTIONS": {"timeout": 30}, "ENGINE": "django.db.backends.sqlite3"}
        ours, holder = DatabaseWrapper(settings), sqlite3.connect(tmp_path / "db")
        holder.execute("CREATE TABLE t (x)")
        holder.commit()
        holder.execute("BEGIN IMMEDIATE")

        with django_db_blocker.unblock():
            started = monotonic()
            with (
                pytest.raises(OperationalError, match="locked"),
                limit_waiting(0.5),
                apply_limit(ours),
                ours.cursor() as cursor,
            ):
                cursor.execute("INSERT INTO t VALUES (1)")
            seconds = monotonic() - started
            ours.close()
        holder.close()

        assert 0.3 < seconds < 0.5 + SLACK
