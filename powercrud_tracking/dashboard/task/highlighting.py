"""JSON and tracebacks in colours: Pygments, by classes, with everything escaped."""

import json
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import JsonLexer, PythonTracebackLexer

MOST = 64 * 1024
"""Characters beyond which a text stays plain: colours would cost more than they help."""

_FORMATTER = HtmlFormatter(nowrap=True, classprefix="tracking-hl-")


def highlight_payload(value: Any) -> SafeString:
    """Return a payload for reading: JSON indented and in colours, other text as it is."""
    if isinstance(value, str):
        value, text = _find_json(value), value
        if value is None:
            return escape(text)
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _highlight(text, JsonLexer(stripnl=False, ensurenl=False))


def highlight_traceback(text: str) -> SafeString:
    """Return a traceback in colours; anything else as it is."""
    return _highlight(text, PythonTracebackLexer(stripnl=False, ensurenl=False))


def _find_json(text: str) -> Any:
    """Return the list or dict that a column of text holds as JSON, or ``None``."""
    if not text.startswith(("{", "[")) or len(text) > MOST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _highlight(text: str, lexer: Lexer) -> SafeString:
    if len(text) > MOST:
        return escape(text)
    html = highlight(text, lexer, _FORMATTER)
    # Pygments escapes what it puts between its own marks, and ends each line.
    return mark_safe(html if text.endswith("\n") else html.removesuffix("\n"))  # noqa: S308
