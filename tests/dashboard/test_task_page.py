"""The task page as a browser gets it."""

import copy
import html
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from powercrud_tracking.dashboard.task.details import MOST_ATTEMPTS
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from tests.project import models as project
from tests.support.rows import NAME

pytestmark = pytest.mark.django_db

DETAIL = reverse("powercrud_tracking:detail", args=[NAME])
OVERRIDES = Path(project.__file__).parent / "overrides"
MARKUP = "<script>alert('x')</script>\"&"
TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/imports.py", line 41, in load\n'
    "    read_row(line)\n"
    '  File "/usr/lib/python3.12/decimal.py", line 9, in fail\n'
    "    raise\n"
    "ValueError: bad price\n"
)


def make(**values):
    now = timezone.now()
    given = {
        "task_name": NAME,
        "func": "shop.imports.load",
        "created_at": now - timedelta(minutes=9),
        "started_at": now - timedelta(minutes=8),
    }
    return AsyncTaskRecord.objects.create(**{**given, **values})


def make_failed(**values):
    at = timezone.now() - timedelta(minutes=7)
    given = {"status": "failed", "failed_at": at, "attempts": 1, "message": "ValueError: bad price"}
    row = make(**{**given, **values})
    make_attempt(row.attempts)
    return row


def make_attempt(number, **values):
    at = timezone.now() - timedelta(minutes=7)
    given = {
        "started_at": at - timedelta(minutes=1),
        "ended_at": at,
        "outcome": "failed",
        "exception_class": "ValueError",
        "message": "ValueError: bad price",
        "traceback": TRACE,
    }
    return AsyncTaskAttempt.objects.create(task_name=NAME, number=number, **{**given, **values})


def get(client, url=DETAIL):
    return client.get(url).content.decode()


def get_live_part(content):
    return re.search(r'<section id="tracking-task".*?</section>', content, re.DOTALL)[0]


def count_queries(client):
    with CaptureQueriesContext(connections["default"]) as default:
        others = [alias for alias in connections if alias != "default"]
        contexts = [CaptureQueriesContext(connections[alias]) for alias in others]
        for context in contexts:
            context.__enter__()
        client.get(DETAIL)
        for context in contexts:
            context.__exit__(None, None, None)
    return len(default) + sum(len(context) for context in contexts)


class TestQueries:
    def test_the_page_takes_nine_queries_however_many_attempts_and_runs_there_are(
        self, admin_client
    ):
        make_failed(attempts=30)
        client = admin_client
        client.get(DETAIL)
        few = count_queries(client)

        for number in range(1, 30):
            make_attempt(number)
        AsyncTaskRecord.objects.bulk_create(
            AsyncTaskRecord(task_name=f"run-{n}", func="shop.imports.load") for n in range(100)
        )
        many = count_queries(client)

        assert few == many <= 9


class TestEscaping:
    @pytest.mark.parametrize("status", ["pending", "in_progress", "success", "failed", "lost"])
    def test_markup_in_any_column_is_escaped(self, admin_client, status):
        text = {
            "message": MARKUP,
            "progress_payload": f"1/2 {MARKUP}",
            "user_label": MARKUP,
            "affected_objects": MARKUP,
            "func": MARKUP,
            "task_group": MARKUP,
            "queue_id": MARKUP,
            "worker": MARKUP,
            "launched_by_id": MARKUP,
        }
        payloads = {
            "task_args": [MARKUP],
            "task_kwargs": {MARKUP: {MARKUP: [MARKUP]}},
            "result_payload": f"{MARKUP} : {TRACE.replace('bad price', MARKUP)}",
            "extra": {MARKUP: MARKUP},
        }
        make(status=status, attempts=2, task_name=MARKUP, **text, **payloads)
        make(task_name="another", func=MARKUP)
        for number in (1, 2):
            AsyncTaskAttempt.objects.create(
                task_name=MARKUP,
                number=number,
                ended_at=timezone.now(),
                outcome="failed",
                worker=MARKUP,
                exception_class=MARKUP,
                message=MARKUP,
                traceback=TRACE.replace("bad price", MARKUP)
                .replace("imports.py", MARKUP.replace('"', ""))
                .replace("read_row(line)", MARKUP)
                .replace("in load", f"in {MARKUP}"),
            )

        content = get(admin_client, reverse("powercrud_tracking:detail", args=[MARKUP]))

        assert "<script>" not in content
        assert set(re.findall(r"<script[^>]*>", content)) == set(
            re.findall(r'<script src="[^"]*" defer>', content)
        )
        assert "&lt;script&gt;" in content
        assert 'style="' not in content

    def test_coordinates_of_the_charts_are_not_localized(self, admin_client, settings):
        settings.LANGUAGE_CODE = "de"
        settings.USE_THOUSAND_SEPARATOR = True
        make_failed()
        make(task_name="another", status="success", completed_at=timezone.now())

        content = get(admin_client)

        drawn = re.findall(r' (?:x|y|width|height|viewBox)="([^"]*)"', content)
        assert any("." in value for value in drawn)
        assert all(re.fullmatch(r"[-\d. ]+(?:em)?", value) for value in drawn)


