"""Data contracts: what they are by default, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from keepwell.charter.contract import Contract, RowCount, check_contract, contract_of, read_contract
from keepwell.core.errors import InvalidInput

FULL = """\
columns:
  week:  {type: date, min: 2020-01-01, missing: 0}
  units: {type: number, min: 0, max: 1e6, missing: 0.02}
  kind:  {type: text, allowed: [a, b, 7], unique: false}
keys_unique: true
rows: {min: 100, max: 1000, like_history: 0.5}
fresh: 10d
outliers: {units: 8}
expressions: {no negative demand: units >= 0}
like_history: {units: 4}
extra_columns: refuse
"""


def test_a_full_contract_is_read() -> None:
    contract = read_contract(FULL)
    assert contract.columns["units"].max == 1e6
    assert contract.columns["week"].min == "2020-01-01"
    assert contract.columns["kind"].allowed == ("a", "b", 7)
    assert contract.rows == RowCount(min=100, max=1000, like_history=0.5)
    assert contract.expressions == {"no negative demand": "units >= 0"}


def test_a_contract_inside_a_charter_is_the_same() -> None:
    assert contract_of({"keys_unique": False, "fresh": "1w"}) == Contract(keys_unique=False, fresh="1w")
    assert contract_of(Contract()) == Contract() == read_contract("{}")
    with pytest.raises(InvalidInput):
        contract_of({"kees_unique": False})


@pytest.mark.parametrize(
    ("text", "clause", "words"),
    [
        ("column: {}", "column", "Did you mean 'columns'?"),
        ("columns: {a: {type: numbr}}", "columns.a.type", "Did you mean 'number'?"),
        ("columns: {a: {missing: 2}}", "columns.a.missing", "at most 1"),
        ("columns: {a: {missing: .nan}}", "columns.a.missing", "finite"),
        ("columns: {a: {min: 3, max: 1}}", "columns.a.max", "Swap them"),
        ("columns: {a: {min: 3, max: '4'}}", "columns.a.max", "one kind"),
        ("columns: {a: {min: [1]}}", "columns.a.min", "a number or a text"),
        ("columns: {a: {allowed: x}}", "columns.a.allowed", "Write a list: [x]."),
        ("columns: {a: {allowed: [[1]]}}", "columns.a.allowed[0]", "A list stands"),
        ("rows: {min: 3, max: 1}", "rows.max", "Swap them"),
        ("rows: {min: -1}", "rows.min", "at least 0"),
        ("rows: {like_history: 0}", "rows.like_history", "above 0"),
        ("fresh: 10 days", "fresh", "span of time"),
        ("fresh: 999999w", "fresh", "hundred years"),
        ("outliers: {a: .inf}", "outliers.a", "finite"),
        ("expressions: {x: ''}", "expressions.x", "It is empty"),
        ("extra_columns: no", "extra_columns", "It is one of allow and refuse"),
        ("extra_columns: refuse\ncolumns: {temp: {}}\noutliers: {tempp: 3}", "outliers.tempp", "Did you mean 'temp'?"),
        ("extra_columns: refuse\nlike_history: {tempp: 3}", "like_history.tempp", "not a column of this contract"),
        ("- a", "", "a mapping"),
        ("a: [", "", "not YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, clause: str, words: str) -> None:
    contract, findings = check_contract(text)
    assert contract is None
    assert [f.clause for f in findings] == [clause], findings
    assert words in f"{findings[0].wrong} {findings[0].right}"
    assert findings[0].line is not None
    with pytest.raises(InvalidInput):
        read_contract(text)
