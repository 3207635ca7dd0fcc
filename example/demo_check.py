"""Use the running bookshop as a person would, and compare each row with what happened.

Imported by ``demo.py --check`` once Django is set up on the database of that bookshop.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.cookiejar import CookieJar
from typing import Any

from bookshop.models import Author, Book
from bookshop.tasks import recalculate_prices
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils.html import escape

from powercrud_tracking import actions
from powercrud_tracking.factory import get_manager
from powercrud_tracking.lifecycle import Outcome, Status
from powercrud_tracking.models import AsyncTaskRecord

SECONDS_TO_FINISH = 60
STOP_POLLING = 286
UPDATE = "powercrud.tasks.bulk_update_task"
DELETE = "powercrud.tasks.bulk_delete_task"

type Fields = Iterable[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    text: str
    headers: Any


class Visitor:
    """A browser: it keeps cookies and sends the requests of PowerCRUD's scripts."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(
        self, path: str, query: Iterable[tuple[str, str]] = (), *, htmx: bool = False
    ) -> Answer:
        return self._open(f"{path}?{urllib.parse.urlencode(list(query))}", None, htmx=htmx)

    def post(self, path: str, fields: Iterable[tuple[str, str]], *, htmx: bool = False) -> Answer:
        token = next((c.value for c in self.cookies if c.name == "csrftoken"), "")
        data = [*fields, ("csrfmiddlewaretoken", token)]
        return self._open(path, urllib.parse.urlencode(data).encode(), htmx=htmx)

    def log_in(self, name: str) -> None:
        """Log in somebody whose password is the name."""
        path = reverse("login")
        self.get(path)
        self.post(path, [("username", name), ("password", name)])

    def _open(self, path: str, data: bytes | None, *, htmx: bool) -> Answer:
        headers = {"HX-Request": "true"} if htmx else {}
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            response = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            text = response.read().decode()
        return Answer(status=response.status, text=text, headers=response.headers)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A bulk form to submit, the expected row, and the expected objects afterwards."""

    name: str
    url_name: str
    ids: list[int]
    fields: list[tuple[str, str]]
    func: str
    user: str
    objects: str
    status: Status
    message: str
    is_done: Callable[[], bool]


def find_faults(address: str) -> list[str]:
    """Return the problems, in words; print the rows."""
    visitor, reader, stranger = Visitor(address), Visitor(address), Visitor(address)
    visitor.log_in("admin")
    reader.log_in("reader")
    # From here on the web process has loaded the admin's template tags. PowerCRUD's own launch
    # cannot pickle a bulk update then.
    faults = [*check_answer(visitor.get(reverse("admin:bookshop_book_changelist")), "Admin", 200)]

    jobs, names = build_jobs(), {}
    for job in jobs:
        answer = send(visitor, job)
        name = json.loads(answer.headers.get("HX-Trigger") or "{}").get("taskName")
        if name is None:
            faults.append(f"{job.name}: was not queued ({answer.status}): {answer.text.strip()}")
        else:
            names[name] = job

    wait_until_finished(names)
    rows = AsyncTaskRecord.objects.filter(task_name__in=names).order_by("created_at", "pk")
    records = {row.task_name: row for row in rows}
    print_table(records.values())
    for name, job in names.items():
        faults += [f"{job.name}: {fault}" for fault in check_record(job, records.get(name))]
        faults += [f"{job.name}: {fault}" for fault in check_pages(job, name, visitor, reader)]
    faults += check_actions()
    faults += check_access(visitor, reader, stranger)
    faults += check_policies(visitor)
    return faults


def check_actions() -> Iterator[str]:
    """Cancel a running task, retry it, and cancel the retry."""
    admin = get_user_model().objects.get(username="admin")
    name = get_manager().launch_async_task(recalculate_prices, user=admin)
    wait_until(name, {Status.IN_PROGRESS})
    result = actions.cancel(name, by=admin, reason="to see it stop")
    if result.outcome != Outcome.REQUESTED:
        yield f"A running task: was not asked to stop: {result.message}"
    wait_until(name, {Status.CANCELLED})
    record = AsyncTaskRecord.objects.get(task_name=name)
    if (record.status, record.attempts) != (Status.CANCELLED, 1):
        yield f"A cancelled task: is {record.status} after {record.attempts} attempts"
    retried = actions.retry(name, by=admin)
    if retried.outcome != Outcome.DONE:
        yield f"A retry: was refused: {retried.message}"
        return
    wait_until(retried.task_name, {Status.PENDING, Status.IN_PROGRESS})
    actions.cancel(retried.task_name, by=admin)
    wait_until(retried.task_name, {Status.CANCELLED})
    record = AsyncTaskRecord.objects.get(task_name=retried.task_name)
    if (record.status, record.retry_of) != (Status.CANCELLED, name):
        yield f"A retry: is {record.status}, of {record.retry_of!r}"


def wait_until(name: str, statuses: Iterable[Status]) -> None:
    """Return once a task has one of these statuses, or when the time is up."""
    deadline = time.monotonic() + SECONDS_TO_FINISH
    rows = AsyncTaskRecord.objects.named_task(name).with_status(statuses)
    while time.monotonic() < deadline and not rows.all().exists():
        time.sleep(0.2)


def build_jobs() -> list[Job]:
    """Return jobs on books and authors that do not overlap, so that they can run in parallel."""
    sellable = Book.objects.filter(out_of_print=False)
    in_stock = list(sellable.filter(in_stock=True).values_list("pk", flat=True))
    to_price, to_delete = in_stock[:20], in_stock[20:25]
    unsaveable = Book.objects.filter(out_of_print=True).first()
    missing = list(sellable.filter(in_stock=False).values_list("pk", flat=True)[:11])
    to_stock = [*missing, unsaveable.pk]
    authors = list(Author.objects.values_list("pk", flat=True)[:3])
    # The user label of BookView's formatter, and of the built-in one.
    formatted, plain = "Ada Keller (admin)", "admin"
    return [
        Job(
            name="A price for 20 books",
            url_name="books-bulk-edit",
            ids=to_price,
            fields=[("fields_to_update", "price"), ("price", "4.50")],
            func=UPDATE,
            user=formatted,
            objects="20 books",
            status=Status.SUCCESS,
            message="20 updated",
            is_done=lambda: count(Book, to_price, price=Decimal("4.50")) == len(to_price),
        ),
        Job(
            name="12 books into stock, one of them out of print",
            url_name="books-bulk-edit",
            ids=to_stock,
            fields=[("fields_to_update", "in_stock"), ("in_stock", "true")],
            func=UPDATE,
            user=formatted,
            objects="12 books",
            status=Status.FAILED,
            message=(
                f"in_stock: “{unsaveable.title}” is out of print and cannot be put in stock."
                " Nothing was changed."
            ),
            is_done=lambda: count(Book, to_stock, in_stock=True) == 0,
        ),
        Job(
            name="5 books deleted",
            url_name="books-bulk-edit",
            ids=to_delete,
            fields=[("delete_selected", "1")],
            func=DELETE,
            user=formatted,
            objects="5 books",
            status=Status.SUCCESS,
            message="5 deleted",
            is_done=lambda: count(Book, to_delete) == 0,
        ),
        Job(
            name="A country for 3 authors",
            url_name="authors-bulk-edit",
            ids=authors,
            fields=[("fields_to_update", "country"), ("country", "Iceland")],
            func=UPDATE,
            user=plain,
            objects="3 authors",
            status=Status.SUCCESS,
            message="3 updated",
            is_done=lambda: count(Author, authors, country="Iceland") == len(authors),
        ),
    ]


def count(model: type, ids: list[int], **values: Any) -> int:
    return model.objects.filter(pk__in=ids, **values).count()


def send(visitor: Visitor, job: Job) -> Answer:
    """Open the bulk form and submit it, as the modal does."""
    path = reverse(job.url_name)
    ids = [("selected_ids[]", str(pk)) for pk in job.ids]
    visitor.get(path, ids, htmx=True)
    return visitor.post(path, [*ids, ("bulk_submit", "1"), *job.fields], htmx=True)


def wait_until_finished(names: Iterable[str]) -> None:
    """Return once no row is open, or when the time is up."""
    deadline = time.monotonic() + SECONDS_TO_FINISH
    rows = AsyncTaskRecord.objects.filter(task_name__in=names)
    while time.monotonic() < deadline:
        if rows.finished().count() == len(names):
            return
        time.sleep(0.2)


def check_record(job: Job, record: AsyncTaskRecord | None) -> Iterator[str]:
    if record is None:
        yield "has no row"
        return
    admin = get_user_model().objects.get(username="admin")
    expected = {
        "status": job.status,
        "func": job.func,
        "user_label": job.user,
        "affected_objects": job.objects,
        "launched_by_id": str(admin.pk),
        "attempts": 1,
        "message": job.message,
    }
    for name, value in expected.items():
        found = getattr(record, name)
        if found != value:
            yield f"{name} is {found!r}, not {value!r}"
    if not record.started_at or not record.created_at <= record.started_at:
        yield f"was queued {record.created_at} and started {record.started_at}"
    ends = {Status.SUCCESS: record.completed_at, Status.FAILED: record.failed_at}
    if not any(ends.values()) or all(ends.values()) or not ends.get(job.status):
        yield f"completed_at is {record.completed_at} and failed_at {record.failed_at}"
    if not job.is_done():
        yield "the books or authors are not as they should be"


def check_pages(job: Job, task_name: str, visitor: Visitor, reader: Visitor) -> Iterator[str]:
    """Check the poll, the list and the task page; without permission no reason is shown."""
    path, query = reverse("powercrud:async_progress"), [("task_name", task_name)]
    answer = visitor.get(path, query)
    yield from check_answer(answer, "The poll", STOP_POLLING, f'"{job.status}"')
    progress = json.loads(answer.text).get("progress") or ""
    if escape(job.message) not in progress:
        yield f"the poll says {progress!r}, without {job.message!r}"
    answer = reader.get(path, query)
    yield from check_answer(answer, "The poll for another user", STOP_POLLING, f'"{job.status}"')
    if "out of print" in answer.text:
        yield "the poll shows the reason to another user"

    detail = reverse("powercrud_tracking:detail", args=[task_name])
    words = [escape(job.user), escape(job.message), str(job.status.label)]
    yield from check_answer(visitor.get(detail), "Its page", 200, *words)
    listing = visitor.get(reverse("powercrud_tracking:list"))
    yield from check_answer(listing, "The list", 200, detail, *words)


def check_access(visitor: Visitor, reader: Visitor, stranger: Visitor) -> Iterator[str]:
    """Check who may see which page."""
    tasks, books = reverse("powercrud_tracking:list"), reverse("books-list")
    yield from check_answer(visitor.get(books), "The list of books", 200, "Bulk Edit")
    yield from check_answer(reader.get(books), "The list of books for a reader", 200)
    yield from check_answer(
        reader.get(tasks), "The list of tasks for a reader", 403, "Your own tasks"
    )
    login = 'id="id_username"'
    yield from check_answer(stranger.get(tasks), "The list of tasks for a stranger", 200, login)


def check_policies(visitor: Visitor) -> Iterator[str]:
    """Check the Content-Security-Policy: strict for our pages, loose for PowerCRUD's."""
    for name in ("powercrud_tracking:list", "powercrud_tracking:mine", "books-list"):
        policy = visitor.get(reverse(name)).headers.get("Content-Security-Policy", "")
        is_strict = "default-src 'none'" in policy and "unsafe" not in policy
        if is_strict != name.startswith("powercrud_tracking:"):
            yield f"{name} is sent with the policy {policy!r}"


def check_answer(answer: Answer, name: str, status: int, *words: str) -> Iterator[str]:
    if answer.status != status:
        yield f"{name} answered {answer.status}, not {status}"
        return
    for word in words:
        if word not in answer.text:
            yield f"{name} does not contain {word!r}"


def print_table(records: Iterable[AsyncTaskRecord]) -> None:
    head = ["Task", "Function", "User", "Objects", "Status", "Started", "Ended", "Message"]
    rows = [
        [
            record.task_name[:8],
            record.func.rpartition(".")[2],
            record.user_label,
            record.affected_objects,
            record.status,
            format_time(record.started_at),
            format_time(record.completed_at or record.failed_at),
            record.message,
        ]
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def format_time(value: Any) -> str:
    return f"{value:%H:%M:%S}" if value else "-"