class TestFailure:
    def test_the_reason_of_a_failure_comes_first(self, admin_client):
        make_failed(progress_payload="1/2")

        content = get(admin_client)

        order = ["<h1>", "ValueError: bad price", "<progress", "Timeline", "imports.py:41"]
        places = [content.index(words) for words in order]
        assert places == sorted(places)

    def test_own_frames_are_above_the_full_traceback(self, admin_client):
        make_failed()

        content = get(admin_client)

        frames, _, trace = content.partition("Full traceback")
        assert "<code>/srv/shop/imports.py:41</code>" in frames
        assert "read_row(line)" in frames
        assert "decimal.py" not in frames
        assert "decimal.py" in trace

    def test_earlier_attempts_are_listed_newest_first(self, admin_client):
        make_failed(attempts=3)
        for number in (1, 2):
            make_attempt(number, message=f"reason {number}")

        content = get(admin_client)

        assert content.index("reason 2") < content.index("reason 1")
        assert "Earlier failed attempts" in content

    def test_a_note_says_that_only_the_newest_attempts_are_shown(self, admin_client):
        make_failed(attempts=50)
        for number in range(1, 50):
            make_attempt(number, traceback="")

        content = get(admin_client)

        assert f"Only the {MOST_ATTEMPTS} newest failed attempts are shown." in content
        assert content.count("<summary>Attempt ") == MOST_ATTEMPTS - 1

    def test_a_failure_without_a_traceback_shows_the_result(self, admin_client):
        make_failed(result_payload=False)
        AsyncTaskAttempt.objects.update(traceback="")

        content = get(admin_client)

        assert "<h2>Error</h2>" not in content
        assert 'id="tracking-result"' in content


class TestLivePart:
    @pytest.mark.parametrize("status", ["pending", "in_progress", "success", "failed", "lost"])
    def test_the_part_that_is_updated_has_no_controls(self, admin_client, status):
        make_failed(status=status, progress_payload="1/2")

        part = get_live_part(get(admin_client))

        assert f'data-status="{status}"' in part
        for word in ("<details", "<button", "<input", "<pre", "href="):
            assert word not in part

    def test_the_part_that_is_updated_has_progress_timeline_and_facts(self, admin_client):
        make(status="in_progress", attempts=1, progress_payload="importing: 420/1000")

        part = get_live_part(get(admin_client))

        assert '<progress max="100" value="42"' in part
        assert "tracking-timeline-bar" in part
        assert "<dt>Function</dt>" in part

    def test_the_facts_name_worker_and_cluster(self, admin_client):
        make(status="in_progress", worker="host:17", cluster="nightly")

        part = get_live_part(get(admin_client))

        assert "<dt>Worker</dt><dd><code>host:17</code></dd>" in part
        assert "<dt>Cluster</dt><dd><code>nightly</code></dd>" in part

    @pytest.mark.parametrize(
        "text",
        [
            'data-announcement="Sort\N{NARROW NO-BREAK SPACE}: En cours"',
            "En cours\N{NARROW NO-BREAK SPACE}: 8\N{NO-BREAK SPACE}min",
        ],
        ids=["announcement", "timeline"],
    )
    def test_labels_and_values_have_the_colon_of_the_language(self, admin_client, text):
        make(status="in_progress", func="shop.sort")

        with translation.override("fr"):
            part = get_live_part(get(admin_client))

        assert text in part

    def test_a_task_that_stays_queued_asks_for_a_cluster(self, admin_client):
        make(status="pending", started_at=None)

        assert "python manage.py qcluster" in get_live_part(get(admin_client))

    def test_the_page_shows_until_when_the_row_is_kept(self, admin_client):
        make(status="success", completed_at=timezone.now())

        part = get_live_part(get(admin_client))

        until = (timezone.now() + timedelta(days=30)).date().isoformat()
        assert re.search(rf'Kept until</dt><dd><time datetime="{until[:8]}', part)

    def test_a_row_that_is_due_names_the_next_pruning(self, admin_client):
        make(status="success", completed_at=timezone.now() - timedelta(days=31))

        assert "the next pruning removes it" in get(admin_client)


