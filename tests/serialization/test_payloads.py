import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import itertools
import json
import pathlib
import subprocess
import sys
import types
import uuid

import pytest
from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Exists, Q
from django.http import QueryDict
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from powercrud_tracking.serialization.payloads import (
    CIRCULAR,
    cut,
    describe_exception,
    to_json,
    to_line,
    to_text,
)
from powercrud_tracking.serialization.redaction import DEFAULT_REDACT, MASK, compile_redaction

REDACT = compile_redaction(DEFAULT_REDACT)
User = get_user_model()
USER = User._meta.label
LIMIT = 16384


def write(value, limit=LIMIT):
    """Return the result of to_json after checking all its guarantees."""
    result = to_json(value, limit=limit, redact=REDACT)

    text = json.dumps(result, allow_nan=False)
    assert len(text) <= limit
    assert json.loads(text) == result
    assert "\\u0000" not in text
    json.dumps(result, ensure_ascii=False).encode()
    line = to_text(value, limit=limit, redact=REDACT)
    assert len(line.encode()) <= limit
    assert "\0" not in line
    return result


# --- odd objects ---------------------------------------------------------------------------


def fail(*args, **kwargs):
    raise ZeroDivisionError


def make_class(name, *methods, base=object, error=None):
    def method(*args, **kwargs):
        raise error or ZeroDivisionError

    return type(name, (base,), {"__module__": "shop", **dict.fromkeys(methods, method)})


class RaisesOnAttributes:
    def __getattribute__(self, name):
        raise ZeroDivisionError

    def __str__(self):
        raise ZeroDivisionError


class RaisesOnClass:
    __class__ = property(fail)

    def __repr__(self):
        return "an honest text"


class WrongLength(list):
    def __len__(self):
        return 1


class RaisesInTheMiddle(list):
    def __iter__(self):
        yield 1
        raise ZeroDivisionError


class Endless(list):
    def __iter__(self):
        return itertools.count()


class HostileMeta(type):
    __hash__ = fail

    def __getattribute__(cls, name):
        raise ZeroDivisionError


class Hostile(metaclass=HostileMeta):
    pass


class RaisingText(str):
    __str__ = __len__ = __repr__ = __hash__ = fail


UNPRINTABLE = "<shop.Bad (unprintable)>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(make_class("Bad", "__str__")(), UNPRINTABLE, id="str"),
        pytest.param(make_class("Bad", "__repr__")(), UNPRINTABLE, id="repr"),
        pytest.param(
            make_class("Bad", "__str__", error=RecursionError)(), UNPRINTABLE, id="recursion"
        ),
        pytest.param(make_class("Bad", "__len__", base=list)(), UNPRINTABLE, id="list-len"),
        pytest.param(make_class("Bad", "__iter__", base=list)([1]), UNPRINTABLE, id="list-iter"),
        pytest.param(make_class("Bad", "items", base=dict)(), UNPRINTABLE, id="dict-items"),
        pytest.param(make_class("Bad", "__str__", base=ValueError)(), UNPRINTABLE, id="exception"),
        pytest.param(
            make_class("Bad", "isoformat", base=datetime.date)(1, 1, 1), UNPRINTABLE, id="date"
        ),
        pytest.param(
            RaisesOnAttributes(),
            "<tests.serialization.test_payloads.RaisesOnAttributes (unprintable)>",
            id="getattribute",
        ),
        pytest.param(RaisesOnClass(), "an honest text", id="class-property"),
        pytest.param(Hostile(), "<object (unprintable)>", id="metaclass"),
        pytest.param(RaisingText("text"), "text", id="str-subclass"),
        pytest.param(WrongLength([1, 2, 3]), [1, 2, 3], id="wrong-length"),
        pytest.param(RaisesInTheMiddle([1, 2, 3]), [1, "… [2 more]"], id="breaks-in-the-middle"),
    ],
)
def test_a_value_whose_methods_raise_is_named_and_its_neighbours_are_kept(value, expected):
    assert write(value) == expected
    assert write({"a": [value], "b": 1}) == {"a": [expected], "b": 1}


