"""JSON and tracebacks as highlighted HTML, by Pygments: CSS classes, and all text escaped."""

import json
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import JsonLexer, PythonTracebackLexer

MOST_CHARACTERS = 64 * 1024
"""Longer texts are not highlighted: it would take too long."""

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="tracking-hl-")


def highlight_payload(value: Any) -> SafeString:
    """Return JSON indented and highlighted, other text escaped."""
    if isinstance(value, str):
        value, text = _find_json(value), value
        if value is None:
            return escape(text)
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _highlight(text, JsonLexer(stripnl=False, ensurenl=False))


def highlight_traceback(text: str) -> SafeString:
    """Return a traceback highlighted."""
    return _highlight(text, PythonTracebackLexer(stripnl=False, ensurenl=False))


def _find_json(text: str) -> Any:
    """Return the list or dict in a text column that holds JSON, or ``None``."""
    if not text.startswith(("{", "[")) or len(text) > MOST_CHARACTERS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _highlight(text: str, lexer: Lexer) -> SafeString:
    if len(text) > MOST_CHARACTERS:
        return escape(text)
    html = highlight(text, lexer, _FORMATTER)
    # Pygments escapes the text between its tags, and ends it with a line break.
    return mark_safe(html if text.endswith("\n") else html.removesuffix("\n"))  # noqa: S308
