from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import read, write
from keepwell.ledger import append, once, service, store
from keepwell.ledger.export import check
from keepwell.ledger.rules import GENESIS


def all_entries(kit):
    with read(kit.db) as tx:
        return service.entries(tx, after=0, limit=10_000)


def test_entries_are_numbered_and_chained(kit):
    with write(kit.db) as tx:
        first, second = append(
            tx, kit.call("person:ann"), Event("a.b", "x:1"), Event("a.c", "x:2", {"n": 1}, note="so")
        )
    with write(kit.db) as tx:
        (third,) = append(tx, kit.call("person:bob"), Event("a.b", "x:3"))
    assert [e.seq for e in (first, second, third)] == [1, 2, 3]
    assert (first.previous, second.previous, third.previous) == (GENESIS, first.hash, second.hash)
    assert all_entries(kit) == [first, second, third]
    assert second.commitment is not None
    assert first.commitment is None
    with read(kit.db) as tx:
        assert check(tx).ok
        assert service.entry(tx, 2) == second
        assert service.size(tx) == 3
        with pytest.raises(NotFound, match="no entry 9"):
            service.entry(tx, 9)


def test_nothing_to_append(kit):
    with write(kit.db) as tx:
        assert append(tx, kit.call("person:ann")) == []


def test_an_event_and_its_state_are_one(kit):
    with pytest.raises(RuntimeError), write(kit.db) as tx:
        append(tx, kit.call("person:ann"), Event("a.b", "x:1", note="n"))
        raise RuntimeError
    assert all_entries(kit) == []
    with read(kit.db) as tx:
        assert tx.scalar(select(func.count()).select_from(store.outbox)) == 0
        assert tx.scalar(select(func.count()).select_from(store.notes)) == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"n": float("nan")}, "cannot be recorded"),
        ({"n": [1, {"m": float("inf")}]}, "cannot be recorded"),
        ({"n": {1: 2}}, "not text"),
        ({"n": 2**53}, "record it as text"),
        ({"n": -(2**53)}, "record it as text"),
        ({"n": 10**400}, "record it as text"),
        ({"n": {1, 2}}, "cannot be recorded"),
        ({"n": datetime(2026, 1, 1, tzinfo=UTC)}, "cannot be recorded"),
        ({"n": b"bytes"}, "cannot be recorded"),
        ({"n": "\ud800"}, "cannot be recorded"),
    ],
)
def test_bodies_that_cannot_be_hashed_for_ever(kit, body, why):
    with pytest.raises(InvalidInput, match=why), write(kit.db) as tx:
        append(tx, kit.call("person:ann"), Event("a.b", "x:1", body))
    assert all_entries(kit) == []


def test_a_note_that_is_half_a_character(kit):
    with pytest.raises(InvalidInput, match="proper text"), write(kit.db) as tx:
        append(tx, kit.call("person:ann"), Event("a.b", "x:1", note="\ud800"))


TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
BODIES = st.dictionaries(TEXT, JSON, max_size=4)


@given(
    bodies=st.lists(st.tuples(BODIES, st.none() | st.text(st.characters(codec="utf-8"), max_size=9)), max_size=5),
    actor=st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_recorded_verifies(memory, bodies, actor):
    """What was written is read back the same, and verifies, whatever JSON it holds."""
    kit, _ = memory
    with write(kit.db) as tx:
        made = append(tx, kit.call(actor), *(Event("k.v", "s:1", body, note) for body, note in bodies))
    with read(kit.db) as tx:
        stored = service.entries(tx, after=(made[0].seq - 1) if made else 10**9, limit=100)
        assert [(e.body, e.note, e.hash) for e in stored] == [(e.body, e.note, e.hash) for e in made]
        report = check(tx)
    assert report.ok, report.what


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    from keepwell.bootstrap import open_house
    from keepwell.core.clock import SimulatedClock
    from keepwell.core.ids import SeededIds
    from keepwell.settings import read_settings

    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    home = tmp_path_factory.mktemp("memory")
    return open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 1)), {"keys": 0}


