"""Both guides, followed to the letter on tables that have rows already, with real clusters."""

import pytest
from powercrud.async_dashboard import ModelTrackingAsyncManager as PowerCRUDTracker

from powercrud_tracking.managers import ModelTrackingAsyncManager
from tests.support.migrating import Shop, read_guide

pytestmark = pytest.mark.cluster

OUT_OF_PRINT, BUSY = 5, 5
HISTORY = [("book", [1, 2], "in_stock"), ("book", [3, OUT_OF_PRINT], "in_stock")]


def make_shop(directory, *blocks):
    """Return the shop as it is before, with its tables and what is in them."""
    shop = Shop(directory)
    shop.follow(*blocks)
    shop.type("python manage.py makemigrations shop && python manage.py migrate --verbosity 0")
    shop.ask("make_things")
    return shop


class Table:
    """A table of the shop, as tests read it."""

    def __init__(self, shop, label, name="task_name", status="status"):
        self.shop, self.label, self.name, self.status = shop, label, name, status

    def get_rows(self):
        return self.shop.ask("get_rows", self.label, self.name)

    def wait_for(self, *task_names):
        return self.shop.ask("wait_for_ends", self.label, self.name, self.status, task_names)

    def run(self, *tasks):
        """Queue bulk edits and let a cluster end them; return their names."""
        names = [self.shop.ask("bulk_edit", *task) for task in tasks]
        with self.shop.running_cluster():
            self.wait_for(*names)
        return names


def keeps_every_row(before, after):
    """Whether all rows are there with all that they said, whatever columns came on top."""
    return all(row.items() <= after[name].items() for name, row in before.items())


