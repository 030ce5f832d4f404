"""A charter from its text: everything that is wrong, with its line and what would be right, or the charter."""

from __future__ import annotations

from collections.abc import Collection

from keepwell.charter.columns import check_columns
from keepwell.charter.contract import check_contract_node
from keepwell.charter.findings import Finding, errors, refuse
from keepwell.charter.model import Charter
from keepwell.charter.rules import check_rules
from keepwell.charter.shape import Findings, convert, shape_findings
from keepwell.charter.tree import Node, parse_tree

__all__ = ["Finding", "check_charter", "read_charter", "recall_charter"]


def check_charter(text: str, columns: Collection[str] | None = None) -> tuple[Charter | None, list[Finding]]:
    """Return the charter that a YAML text writes, and everything that is wrong with it, in order of lines.

    Args:
        text: the charter.
        columns: columns of the source and of joined tables where they are known; then a column that nothing makes is
            an error, else at most a warning.

    Returns:
        The charter, or None when a finding is an error; and the findings, warnings among them.
    """
    tree, findings = parse_tree(text)
    if tree is None:
        return None, findings
    cleaned, shape = shape_findings(tree, Charter, "")
    charter = convert(cleaned, Charter)
    into = Findings(tree, "", [*findings, *shape])
    if isinstance(tree.value, dict):
        check_rules(into, charter)
        check_columns(into, charter, columns)
        if (inline := _inline_contract(tree)) is not None:
            into.all.extend(check_contract_node(inline, "data.contract")[1])
    ordered = sorted(into.all, key=lambda f: (f.line or 0, f.severity))
    return (None if errors(ordered) else charter), ordered


def read_charter(text: str, name: str = "charter.yaml") -> Charter:
    """Return the charter that a YAML text writes.

    Raises:
        InvalidInput: something is wrong; the message says the first thing, `where` is `name:line`.
    """
    charter, findings = check_charter(text)
    if charter is None:
        raise refuse(findings, name)
    return charter


def recall_charter(text: str) -> Charter:
    """Return a charter that was checked and applied before, by its shape only.

    Rules may have grown stricter since; what is in force stays readable.

    Raises:
        InvalidInput: not even the shape is that of a charter.
    """
    tree, findings = parse_tree(text)
    if tree is None:
        raise refuse(findings, "charter")
    cleaned, shape = shape_findings(tree, Charter, "")
    if shape:
        raise refuse(shape, "charter")
    return convert(cleaned, Charter)


def _inline_contract(tree: Node) -> Node | None:
    data = tree.value.get("data") if isinstance(tree.value, dict) else None
    contract = data.value.get("contract") if data is not None and isinstance(data.value, dict) else None
    return contract if contract is not None and isinstance(contract.value, dict) else None