def test_paging_and_filters(kit):
    with write(kit.db) as tx:
        for number in range(30):
            kind = ("data.added", "data.changed", "model.made")[number % 3]
            append(tx, kit.call(f"person:{number % 2}"), Event(kind, f"x:{number % 5}"))
    with read(kit.db) as tx:

        def numbers(**options):
            return [e.seq for e in service.entries(tx, **options)]

        assert numbers(limit=3) == [30, 29, 28]
        assert numbers(limit=3, before=28) == [27, 26, 25]
        assert numbers(limit=3, after=0) == [1, 2, 3]
        assert numbers(limit=3, after=3) == [4, 5, 6]
        assert numbers(after=10, before=14) == [11, 12, 13]
        assert numbers(kind="data.") == [n for n in range(30, 0, -1) if (n - 1) % 3 < 2]
        assert numbers(kind="data.", limit=4) == [29, 28, 26, 25]
        assert numbers(kind="data.", after=0, limit=4) == [1, 2, 4, 5]
        assert numbers(kind="data.added", limit=2) == [28, 25]
        assert numbers(kind="d_ta") == []
        assert numbers(subject="x:0") == [26, 21, 16, 11, 6, 1]
        assert numbers(subject="x:0", kind="model") == [21, 6]
        assert numbers(actor="person:1", limit=2) == [30, 28]
        assert numbers(q="CHANGED", limit=2) == [29, 26]
        assert numbers(q="%") == []


class Answer(msgspec.Struct, frozen=True):
    id: str
    at: datetime
    share: float
    parts: tuple[str, ...] = ()


def test_once_answers_as_it_did_the_first_time(kit):
    done = []

    def effect():
        done.append(1)
        return Answer("a", datetime(2026, 1, 1, 2, 3, 4, 567, tzinfo=UTC), 0.1, ("x", "y"))

    call = kit.call("person:ann", key="k1")
    with write(kit.db) as tx:
        first = once(tx, call, {"ask": 1}, effect, Answer)
    with write(kit.db) as tx:
        assert once(tx, call, {"ask": 1}, effect, Answer) == first
    assert done == [1]
    with pytest.raises(Conflict, match="another request"), write(kit.db) as tx:
        once(tx, call, {"ask": 2}, effect, Answer)
    with write(kit.db) as tx:  # keys are the actor's own
        once(tx, kit.call("person:bob", key="k1"), {"ask": 2}, effect, Answer)
        once(tx, kit.call("person:ann"), {"ask": 1}, effect, Answer)  # without a key it simply runs
    assert done == [1, 1, 1]


def test_a_call_within_a_call_under_one_key_is_a_part_of_it(kit):
    call, done = kit.call("person:ann", key="k"), []

    def inner():
        done.append(1)
        return "inner"

    def outer():
        return "outer of " + once(tx, call, {"inner": 1}, inner, str)

    for _ in range(2):
        with write(kit.db) as tx:
            assert once(tx, call, {"outer": 1}, outer, str) == "outer of inner"
    assert done == [1]


def test_a_failed_call_is_not_remembered(kit):
    def fail():
        raise Conflict("no")

    call = kit.call("person:ann", key="k1")
    with pytest.raises(Conflict), write(kit.db) as tx:
        once(tx, call, {}, fail, str)
    with write(kit.db) as tx:
        assert once(tx, call, {}, lambda: "yes", str) == "yes"


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_keys_have_bounds(kit, key):
    with pytest.raises(InvalidInput, match="1 to 200"), write(kit.db) as tx:
        once(tx, kit.call("person:ann", key=key), {}, lambda: "", str)


def test_an_answer_with_nan_is_refused_with_its_effect(kit):
    with pytest.raises(InvalidInput, match="NaN"), write(kit.db) as tx:
        once(tx, kit.call("person:ann", key="k"), {}, lambda: [1.0, float("nan")], list[float])
    assert all_entries(kit) == []


@given(
    asked=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["k1", "k2", None]), st.integers(0, 2)), max_size=12
    )
)
@settings(max_examples=60, deadline=None)
def test_once_against_a_model(memory, asked):
    """Against a dictionary: the same key and request act once and answer the same, another request is refused."""
    kit, state = memory
    state["keys"] += 1
    model: dict[tuple[str, str], tuple[int, int]] = {}
    count = 0
    for actor, name, request in asked:
        key = f"{name}-{state['keys']}" if name else None
        call = kit.call(actor, key=key)

        def effect():
            nonlocal count
            count += 1
            return count

        seen = model.get((actor, key)) if key else None
        if seen and seen[0] != request:
            with pytest.raises(Conflict), write(kit.db) as tx:
                once(tx, call, request, effect, int)
            continue
        before = count
        with write(kit.db) as tx:
            answer = once(tx, call, request, effect, int)
        if seen:
            assert (answer, count) == (seen[1], before)
        else:
            assert (answer, count) == (before + 1, before + 1)
            if key:
                model[actor, key] = (request, answer)


