"""Anything that a task can carry, as bounded and redacted JSON or text.

The functions here are total: they raise nothing of their own, whatever the value or its
methods do, and they neither evaluate a queryset, nor consume an iterator, nor load a deferred
field. Their cost depends on the limit, not on the size of the value.

What was left out is marked, and always in the same way: ``…`` and, where it is known, how much
more there was. Text ends with ``… [12 more]`` (characters), a list with the item
``"… [12 more]"``, a dict with the entry ``"…": "[12 more]"``.
"""

import array
import dataclasses
import datetime
import functools
import io
import json
import math
import re
import types
import uuid
from bisect import bisect_right
from collections import UserList, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring_ascii as _quote
from pathlib import PurePath
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.duration import duration_iso_string
from django.utils.functional import LazyObject, Promise, empty
from django.utils.tree import Node

from powercrud_tracking.serialization import redaction

ELLIPSIS = "…"
CIRCULAR = "<circular>"

# MySQL refuses JSON that is nested more than 100 deep, and nobody reads further than this.
_DEEPEST = 32
_WORDS = {None: "null", False: "false", True: "true"}
# The longest mark, without the digits of its number: `, "…": "[12 more]"`.
_MARK_ROOM = 32
# The least that an item, and an entry with its key, can say something in.
_ITEM_ROOM = 12
_ENTRY_ROOM = 36
# Larger integers become text: MySQL would keep them as inexact floats. Converting one takes
# quadratic time, and Python refuses above sys.get_int_max_str_digits().
_INTEGERS = range(-(2**63), 2**63)
_INTEGER_BITS = 4096
_SORTED = 5000
# So far behind the limit a secret is looked for that begins before it.
_SECRET_ROOM = 512
_PREVIEW = 32

# PostgreSQL's jsonb refuses both, and so does UTF-8 the second.
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")


def to_json(value: object, *, limit: int, redact: re.Pattern[str] | None = None) -> Any:
    """Return ``value`` as plain JSON data of at most ``limit`` bytes.

    ``json.dumps(result, allow_nan=False)`` works and is no longer than that, and SQLite, MySQL
    and PostgreSQL take it. What fits is complete; what does not is cut where it is marked.
    With fewer than 8 bytes there is no room for a mark, and the result may be ``""``.

    Args:
        limit: most bytes of the result, at least 2.
        redact: the values of matching keys and fields become ``redaction.MASK`` and are never
            looked at.
    """
    try:
        return _Writer(redact, cutting=False).put(value, limit, 0)[0]
    except _TooLongError:
        return _Writer(redact, cutting=True).put(value, limit, 0)[0]