class TestFromASubclass:
    GUIDE = read_guide("migrating-from-a-subclass.md")
    BEFORE = GUIDE["Before you begin"]
    ONE_VIEW = GUIDE["One view first"]
    ALL_VIEWS = GUIDE["All views"]
    COLUMNS = GUIDE["Add columns"]
    (RECONCILE,) = GUIDE["Deploy"]
    BUILT_IN_TABLE = GUIDE["Move the rows to the built-in table"]

    def open(self, tmp_path):
        """Return the shop with the history that its own manager wrote."""
        shop = make_shop(tmp_path, *self.BEFORE)
        table = Table(shop, "shop.TaskLog", "name", "state")
        table.run(*HISTORY)
        return shop, table

    def test_both_work_side_by_side_one_view_each_and_every_row_stays(self, tmp_path):
        shop, table = self.open(tmp_path)
        waiting = shop.ask("bulk_edit", "author", [1, 2], "retired")
        before = table.get_rows()

        said = shop.follow(*self.ONE_VIEW)
        books = table.run(("book", [4, OUT_OF_PRINT], "in_stock"))
        authors = table.run(("author", [3, BUSY], "retired"))
        after = table.get_rows()

        assert "(powercrud_tracking.W005) shop.TaskLog has no field" in said
        waited = before.pop(waiting)
        assert keeps_every_row(before, after)
        # What waited was launched by the manager by hand, and ended by it.
        assert (waited["state"], after[waiting]["state"]) == ("pending", "success")
        assert shop.get_events(waiting) == []
        # Both failed. Ours knows, and theirs does not.
        assert after[books[0]]["state"] == "failed"
        assert "Book 5 is out of print." in after[books[0]]["note"]
        assert after[authors[0]]["state"] == "success"
        assert after[books[0]]["who"] == after[authors[0]]["who"] == "Ada King"
        assert after[books[0]]["what"] == "2 books"
        assert after[books[0]]["began"]
        assert shop.get_events(books[0])[-2:] == ["fail", "cleanup"]
        assert shop.get_events(authors[0]) == []

    def test_all_of_it_moves_every_row_stays_and_no_event_in_flight_is_lost(self, tmp_path):
        shop, table = self.open(tmp_path)
        good = shop.ask("bulk_edit", "author", [1, 2], "retired")
        bad = shop.ask("bulk_edit", "book", [4, OUT_OF_PRINT], "in_stock")
        own = shop.ask("launch", "shop.jobs.add", 1, 2)
        before = table.get_rows()
        assert shop.ask("count_queued") == 3

        said = shop.follow(*self.ONE_VIEW, *self.ALL_VIEWS, *self.COLUMNS)
        with shop.running_cluster():
            shop.ask("wait_for_result", own)
            after = table.wait_for(good, bad)
        in_flight = {name: before.pop(name) for name in (good, bad, own)}

        assert said.count("(powercrud_tracking.W005) shop.TaskLog has no field") == 2
        assert said.count("System check identified no issues") == 1
        assert "+ Add field launched_by_id to tasklog" in said
        assert keeps_every_row(before, after)
        assert {row["state"] for row in in_flight.values()} == {"pending"}
        assert after[good]["state"] == "success"
        assert (after[good]["attempts"], after[bad]["attempts"]) == ("1", "1")
        assert after[bad]["state"] == "failed"
        assert after[bad]["note"] == "Book 5 is out of print. Nothing was changed."
        for name in (good, bad):
            for field in ("who", "what", "began"):
                assert after[name][field] == in_flight[name][field]
            assert after[name]["who"] == "Ada King"
        assert after[good]["said"] == "completed update: 2 processed"
        assert (after[good]["answer"], after[bad]["answer"]) == ("true", "false")
        assert after[good]["finished"]
        assert after[bad]["broken"]
        assert after[good]["broken"] is after[bad]["finished"] is None
        assert shop.get_events(good)[0] == shop.get_events(bad)[0] == "start"
        assert "progress" in shop.get_events(good)
        assert shop.get_events(good)[-2:] == ["complete", "cleanup"]
        assert shop.get_events(bad)[-2:] == ["fail", "cleanup"]

        # What named no manager is found afterwards.
        assert after[own]["state"] == "pending"
        said = shop.follow(self.RECONCILE)
        assert ": 1 ended, 0 lost, 0 cancelled, 0 left open." in said
        assert (table.get_rows()[own]["state"], table.get_rows()[own]["answer"]) == ("success", "3")

        status, page = shop.ask("read_page", "/tasks/")
        assert status == 200
        assert "Book 5 is out of print." in page
        assert shop.ask("read_page", "/tasks/", "shop.view_tasklog")[0] == 200
        assert shop.ask("read_page", "/tasks/", "powercrud_tracking.view_asynctaskrecord")[0] == 403

        # When the queue has emptied once, the rest of the old manager can go.
        (shop.directory / "shop" / "tracking.py").unlink()
        authors = table.run(("author", [3, BUSY], "retired"))
        assert table.get_rows()[authors[0]]["state"] == "failed"
        assert shop.get_events(authors[0])[0] == "create"
        assert table.get_rows()[authors[0]]["launched_by_id"] == "1"

    def test_web_servers_with_the_old_code_work_with_the_new_table_and_cluster(self, tmp_path):
        shop = make_shop(tmp_path / "new", *self.BEFORE)
        old = shop.copy(tmp_path / "old")
        table = Table(shop, "shop.TaskLog", "name", "state")

        shop.follow(*self.ONE_VIEW, *self.ALL_VIEWS, *self.COLUMNS)
        bad = old.ask("bulk_edit", "book", [4, OUT_OF_PRINT], "in_stock")
        queued = table.get_rows()[bad]
        with shop.running_cluster():
            after = table.wait_for(bad)

        assert (queued["state"], queued["who"], queued["func"]) == ("pending", "Ada King", "")
        assert (after[bad]["state"], after[bad]["who"]) == ("failed", "Ada King")
        assert (after[bad]["attempts"], bool(after[bad]["worker"])) == ("1", True)

    def test_the_rows_move_into_a_table_of_ours_and_tasks_in_flight_find_theirs(self, tmp_path):
        shop, table = self.open(tmp_path)
        waiting = shop.ask("bulk_edit", "book", [4, OUT_OF_PRINT], "in_stock")
        before = table.get_rows()

        shop.follow(*self.ONE_VIEW, *self.ALL_VIEWS)
        settings, rehearse, carry_out = self.BUILT_IN_TABLE
        rehearsed = shop.follow(settings, rehearse)
        ours = Table(shop, "powercrud_tracking.AsyncTaskRecord")
        nothing = ours.get_rows()
        done = shop.follow(carry_out)
        brought = ours.get_rows()
        again = shop.follow(carry_out)
        with shop.running_cluster():
            after = ours.wait_for(waiting)

        assert nothing == {}
        assert "Would add 3 tasks (3 from shop.TaskLog)" in rehearsed
        assert "Added 3 tasks (3 from shop.TaskLog)." in done
        assert "Added 0 tasks. 3 tasks had a row already." in again
        assert brought.keys() == before.keys()
        for name, row in brought.items():
            old = before[name]
            assert (row["user_label"], row["affected_objects"]) == (old["who"], old["what"])
            assert row["created_at"] == old["began"]
        ended = [name for name in before if name != waiting]
        # The second was never the success that its manager took it for.
        assert [before[name]["state"] for name in ended] == ["success", "success"]
        assert [brought[name]["status"] for name in ended] == ["success", "failed"]
        assert "Book 5 is out of print." in brought[ended[1]]["message"]
        assert brought[waiting]["status"] == "pending"
        assert (after[waiting]["status"], after[waiting]["user_label"]) == ("failed", "Ada King")
        assert keeps_every_row({name: brought[name] for name in ended}, after)
        assert table.get_rows() == before

    def test_every_block_of_the_guide_has_been_followed(self):
        followed = [
            *self.BEFORE,
            *self.ONE_VIEW,
            *self.ALL_VIEWS,
            *self.COLUMNS,
            self.RECONCILE,
            *self.BUILT_IN_TABLE,
        ]

        assert followed == [block for blocks in self.GUIDE.values() for block in blocks]
        assert len(followed) == 16