def test_an_endless_list_is_cut():
    result = write(Endless(), limit=200)

    assert result[:3] == [0, 1, 2]
    assert result[-1] == "… [more]"


def test_system_exit_is_not_caught():
    with pytest.raises(SystemExit):
        to_json(make_class("Bad", "__str__", error=SystemExit)(), limit=LIMIT)


# --- kinds ---------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


@dataclasses.dataclass(slots=True)
class Account:
    name: str
    password: str = "hunter2"


Login = collections.namedtuple("Login", "name api_key")


class Plain:
    pass


class Says:
    def __init__(self, text="says"):
        self.text = text

    def __str__(self):
        return self.text


async def coroutine():
    pass


def generate():
    yield 1
    pytest.fail("a generator was consumed")


def take_queryset():
    return User.objects.filter(pk__in=Group.objects.all())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(True, True, id="bool"),
        pytest.param(2**63 - 1, 2**63 - 1, id="int"),
        pytest.param(2**63, "9223372036854775808", id="int-of-65-bits"),
        pytest.param(-(10**20), "-100000000000000000000", id="negative-int"),
        pytest.param(10**5000, "<int of 16,610 bits>", id="int-beyond-text"),
        pytest.param(1e308, 1e308, id="float"),
        pytest.param(float("nan"), "NaN", id="nan"),
        pytest.param(float("inf"), "Infinity", id="infinity"),
        pytest.param(float("-inf"), "-Infinity", id="negative-infinity"),
        pytest.param("a\0b\ud800c", "a\ufffdb\ufffdc", id="nul-and-surrogate"),
        pytest.param("\ud83d\ude00", "\ufffd\ufffd", id="surrogate-pair"),
        pytest.param({"\0": 1}, {"\ufffd": 1}, id="nul-in-a-key"),
        pytest.param(b"abc", "<3 bytes: b'abc'>", id="bytes"),
        pytest.param(bytearray(b"abc"), "<3 bytes: b'abc'>", id="bytearray"),
        pytest.param(
            memoryview(b"x" * 5000), f"<5,000 bytes: {b'x' * 32!r}…>", id="long-memoryview"
        ),
        pytest.param({"b", "a", 2, 1, None}, [None, 1, 2, "a", "b"], id="mixed-set"),
        pytest.param(frozenset({3, 1, 2}), [1, 2, 3], id="frozenset"),
        pytest.param((1, (2,)), [1, [2]], id="tuple"),
        pytest.param(collections.deque([1, 2]), [1, 2], id="deque"),
        pytest.param(array.array("i", [1, 2]), [1, 2], id="array"),
        pytest.param({"a": 1}.keys(), ["a"], id="dict-keys"),
        pytest.param(collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}, id="ordered-dict"),
        pytest.param(collections.ChainMap({"a": 1}), {"a": 1}, id="mapping"),
        pytest.param(types.MappingProxyType({"a": 1}), {"a": 1}, id="mapping-proxy"),
        pytest.param(QueryDict("a=1&a=2"), {"a": ["1", "2"]}, id="query-dict"),
        pytest.param(types.SimpleNamespace(pin=1, a=2), {"pin": MASK, "a": 2}, id="namespace"),
        pytest.param({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}, id="same-keys"),
        pytest.param(
            {None: 1, False: 2, 1.5: 3, (1, "a"): 4, datetime.date(2030, 1, 2): 5},
            {"null": 1, "false": 2, "1.5": 3, '[1, "a"]': 4, "2030-01-02": 5},
            id="keys",
        ),
        pytest.param(datetime.date(2030, 1, 2), "2030-01-02", id="date"),
        pytest.param(
            datetime.datetime(2030, 1, 2, 3, tzinfo=datetime.UTC),
            "2030-01-02T03:00:00+00:00",
            id="datetime",
        ),
        pytest.param(datetime.time(1, 2), "01:02:00", id="time"),
        pytest.param(datetime.timedelta(hours=1), "P0DT01H00M00S", id="timedelta"),
        pytest.param(decimal.Decimal("1.10"), "1.10", id="decimal"),
        pytest.param(uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", id="uuid"),
        pytest.param(pathlib.PurePosixPath("/a/b"), "/a/b", id="path"),
        pytest.param(Colour.RED, "Colour.RED", id="enum"),
        pytest.param(Level.HIGH, 3, id="int-enum"),
        pytest.param(Word.YES, "yes", id="str-enum"),
        pytest.param(gettext_lazy("Yes"), "Yes", id="lazy-translation"),
        pytest.param(Account("ann"), {"name": "ann", "password": MASK}, id="dataclass"),
        pytest.param(Login("ann", "k"), {"name": "ann", "api_key": MASK}, id="namedtuple"),
        pytest.param(Account, "<class tests.serialization.test_payloads.Account>", id="class"),
        pytest.param(Plain(), "<tests.serialization.test_payloads.Plain>", id="plain-object"),
        pytest.param(Says(), "says", id="object-with-text"),
        pytest.param(ValueError("bad"), "ValueError: bad", id="exception"),
        pytest.param(ValueError(), "ValueError", id="exception-without-text"),
        pytest.param(KeyError("k"), "KeyError: 'k'", id="key-error"),
        pytest.param(
            ValueError("bad", 3), "ValueError: ('bad', 3)", id="exception-of-plain-values"
        ),
        pytest.param(
            ValueError("bad", User(pk=7)),
            f'ValueError: ["bad", "{USER}:7"]',
            id="exception-of-others",
        ),
        pytest.param(
            OSError(2, "No file", "a.csv"),
            "FileNotFoundError: [Errno 2] No file: 'a.csv'",
            id="os-error",
        ),
        pytest.param(
            ExceptionGroup("several", [ValueError("one")]),
            "ExceptionGroup: several (1 sub-exception)",
            id="exception-group",
        ),
        pytest.param(generate(), "<generator generate>", id="generator"),
        pytest.param(map(fail, [1]), "<map>", id="iterator"),
        pytest.param(fail, "<function tests.serialization.test_payloads.fail>", id="function"),
        pytest.param(len, "<builtin_function_or_method builtins.len>", id="built-in"),
        pytest.param(functools.partial(len), "<partial len>", id="partial"),
        pytest.param(json, "<module json>", id="module"),
        pytest.param(io.StringIO("text"), "<_io.StringIO>", id="file"),
        pytest.param(User(pk=7), f"{USER}:7", id="instance"),
        pytest.param(User, USER, id="model"),
        pytest.param(User.objects, f"<UserManager of {USER}>", id="manager"),
        pytest.param(User(pk=7).groups, "<ManyRelatedManager of auth.Group>", id="related-manager"),
        pytest.param(
            SimpleLazyObject(fail), "<django.utils.functional.SimpleLazyObject>", id="lazy"
        ),
    ],
)
def test_a_value_of_each_kind_becomes_json(value, expected):
    result = write(value)

    assert result == expected
    assert type(result) is type(expected)


