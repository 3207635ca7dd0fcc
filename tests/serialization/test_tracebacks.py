import traceback
from time import process_time

import pytest

from powercrud_tracking.serialization.tracebacks import Frame, parse_traceback

SHOP = "/srv/shop/shop/imports.py"
HEADER = "Traceback (most recent call last):\n"


def get_text(function):
    try:
        function()
    except Exception:  # noqa: BLE001 - each of these raises something else
        return traceback.format_exc()
    raise AssertionError


def fail():
    raise ValueError("bad price")


def fail_from_a_cause():
    try:
        fail()
    except ValueError as exc:
        raise KeyError("row") from exc


def fail_while_handling():
    try:
        fail()
    except ValueError:
        raise KeyError("row")  # noqa: B904 - the context is what is tested


def fail_as_a_group():
    try:
        fail()
    except ValueError as exc:
        raise ExceptionGroup("several", [exc, ExceptionGroup("inner", [TypeError("one")])]) from exc


def fail_after_a_group():
    try:
        fail_as_a_group()
    except ExceptionGroup as exc:
        raise RuntimeError("after all") from exc


class TestParse:
    @pytest.mark.parametrize(
        "piece", [" ", " |", "-", "+-", "^ ", ' File "', '", line 1', ' File "a", line 1\n', "\n"]
    )
    @pytest.mark.parametrize("start", ["", HEADER, f"Exception Group {HEADER}"])
    def test_a_megabyte_of_anything_is_read_in_time(self, start, piece):
        started = process_time()

        parse_traceback(f"{start}{piece * (1_000_000 // len(piece))}!")

        assert process_time() - started < 5

    def test_a_text_without_a_traceback_has_no_exceptions(self):
        for text in ("", "no stock", "a\nb\n  c", "Traceback (most recent call last):"):
            assert parse_traceback(text) == []

    def test_frames_have_place_function_and_code_and_the_innermost_is_first(self):
        (raised,) = parse_traceback(get_text(fail))

        inner, outer = raised.frames
        assert raised.exception == "ValueError: bad price"
        assert (inner.file, inner.function) == (__file__, "fail")
        assert inner.code == 'raise ValueError("bad price")'
        assert inner.line == fail.__code__.co_firstlineno + 1
        assert outer.function == "get_text"

    @pytest.mark.parametrize(
        ("function", "link"),
        [(fail_from_a_cause, "cause"), (fail_while_handling, "context")],
        ids=["cause", "context"],
    )
    def test_the_exception_that_ends_a_chain_is_first(self, function, link):
        raised = parse_traceback(get_text(function))

        assert [(each.exception, each.link) for each in raised] == [
            ("KeyError: 'row'", ""),
            ("ValueError: bad price", link),
        ]

    def test_the_members_of_an_exception_group_follow_it(self):
        raised = parse_traceback(get_text(fail_as_a_group))

        assert [(each.exception.partition(" (")[0], each.link) for each in raised] == [
            ("ExceptionGroup: several", ""),
            ("ValueError: bad price", "member"),
            ("ExceptionGroup: inner", "member"),
            ("TypeError: one", "member"),
            ("ValueError: bad price", "cause"),
        ]
        assert raised[1].frames[0].function == "fail"

    def test_an_exception_group_can_be_a_cause(self):
        raised = parse_traceback(get_text(fail_after_a_group))

        assert raised[0].exception == "RuntimeError: after all"
        assert raised[1].exception.startswith("ExceptionGroup: several")
        assert raised[1].link == "cause"

    def test_frames_without_a_line_of_code_have_empty_code(self):
        text = (
            "Traceback (most recent call last):\n"
            f'  File "{SHOP}", line 4, in load\n'
            '  File "<string>", line 1, in <module>\n'
            "ValueError\n"
        )

        (raised,) = parse_traceback(text)

        assert raised.exception == "ValueError"
        assert [frame.code for frame in raised.frames] == ["", ""]

    def test_a_syntax_error_names_the_file_that_cannot_be_compiled(self):
        (raised,) = parse_traceback(get_text(lambda: compile("a b", "shop.py", "exec")))

        assert raised.frames[0] == Frame(file="shop.py", line=1, function="", code="a b")
        assert raised.exception == "SyntaxError: invalid syntax"

    def test_further_lines_of_a_message_are_no_frames(self):
        text = (
            "Traceback (most recent call last):\n"
            f'  File "{SHOP}", line 4, in load\n'
            "    check()\n"
            "ValueError: it said\n"
            '  File "other.py", line 9, in told\n'
        )

        (raised,) = parse_traceback(text)

        assert [frame.line for frame in raised.frames] == [4]

    def test_a_text_that_was_cut_off_at_either_end_still_has_frames(self):
        text = get_text(fail_from_a_cause)

        for cut in (text[120:], text[:-90]):
            assert any(each.frames for each in parse_traceback(cut))

    def test_a_line_number_of_many_digits_is_cut(self):
        (raised,) = parse_traceback(f'  File "{SHOP}", line {"9" * 5000}, in load\nValueError\n')

        assert raised.frames[0].line == 999_999_999


class TestOwn:
    @pytest.mark.parametrize(
        "file",
        [
            "/srv/venv/lib/python3.12/site-packages/django_q/worker.py",
            "/usr/lib/python3/dist-packages/django/db/models/base.py",
            "/usr/lib/python3.12/json/decoder.py",
            "/root/.pyenv/versions/3.13.0t/lib/python3.13t/json/__init__.py",
            "/usr/lib64/python3.12/threading.py",
            "/Library/Frameworks/Python.framework/Versions/3.12/lib/python3.12/ast.py",
            r"C:\shop\venv\Lib\site-packages\powercrud\tasks.py",
            r"C:\Python312\Lib\json\decoder.py",
            "/srv/python312.zip/json/decoder.py",
            "/srv/shop.pex/installed_wheels/abc/django-6.0.whl/django/http.py",
            "/srv/eggs/django_q-1.0-py3.12.egg/django_q/worker.py",
            "<frozen importlib._bootstrap>",
            "<string>",
        ],
    )
    def test_installed_packages_and_the_standard_library_are_not_own_code(self, file):
        assert not Frame(file=file, line=1, function="f").is_own

    @pytest.mark.parametrize(
        "file",
        [
            SHOP,
            "shop/imports.py",
            r"C:\shop\shop\imports.py",
            r"\\server\share\shop\imports.py",
            "/srv/shop.pyz/shop/imports.py",
            "/srv/lib/shop/imports.py",
            "/srv/python3/shop/imports.py",
            "/srv/<shop>/imports.py",
        ],
    )
    def test_code_anywhere_else_is_own_code(self, file):
        assert Frame(file=file, line=1, function="f").is_own

    def test_own_frames_are_the_project_s_only(self):
        text = (
            "Traceback (most recent call last):\n"
            f'  File "{SHOP}", line 4, in load\n'
            "    read()\n"
            '  File "/usr/lib/python3.12/json/decoder.py", line 9, in decode\n'
            "    fail()\n"
            "ValueError: bad\n"
        )

        (raised,) = parse_traceback(text)

        assert [frame.file for frame in raised.own_frames] == [SHOP]
