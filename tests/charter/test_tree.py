"""YAML is read with its lines and within bounds, whatever the text is."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.parse import check_charter
from keepwell.charter.tree import MAX_ALIASES, MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, parse_tree, resolve

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"\A[a-z]{1,5}\Z"), inner, max_size=3),
    max_leaves=10,
)


def plain(text: str) -> object:
    tree, findings = parse_tree(text)
    assert tree is not None, findings
    assert not findings
    return tree.plain()


def only(text: str) -> tuple[int | None, str]:
    _, findings = parse_tree(text)
    assert len(findings) == 1, findings
    return findings[0].line, f"{findings[0].wrong} {findings[0].right}"


@given(VALUES)
def test_what_json_writes_reads_back(value: object) -> None:
    import json

    assert plain(json.dumps(value)) == value


@given(st.text())
def test_any_text_gives_a_tree_or_a_finding(text: str) -> None:
    tree, findings = parse_tree(text)
    assert tree is not None or findings
    charter, found = check_charter(text)
    assert charter is None
    assert all(f.show("x").isprintable() for f in found)


@given(st.text("abc:-[]{}&*!|>'\"#%@`?,\n \\xuU0F8", max_size=40))
def test_any_odd_text_gives_a_tree_or_a_finding(text: str) -> None:
    tree, findings = parse_tree(text)
    assert tree is not None or findings


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("12:30", "12:30"), ("2011-01-01", "2011-01-01"),
        ("1_000", "1_000"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("7", 7), ("-7", -7), ("0x1f", 31),
        ("0o17", 15), ("017", 17), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5),
        ("-.inf", float("-inf")), ("1e999", float("inf")),
        ("9" * 5000, float("inf")), ("10000000000000000000", 1e19), ("text", "text"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(raw: str, value: object) -> None:
    assert resolve(raw) == value
    assert type(resolve(raw)) is type(value)


def test_quotes_make_text_and_keys_are_text() -> None:
    assert plain("on: '7'\n1: \"true\"\nnull: |\n  a\n  b\n") == {"on": "7", "1": "true", "null": "a\nb\n"}


def test_every_value_knows_its_line() -> None:
    tree, _ = parse_tree("a:\n  b: 1\n\n  c:\n  - x\n  - y\n")
    assert tree is not None
    assert isinstance(tree.value, dict)
    inner = tree.value["a"]
    assert inner.key_lines == {"b": 2, "c": 4}
    assert isinstance(inner.value, dict)
    listed = inner.value["c"].value
    assert isinstance(listed, list)
    assert [item.line for item in listed] == [5, 6]


def test_a_few_aliases_are_read() -> None:
    assert plain("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 3)}]" for i in range(1, 10)]
    start = time.perf_counter()
    line, words = only("\n".join(lines))
    assert time.perf_counter() - start < 2
    assert "aliases" in words
    assert line is not None


def test_many_aliases_are_refused() -> None:
    line, words = only("a: &x 1\nb: [" + ", ".join(["*x"] * (MAX_ALIASES + 1)) + "]\n")
    assert (line, "aliases" in words) == (2, True)


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert "own anchor" in only("a: &x [1, *x]\n")[1]


def test_depth_and_length_are_bounded() -> None:
    assert "deeper" in only("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[1]
    assert "deeper" in only("[" * 60_000)[1]
    assert "values" in only("[" + "1," * MAX_NODES + "1]")[1]
    assert "characters" in only("x" * (MAX_CHARACTERS + 1))[1]


def test_a_large_text_within_bounds_is_judged_in_time() -> None:
    start = time.perf_counter()
    check_charter("\n".join(f"key{i}: {'x' * 8}" for i in range(MAX_NODES // 2 - 1)))
    check_charter("x: " + "y " * (MAX_CHARACTERS // 2 - 10))
    assert time.perf_counter() - start < 6


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\na: 2\n", 2, "twice, first on line 1"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tag"),
        ("a: 1\n? [1]\n: 2\n", 2, "not text"),
        ("", 1, "empty"),
        ("# only a remark\n", 1, "empty"),
        ("a: 1\n---\nb: 2\n", 2, "one document"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a: [1\nb: 2\n", 2, "brackets"),
        ("a: 1\nb: \0\n", 2, "cannot stand"),
        ("a: 1\nb: \ud800\n", 2, "cannot stand"),
        ("a: \"\\UFFFFFFFF\"\n", None, "escape"),
        ("a: *nothing\n", 1, "undefined alias"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_said_with_its_line(text: str, line: int | None, words: str) -> None:
    found = only(text)
    assert found[0] == line
    assert words in found[1]


def test_merge_keys_are_refused_in_words() -> None:
    _, findings = check_charter("model: a\n<<: {purpose: x}\ndata: {dataset: d, time: t, target: y}\n")
    assert [(f.line, f.clause, f.right) for f in findings] == [(2, "<<", "Write the fields out.")]


def test_plain_yaml_agrees_where_both_have_one_reading() -> None:
    text = "a: [1, 2.5, text, 'q']\nb: {c: null, d: true}\n"
    assert plain(text) == yaml.safe_load(text)