def to_text(value: object, *, limit: int, redact: re.Pattern[str] | None = None) -> str:
    """Return ``value`` as text of at most ``limit`` bytes of UTF-8.

    A string, and whatever ``to_json`` makes a string of, stays as it is, without quotes, but for
    the secrets in it; anything else becomes JSON.
    """
    if not issubclass(type(value), str):
        value = to_json(value, limit=limit, redact=redact)
        if not isinstance(value, str):
            # Never longer than the escaped form, which to_json has measured.
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
    text = str.__str__(value)
    start = text[: limit + _SECRET_ROOM]
    masked = redaction.redact_text(start, redact)
    length = len(text) - len(start) + len(masked)
    head = clean(masked).encode()
    if len(head) <= limit and len(masked) == length:
        return head.decode()
    mark = _more(length)
    if len(mark.encode()) > limit // 2:
        return head[: limit - 3].decode(errors="ignore") + ELLIPSIS if limit >= 3 else ""
    kept = head[: limit - len(mark.encode())].decode(errors="ignore")
    return kept + _more(length - len(kept))


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of ``text``, the last of them "…" if it was cut."""
    if len(text) <= length:
        return text
    return text[: length - 1] + ELLIPSIS if length > 0 else ""


def to_line(text: str) -> str:
    """Return ``text`` on one line: white space and control characters become single spaces."""
    return clean(" ".join(_CONTROL.sub(" ", text).split()))


def sort_set(values: Any) -> Any:
    """Return the members of a set, in an order that does not change between processes.

    A very large set, and one whose members cannot be compared, comes in its own order.
    """
    if len(values) <= _SORTED:
        with suppress(Exception):
            return sorted(values, key=lambda member: (type(member).__name__, member))
    return values


class _TooLongError(Exception):
    """It does not fit without being cut."""


class _Writer:
    """Writes one value into a given room.

    The first writer does not cut and gives up when the room is used up. Only then a second
    one, which keeps room for its marks at every level, shows what it can. So a value that fits
    exactly is complete, and none is walked more than twice.
    """

    __slots__ = ("cutting", "path", "redact")

    def __init__(self, redact: re.Pattern[str] | None, *, cutting: bool) -> None:
        self.redact = redact
        self.cutting = cutting
        self.path: set[int] = set()

    def put(self, value: Any, room: int, depth: int) -> tuple[Any, int]:
        """Return ``value`` as JSON data, and its size, which is at most ``room``."""
        # Everything is judged by type(): isinstance() would ask the object for its class.
        kind = type(value)
        if kind is str:
            return self.put_text(value, room)
        if kind is bool or value is None:
            return self.put_atom(value, _WORDS[value], room)
        if kind is int and value in _INTEGERS:
            return self.put_atom(value, str(value), room)
        if kind is float and value - value == 0:  # neither infinite nor NaN
            return self.put_atom(value, repr(value), room)
        if id(value) in self.path:
            return self.put_text(CIRCULAR, room)
        if depth > _DEEPEST:
            return self.put_text(f"{ELLIPSIS} [deeper]", room)
        self.path.add(id(value))
        try:
            put, read = _SHAPES.get(kind) or _find_shape(kind)
            found: tuple[Any, int] = put(self, read(value), room, depth)
            return found
        except _TooLongError:
            raise
        except Exception:  # noqa: BLE001 - the methods of a stranger may raise anything
            return self.put_text(f"<{_name(kind)} (unprintable)>", room)
        finally:
            self.path.discard(id(value))

    def put_atom(self, value: Any, written: str, room: int) -> tuple[Any, int]:
        size = len(written)
        return (value, size) if size <= room else self.put_text(written, room)

    def put_text(self, text: str, room: int) -> tuple[str, int]:
        if len(text) + 2 <= room:
            text = clean(text)
            size = len(_quote(text))
            if size <= room:
                return text, size
        if not self.cutting:
            raise _TooLongError
        mark = _more(len(text))
        if len(_quote(mark)) > room // 2:
            mark = ELLIPSIS
        space = room - len(_quote(mark)) + 2
        if space < 2:
            return "", 2
        head = clean(text[:space])
        sizes = range(len(head) + 1)
        kept = bisect_right(sizes, space, key=lambda length: len(_quote(head[:length]))) - 1
        text = head[:kept] + (mark if mark == ELLIPSIS else _more(len(text) - kept))
        return text, len(_quote(text))

    def put_shown(self, text: str, room: int, depth: int) -> tuple[str, int]:
        return self.put_text(str.__str__(text), room)

    def put_other(self, value: Any, room: int, depth: int) -> tuple[Any, int]:
        return self.put(value, room, depth + 1)

    def put_list(self, values: Iterable[Any], room: int, depth: int) -> tuple[Any, int]:
        items: list[Any] = []

        def add(value: Any, share: int) -> int:
            item, size = self.put(value, share, depth + 1)
            items.append(item)
            return size

        size, rest = self.fill(values, room, add, _ITEM_ROOM)
        if rest:
            items.append(f"{ELLIPSIS} {rest}")
            size += len(_quote(items[-1])) + 2 * (len(items) > 1)
        return (items, size) if size <= room else self.put_nothing(room)

    def put_dict(self, pairs: Iterable[tuple[Any, Any]], room: int, depth: int) -> tuple[Any, int]:
        entries: dict[str, Any] = {}
        copies: dict[str, int] = {}
        is_secret = redaction.get_key_test(self.redact)

        def add(pair: tuple[Any, Any], share: int) -> int:
            key, value = pair
            text = key if type(key) is str else self.show(key, share, depth)
            if is_secret(text):
                value = redaction.MASK
            key, size = self.put_key(text, share // 2 if self.cutting else share, entries, copies)
            entries[key], value_size = self.put(value, share - size - 2, depth + 1)
            return size + 2 + value_size

        size, rest = self.fill(pairs, room, add, _ENTRY_ROOM)
        if rest:
            key, key_size = self.put_key(ELLIPSIS, room, entries, copies)
            entries[key] = rest
            size += key_size + len(_quote(rest)) + 2 + 2 * (len(entries) > 1)
        return (entries, size) if size <= room else self.put_nothing(room)

    def put_key(
        self, text: str, room: int, entries: dict[str, Any], copies: dict[str, int]
    ) -> tuple[str, int]:
        """Return a key that is not among ``entries``: 1 and "1" must not silently become one."""
        text, size = self.put_text(text, room)
        key = text
        while key in entries:
            copies[text] = copies.get(text, 1) + 1
            key = f"{text} ({copies[text]})"
        return key, size if key is text else len(_quote(key))

    def put_nothing(self, room: int) -> tuple[str, int]:
        if not self.cutting:
            raise _TooLongError
        return self.put_text(ELLIPSIS, room)

    def put_exception(self, value: BaseException, room: int, depth: int) -> tuple[Any, int]:
        if type(value).__str__ is BaseException.__str__ and len(value.args) == 1:
            # str() would take the repr() of a queryset, which evaluates it.
            text = self.show(value.args[0], room, depth)
        else:
            text = str(value)
        name = _name(type(value))
        return self.put_text(f"{name}: {text}" if text else name, room)

    def show(self, value: Any, room: int, depth: int) -> str:
        """Return a value inside a text, a string whole: a key is searched for secrets."""
        if issubclass(type(value), str):
            return str.__str__(value)
        shown, _ = _Writer(self.redact, cutting=True).put(value, room, depth + 1)
        return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)

    def fill(
        self, values: Iterable[Any], room: int, add: Callable[[Any, int], int], least: int
    ) -> tuple[int, str]:
        """Add values while there is room. Return the size, and what to say of the rest."""
        count = _count(values)
        if not self.cutting and 3 * count > room:  # ten million items need not be tried
            raise _TooLongError
        reserve = _MARK_ROOM + len(f"{count:,}")
        size, taken = 2, 0
        iterator = iter(values)
        while True:
            try:
                value = next(iterator)
            except StopIteration:
                return size, ""
            except Exception:
                if not taken:
                    raise
                break
            gap = 2 if taken else 0
            share = room - size - gap
            if self.cutting:
                share -= reserve
                if taken + 1 != count:
                    share //= 2  # one huge value must not hide all that come after it
                if share < least:
                    break
            size += gap + add(value, share)
            taken += 1
        return size, f"[{count - taken:,} more]" if count > taken else "[more]"


def _count(values: Iterable[Any]) -> int:
    try:
        return len(values)  # type: ignore[arg-type]
    except TypeError:
        return 0


def clean(text: str) -> str:
    """Return ``text`` with what databases refuse (NUL, lone surrogates) replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _more(number: int) -> str:
    return f"{ELLIPSIS} [{number:,} more]"