def test_a_coroutine_is_described_and_not_run():
    value = coroutine()

    assert write(value) == "<coroutine coroutine>"

    value.close()


def test_a_lazy_object_that_is_loaded_is_shown():
    user = SimpleLazyObject(lambda: User(pk=7))
    str(user)

    assert write(user) == f"{USER}:7"


def test_an_open_file_is_named_and_not_read(tmp_path):
    path = tmp_path / "report.csv"
    path.write_text("a\nb\n")

    with path.open() as file:
        assert write(file) == f"<TextIOWrapper {path}>"
        assert file.read() == "a\nb\n"


class UserForm(forms.Form):
    user = forms.ModelChoiceField(User.objects.all())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(User.objects.all, f"<QuerySet of {USER}>", id="queryset"),
        pytest.param(lambda: User.objects.values("pk"), f"<QuerySet of {USER}>", id="values"),
        pytest.param(lambda: User.objects.raw("SELECT 1"), f"<RawQuerySet of {USER}>", id="raw"),
        pytest.param(User.objects.all().iterator, "<generator QuerySet._iterator>", id="iterator"),
        pytest.param(
            lambda: Q(pk__in=User.objects.all()), "<django.db.models.query_utils.Q>", id="q"
        ),
        pytest.param(
            lambda: Exists(User.objects.all()),
            "<django.db.models.expressions.Exists>",
            id="expression",
        ),
        pytest.param(
            lambda: Paginator(User.objects.order_by("pk"), 5).page(1),
            "<django.core.paginator.Page>",
            id="page",
        ),
        pytest.param(
            lambda: ValueError(User.objects.all()),
            f"ValueError: <QuerySet of {USER}>",
            id="exception",
        ),
        pytest.param(
            lambda: ValueError("no", User.objects.all()),
            f'ValueError: ["no", "<QuerySet of {USER}>"]',
            id="exception-of-two",
        ),
        pytest.param(
            lambda: KeyError(User.objects.all()),
            f"KeyError: <QuerySet of {USER}>",
            id="key-error",
        ),
        pytest.param(UserForm, "<tests.serialization.test_payloads.UserForm>", id="form"),
        pytest.param(
            lambda: UserForm()["user"], "<django.forms.boundfield.BoundField>", id="bound-field"
        ),
        pytest.param(
            lambda: User.objects.create().groups, "<ManyRelatedManager of auth.Group>", id="related"
        ),
        pytest.param(
            lambda: User.objects.only("pk").get(pk=User.objects.create().pk), None, id="deferred"
        ),
    ],
)
def test_no_value_is_queried_for(build, expected, django_assert_num_queries):
    value = build()

    with django_assert_num_queries(0):
        result = write({"value": [value]})["value"][0]

    assert result == expected or result == f"{USER}:{value.pk}"