class TestTimes:
    @pytest.mark.skipif(not project_settings.USE_TZ, reason="local times have no zone")
    def test_times_are_in_the_active_time_zone(self, admin_client, settings):
        settings.TIME_ZONE = "Asia/Kolkata"
        row = make(status="success", completed_at=timezone.now())

        content = get(admin_client)

        local = timezone.localtime(row.created_at)
        assert f'datetime="{local.isoformat()}"' in content
        assert "+05:30" in content
        assert local.strftime('title="%Y-%m-%d %H:%M:%S IST"') in content

    def test_times_are_relative_with_the_exact_time_on_hover(self, admin_client):
        make(status="success", completed_at=timezone.now())

        content = get(admin_client)

        assert re.search(r'<time datetime="[^"]+" title="[\d-]+ [\d:]+[^"]*">9\xa0minutes', content)


class TestRuns:
    def make_runs(self):
        for number in range(3):
            make(
                task_name=f"run-{number}",
                status="success",
                completed_at=timezone.now(),
                launched_by_id=f"another-{number}",
            )

    def test_each_bar_and_each_row_links_to_its_task(self, admin_client):
        make_failed()
        self.make_runs()

        content = get(admin_client)

        for number in range(3):
            url = reverse("powercrud_tracking:detail", args=[f"run-{number}"])
            assert content.count(f'href="{url}"') == 2

    def test_the_keyboard_skips_the_bars_of_the_chart(self, admin_client):
        make_failed()
        self.make_runs()

        chart = re.search(r'<svg class="tracking-runs".*?</svg>', get(admin_client), re.DOTALL)[0]

        assert 'aria-hidden="true"' in chart
        assert chart.count("<a ") == chart.count('tabindex="-1"') == 4

    def test_without_the_permission_the_chart_has_own_runs_only(self, client, user):
        make_failed(launched_by_id=str(user.pk))
        self.make_runs()
        make(task_name="mine", launched_by_id=str(user.pk))
        client.force_login(user)

        runs = client.get(DETAIL).context["latest_runs"]["runs"]

        assert {run["task_name"] for run in runs} == {NAME, "mine"}


class TestPayloads:
    def test_payloads_have_copy_buttons_that_the_script_shows(self, admin_client):
        make(status="success", result_payload={"a": 1}, task_args=[2], task_kwargs={"b": 3})

        content = get(admin_client)

        for name in ("result", "args", "kwargs"):
            assert f'data-copy-from="tracking-{name}"' in content
            assert content.count(f'id="tracking-{name}"') == 1
        assert all("hidden" in tag for tag in re.findall(r"<button[^>]*data-copy[^>]*>", content))

    def test_the_text_to_copy_is_json(self, admin_client):
        make(status="success", result_payload={"a": "<b>"})

        inside = re.search(
            r'<pre id="tracking-result"[^>]*>(.*?)</pre>', get(admin_client), re.DOTALL
        )

        assert html.unescape(re.sub(r"<[^>]*>", "", inside[1])) == '{\n  "a": "<b>"\n}'