def _name(kind: Any) -> str:
    try:
        name, module = kind.__qualname__, kind.__module__
        return str(name if module == "builtins" else f"{module}.{name}")
    except Exception:  # noqa: BLE001 - a metaclass may raise anything
        return "object"


# How each kind of value is read. None of these calls what could reach the database.


def _read_int(value: int) -> int | str:
    # First plain: a range looks for a subclass of int by walking all of its members.
    plain = int.__pos__(value)
    if plain in _INTEGERS:
        return plain
    bits = plain.bit_length()
    return repr(plain) if bits <= _INTEGER_BITS else f"<int of {bits:,} bits>"


def _read_float(value: float) -> float | str:
    plain = float.__pos__(value)
    if plain != plain:
        return "NaN"
    if plain in (math.inf, -math.inf):
        return "Infinity" if plain > 0 else "-Infinity"
    return plain


def _read_bytes(value: bytes | bytearray | memoryview) -> str:
    view = memoryview(value)
    start = bytes(view[:_PREVIEW]) if view.ndim == 1 else b""
    mark = ELLIPSIS if view.nbytes > len(start) else ""
    return f"<{view.nbytes:,} bytes: {start!r}{mark}>"


def _read_instance(value: Model) -> str:
    # value.pk would load a deferred key.
    keys = [value.__dict__.get(field.attname) for field in value._meta.pk_fields]
    key = keys[0] if len(keys) == 1 else tuple(keys)
    return f"{value._meta.label}:{key}"


def _read_source(value: Any) -> str:
    return f"<{type(value).__name__} of {value.model._meta.label}>"


def _read_class(value: type) -> str:
    if issubclass(value, Model) and hasattr(value, "_meta"):
        return value._meta.label
    return f"<class {_name(value)}>"