# --- limits --------------------------------------------------------------------------------


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("limit", [2, 8, 16, 64, 100, 1000, LIMIT])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a" * 1_048_576, id="megabyte"),
        pytest.param("\x01" * 100_000, id="escapes"),
        pytest.param("\0" * 100_000, id="nul"),
        pytest.param('"' * 100_000, id="quotes"),
        pytest.param("😀" * 100_000, id="emoji"),
        pytest.param("é" * 63, id="accents"),
        pytest.param(list(range(100_000)), id="list"),
        pytest.param(set(range(100_000)), id="set"),
        pytest.param({i: i for i in range(100_000)}, id="dict"),
        pytest.param({"k" * 5000 + str(i): i for i in range(50)}, id="long-keys"),
        pytest.param([["x" * 500] * 50] * 50, id="lists-in-a-list"),
        pytest.param({"a": {"b": {"c": ["x" * 90] * 90}}, "d": 1}, id="dicts-in-a-dict"),
        pytest.param([MASK, None, 1.5, -(2**63)] * 99, id="atoms"),
        pytest.param({"password": 1, "…": 2, "token": [3] * 999}, id="masks"),
        pytest.param(nested(100_000), id="deep"),
        pytest.param([bytes(100)] * 100, id="bytes"),
        pytest.param(ValueError("x" * 100_000), id="exception"),
        pytest.param(["w" * 64] * 14, id="words"),
        pytest.param({f"{'k' * 60}{i:04}": "w" * 64 for i in range(9)}, id="entries-of-words"),
        pytest.param(["😀"] * 50, id="single-characters"),
        pytest.param([-1.1111111111111112e-300] * 50, id="floats"),
    ],
)
def test_no_payload_exceeds_its_limit(value, limit):
    write(value, limit)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a" * 1_000_000, "a" * 75 + "… [999,925 more]", id="text"),
        pytest.param(list(range(1_000_000)), [*range(10), "… [999,990 more]"], id="list"),
        pytest.param(
            dict.fromkeys(range(1000), 1), {"0": 1, "1": 1, "2": 1, "…": "[997 more]"}, id="dict"
        ),
    ],
)
def test_a_mark_has_the_number_of_what_was_left_out(value, expected):
    assert write(value, limit=100) == expected


