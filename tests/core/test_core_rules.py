"""Properties of names, spans, segments, digests, ids, clocks, calls, errors and events."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.calls import Call
from keepwell.core.clock import SimulatedClock, SystemClock, as_utc, from_iso, iso
from keepwell.core.digests import canonical_json, check_digest, digest_bytes, digest_json, digest_parts
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.ids import RandomIds, SeededIds, check_id
from keepwell.core.names import check_name, name_key
from keepwell.core.segments import ALL, segment_key, segment_values
from keepwell.core.spans import LONGEST, parse_span, show_span

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.datetimes(timezones=st.just(UTC))


# names


@given(st.from_regex(r"\A[A-Za-z][A-Za-z0-9 ._-]{0,40}[a-z0-9]x\Z"))
def test_plain_names_are_names(name: str) -> None:
    folded = name.split(".")[0].rstrip().casefold()
    if folded in ("con", "prn", "aux", "nul"):
        return
    assert check_name(name) == name
    assert name_key(name) == name_key(name.swapcase())


@given(st.text())
def test_a_name_is_returned_as_it_is_or_refused(name: str) -> None:
    try:
        assert check_name(name, "model") == name
        assert name.isascii()
    except InvalidInput as error:
        assert error.where == "model"
        assert str(error).isprintable()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "a\\b", "../x", "/x", "null", "NaN", "True", "latest", "0", "-1", "12", "con", "NUL.txt",
     "con .txt", "lpt1", "a.", "a ", " a", "a\n", "a\0b", "%2e", "é", "Ａ", "x" * 201, None, 3, "a\u202eb"],
)  # fmt: skip
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


# spans


@given(st.integers(1, int(LONGEST.total_seconds())))
def test_a_shown_span_reads_back(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_span(show_span(span)) == span


@given(st.integers(1, 5000), st.sampled_from("smhdw"), st.sampled_from(["", " "]))
def test_spans_are_number_times_unit(number: int, unit: str, gap: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert parse_span(f"{number}{gap}{unit}") == timedelta(seconds=number * seconds)


@given(st.text())
def test_any_text_is_a_span_or_refused(text: str) -> None:
    try:
        assert timedelta(0) < parse_span(text) <= LONGEST
    except InvalidInput as error:
        assert "span of time" in error.message or "hundred years" in error.message


@pytest.mark.parametrize(
    "text", ["0d", "-1d", "1.5d", "1 month", "1D", "", "d", "٣d", "999999w", "9" * 40 + "s", None, 7]
)
def test_spans_that_are_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        parse_span(text)


def test_no_span_shows_as_seconds() -> None:
    assert show_span(timedelta(0)) == "0s"
    assert show_span(timedelta(weeks=2)) == "2w"
    assert show_span(timedelta(days=10)) == "10d"


# segments


@given(st.dictionaries(st.text(), st.text(), max_size=4))
def test_a_segment_key_reads_back(values: dict[str, str]) -> None:
    assert segment_values(segment_key(values)) == values


@given(st.dictionaries(st.text(), st.text(), max_size=3), st.dictionaries(st.text(), st.text(), max_size=3))
def test_two_segments_have_two_keys(a: dict[str, str], b: dict[str, str]) -> None:
    assert (segment_key(a) == segment_key(b)) == (list(a.items()) == list(b.items()))


def test_a_model_without_segments_has_one_member() -> None:
    assert segment_key({}) == ALL
    assert segment_values(ALL) == {}
    assert segment_key({"format": "A", "speed": "fast"}) == "format=A,speed=fast"
    assert segment_key({"store": 7}) == "store=7"


# digests


@given(JSON)
def test_canonical_json_reads_back_and_is_stable(value: object) -> None:
    try:
        text = canonical_json(value)
    except InvalidInput:  # halves of surrogate pairs
        assert "\\ud" in json.dumps(value)
        return
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(), max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(value.items())))


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], {"a": -math.inf}, {1: 2}, {"a": [{True: 1}]}, ({None: 1},), object(), b"x", {1, 2}]
)
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        canonical_json(value)


def test_what_is_nested_too_deep_is_refused() -> None:
    value: object = 1
    for _ in range(sys.getrecursionlimit() + 10):
        value = [value]
    with pytest.raises(InvalidInput):
        canonical_json(value)


@given(st.binary())
def test_digests_are_digests(data: bytes) -> None:
    assert check_digest(digest_bytes(data)) == digest_bytes(memoryview(data))


@given(
    st.lists(st.text(st.characters(codec="utf-8")), max_size=4),
    st.lists(st.text(st.characters(codec="utf-8")), max_size=4),
)
def test_parts_are_told_apart(a: list[str], b: list[str]) -> None:
    assert (digest_parts(a) == digest_parts(b)) == (a == b)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 64 + "\n", "md5:" + "a" * 64, 5]
)
def test_what_is_no_digest_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        check_digest(text)


# ids and clocks


@given(st.lists(st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)), min_size=2, max_size=5, unique=True))
def test_ids_sort_as_time_does(moments: list[datetime]) -> None:
    clock = SimulatedClock(moments[0])
    for source in (RandomIds(clock), SeededIds(clock, 3)):
        made = []
        for moment in sorted(moments):
            clock.move_to(moment)
            made.append(check_id(source.new("ver"), "ver"))
        milliseconds = [int(as_utc(m).timestamp() * 1000) for m in sorted(moments)]
        heads = [i[:14] for i in made]
        assert heads == sorted(heads)
        assert len(set(heads)) == len(set(milliseconds))


def test_seeded_ids_repeat_and_are_distinct() -> None:
    clock = SimulatedClock(datetime(2026, 1, 5))
    a, b = SeededIds(clock, 1), SeededIds(clock, 1)
    first = [a.new("run") for _ in range(50)]
    assert first == [b.new("run") for _ in range(50)]
    assert len(set(first)) == 50


@pytest.mark.parametrize(
    "text", ["", "run_", "ver_" + "0" * 26, "run_" + "u" * 26, "run_" + "0" * 27, "RUN_" + "0" * 26, 1]
)
def test_what_is_no_id_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        check_id(text, "run")


@given(MOMENTS)
def test_a_moment_reads_back(moment: datetime) -> None:
    assert from_iso(iso(moment)) == moment
    assert len(iso(moment)) == 27


@given(MOMENTS, MOMENTS)
def test_moments_sort_as_their_text(a: datetime, b: datetime) -> None:
    assert (a < b) == (iso(a) < iso(b))


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "0001-01-01T00:00+10:00", "9999-12-31T23:00-10:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_iso(text)


def test_clocks() -> None:
    east = timezone(timedelta(hours=2))
    clock = SimulatedClock(datetime(2026, 1, 5, 8, tzinfo=east))
    assert clock.now() == datetime(2026, 1, 5, 6, tzinfo=UTC)
    clock.advance(timedelta(days=1))
    assert iso(clock.now()) == "2026-01-06T06:00:00.000000Z"
    clock.move_to(datetime(2026, 1, 5))
    assert iso(clock.now()) == "2026-01-05T00:00:00.000000Z"
    assert SystemClock().now().tzinfo is UTC
    assert from_iso("2026-01-05") == clock.now()


def test_calls_errors_and_events_are_values() -> None:
    clock = SimulatedClock(datetime(2026, 1, 5))
    call = Call("person:ann", clock.now(), SeededIds(clock, 1))
    assert call.under("k").key == "k"
    assert call.under("k").actor == call.actor
    assert str(NotFound("Gone.")) == "Gone."
    assert str(InvalidInput("Bad.", where="a:3", code="odd")) == "a:3: Bad."
    assert InvalidInput("Bad.", code="odd").code == "odd"
    assert Event("a.made", "a:1").body == {}


def test_secrets_in_a_text_are_hidden() -> None:
    from keepwell.core.secrets import hide_secrets

    for said, shown in (
        ("api_key = 'abc'", "api_key = (hidden)"),
        ('  "db_password": "abc",', '  "db_password": (hidden)'),
        ("+AWS_SECRET=abc def", "+AWS_SECRET=(hidden)"),
        ("max_tokens = 4", "max_tokens = 4"),
        ("see https://u:p@h/x", "see https://(hidden)@h/x"),
        ("use ghp_" + "a" * 36 + " here", "use (hidden) here"),
        ("kwt_" + "a" * 43, "(hidden)"),
        ("a = b\nc = d", "a = b\nc = d"),
    ):
        assert hide_secrets(said) == shown
