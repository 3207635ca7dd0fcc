import html
import re
import time

import pytest

from powercrud_tracking.dashboard.task.highlighting import (
    MOST,
    highlight_payload,
    highlight_traceback,
)

MARKUP = '<script>alert("x")</script>&\''
TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/imports.py", line 3, in load\n'
    f"    raise ValueError({MARKUP!r})\n"
    f"ValueError: {MARKUP}\n"
)


def get_tags(markup):
    tags = re.findall(r"<[^>]*>", markup)
    return {re.sub(r'class="tracking-hl-\w+"', "class", tag) for tag in tags}


def get_text(markup):
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


class TestEscaping:
    @pytest.mark.parametrize(
        "value",
        [
            MARKUP,
            [MARKUP],
            {MARKUP: {MARKUP: MARKUP}},
            f'["{MARKUP}',
            f'{{"a": "{MARKUP}',
            "[" + MARKUP + "x" * MOST,
            ["x" * MOST, MARKUP],
        ],
        ids=["text", "list", "dict", "no json", "half a json", "long text", "long json"],
    )
    def test_a_payload_brings_no_tag_of_its_own(self, value):
        markup = highlight_payload(value)

        assert get_tags(markup) <= {"<span class>", "</span>"}
        assert "&lt;script&gt;" in markup

    @pytest.mark.parametrize("text", [TRACE, MARKUP, TRACE * 400], ids=["trace", "text", "long"])
    def test_a_traceback_brings_no_tag_of_its_own(self, text):
        markup = highlight_traceback(text)

        assert get_tags(markup) <= {"<span class>", "</span>"}
        assert "&lt;" in markup

    def test_there_is_no_inline_style(self):
        assert "style" not in highlight_payload([1, None, "a"]) + highlight_traceback(TRACE)


class TestPayload:
    def test_json_is_indented_and_in_colours(self):
        markup = highlight_payload({"a": None})

        assert get_text(markup) == '{\n  "a": null\n}'
        assert "tracking-hl-nt" in markup

    def test_text_stays_as_it_is(self):
        assert highlight_payload("  no\n stock\n") == "  no\n stock\n"

    def test_json_in_a_column_of_text_is_read(self):
        assert highlight_payload('{"a": [1]}') == highlight_payload({"a": [1]})

    @pytest.mark.parametrize("value", [0, False, None, "", [], {}], ids=repr)
    def test_what_is_empty_is_shown(self, value):
        assert isinstance(highlight_payload(value), str)

    def test_a_deep_nest_of_brackets_stays_text(self):
        assert highlight_payload("[" * 30_000) == "[" * 30_000

    def test_what_is_too_long_has_no_colours(self):
        markup = highlight_payload(["x" * MOST])

        assert "<span" not in markup
        assert "x" * MOST in markup


class TestTraceback:
    def test_it_is_whole_and_in_colours(self):
        markup = highlight_traceback(TRACE.replace(MARKUP, "bad"))

        assert get_text(markup) == TRACE.replace(MARKUP, "bad")
        assert "tracking-hl-gr" in markup

    @pytest.mark.parametrize(
        "text",
        ["  File " * 9000, '"' * MOST, "(" * MOST, "  |   " * 10_000, "\n" * MOST],
        ids=["files", "quotes", "brackets", "bars", "lines"],
    )
    def test_nothing_takes_it_long(self, text):
        began = time.monotonic()

        highlight_traceback(text)
        highlight_payload(text)

        assert time.monotonic() - began < 5