def test_a_payload_that_just_fits_is_complete():
    value = {"a": ["b" * 10, {"c": [1, 2, 3]}], "d": "é\n"}
    size = len(json.dumps(value))

    assert write(value, limit=size) == value
    assert write(value, limit=size - 1) != value


def test_a_huge_value_does_not_hide_its_neighbours():
    result = write({"text": "a" * 1_000_000, "count": 5, "ids": list(range(100_000)), "last": 1})

    assert list(result) == ["text", "count", "ids", "last"]
    assert result["count"] == 5
    assert result["last"] == 1


def test_a_key_that_looks_like_a_mark_is_kept():
    result = write({"…": "mine", **{f"key {i}": i for i in range(1000)}}, limit=200)

    assert result["…"] == "mine"
    assert result["… (2)"].endswith(" more]")


def test_an_exception_among_its_own_arguments_is_marked():
    exc = ValueError("bad")
    exc.args = (exc,)

    assert write(exc) == f"ValueError: {CIRCULAR}"
    assert describe_exception(exc, limit=LIMIT) == f"ValueError: {CIRCULAR}"


def test_a_dict_that_changes_while_it_is_read_becomes_json():
    class Changing:
        def __str__(self):
            value.clear()
            value.update(dict.fromkeys("abc", self))
            return "changing"

    value = {i: Changing() for i in range(5)}

    assert write(value)


def test_a_deep_value_is_cut_at_a_depth_that_all_databases_accept():
    text = json.dumps(write(nested(100_000)))

    assert 20 < text.count("[") < 100
    assert "… [deeper]" in text or "\\u2026 [deeper]" in text


def test_a_circular_reference_is_marked_and_a_shared_value_is_not():
    shared = [1]
    circle = {"shared": [shared, shared]}
    circle["self"] = [circle]

    assert write(circle) == {"shared": [[1], [1]], "self": [CIRCULAR]}


@pytest.mark.parametrize("kind", ["list", "dict", "set"])
def test_only_as_many_items_are_read_as_find_room(kind):
    walked = []

    class Item:
        def __str__(self):
            walked.append(self)
            return "an item"

    items = [Item() for _ in range(20_000)]
    value = {"list": items, "dict": dict(enumerate(items)), "set": set(items)}[kind]

    write(value, limit=1000)

    # to_json and to_text, twice each at most
    assert len(walked) < 500


# --- redaction -----------------------------------------------------------------------------


class Untouchable:
    __class__ = __str__ = __repr__ = __getattribute__ = property(
        lambda self: pytest.fail("a masked value was read")
    )


def test_a_masked_value_is_never_read():
    assert write({"password": Untouchable()}) == {"password": MASK}


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(("my", "password"), id="tuple"),
        pytest.param(b"password", id="bytes"),
        pytest.param(gettext_lazy("password"), id="lazy"),
        pytest.param("x" * 50_000 + "password", id="behind-the-cut"),
    ],
)
def test_a_key_is_redacted_by_its_whole_text(key):
    assert list(write({key: "value"}).values()) == [MASK]


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("api_key", id="text"),
        pytest.param(b"authorization", id="bytes"),
        pytest.param(gettext_lazy("password"), id="lazy"),
    ],
)
def test_the_value_of_a_pair_is_redacted(kind, name):
    value = [kind([name, Untouchable()]), kind(["price", 3])]

    result = write(value)

    assert [pair[1] for pair in result] == [MASK, 3]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["password", "email", "price"], id="three-words"),
        pytest.param(["price", "password"], id="the-second-word"),
        pytest.param(["the password is on the second page. " * 9, 1], id="a-long-text"),
    ],
)
def test_a_list_that_is_no_pair_of_key_and_value_is_kept(value):
    assert write(value) == value