class TestFromPowercrud:
    GUIDE = read_guide("migrating-from-powercrud.md")
    MODEL, SUBCLASS, DEFAULT = GUIDE["Before you begin"]
    ONE_VIEW = GUIDE["One view first"]
    IMPORT, SETTINGS, URLS = GUIDE["With a subclass"]
    OLD_SETTINGS, NEW_SETTINGS = GUIDE["Without a subclass"]
    COLUMNS, COMMANDS = GUIDE["Add columns"]
    RECEIVER = GUIDE["What does not carry over"]
    *MOVE_WITH_SUBCLASS, BACKFILL, RECONCILE = GUIDE["Move the rows to the built-in table"]

    def open(self, tmp_path, *blocks):
        """Return the shop with the history that PowerCRUD's tracker wrote."""
        shop = make_shop(tmp_path, self.MODEL, *blocks)
        table = Table(shop, "shop.AsyncTaskRecord")
        table.run(*HISTORY)
        return shop, table

    def check_in_flight(self, shop, table, before, good, bad):
        """Let a cluster run what was queued before, and look at every event of it."""
        with shop.running_cluster():
            after = table.wait_for(good, bad)
        in_flight = {name: before.pop(name) for name in (good, bad)}
        assert keeps_every_row(before, after)
        assert {row["status"] for row in in_flight.values()} == {"pending"}
        assert after[good]["status"] == "success"
        assert (after[bad]["status"], after[bad]["completed_at"]) == ("failed", None)
        assert "Book 5 is out of print." in after[bad]["message"]
        for name in (good, bad):
            kept = ("user_label", "affected_objects", "task_args", "created_at")
            assert [after[name][field] for field in kept] == [
                in_flight[name][field] for field in kept
            ]
            assert after[name]["cleaned_up"] is True
            assert after[name]["progress_payload"]
        assert shop.get_events(good)[0] == shop.get_events(bad)[0] == "start"
        assert "progress" in shop.get_events(good)
        assert shop.get_events(good)[-2:] == ["complete", "cleanup"]
        assert shop.get_events(bad)[-2:] == ["fail", "cleanup"]
        return after

    def queue_two(self, shop):
        return (
            shop.ask("bulk_edit", "author", [1, 2], "retired"),
            shop.ask("bulk_edit", "book", [4, OUT_OF_PRINT], "in_stock"),
        )

    def test_both_work_side_by_side_one_view_each_and_every_row_stays(self, tmp_path):
        shop, table = self.open(tmp_path, self.SUBCLASS, self.DEFAULT)
        before = table.get_rows()

        shop.follow(*self.ONE_VIEW)
        said = shop.type("python manage.py migrate --verbosity 0; python manage.py check")
        books = table.run(("book", [4, OUT_OF_PRINT], "in_stock"))
        authors = table.run(("author", [3, BUSY], "retired"))
        after = table.get_rows()

        assert "AuthorView still records with PowerCRUD's own tracker, shop.tracking" in said
        assert "docs/migrating-from-powercrud.md" in said
        assert keeps_every_row(before, after)
        # Both failed. Ours knows, and PowerCRUD's does not.
        assert after[books[0]]["status"] == "failed"
        assert "Book 5 is out of print." in after[books[0]]["message"]
        assert after[authors[0]]["status"] == "success"
        assert after[books[0]]["user_label"] == after[authors[0]]["user_label"] == "Ada King"
        assert shop.get_events(books[0])[-2:] == ["fail", "cleanup"]
        assert shop.get_events(authors[0]) == []

    def test_by_an_import_every_row_stays_and_no_event_in_flight_is_lost(self, tmp_path):
        shop, table = self.open(tmp_path, self.SUBCLASS, self.DEFAULT)
        good, bad = self.queue_two(shop)
        before = table.get_rows()
        failing = shop.ask("launch_naming_the_manager", "shop.jobs.fail")

        said = shop.follow(*self.ONE_VIEW, self.IMPORT, self.SETTINGS, self.URLS)
        said += shop.follow(self.COLUMNS, self.COMMANDS)
        after = self.check_in_flight(shop, table, before, good, bad)
        again = table.run(("book", [1, OUT_OF_PRINT], "in_stock"))[0]

        assert "System check identified no issues" in said
        assert "+ Add field launched_by_id to asynctaskrecord" in said
        assert "~ Alter field status on asynctaskrecord" in said
        assert (after[bad]["attempts"], bool(after[bad]["worker"])) == ("1", True)
        assert table.get_rows()[again]["launched_by_id"] == "1"
        assert after[bad]["user_label"] == "Ada King"
        assert after[failing]["status"] == "failed"
        # Its own lifecycle sees the events as PowerCRUD sends them: a bulk update that was
        # rolled back is complete.
        assert f"Somebody should look at {failing}" in shop.logs
        assert f"Somebody should look at {bad}" not in shop.logs
        assert shop.get_events(again)[:3] == ["create", "create", "start"]
        assert "shop.tracking.ShopManager" in shop.ask("get_manager_classes")
        assert again in shop.ask("read_page", "/tasks/", "shop.view_asynctaskrecord")[1]
        ours = "powercrud_tracking.view_asynctaskrecord"
        assert shop.ask("read_page", "/tasks/", ours)[0] == 403

    def test_web_servers_with_the_old_code_work_with_the_new_table_and_cluster(self, tmp_path):
        shop = make_shop(tmp_path / "new", self.MODEL, self.SUBCLASS, self.DEFAULT)
        old = shop.copy(tmp_path / "old")
        table = Table(shop, "shop.AsyncTaskRecord")

        shop.follow(self.IMPORT, self.SETTINGS, self.URLS, self.COLUMNS, self.COMMANDS)
        bad = old.ask("bulk_edit", "book", [4, OUT_OF_PRINT], "in_stock")
        queued = table.get_rows()[bad]
        with shop.running_cluster():
            after = table.wait_for(bad)

        assert (queued["status"], queued["user_label"]) == ("pending", "Ada King")
        assert (after[bad]["status"], after[bad]["user_label"]) == ("failed", "Ada King")
        assert (after[bad]["attempts"], bool(after[bad]["worker"])) == ("1", True)

    def test_by_settings_every_row_stays_and_no_event_in_flight_is_lost(self, tmp_path):
        shop, table = self.open(tmp_path, self.OLD_SETTINGS)
        good, bad = self.queue_two(shop)
        before = table.get_rows()

        said = shop.follow(self.NEW_SETTINGS, self.URLS, *self.RECEIVER)
        said += shop.follow(self.COLUMNS, self.COMMANDS)
        self.check_in_flight(shop, table, before, good, bad)
        again = table.run(("book", [1, OUT_OF_PRINT], "in_stock"))[0]

        assert "System check identified no issues" in said
        row = table.get_rows()[again]
        assert (row["status"], row["user_label"], row["affected_objects"]) == (
            "failed",
            "ada",
            "2 books",
        )
        # The receiver of the page.
        assert f"Somebody should look at {bad} Book 5 is out of print. Nothing" in shop.logs

    def check_copied(self, before, copied, in_flight):
        assert copied.keys() == before.keys()
        for name, row in copied.items():
            kept = ("user_label", "affected_objects", "created_at", "cleaned_up")
            assert [row[field] for field in kept] == [before[name][field] for field in kept]
        ended = [name for name in before if name not in in_flight]
        assert [before[name]["status"] for name in ended] == ["success", "success"]
        assert [copied[name]["status"] for name in ended] == ["success", "failed"]
        assert "Book 5 is out of print." in copied[ended[1]]["message"]
        assert {copied[name]["status"] for name in in_flight} == {"pending"}

    def test_the_rows_move_to_the_built_in_table_and_tasks_of_a_subclass_end_there(self, tmp_path):
        shop, table = self.open(tmp_path, self.SUBCLASS, self.DEFAULT)
        shop.follow(self.IMPORT, self.SETTINGS, self.URLS, self.COLUMNS, self.COMMANDS)
        good, bad = self.queue_two(shop)
        before = table.get_rows()

        said = shop.follow(*self.MOVE_WITH_SUBCLASS, self.BACKFILL)
        ours = Table(shop, "powercrud_tracking.AsyncTaskRecord")
        copied = ours.get_rows()
        with shop.running_cluster():
            after = ours.wait_for(good, bad)

        assert "Would add 4 tasks (4 from shop.AsyncTaskRecord)" in said
        assert "Added 4 tasks (4 from shop.AsyncTaskRecord)" in said
        self.check_copied(before, copied, {good, bad})
        assert table.get_rows() == before
        assert (after[good]["status"], after[bad]["status"]) == ("success", "failed")
        assert after[good]["user_label"] == after[bad]["user_label"] == "Ada King"
        assert after[bad]["affected_objects"] == "2 books"
        assert "shop.tracking.ShopManager" in shop.ask("get_manager_classes")

    def test_the_rows_move_and_tasks_that_name_the_old_table_are_reconciled(self, tmp_path):
        shop, table = self.open(tmp_path, self.OLD_SETTINGS)
        good, bad = self.queue_two(shop)
        before = table.get_rows()

        # Nothing remains of the setting once RECORD_MODEL and FIELD_MAP are gone.
        shop.follow(self.NEW_SETTINGS, self.URLS)
        shop.write("mysite/settings.py", "\nPOWERCRUD_ASYNC_DASHBOARD = {}\n", mode="a")
        shop.follow(self.BACKFILL)
        ours = Table(shop, "powercrud_tracking.AsyncTaskRecord")
        copied = ours.get_rows()

        self.check_copied(before, copied, {good, bad})
        assert table.get_rows() == before

        with shop.running_cluster():
            after = table.wait_for(good, bad)
        said = shop.follow(self.RECONCILE)
        assert {after[name]["status"] for name in (good, bad)} == {"success"}
        assert (
            "Found 2 open tasks without activity: 2 ended, 0 lost, 0 cancelled, 0 left open."
            in said
        )
        assert ours.get_rows()[good]["status"] == "success"
        assert ours.get_rows()[bad]["status"] == "failed"

    def test_private_methods_that_the_guide_names_are_powercruds_and_not_ours(self):
        names = ("_field", "_get_or_create_record", "_maybe_set", "_prepare_field_value")

        for name in (*names, "_resolve_model"):
            assert hasattr(PowerCRUDTracker, name)
            assert not hasattr(ModelTrackingAsyncManager, name)

    def test_every_block_of_the_guide_has_been_followed(self):
        followed = [
            self.MODEL,
            self.SUBCLASS,
            self.DEFAULT,
            *self.ONE_VIEW,
            self.IMPORT,
            self.SETTINGS,
            self.URLS,
            self.OLD_SETTINGS,
            self.NEW_SETTINGS,
            self.COLUMNS,
            self.COMMANDS,
            *self.RECEIVER,
            *self.MOVE_WITH_SUBCLASS,
            self.BACKFILL,
            self.RECONCILE,
        ]

        assert followed == [block for blocks in self.GUIDE.values() for block in blocks]
        assert len(followed) == 18