def _read_code(value: Any) -> str:
    name = getattr(value, "__qualname__", value.__name__)
    module = getattr(value, "__module__", None)
    return f"<{type(value).__name__} {f'{module}.' if module else ''}{name}>"


def _read_partial(value: functools.partial[Any]) -> str:
    return f"<partial {_name(value.func)}>"


def _read_file(value: Any) -> str:
    name = getattr(value, "name", None)
    return f"<{type(value).__name__} {name}>" if name else _read_kind(value)


def _read_kind(value: object) -> str:
    return f"<{_name(type(value))}>"


def _read_lazy(value: Any) -> object:
    # request.user, say: what has been loaded is shown, but nothing is loaded for it.
    return _read_kind(value) if value._wrapped is empty else value._wrapped


def _read_fields(names: Iterable[str]) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda value: [(name, getattr(value, name)) for name in names if hasattr(value, name)]


_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
)
_EMPTY: dict[Any, Any] = {}
_DICT_VIEWS = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))

# The kinds that are told apart: how each is put, and what is read of it. The nearest class in
# the method resolution order decides, so that a StrEnum is a string and a QueryDict no dict.
_SHAPES: dict[Any, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    str: (_Writer.put_shown, str.__str__),
    int: (_Writer.put_other, _read_int),
    float: (_Writer.put_other, _read_float),
    Enum: (_Writer.put_shown, str),
    dict: (_Writer.put_dict, lambda value: value.items()),
    Mapping: (_Writer.put_dict, lambda value: value.items()),
    types.MappingProxyType: (_Writer.put_dict, lambda value: value.items()),
    types.SimpleNamespace: (_Writer.put_dict, lambda value: vars(value).items()),
    MultiValueDict: (_Writer.put_dict, lambda value: dict(value.lists()).items()),
    set: (_Writer.put_list, sort_set),
    frozenset: (_Writer.put_list, sort_set),
    Model: (_Writer.put_shown, _read_instance),
    BaseException: (_Writer.put_exception, lambda value: value),
    LazyObject: (_Writer.put_other, _read_lazy),
    Promise: (_Writer.put_shown, str),
    datetime.timedelta: (_Writer.put_shown, duration_iso_string),
    type: (_Writer.put_shown, _read_class),
    functools.partial: (_Writer.put_shown, _read_partial),
    # io.IOBase itself is not among the bases of the classes written in C.
    io.IOBase.__base__: (_Writer.put_shown, _read_file),
    **dict.fromkeys(
        (list, tuple, deque, UserList, array.array, *_DICT_VIEWS),
        (_Writer.put_list, lambda value: value),
    ),
    **dict.fromkeys((bytes, bytearray, memoryview), (_Writer.put_shown, _read_bytes)),
    **dict.fromkeys(
        (datetime.date, datetime.time), (_Writer.put_shown, lambda value: value.isoformat())
    ),
    **dict.fromkeys((Decimal, uuid.UUID, PurePath), (_Writer.put_shown, str)),
    **dict.fromkeys((QuerySet, RawQuerySet, BaseManager), (_Writer.put_shown, _read_source)),
    **dict.fromkeys(_CODE, (_Writer.put_shown, _read_code)),
    # Their text is made from parts that can hold a queryset: Q(book__in=queryset), a page.
    **dict.fromkeys((Node, BaseExpression, Sequence), (_Writer.put_shown, _read_kind)),
}


def _find_shape(kind: type) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _Writer.put_dict, _read_fields(kind._fields)
    for base in kind.__mro__:
        if base in _SHAPES:
            return _SHAPES[base]
    if dataclasses.is_dataclass(kind):
        return _Writer.put_dict, _read_fields([field.name for field in dataclasses.fields(kind)])
    if hasattr(kind, "__attrs_attrs__"):
        return _Writer.put_dict, _read_fields([field.name for field in kind.__attrs_attrs__])
    if hasattr(kind, "__pydantic_fields__"):
        return _Writer.put_dict, _read_fields(kind.__pydantic_fields__)
    # An iterator must not be consumed. What renders as HTML, a form, may query to do so.
    methods: tuple[Any, Any] = kind.__str__, kind.__repr__
    silent = methods == (object.__str__, object.__repr__)
    if silent or hasattr(kind, "__next__") or hasattr(kind, "__html__"):
        return _Writer.put_shown, _read_kind
    return _Writer.put_shown, str
