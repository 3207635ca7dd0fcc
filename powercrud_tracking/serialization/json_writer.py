"""Convert any value to JSON data within a limit of bytes."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from django.utils.functional import Promise

from powercrud_tracking.serialization import kinds
from powercrud_tracking.serialization.redaction import MASK, SecretKeys, redact_text
from powercrud_tracking.serialization.texts import ELLIPSIS, clean, cut_to_bytes

CIRCULAR = "<circular>"

# MySQL rejects JSON that is nested more than 100 levels deep; a page needs far fewer.
_DEEPEST = 32
# The room for the mark of a list or dict, `, "…": "[1,234,567 more]"`, the least room for a part,
# and the room for a key that is no string.
_MARK_ROOM, _PART_ROOM, _KEY_ROOM = 48, 12, 1000
# The least that an item takes in a list, and an entry in a dict, beside what is in it: brackets,
# separators, the quotes of a key.
_ITEM_SIZE, _ENTRY_SIZE = 2, 6
# What takes most of what is counted so: a word in a list, with 68 bytes that are counted as 2.
_MOST_PER_BYTE = 34
# A word up to this length, an id for example, is stored without a further look.
_WORD_LENGTH = 64
# A longer text at the beginning of a pair is not the name of a secret.
_NAME_LENGTH = 200

_SMALLEST, _LARGEST = kinds.SMALLEST_INT, kinds.LARGEST_INT
_PLAIN = (str, int, float, bytes, type(None))

# How PowerCRUD, forms and lists of headers write a key and its value: {"field": …, "value": …}.
_KEY_NAMES = ("field", "name", "key")
_VALUE_NAMES = frozenset({"value", "values", "m2m_values"})

# Of exceptions, also where a class of the project redefines the attribute.
_ARGUMENTS = BaseException.__dict__["args"]

_NO_SECRETS = SecretKeys()

_dumps = json.JSONEncoder(allow_nan=False, check_circular=False).encode


class _TooLongError(Exception):
    """It does not fit without being cut."""


class JSONWriter:
    """Makes JSON data of one value.

    What fits is copied as a whole. Of what does not fit, one level is written, and each of its
    parts is fitted into a share of the room.

    Args:
        redact: tells which keys are secret.
        path: the values that are being written, each inside the one before it.
    """

    __slots__ = ("left", "path", "redact")

    def __init__(self, redact: SecretKeys | None, path: set[int] | None = None) -> None:
        self.redact = _NO_SECRETS if redact is None else redact
        self.path = set() if path is None else path
        self.left = 0

    def fit(self, value: Any, room: int, depth: int) -> Any:
        """Return ``value`` as JSON data of at most ``room`` bytes."""
        self.left = room
        try:
            whole = self.copy(value, depth)
            if _MOST_PER_BYTE * (room - self.left + 2) <= room or _measure(whole) <= room:
                return whole
        except _TooLongError:
            pass
        return self.cut(value, room, depth)

    # --- whole ---------------------------------------------------------------------------

    def copy(self, value: Any, depth: int) -> Any:
        """Return all of ``value`` as JSON data.

        Raises:
            _TooLongError: it takes more than what is left of the room. That is counted with less
                than it takes, so what fits is never refused, and what is huge soon is.
        """
        # Always by type(): isinstance() would ask the object for its class.
        kind = type(value)
        if kind is str:
            return self.copy_text(value)
        if kind is bool or value is None:
            return value
        if kind is int and _SMALLEST <= value <= _LARGEST:
            return value
        if id(value) in self.path:
            return CIRCULAR
        self.path.add(id(value))
        try:
            plain, count = self.open(value, self.left, depth)
            if type(plain) is dict:
                return self.copy_dict(plain, count, depth + 1)
            if type(plain) is list or type(plain) is tuple:
                return self.copy_list(plain, count, depth + 1)
            return self.copy_text(plain) if type(plain) is str else plain
        except _TooLongError:
            raise
        except Exception:  # noqa: BLE001 - a method of the value may raise anything
            return self.copy_text(_describe_unprintable(kind))
        finally:
            self.path.discard(id(value))

    def copy_text(self, text: str) -> str:
        self.left -= len(text)
        if self.left < 0:
            raise _TooLongError
        return clean(redact_text(text, self.redact))

    def copy_list(self, values: Any, count: int | None, depth: int) -> list[Any]:
        size = len(values)
        self.left -= _ITEM_SIZE * size
        if self.left < 0:
            raise _TooLongError
        items = self.copy_items(self.mask_pair(values) if size == 2 else values, size, depth)
        if count != size:
            items.append(f"{ELLIPSIS} {_describe_rest(count, size)}")
        return items

    def copy_dict(self, values: dict[Any, Any], count: int | None, depth: int) -> dict[str, Any]:
        size = len(values)
        self.left -= _ENTRY_SIZE * size
        if self.left < 0:
            raise _TooLongError
        read = self.read_entries(values, size)
        items = self.copy_items([value for _, value in read], size, depth)
        entries: dict[str, Any] = {}
        for (key, _), item in zip(read, items, strict=True):
            if not (key.isidentifier() and key.isascii() and len(key) <= _WORD_LENGTH):
                key = self.copy_text(key)
            if key in entries:
                key = _get_free_key(key, entries)
            entries[key] = item
        if count != size:
            entries[_get_free_key(ELLIPSIS, entries)] = _describe_rest(count, size)
        return entries

    def copy_items(self, values: Iterable[Any], size: int, depth: int) -> list[Any]:
        # Numbers and short words are most of what there is; they need no call.
        return [
            value
            if ((kind := type(value)) is int and _SMALLEST <= value <= _LARGEST)
            or (kind is str and value.isalnum() and value.isascii() and len(value) <= _WORD_LENGTH)
            else self.copy(value, depth)
            for value in islice(values, size)
        ]

    # --- cut -----------------------------------------------------------------------------

    def cut(self, value: Any, room: int, depth: int) -> Any:
        """Return what of ``value`` finds room, with marks for the rest."""
        if id(value) in self.path:
            return self.cut_text(CIRCULAR, room)
        self.path.add(id(value))
        try:
            plain, count = self.open(value, room, depth)
            if type(plain) in (dict, list, tuple):
                written = self.cut_parts(plain, count, room, depth + 1)
                if _measure(written) <= room:
                    return written
                plain = ELLIPSIS
            return self.cut_text(plain if type(plain) is str else _dumps(plain), room)
        except Exception:  # noqa: BLE001 - a method of the value may raise anything
            return self.cut_text(_describe_unprintable(type(value)), room)
        finally:
            self.path.discard(id(value))

    def cut_text(self, text: str, room: int) -> str:
        return cut_to_bytes(text, room - 2, redact=self.redact, measure=_measure_quoted)

    def cut_parts(self, plain: Any, count: int | None, room: int, depth: int) -> Any:
        is_dict = type(plain) is dict
        parts: Iterable[tuple[Any, Any]] = (
            self.read_entries(plain, room // _ENTRY_SIZE + 1)
            if is_dict
            else enumerate(self.mask_pair(plain))
        )
        entries: dict[Any, Any] = {}
        left = room - _MARK_ROOM
        for key, value in parts:
            # One huge value must not hide all that come after it.
            share = left if len(entries) + 1 == count else left // 2
            key_size = 0
            if is_dict:
                key = _get_free_key(self.cut_text(key, share // 2), entries)
                key_size = len(_quote(key)) + 2
            if share - key_size < _PART_ROOM:
                break
            entries[key] = self.fit(value, share - key_size, depth)
            left -= key_size + _measure(entries[key]) + 2
        if len(entries) == count:
            return entries if is_dict else [*entries.values()]
        rest = _describe_rest(count, len(entries))
        if is_dict:
            return {**entries, _get_free_key(ELLIPSIS, entries): rest}
        return [*entries.values(), f"{ELLIPSIS} {rest}"]

    # --- reading -------------------------------------------------------------------------

    def open(self, value: Any, room: int, depth: int) -> tuple[Any, int | None]:
        """Return a value as text, number, list, tuple or dict, and how many parts it has.

        Its parts have not been read yet. There are all of them, or more than ``room`` bytes can
        hold; ``None``: it is not known how many.
        """
        kind: Any = type(value)
        if depth > _DEEPEST:
            return f"{ELLIPSIS} [deeper]", 0
        if kind is dict or kind is list or kind is tuple:
            return value, len(value)
        form, read = kinds.find_reader(kind)
        found = read(value)
        match form:
            case "text":
                return str.__str__(found), 0
            case "value":
                return self.open(found, room, depth + 1)
            case "exception":
                name, message = kinds.get_name(kind), self.read_message(found, room)
                return f"{name}: {message}" if message else name, 0
            case "list":
                return kinds.take(found, room // _ITEM_SIZE + 1)
            case "dict":
                pairs, count = kinds.take(found, room // _ENTRY_SIZE + 1)
                return dict(pairs), count
        return found, 0

    def read_entries(self, values: dict[Any, Any], most: int) -> list[tuple[str, Any]]:
        """Return the first entries of a dict, keys as text, the values of secret ones masked."""
        hidden: Any = ()
        if not values.keys().isdisjoint(_VALUE_NAMES):
            names = [values[name] for name in _KEY_NAMES if name in values]
            hidden = _VALUE_NAMES if any(map(self.is_secret, names)) else ()
        pairs = [*islice(values.items(), most)]
        texts = [key if type(key) is str else self.show(key, _KEY_ROOM) for key, _ in pairs]
        return [
            (text, MASK if self.redact[text] or text in hidden else value)
            for text, (_, value) in zip(texts, pairs, strict=True)
        ]

    def mask_pair(self, values: Any) -> Any:
        """Return a list, or if it is a pair such as ``("password", "x")``, that masked."""
        return (values[0], MASK) if len(values) == 2 and self.is_secret(values[0]) else values

    def is_secret(self, name: Any) -> bool:
        kind = type(name)
        if issubclass(kind, bytes):
            name = bytes.decode(name[:_NAME_LENGTH], "latin-1")
        elif issubclass(kind, str | Promise):
            name = str.__str__(name) if issubclass(kind, str) else str(name)
        else:
            return False
        return len(name) <= _NAME_LENGTH and self.redact[name]

    def read_message(self, exc: BaseException, room: int) -> str:
        """Return the message of an exception; see ``payloads.describe_exception``."""
        if has_plain_text(exc):
            return str(exc)
        args = _ARGUMENTS.__get__(exc)
        return self.show(args[0] if len(args) == 1 else args, room)

    def show(self, value: Any, room: int) -> str:
        """Return a value inside a text."""
        if issubclass(type(value), str):
            return str.__str__(value)
        shown = JSONWriter(self.redact, self.path).fit(value, room, 0)
        return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def has_plain_text(exc: BaseException) -> bool:
    """Return whether ``str(exc)`` shows texts and numbers only, and so cannot run a query."""
    args = _ARGUMENTS.__get__(exc)
    if issubclass(type(exc), SyntaxError | BaseExceptionGroup):
        args = args[:1]  # of the others str() shows a place or a number
    return all(issubclass(type(arg), _PLAIN) for arg in args)


def _measure(value: Any) -> int:
    """Return how many bytes JSON data takes."""
    kind = type(value)
    if kind is str:
        return len(_quote(value))
    # A word such as None is as long as its JSON.
    return len(_dumps(value)) if kind is dict or kind is list else len(repr(value))


def _measure_quoted(text: str) -> int:
    return len(_quote(text)) - 2


def _get_free_key(key: str, entries: Mapping[str, Any]) -> str:
    """Return a key that is not among ``entries``: 1 and "1" must not silently become one."""
    free, number = key, 1
    while free in entries:
        number += 1
        free = f"{key} ({number})"
    return free


def _describe_rest(count: int | None, shown: int) -> str:
    return "[more]" if count is None else f"[{count - shown:,} more]"


def _describe_unprintable(kind: Any) -> str:
    return f"<{kinds.get_name(kind)} (unprintable)>"
