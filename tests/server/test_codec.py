"""Strict JSON, forms and queries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput, KeepwellError, TooLarge
from keepwell.server import codec
from keepwell.server.routing import Body, Paging, Query


class Thing(Body, frozen=True, kw_only=True):
    number: float = 0
    count: int = 0
    text: str = ""
    names: list[str] = []  # noqa: RUF012  (msgspec copies it)
    flag: bool = False


class Wanted(Query, frozen=True, kw_only=True):
    limit: int = 5
    q: str | None = None
    low: float = 0


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b'{"count": 1, "count": 2}', "count"),
        (b'{"number": NaN}', "body"),
        (b'{"number": Infinity}', "body"),
        (b'{"number": -Infinity}', "body"),
        (b'{"number": 1e400}', "body"),
        (b'{"number": -1e999}', "body"),
        (b'{"count": 9007199254740993}', "body"),
        (b'{"count": -9007199254740993}', "body"),
        (b'{"count": ' + b"9" * 5_000 + b"}", "body"),
        (b'{"text": "\\ud800"}', None),
        (b'{"\\udfff": 1}', None),
        (b'{"text": "\xff"}', "body"),
        (b'{"text": "\\u0000"}', "body"),
        (b'{"text": "\\u001b[2J"}', "body"),
        (b'{"text": "\\u202e"}', "body"),
        (b'{"text": "a", "other": 1}', "body"),
        (b'{"count": "1"}', "count"),
        (b'{"count": true}', "count"),
        (b'{"count": 1.5}', "count"),
        (b'{"names": [1]}', "names[0]"),
        (b'{"flag": "true"}', "flag"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"x"', "body"),
        (b"{", "body"),
        (b"{'a': 1}", "body"),
        (b"{} {}", "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (b'{"count": 1,}', "body"),
        (b"{/* */}", "body"),
    ],
)
def test_json_that_is_not_strict_is_refused(raw: bytes, what: str | None) -> None:
    with pytest.raises(InvalidInput) as told:
        codec.read_json(raw, Thing)
    assert told.value.where == what
    assert "\n" not in told.value.message
    assert len(told.value.message) < 400


def test_deep_json_is_refused_before_it_is_parsed() -> None:
    for raw in (b"[" * 100_000, b'{"a":' * 50_000, b"[" * 33 + b"]" * 33):
        with pytest.raises(TooLarge):
            codec.read_json(raw, Any)
    assert codec.read_json(b"[" * 32 + b"]" * 32, Any) is not None
    assert codec.read_json(b'{"text": "' + b"[" * 100 + b'\\"["}', Thing).text == "[" * 100 + '"['


def test_good_json_passes() -> None:
    assert codec.read_json('{"number": 1e10, "count": 9007199254740992, "text": "Grüße\\n"}'.encode(), Thing) == Thing(
        number=1e10, count=1 << 53, text="Grüße\n"
    )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]))
)


@given(st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text("abc"), x), max_leaves=20))
def test_what_json_writes_is_read_back(value: object) -> None:
    assert codec.read_json(json.dumps(value).encode(), Any) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_one_sentence(raw: bytes) -> None:
    for read in (
        lambda: codec.read_json(raw, Thing),
        lambda: codec.read_query(raw, Wanted),
        lambda: codec.read_form(raw, Thing),
    ):
        try:
            read()
        except KeepwellError as error:
            assert "\n" not in error.message


@pytest.mark.parametrize(
    "raw",
    [b"limit=x", b"limit=1&limit=2", b"other=1", b"q=%ff", b"q=\xff", b"limit", b"&", b"low=nan", b"low=inf",
     b"low=1e999", b"q=%00", b"q=%1b%5b2J", b"limit=1_0", b"limit=%20" + b"5",
     b"&".join(b"a%d=1" % n for n in range(300))],
)  # fmt: skip
def test_queries_that_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        codec.read_query(raw, Wanted)


def test_queries() -> None:
    assert codec.read_query(b"", None) is None
    assert codec.read_query(b"limit=7&q=a%20b&low=", Wanted) == Wanted(limit=7, q="a b")
    with pytest.raises(InvalidInput):
        codec.read_query(b"a=1", None)
    for bad in (b"limit=0", b"limit=501", b"limit=1000000000", b"cursor=" + b"a" * 2_000):
        with pytest.raises(InvalidInput):
            codec.read_query(bad, Paging)


def test_forms() -> None:
    assert codec.read_form(b"names=a&idempotency_key=k", Thing) == (Thing(names=["a"]), "k")
    assert codec.read_form(b"names=a&names=b&flag=true&count=3", Thing) == (
        Thing(names=["a", "b"], flag=True, count=3),
        None,
    )
    assert codec.read_form(b"", None) == (None, None)
    for bad in (b"count=1&count=2", b"x=1", b"idempotency_key=a&idempotency_key=b"):
        with pytest.raises(InvalidInput):
            codec.read_form(bad, Thing)
    with pytest.raises(InvalidInput):
        codec.read_form(b"a=1", None)


def test_text_of_unknown_origin_is_shown_in_ascii() -> None:
    assert codec.show("a\x1b[2J\n") == "a\\x1b[2J\\n"
    assert len(codec.show("x" * 1_000)) == 80