@pytest.mark.parametrize("name", ["field", "name", "key"])
@pytest.mark.parametrize("value", ["value", "values", "m2m_values"])
def test_a_value_beside_the_name_of_its_field_is_redacted(name, value):
    secret = {value: Untouchable(), name: "api_key", "info": {"type": "CharField"}}
    harmless = {name: "price", value: "3"}

    assert write([secret, harmless]) == [{**secret, value: MASK}, harmless]


def test_the_arguments_of_a_bulk_update_show_no_secret():
    field_data = [{"field": "api_key", "value": "hunter2", "m2m_action": None, "m2m_values": []}]

    result = write(["shop.Book", ["1"], 7, ["api_key", "price"], ["api_key"], field_data])

    assert "hunter2" not in json.dumps(result)
    assert result[3] == ["api_key", MASK]  # two words look like a pair; that is the lesser harm


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(ValueError({"password": "hunter2"}), id="dict"),
        pytest.param(ValueError("no", {"password": "hunter2"}), id="text-and-dict"),
        pytest.param(ValueError([("password", "hunter2")]), id="pair"),
        pytest.param(ValueError("password", "hunter2"), id="pair-of-arguments"),
        pytest.param(ValidationError({"password": ["hunter2 is too short"]}), id="validation"),
        pytest.param(KeyError("redis://ada:hunter2@host"), id="url"),
        pytest.param(ExceptionGroup("password=hunter2", [ValueError("hunter2")]), id="group"),
    ],
)
def test_the_arguments_of_an_exception_show_no_secret(exc):
    assert "hunter2" not in json.dumps(write(exc))
    assert "hunter2" not in describe_exception(exc, limit=LIMIT, redact=REDACT)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("redis://ada:hunter2@host", id="text"),
        pytest.param({"redis://ada:hunter2@host": 1}, id="key"),
        pytest.param([Says("amqp://:hunter2@host")], id="object"),
        pytest.param({"body": '{"pin": "hunter2"}'}, id="json-in-a-text"),
        pytest.param({"a": "x" * (LIMIT - 30) + " redis://ada:hunter2@host"}, id="at-the-limit"),
    ],
)
def test_a_secret_inside_a_text_is_redacted(value):
    assert "hunter" not in json.dumps(write(value))


# --- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        pytest.param("plain", 100, "plain", id="fits"),
        pytest.param("plain", 5, "plain", id="just-fits"),
        pytest.param("plain", 4, "p…", id="no-room-for-a-number"),
        pytest.param("plain", 2, "", id="no-room-at-all"),
        pytest.param("é" * 100, 40, "é" * 13 + "… [87 more]", id="bytes-not-characters"),
        pytest.param("a\0b\ud800", 100, "a\ufffdb\ufffd", id="cleaned"),
        pytest.param('a "quoted"\nline', 100, 'a "quoted"\nline', id="no-quotes-added"),
        pytest.param({"é": (1, 2)}, 100, '{"é": [1, 2]}', id="json"),
        pytest.param(gettext_lazy("Yes"), 100, "Yes", id="lazy"),
        pytest.param(uuid.UUID(int=1), 100, str(uuid.UUID(int=1)), id="written-as-a-string"),
        pytest.param(None, 100, "null", id="none"),
    ],
)
def test_text_stays_as_it_is_and_anything_else_becomes_json(value, limit, expected):
    assert to_text(value, limit=limit) == expected


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("long", 0, ""),
        ("long", 1, "…"),
        ("long", 3, "lo…"),
        ("long", 4, "long"),
        ("", 0, ""),
    ],
)
def test_a_cut_text_ends_with_an_ellipsis(text, length, expected):
    assert cut(text, length) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  a \n\n b\t\r\nc ", "a b c"),
        ("a\x00\x1b\x7f\x85b", "a b"),
        ("a\u2028b\u00a0c", "a b c"),
        ("a\ud800", "a\ufffd"),
    ],
)
def test_a_line_is_one_line(text, expected):
    assert to_line(text) == expected


# --- anything ------------------------------------------------------------------------------