WRITER = """
import sys, json, threading
from keepwell.bootstrap import open_house
from keepwell.core.events import Event
from keepwell.db import write
from keepwell.ledger import append, once
from keepwell.settings import read_settings
home, url, name, threads, count, key = sys.argv[1:7]
sys.stdin.readline()
kit = open_house(read_settings(home, {"KEEPWELL_DATABASE": url}))
acked = []
def work(name):
    for number in range(int(count)):
        call = kit.call("person:same" if key else "person:" + name, key=key or None)
        with write(kit.db) as tx:
            def effect():
                append(tx, call, Event("thing.made", f"{name}:{number}", {"n": number}, note="why"))
                return kit.ids.new("ver")
            answer = once(tx, call, {"n": number}, effect, str)
        acked.append(answer)
crew = [threading.Thread(target=work, args=(f"{name}-{n}",)) for n in range(int(threads))]
for one in crew: one.start()
for one in crew: one.join()
print(json.dumps(acked))
"""


def run_together(home, url, processes, count, threads=1, key=""):
    """Start the writers, let them all go at once, and return what each acknowledged."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), url, f"p{n}", str(threads), str(count), key],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(processes)
    ]  # fmt: skip
    said = [process.communicate("go\n") for process in started]
    assert [err for _, err in said] == [""] * processes
    return [json.loads(out) for out, _ in said]


@pytest.mark.parametrize("count", [4, 8])
def test_processes_on_first_use(tmp_path, empty_url, count):
    """A fresh home, opened and written by several processes at once: no failure, acknowledged = recorded."""
    acked = run_together(tmp_path / "home", empty_url, count, 5)
    assert sum(map(len, acked)) == 5 * count
    check_home(tmp_path / "home", empty_url, 5 * count)


def test_one_key_from_eight_processes_acts_once(tmp_path, empty_url):
    acked = run_together(tmp_path / "home", empty_url, 8, 1, key="the-key")
    assert len({answer for answers in acked for answer in answers}) == 1
    check_home(tmp_path / "home", empty_url, 1)


def test_fifty_writers(tmp_path, empty_url):
    """50 writers, 10 entries each, from 5 processes of 10 threads: none fails, and the chain is whole."""
    acked = run_together(tmp_path / "home", empty_url, 5, 10, threads=10)
    assert sum(map(len, acked)) == 500
    check_home(tmp_path / "home", empty_url, 500)


def check_home(home, url, count):
    from keepwell.bootstrap import open_house
    from keepwell.settings import read_settings

    kit = open_house(read_settings(str(home), {"KEEPWELL_DATABASE": url}))
    with read(kit.db) as tx:
        assert service.size(tx) == count
        report = check(tx)
        assert (report.ok, report.entries) == (True, count), report.what
        assert tx.scalar(select(func.count()).select_from(store.outbox)) == count
        assert list(kit.db.backend.unsound(tx, deep=True)) == []
    kit.db.engine.dispose()


def test_a_clock_that_goes_back_is_a_remark_only(kit, filled):
    filled(3)
    kit.clock.advance(timedelta(hours=-1))
    filled(2)
    with read(kit.db) as tx:
        report = check(tx)
    assert report.ok
    assert "The clock went back 1 times, first at entry 4" in report.remarks[-1]


@pytest.mark.parametrize("column", ["actor", "at", "body", "commitment", "hash", "kind", "previous", "subject"])
def test_a_tampered_row_is_named(kit, filled, column):
    """Whatever is put into a row by hand, the verification of the live database names it and does not fall over."""
    filled(5)
    values = ["x", None, b"\xff\x00", 7, '{"a":1}\n{"b":2}', "{", "\u2028", '{"a": 1}']
    with write(kit.db) as tx:
        tx.exec_driver_sql("CREATE TABLE loose AS SELECT * FROM ledger_entries")  # without its constraints
        tx.exec_driver_sql("DROP TABLE ledger_entries")
        tx.exec_driver_sql("ALTER TABLE loose RENAME TO ledger_entries")
    if kit.db.backend.name == "postgresql":
        values = [value for value in values if value is None or isinstance(value, str)]  # what a text column takes
    for value in values:
        with write(kit.db) as tx:
            tx.execute(text(f"UPDATE ledger_entries SET {column} = :value WHERE seq = 3"), {"value": value})
        with read(kit.db) as tx:
            report = check(tx)
        if column == "commitment" and value is None:
            assert report.ok  # entry 3 has no note
            continue
        assert (report.ok, report.first_bad) == (False, 3), report.what
        assert report.last_line().startswith("BAD: only 2 entries")
