"""Read a value of any type as text, as a list, as a dict, or as another value.

Nothing here reaches the database, consumes an iterator or loads a deferred field. Everything
goes by ``type()``: ``isinstance()`` would ask the object itself for its class.
"""

import array
import dataclasses
import datetime
import functools
import io
import math
import types
import uuid
from collections import UserList, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Literal

from django.db.models import Model, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.duration import duration_iso_string
from django.utils.functional import LazyObject, Promise, empty
from django.utils.tree import Node

Form = Literal["text", "atom", "list", "dict", "value", "exception"]
"""What reading gives: a string; a string or number; items; pairs; a value to be read in turn."""

# Larger integers become text: MySQL would keep them as inexact floats. Converting one takes
# quadratic time, and Python refuses above sys.get_int_max_str_digits().
SMALLEST_INT, LARGEST_INT = -(2**63), 2**63 - 1
_INTEGER_BITS = 4096
_SORTED = 5000
_PREVIEW = 32


def get_name(kind: Any) -> str:
    """Return the dotted path of a class; this never raises."""
    try:
        name, module = kind.__qualname__, kind.__module__
        return str(name if module == "builtins" else f"{module}.{name}")
    except Exception:  # noqa: BLE001 - a metaclass may raise anything
        return "object"


def sort_set(values: Any) -> Any:
    """Return the members of a set, in an order that does not change between processes.

    A very large set, and one whose members cannot be compared, comes in its own order.
    """
    if len(values) <= _SORTED:
        with suppress(Exception):
            return sorted(values)
        with suppress(Exception):
            return sorted(values, key=lambda member: (type(member).__name__, member))
    return values


def take(values: Iterable[Any], most: int) -> tuple[list[Any], int | None]:
    """Return the first of some values, and how many there are; ``None`` if that is not known.

    Raises:
        Exception: what the first of them raises. Where a later one does, the values end.
    """
    items: list[Any] = []
    iterator = iter(values)
    try:
        items.extend(islice(iterator, most))
    except Exception:
        if not items:
            raise
    try:
        count = len(values)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count < len(items):
        return items, len(items) if len(items) < most else None
    return items, count


def _read_int(value: int) -> int | str:
    plain = int.__pos__(value)
    if SMALLEST_INT <= plain <= LARGEST_INT:
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
    mark = "…" if view.nbytes > len(start) else ""
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
    return f"<class {get_name(value)}>"


def _read_code(value: Any) -> str:
    name = getattr(value, "__qualname__", value.__name__)
    module = getattr(value, "__module__", None)
    return f"<{type(value).__name__} {f'{module}.' if module else ''}{name}>"


def _read_partial(value: functools.partial[Any]) -> str:
    return f"<partial {get_name(value.func)}>"


def _read_file(value: Any) -> str:
    name = getattr(value, "name", None)
    return f"<{type(value).__name__} {name}>" if name else _read_kind(value)


def _read_kind(value: object) -> str:
    return f"<{get_name(type(value))}>"


def _read_lazy(value: Any) -> object:
    # request.user, say: what has been loaded is shown, but nothing is loaded for it.
    return _read_kind(value) if value._wrapped is empty else value._wrapped


def _read_fields(names: Iterable[str]) -> Callable[[Any], list[tuple[str, Any]]]:
    return lambda value: [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def _read_itself(value: Any) -> Any:
    return value


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

# The nearest class in the method resolution order decides, so that a StrEnum is a string and a
# QueryDict no dict.
_READERS: dict[Any, tuple[Form, Callable[[Any], Any]]] = {
    str: ("text", str.__str__),
    int: ("atom", _read_int),
    float: ("atom", _read_float),
    Enum: ("text", str),
    dict: ("dict", lambda value: value.items()),
    Mapping: ("dict", lambda value: value.items()),
    types.MappingProxyType: ("dict", lambda value: value.items()),
    types.SimpleNamespace: ("dict", lambda value: vars(value).items()),
    MultiValueDict: ("dict", lambda value: dict(value.lists()).items()),
    set: ("list", sort_set),
    frozenset: ("list", sort_set),
    Model: ("text", _read_instance),
    BaseException: ("exception", _read_itself),
    LazyObject: ("value", _read_lazy),
    Promise: ("text", str),
    datetime.timedelta: ("text", duration_iso_string),
    type: ("text", _read_class),
    functools.partial: ("text", _read_partial),
    # io.IOBase itself is not among the bases of the classes written in C.
    io.IOBase.__base__: ("text", _read_file),
    **dict.fromkeys(
        (list, tuple, deque, UserList, array.array, *_DICT_VIEWS), ("list", _read_itself)
    ),
    **dict.fromkeys((bytes, bytearray, memoryview), ("text", _read_bytes)),
    **dict.fromkeys((datetime.date, datetime.time), ("text", lambda value: value.isoformat())),
    **dict.fromkeys((Decimal, uuid.UUID, PurePath), ("text", str)),
    **dict.fromkeys((QuerySet, RawQuerySet, BaseManager), ("text", _read_source)),
    **dict.fromkeys(_CODE, ("text", _read_code)),
    # Their text is made of parts that can hold a queryset: Q(book__in=queryset), a page.
    **dict.fromkeys((Node, BaseExpression, Sequence), ("text", _read_kind)),
}


@functools.lru_cache(maxsize=256)
def find_reader(kind: type) -> tuple[Form, Callable[[Any], Any]]:
    """Return the form in which values of this class are read, and the function that reads one."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return "dict", _read_fields(kind._fields)
    for base in kind.__mro__:
        if base in _READERS:
            return _READERS[base]
    if dataclasses.is_dataclass(kind):
        return "dict", _read_fields([field.name for field in dataclasses.fields(kind)])
    if hasattr(kind, "__attrs_attrs__"):
        return "dict", _read_fields([field.name for field in kind.__attrs_attrs__])
    if hasattr(kind, "__pydantic_fields__"):
        return "dict", _read_fields(kind.__pydantic_fields__)
    # An iterator must not be consumed. What renders as HTML, a form, may query to do so.
    methods: tuple[Any, Any] = kind.__str__, kind.__repr__
    silent = methods == (object.__str__, object.__repr__)
    if silent or hasattr(kind, "__next__") or hasattr(kind, "__html__"):
        return "text", _read_kind
    return "text", str
