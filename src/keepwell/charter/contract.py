"""The data contract as values, and its reading: what an arrival must satisfy, from a file or inside a charter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from keepwell.charter.findings import Finding, errors, nearest, refuse, shown
from keepwell.charter.model import Expression, Span, Spec
from keepwell.charter.shape import Findings, convert, shape_findings
from keepwell.charter.tree import Node, parse_tree
from keepwell.core.errors import InvalidInput
from keepwell.core.spans import parse_span

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Rows = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class Column(Spec, frozen=True, kw_only=True):
    """What one column must be.

    Attributes:
        type: `number`, `integer`, `text`, `date`, `moment` or `boolean`; any by default.
        min: smallest value allowed; a date or moment is written as text.
        max: largest value allowed.
        missing: largest share of rows, 0 to 1, in which it may be missing; any by default.
        allowed: the values allowed; any by default.
        unique: no value twice.
    """

    type: Literal["number", "integer", "text", "date", "moment", "boolean"] | None = None
    min: float | str | None = None
    max: float | str | None = None
    missing: Share | None = None
    allowed: tuple[float | str | bool, ...] = ()
    unique: bool = False


class RowCount(Spec, frozen=True, kw_only=True):
    """How many rows an arrival must have.

    Attributes:
        min: at least.
        max: at most.
        like_history: within this share of the median arrival; 0.5 is 50 % up or down.
    """

    min: Rows | None = None
    max: Rows | None = None
    like_history: Positive | None = None


class Contract(Spec, frozen=True, kw_only=True):
    """What an arrival must satisfy; a breach quarantines it.

    Attributes:
        columns: column to what it must be.
        keys_unique: no two rows have the same keys and time.
        rows: how many rows there must be.
        fresh: the newest time must not be older than this when the file arrives.
        outliers: column to the robust z (distance from the median in robust deviations) above which a value fails.
        expressions: name to a SQL expression that must be true for every row.
        like_history: column to how many robust deviations its mean may lie from earlier arrivals' means.
        extra_columns: whether columns that are not named here may come: `allow` or `refuse`.
    """

    columns: dict[str, Column] = msgspec.field(default_factory=dict)
    keys_unique: bool = True
    rows: RowCount | None = None
    fresh: Span | None = None
    outliers: dict[str, Positive] = msgspec.field(default_factory=dict)
    expressions: dict[str, Expression] = msgspec.field(default_factory=dict)
    like_history: dict[str, Positive] = msgspec.field(default_factory=dict)
    extra_columns: Literal["allow", "refuse"] = "allow"


def check_contract(text: str) -> tuple[Contract | None, list[Finding]]:
    """Return the contract that a YAML text writes, and everything that is wrong with it.

    The contract is None when a finding is an error.
    """
    tree, findings = parse_tree(text)
    if tree is None:
        return None, findings
    contract, more = check_contract_node(tree, "")
    findings = sorted([*findings, *more], key=lambda f: f.line or 0)
    return (None if errors(findings) else contract), findings


def read_contract(text: str, name: str = "contract.yaml") -> Contract:
    """Return the contract that a YAML text writes.

    Raises:
        InvalidInput: something is wrong; `where` is `name:line`.
    """
    contract, findings = check_contract(text)
    if contract is None:
        raise refuse(findings, name)
    return contract


def contract_of(value: Mapping[str, object] | Contract) -> Contract:
    """Return the contract that stands inside a charter.

    Raises:
        InvalidInput: it is not a contract; a charter that was checked never raises it.
    """
    if isinstance(value, Contract):
        return value
    try:
        return msgspec.convert(dict(value), Contract, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The contract cannot be read: {error}.", where="data.contract") from error


def check_contract_node(node: Node, path: str) -> tuple[Contract, list[Finding]]:
    """Return the contract at a node, as far as it can be read, and what is wrong with it; `path` is its clause."""
    cleaned, findings = shape_findings(node, Contract, path)
    contract = convert(cleaned, Contract)
    into = Findings(node, path, findings)
    if contract.fresh is not None:
        try:
            parse_span(contract.fresh)
        except InvalidInput as error:
            into.add(("fresh",), f"{error.message.split(':')[0]}.", "Write a number and a unit, like '10d'.")
    for name, column in contract.columns.items():
        _check_column(into, name, column)
    _check_rows(into, contract.rows)
    _check_named(into, contract)
    return contract, into.all


def _check_column(into: Findings, name: str, column: Column) -> None:
    low, high = column.min, column.max
    if low is None or high is None:
        return
    if isinstance(low, str) != isinstance(high, str):
        into.add(("columns", name, "max"), "min and max are not of one kind.", "Write both as numbers or both as text.")
    elif low > high:  # type: ignore[operator]
        right = f"Swap them: min: {high}, max: {low}."
        into.add(("columns", name, "max"), f"max {shown(high)} is below min {shown(low)}.", right)


def _check_rows(into: Findings, rows: RowCount | None) -> None:
    if rows is not None and rows.min is not None and rows.max is not None and rows.min > rows.max:
        right = f"Swap them: min: {rows.max}, max: {rows.min}."
        into.add(("rows", "max"), f"max {rows.max} is below min {rows.min}.", right)


def _check_named(into: Findings, contract: Contract) -> None:
    """With `extra_columns: refuse` the columns are known, so the other parts can name no other."""
    if contract.extra_columns != "refuse":
        return
    for part in ("outliers", "like_history"):
        for name in getattr(contract, part):
            if name not in contract.columns:
                wrong = f"{shown(name)} is not a column of this contract, which refuses extra columns."
                into.add((part, name), wrong, nearest(name, contract.columns, "Its columns are"))