class TestBlocks:
    def test_a_project_fills_blocks_from_templates_of_the_same_names(self, admin_client, settings):
        templates = copy.deepcopy(settings.TEMPLATES)
        templates[0]["DIRS"] = [OVERRIDES]
        settings.TEMPLATES = templates
        row = make_failed()

        content = get(admin_client)

        assert "OUR HEADER of Load" in content
        assert f"OUR EXTRA for {row.pk}" in content
        assert "OUR FACT" in get_live_part(content)
        assert "Timeline" in content


class TestCustomTable:
    def test_a_table_with_other_names_leaves_out_missing_columns(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {
                "task_name": "key",
                "status": "state",
                "message": "note",
                "result": "payload",
                "updated_at": "touched",
            },
        }
        project.BespokeRecord.objects.create(
            key=NAME, state="failed", note="no stock", payload='{"a": [1]}'
        )

        content = get(admin_client)

        assert "no stock" in content
        assert "Kept until" in content
        assert "&quot;a&quot;" in content or '"a"' in content
        for word in ("Timeline", "Latest runs", "<dt>Worker", "<dt>Attempts", "None"):
            assert word not in content

    def test_failed_attempts_of_a_table_with_other_names_are_shown(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {
            "RECORD_MODEL": "project.BespokeRecord",
            "FIELD_MAP": {"task_name": "key", "status": "state"},
        }
        project.BespokeRecord.objects.create(key=NAME, state="failed")
        for number in (1, 2):
            make_attempt(number)

        content = get(admin_client)

        assert "<h2>Error</h2>" in content
        assert "Attempt 1: Failed" in content
        assert "Timeline" in content

    def test_a_table_with_a_name_only_shows_the_name(self, admin_client, settings):
        settings.POWERCRUD_ASYNC_DASHBOARD = {"RECORD_MODEL": "project.NameOnlyRecord"}
        project.NameOnlyRecord.objects.create(task_name=NAME)

        content = get(admin_client)

        assert re.findall(r"<dt>(.*?)</dt>", content) == ["Task name"]
        assert "None" not in content
        assert "<h2>" not in content


class TestLostTask:
    def test_the_run_time_of_a_lost_task_is_unknown_on_every_page(self, admin_client):
        at = timezone.now()
        queued, started = at - timedelta(hours=4), at - timedelta(hours=3)
        make(status="lost", attempts=1, created_at=queued, started_at=started, failed_at=at)
        make_attempt(1, outcome="lost", started_at=started, ended_at=at)
        make(task_name="another", status="success", completed_at=at)

        pages = [
            get(admin_client, url)
            for url in (
                DETAIL,
                reverse("powercrud_tracking:list"),
                reverse("powercrud_tracking:overview"),
                reverse("admin:powercrud_tracking_asynctaskrecord_changelist"),
            )
        ]

        assert [page for page in pages if "3 h 0 min" in page] == []


class TestBulkFailure:
    REASON = "name: This field cannot be blank; price: Too high. Nothing was changed."
    PROGRESS = (
        "failed update: [('name', ['This field cannot be blank.']), ('price', ['Too high.'])]"
    )

    @pytest.fixture(autouse=True)
    def row(self):
        row = make_failed(
            func="powercrud.tasks.bulk_update_task",
            message=self.REASON,
            progress_payload=self.PROGRESS,
            result_payload=False,
        )
        AsyncTaskAttempt.objects.update(message=self.REASON, exception_class="", traceback="")
        return row

    def test_the_task_page_shows_the_reason_and_the_raw_progress(self, admin_client):
        content = html.unescape(get(admin_client))

        assert content.count(self.REASON) == 1
        assert f"Last progress</span> {self.PROGRESS}" in content

    @pytest.mark.parametrize(
        "url",
        [
            reverse("powercrud_tracking:list"),
            reverse("powercrud_tracking:overview"),
            reverse("admin:powercrud_tracking_asynctaskrecord_changelist"),
            reverse("admin:powercrud_tracking_asynctaskattempt_changelist"),
            f"{reverse('powercrud:async_progress')}?task_name={NAME}",
        ],
        ids=["list", "overview", "admin", "admin of attempts", "poll"],
    )
    def test_other_pages_show_the_reason_and_no_raw_progress(self, admin_client, url):
        content = html.unescape(get(admin_client, url))

        assert self.REASON in content
        assert "[(" not in content
