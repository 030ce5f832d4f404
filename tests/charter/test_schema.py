"""The published schemas are valid, describe every field, and agree with the check on the shape."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from keepwell.charter import contract, model
from keepwell.charter.parse import check_charter
from keepwell.charter.schema import charter_schema, contract_schema, field_descriptions
from keepwell.charter.tree import parse_tree

ROOT = Path(__file__).resolve().parents[2]
GOOD = "model: m\ndata: {dataset: d, time: t, target: y}\n"


def accepts(text: str) -> bool:
    tree, _ = parse_tree(text)
    assert tree is not None
    return jsonschema.Draft202012Validator(charter_schema()).is_valid(tree.plain())


def test_the_schemas_are_valid() -> None:
    for schema in (charter_schema(), contract_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_field_of_every_part_is_described() -> None:
    plain = {model.Owner, model.Consumed, model.RiskLevel, model.Risk}
    for module in (model, contract):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, model.Spec) and kind not in plain | {model.Spec}:
                assert set(field_descriptions(kind)) == set(kind.__struct_fields__), kind
    parts = charter_schema()["$defs"]
    assert parts["Data"]["properties"]["time"]["description"].startswith("column of the time")
    assert parts["Evaluate"]["properties"]["metrics"]["description"].endswith("derived gates are about it.")


@pytest.mark.parametrize(
    "extra",
    ["", "purpose: x", "gates: [mape < 1]", "monitor: {drift: null}", "forecast: {every: 1d, horizons: [1w]}",
     "release: {approvals: {prod: [owner]}}", "monitor: {performance: {wmape: 1}}"],
)  # fmt: skip
def test_what_the_check_accepts_the_schema_accepts(extra: str) -> None:
    assert check_charter(GOOD + extra)[0] is not None
    assert accepts(GOOD + extra)


@pytest.mark.parametrize(
    "extra",
    ["onwer: {}", "purpose: 7", "segments: a", "charter: 2", "forecast: {every: 1 week}", "forecast: {horizons: []}",
     "monitor: {windows: 0}", "evaluate: {metrics: [wmap]}", "evaluate: {baseline: x}", "retrain: {on: [x]}",
     "monitor: {performance: {x: 1}}", "risk: {wrong: {impact: x}}"],
)  # fmt: skip
def test_what_the_schema_refuses_the_check_refuses(extra: str) -> None:
    assert not accepts(GOOD + extra)
    assert check_charter(GOOD + extra)[0] is None


def test_contracts_inside_are_described() -> None:
    assert not accepts(GOOD.replace("target: y", "target: y, contract: {colums: {}}"))
    assert accepts(GOOD.replace("target: y", "target: y, contract: {columns: {a: {min: 0}}}"))


def test_the_page_shows_what_is_true() -> None:
    page = (ROOT / "docs" / "charter.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 3
    charters = [text for text in examples if re.search(r"^model:", text, re.MULTILINE)]
    assert charters
    for text in charters:
        assert check_charter(text)[1] == []
        assert accepts(text)
        assert isinstance(yaml.safe_load(text), dict)
    for module in (model, contract):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, model.Spec):
                for field in kind.__struct_fields__:
                    assert re.search(rf"`[a-z_.]*\b{field}`", page), (
                        f"{kind.__name__}.{field} is not in docs/charter.md"
                    )