odd_text = st.text(st.characters(exclude_categories=()))
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    odd_text,
    st.binary(max_size=50),
    st.decimals(allow_nan=False),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Colour.RED, Level.HIGH, "…", "1", "password", "x" * 300]),
)
ODD_OBJECTS = [
    Plain(),
    Says(),
    Hostile(),
    RaisesOnAttributes(),
    RaisesOnClass(),
    WrongLength("abc" * 99),
    RaisesInTheMiddle("abc" * 99),
    make_class("Bad", "__str__")(),
    make_class("Bad", "__iter__", base=list)([1]),
    User(pk=1),
    Account("ann"),
    ValueError("\0"),
    10**5000,
    decimal.Decimal("sNaN"),
    take_queryset(),
    fail,
    json,
    nested(500),
]
# By place: hypothesis would ask each of them for its repr().
odd = st.integers(0, len(ODD_OBJECTS) - 1).map(lambda place: ODD_OBJECTS[place])
anything = st.recursive(
    hashable | odd,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.lists(inner).map(collections.deque),
        st.sets(hashable),
        st.dictionaries(hashable | st.tuples(hashable, hashable), inner),
        st.builds(Account, inner, inner),
        st.builds(Login, inner, inner),
    ),
    max_leaves=30,
)


@settings(max_examples=400, deadline=None)
@given(value=anything, limit=st.one_of(st.integers(2, 300), st.integers(300, 20_000)))
def test_anything_becomes_valid_json_within_its_limit(value, limit):
    first = write(value, limit)

    assert json.dumps(first) == json.dumps(write(value, limit))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc…é\n"), inner),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(value=json_values, spare=st.integers(0, 5))
def test_plain_json_that_fits_stays_as_it_is(value, spare):
    before = copy.deepcopy(value)

    result = to_json(value, limit=max(2, len(json.dumps(value)) + spare))

    assert json.dumps(result) == json.dumps(value)
    assert value == before


SECRET = "hunter2-hunter2"
hiding = st.recursive(
    st.builds(
        lambda key, value: {key: value},
        st.sampled_from(["password", "x_token", "pin"]),
        st.just(SECRET),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(odd_text, inner),
        st.builds(Login, inner, st.just(SECRET)),
        st.builds(Account, inner, st.just([SECRET])),
        st.builds(lambda value: {"token": [value, SECRET], "a": value}, inner),
    ),
)


@settings(max_examples=200, deadline=None)
@given(value=hiding, limit=st.integers(2, 2000))
def test_a_masked_value_appears_nowhere(value, limit):
    assert "hunter" not in json.dumps(write(value, limit))
    assert "hunter" not in to_text(value, limit=limit, redact=REDACT)


# --- elsewhere -----------------------------------------------------------------------------


def test_serialization_needs_no_configured_django():
    code = (
        "from powercrud_tracking.serialization import failures, labels, payloads;"
        "from django.conf import settings;"
        "payloads.to_json({'a': [object(), 1j]}, limit=99);"
        "labels.format_objects([1]); failures.parse_failure('x');"
        "assert not settings.configured"
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={})


@pytest.fixture(scope="module")
def postgresql():
    psycopg = pytest.importorskip("psycopg")
    try:
        connection = psycopg.connect(
            host="127.0.0.1", user="postgres", dbname="test", connect_timeout=2, autocommit=True
        )
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL server answers")
    with connection:
        yield connection


@settings(max_examples=100, deadline=None)
@given(value=anything)
def test_postgresql_accepts_any_payload(postgresql, value):
    result = write(value)

    row = postgresql.execute("SELECT %s::jsonb::text", [json.dumps(result)]).fetchone()
    text = postgresql.execute("SELECT %s::text", [to_text(value, limit=LIMIT)]).fetchone()

    # jsonb knows one kind of number: 1e+16 comes back without its exponent.
    sent = json.loads(json.dumps(result), parse_int=float)
    assert json.loads(row[0], parse_int=float) == sent
    assert text[0] == to_text(value, limit=LIMIT)
