"""Text of a task, whatever is in it, is read in a time proportional to its length.

Each pattern of the package, and each function that meets such text, reads many small texts; then
a megabyte of the one that took longest. In quadratic time that would take minutes to hours, so
the time limit can be generous.
"""

import ast
import importlib
import itertools
import re
import signal
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest

from powercrud_tracking.dashboard.overview.errors import split_message
from powercrud_tracking.dashboard.task.details import get_failures
from powercrud_tracking.dashboard.task.highlighting import MOST_CHARACTERS
from powercrud_tracking.lifecycle import Status
from powercrud_tracking.models import AsyncTaskAttempt, AsyncTaskRecord
from powercrud_tracking.records import reading
from powercrud_tracking.serialization import bulk_results, failures, labels, payloads, texts
from powercrud_tracking.serialization.estimates import find_measure
from powercrud_tracking.serialization.redaction import BUILT_IN, redact_text
from powercrud_tracking.serialization.tracebacks import parse_traceback

PACKAGE = Path(__file__).parents[2] / "powercrud_tracking"
MEGABYTE, SAMPLE = 1_000_000, 5_000
LIMIT = 16384
SECONDS = 10
RE_FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub"}

CHARACTERS = "\n aA10_.:/\\'\"=([<|+-~^é“"
TRACEBACK = "Traceback (most recent call last):\n"
FRAGMENTS = [
    *(
        TRACEBACK,
        f"Exception Group {TRACEBACK}",
        '  File "',
        '", line 1',
        '  File "a", line 1, in b\n',
    ),
    *("\\lib\\python3", "C:\\a\\Lib", "  | ", "  +-+----", "---- 1 ", "---- ", " \n", "~ ^"),
    *(
        " : ",
        " : a: ",
        " : a\n",
        "a: b: ",
        ": a\n",
        ":\n",
        "\n\n",
        "a.",
        "A.a",
        "_A",
        "1.1",
        "1 ",
        "1/",
    ),
    *(
        "1 of ",
        "0a-",
        "a@b",
        "a b",
        "x' ",
        "“a",
        "://",
        "://a:",
        "://a:b@",
        "a=",
        "pw=",
        "pw='",
        "pw=[(",
        "authorization: ",
        "bearer ",
    ),
    *(
        "'a':",
        "'pw':",
        "('pw',",
        "{'pw': [",
        "'\\",
        '\\"',
        "[('a', ['",
        "(1, '",
        "None",
        "\\x",
        "\\u00",
    ),
]
HEADS = [
    "",
    TRACEBACK,
    f"Exception Group {TRACEBACK}",
    f"no : {TRACEBACK}",
    "failed update: [('a', ['",
]

TAILS = ["", "\0é"]  # what a pattern that has read all the rest may fail at


def find_modules():
    """Return the names of the package's modules, without the package's own, and their sources."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if "migrations" not in parts and parts[-1] != "__init__":
            yield ".".join(parts), ast.parse(path.read_text(encoding="utf-8"))


def find_attributes(tree):
    """Return which attributes of which names a source asks for."""
    return {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def find_patterns():
    """Return the patterns of the package's modules, with the methods that are used of them."""
    uses, unused = {}, {}
    for module_name, tree in find_modules():
        module = importlib.import_module(f"{PACKAGE.name}.{module_name}")
        for name, pattern in vars(module).items():
            if isinstance(pattern, re.Pattern):
                unused.setdefault((pattern, "search"), f"{module_name}.{name}.search")
                for user, method in find_attributes(tree):
                    if user == name:
                        uses.setdefault((pattern, method), f"{module_name}.{name}.{method}")
    used = {pattern for pattern, _ in uses}
    uses |= {use: key for use, key in unused.items() if use[0] not in used}
    return {key: use for use, key in uses.items()}


PATTERNS = find_patterns()


@contextmanager
def time_limit(what):
    """Interrupt what is inside after a while; the search for a pattern can be interrupted, too."""

    def interrupt(*args):
        pytest.fail(f"{what} takes longer than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fill(head, unit, tail, size):
    return head + unit * ((size - len(head)) // len(unit)) + tail


def measure(function, *parts):
    text = fill(*parts, SAMPLE)
    with time_limit(f"a small text of {parts}"):
        started = perf_counter()
        function(text)
        return perf_counter() - started


def check(function, heads=("",)):
    """Find out which text takes most time, and let a megabyte of it be read."""
    texts = itertools.product(heads, [*CHARACTERS, *FRAGMENTS], TAILS)
    slowest = max(texts, key=lambda parts: measure(function, *parts))

    with time_limit(f"a megabyte of {slowest}"):
        function(fill(*slowest, MEGABYTE))


def test_the_patterns_of_the_package_are_found():
    assert {
        "serialization.tracebacks._BARS.match",
        "serialization.redaction._URL_PASSWORD.sub",
        "dashboard.overview.errors._KIND.match",
    } <= PATTERNS.keys()


def test_no_pattern_is_hidden_in_a_function():
    hidden = {
        (module, method)
        for module, tree in find_modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for name, method in find_attributes(function)
        if name == "re" and method in RE_FUNCTIONS
    }

    # The project's own REDACT, and a value of the setting.
    assert hidden <= {("serialization.redaction", "compile"), ("config.keys", "fullmatch")}


@pytest.mark.parametrize("key", PATTERNS)
def test_a_pattern_reads_a_megabyte_in_linear_time(key):
    pattern, method = PATTERNS[key]

    def use(text):
        if method == "sub":
            pattern.sub("", text)
        elif method == "finditer":
            deque(pattern.finditer(text), maxlen=0)
        else:
            getattr(pattern, method)(text)

    check(use)


FUNCTIONS = {
    "secret_keys": BUILT_IN.__getitem__,
    "parse_failure": failures.parse_failure,
    "describe_result": lambda text: failures.describe_result(text, limit=LIMIT, redact=BUILT_IN),
    "parse_traceback": lambda text: [each.own_frames for each in parse_traceback(text)],
    "find_measure": find_measure,
    "to_line": payloads.to_line,
    "redact_text": lambda text: redact_text(text, BUILT_IN),
    "to_text": lambda text: payloads.to_text(text, limit=2 * MEGABYTE, redact=BUILT_IN),
    "to_json": lambda text: payloads.to_json({text: [text]}, limit=4 * MEGABYTE, redact=BUILT_IN),
    "cut_start": lambda text: texts.cut_start(text, LIMIT, redact=BUILT_IN),
    "format_objects": lambda text: labels.format_objects([text, {text: text}]),
    "describe_bulk_failure": bulk_results.describe_bulk_failure,
    "describe_bulk_success": bulk_results.describe_bulk_success,
    "split_message": lambda text: split_message(Status.FAILED, text),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_reads_a_megabyte_in_linear_time(name):
    check(FUNCTIONS[name], HEADS)


@pytest.mark.parametrize("size", [MOST_CHARACTERS, MEGABYTE], ids=["highlighted", "megabyte"])
def test_the_page_of_a_task_reads_a_traceback_in_linear_time(size):
    row = AsyncTaskRecord(task_name="task", status=Status.FAILED, attempts=1)
    for unit in (" ", "  | ", "  File ", "'", "a"):
        trace = fill(f"Exception Group {TRACEBACK}", unit, "", size)
        attempt = AsyncTaskAttempt(task_name="task", number=1, traceback=trace)

        with time_limit(f"many times {unit!r}"):
            get_failures(reading.read([row])[0], [attempt])
