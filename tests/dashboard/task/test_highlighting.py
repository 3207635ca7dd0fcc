import html
import re
import time

import pytest

from powercrud_tracking.dashboard.task.highlighting import (
    MOST_CHARACTERS,
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
            "[" + MARKUP + "x" * MOST_CHARACTERS,
            ["x" * MOST_CHARACTERS, MARKUP],
        ],
        ids=["text", "list", "dict", "no json", "half a json", "long text", "long json"],
    )
    def test_markup_in_a_payload_is_escaped(self, value):
        markup = highlight_payload(value)

        assert get_tags(markup) <= {"<span class>", "</span>"}
        assert "&lt;script&gt;" in markup

    @pytest.mark.parametrize("text", [TRACE, MARKUP, TRACE * 400], ids=["trace", "text", "long"])
    def test_markup_in_a_traceback_is_escaped(self, text):
        markup = highlight_traceback(text)

        assert get_tags(markup) <= {"<span class>", "</span>"}
        assert "&lt;" in markup

    def test_there_is_no_inline_style(self):
        assert "style" not in highlight_payload([1, None, "a"]) + highlight_traceback(TRACE)


class TestPayload:
    def test_json_is_indented_and_highlighted(self):
        markup = highlight_payload({"a": None})

        assert get_text(markup) == '{\n  "a": null\n}'
        assert "tracking-hl-nt" in markup

    def test_text_is_not_changed(self):
        assert highlight_payload("  no\n stock\n") == "  no\n stock\n"

    def test_json_in_a_text_column_is_parsed(self):
        assert highlight_payload('{"a": [1]}') == highlight_payload({"a": [1]})

    @pytest.mark.parametrize("value", [0, False, None, "", [], {}], ids=repr)
    def test_empty_values_are_shown(self, value):
        assert isinstance(highlight_payload(value), str)

    def test_deeply_nested_brackets_stay_text(self):
        assert highlight_payload("[" * 30_000) == "[" * 30_000

    def test_a_long_payload_is_not_highlighted(self):
        markup = highlight_payload(["x" * MOST_CHARACTERS])

        assert "<span" not in markup
        assert "x" * MOST_CHARACTERS in markup


class TestTraceback:
    def test_a_traceback_is_complete_and_highlighted(self):
        markup = highlight_traceback(TRACE.replace(MARKUP, "bad"))

        assert get_text(markup) == TRACE.replace(MARKUP, "bad")
        assert "tracking-hl-gr" in markup

    @pytest.mark.parametrize(
        "text",
        [
            "  File " * 9000,
            '"' * MOST_CHARACTERS,
            "(" * MOST_CHARACTERS,
            "  |   " * 10_000,
            "\n" * MOST_CHARACTERS,
        ],
        ids=["files", "quotes", "brackets", "bars", "lines"],
    )
    def test_no_text_takes_long(self, text):
        began = time.monotonic()

        highlight_traceback(text)
        highlight_payload(text)

        assert time.monotonic() - began < 5
