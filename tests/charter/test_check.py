"""Checking a charter: every wrong thing is named with its line, its clause, and what would be right."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from keepwell.charter.findings import Finding, listed, nearest, shown
from keepwell.charter.model import Charter
from keepwell.charter.parse import check_charter, read_charter, recall_charter
from keepwell.charter.shape import convert, placeholder
from keepwell.core.errors import InvalidInput


class Part(msgspec.Struct, frozen=True):
    number: float


class Everything(msgspec.Struct, frozen=True):
    """A required field of every kind."""

    words: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    none: tuple[str, ...]
    named: Annotated[dict[str, int], msgspec.Meta(min_length=1)]
    empty: dict[str, int]
    level: Literal["low", "high"]
    either: float | str
    flag: bool
    nothing: None
    part: Part
    span: Annotated[str, msgspec.Meta(pattern="^1w$")]


SMALL = "model: demand\ndata: {dataset: sales, time: week, target: units, keys: [store]}\n"


def found(text: str, severity: str = "error", **more: list[str]) -> list[Finding]:
    charter, findings = check_charter(text, **more)
    assert (charter is None) == any(f.severity == "error" for f in findings)
    return [f for f in findings if f.severity == severity]


def one(extra: str, severity: str = "error") -> Finding:
    findings = found(SMALL + extra, severity)
    assert len(findings) == 1, findings
    return findings[0]


def test_the_smallest_charter_has_defaults() -> None:
    charter = read_charter(SMALL)
    assert charter == recall_charter(SMALL)
    assert charter.release.environments == ("dev", "test", "prod")
    assert charter.retrain.stale_after == "60d"
    assert not found(SMALL, "warning")


@pytest.mark.parametrize(
    ("extra", "clause", "words"),
    [
        ("onwer: {business: a}", "onwer", "Did you mean 'owner'?"),
        ("zzzz: 1", "zzzz", "Known fields are charter, model,"),
        ("charter: 2", "charter", "Write 1."),
        ("charter: true", "charter", "Write 1."),
        ("purpose: 7", "purpose", 'Write it in quotes: "7".'),
        ("purpose: [a]", "purpose", "A list stands where a text is wanted"),
        ("purpose:", "purpose", "It is empty"),
        ('purpose: "a\\e[2J"', "purpose", "cannot be shown"),
        ('purpose: "\\ud800"', "purpose", "cannot be shown"),
        ("owner: ann", "owner", "a mapping with business and technical"),
        ("segments: store", "segments", "Write a list: [store]."),
        ("segments: [store, store]", "segments[1]", "in the list twice"),
        ("segments: ['']", "segments[0]", "It is empty"),
        ('segments: ["a\\nb"]', "segments[0]", "on one line"),
        (f"segments: [{'x' * 201}]", "segments[0]", "201 characters"),
        ("segments: [week]", "segments[0]", "data.time: it is not the same for every row"),
        ("segments: [segment]", "segments[0]", "published with"),
        ("consumed: {how: bach}", "consumed.how", "Did you mean 'batch'?"),
        ("consumed: {schedule: '0 5 * *'}", "consumed.schedule", "five fields"),
        ("consumed: {schedule: '* * * * * *'}", "consumed.schedule", "five fields"),
        ("consumed: {schedule: '0 25 * * *'}", "consumed.schedule", "bad hour"),
        ("consumed: {schedule: '0 0 30 2 *'}", "consumed.schedule", "bad day-of-month"),
        ("risk: {wrong: {impact: hgih}}", "risk.wrong.impact", "Did you mean 'high'?"),
        ("forecast: {every: 1 week}", "forecast.every", "is not a span of time"),
        ("forecast: {every: 7}", "forecast.every", "a span of time like 60d"),
        ("forecast: {horizons: [10d]}", "forecast.horizons[0]", "Write a multiple of 1w, such as 1w."),
        ("forecast: {horizons: [3w, 25d]}", "forecast.horizons[1]", "such as 3w."),
        ("forecast: {horizons: []}", "forecast.horizons", "The list is empty"),
        ("forecast: {history: 99999999w}", "forecast.history", "longer than a hundred years"),
        ("forecast: {hold_back: 10d}", "forecast.hold_back", "not a whole number of steps"),
        ("forecast: {candidates: [laso], ensemble: []}", "forecast.candidates[0]", "Did you mean 'lasso'?"),
        ("forecast: {candidates: [lasso]}", "forecast.ensemble", "has lightgbm, no candidate here"),
        ("forecast: {candidates: [lasso], ensemble: [lightgbm]}", "forecast.ensemble[0]", "Add lightgbm to"),
        ("forecast: {candidates: [lasso], ensemble: [laso]}", "forecast.ensemble[0]", "Did you mean 'lasso'?"),
        ("forecast: {own: {lasso: a.py:f}}", "forecast.own.lasso", "built-in candidate"),
        ("forecast: {own: {mine: a.py}}", "forecast.own.mine", "file.py:function"),
        ("forecast: {own: {mine: ../a.py:f}}", "forecast.own.mine", "beside the charter"),
        ("forecast: {own: {mine: /a.py:f}}", "forecast.own.mine", "beside the charter"),
        ("forecast: {own: {nul: a.py:f}}", "forecast.own.nul", "something else elsewhere"),
        ("forecast: {own: {'': a.py:f}}", "forecast.own", "not 1 to 200 long"),
        ("forecast: {holidays: [US, christian, 2026-12-24, XMAS]}", "forecast.holidays[3]", "US or CHRISTIAN"),
        ("forecast: {season: -1}", "forecast.season", "at least 0"),
        ("forecast: {season: 52.5}", "forecast.season", "a whole number"),
        ("forecast: {season: true}", "forecast.season", "The truth value true stands"),
        ("forecast: {nonnegative: yes}", "forecast.nonnegative", "Write true."),
        ("forecast: {nonnegative: off}", "forecast.nonnegative", "Write false."),
        ("forecast: {nonnegative: 1}", "forecast.nonnegative", "Write true or false."),
        ("forecast: {seed: 99999999999999999999}", "forecast.seed", "whole number"),
        ("pipeline: train", "pipeline", "file.py:function"),
        ("evaluate: {metrics: [wmap]}", "evaluate.metrics[0]", "Did you mean 'wmape'?"),
        ("evaluate: {baseline: last_valu}", "evaluate.baseline", "Did you mean 'last_value'?"),
        ("evaluate: {last: 9d}", "evaluate.last", "whole number of steps"),
        ("gates: [mape]", "gates[0]", "is not a gate"),
        ("gates: [wmape <= .nan]", "gates[0]", "not a finite number"),
        ("gates: [mape < 1, mape < 1]", "gates[1]", "twice"),
        ("gates: [mae < 1]", "gates[0]", "Add mae to evaluate.metrics"),
        ("release: {environments: [prod], approvals: {prd: [owner]}}", "release.approvals.prd", "Did you mean 'prod'?"),
        ("release: {environments: [prod, Prod]}", "release.environments[1]", "twice"),
        ("release: {environments: ['..']}", "release.environments[0]", "cannot be an environment"),
        ("release: {approvals: {prod: [owner, owner]}}", "release.approvals.prod[1]", "twice"),
        ("retrain: {on: [performnce]}", "retrain.on[0]", "Did you mean 'performance'?"),
        ("retrain: {stale_after: 2 months}", "retrain.stale_after", "is not a span of time"),
        ("monitor: {drift: .inf}", "monitor.drift", "not a finite number"),
        ("monitor: {drift: 0}", "monitor.drift", "above 0"),
        ("monitor: {windows: 0}", "monitor.windows", "at least 1"),
        ("monitor: {window: 3d}", "monitor.window", "whole number of steps"),
        ("monitor: {performance: {wmap: 0.3}}", "monitor.performance.wmap", "Did you mean 'wmape'?"),
        ("monitor: {performance: {wmape: 1e400}}", "monitor.performance.wmape", "not a finite number"),
        (f"release: {{environments: [{', '.join(f'e{i}' for i in range(21))}]}}", "release.environments", "20 at most"),
        ("owner: 5", "owner", "Write a mapping with business and technical."),
        ("forecast: {nonnegative: [1]}", "forecast.nonnegative", "A list stands where true or false is wanted"),
        ("release: {approvals: {prod: {a: b}}}", "release.approvals.prod", "A mapping stands where a list is wanted"),
        ("retrain: {approval: [ask]}", "retrain.approval", "Write ask or automatic."),
        ("release: {approvals: [a]}", "release.approvals", "Write a mapping."),
        ("fallback: [baseline, baseline]", "fallback[1]", "twice"),
        ("risk: {unavailable: {impact: high}}\nfallback: []", "fallback", "risk of no answers is medium"),
    ],
)  # fmt: skip
def test_one_wrong_thing_is_one_finding(extra: str, clause: str, words: str) -> None:
    finding = one(extra)
    assert finding.clause == clause
    assert words in f"{finding.wrong} {finding.right}"
    assert finding.line in (3, 4)
    assert finding.wrong.endswith((".", "?"))
    assert finding.right.endswith((".", "?"))


@pytest.mark.parametrize(
    ("data", "clause", "words"),
    [
        ("time: t, target: y", "data.dataset", "Add `dataset: ` and a text."),
        ("dataset: d, target: y", "data.time", "It is missing."),
        ("dataset: d, time: 5, target: y", "data.time", 'Write it in quotes: "5".'),
        ("dataset: a/b, time: t, target: y", "data.dataset", "cannot be a dataset"),
        ("dataset: d, time: t, target: t", "data.target", "'t' is data.time already"),
        ("dataset: d, time: t, target: y, keys: [k], static: [k]", "data.static[0]", "'k' is data.keys already"),
        ("dataset: d, time: t, target: y, keys: [horizon]", "data.keys[0]", "Rename it"),
        ("dataset: d, time: t, target: y, movers: {share: 80}", "data.movers.share", "below 1"),
        ("dataset: d, time: t, target: y, static: [speed], movers: {}", "data.movers.column", "something else too"),
        ("dataset: d, time: t, target: y, joins: [{source: x, on: {}}]", "data.joins[0].on", "at least one"),
        ("dataset: d, time: t, target: y, joins: [{source: x, on: {a: 5}}]", "data.joins[0].on.a", "in quotes"),
        ("dataset: d, time: t, target: y, joins: [{source: x}]", "data.joins[0].on", "It is missing"),
        ("dataset: d, time: t, target: y, fill: {a: [1]}", "data.fill.a", "a number or a text or true or false"),
        ("dataset: d, time: t, target: y, fill: {a: .nan}", "data.fill.a", "finite"),
        ("dataset: d, time: t, target: y, delay: soon", "data.delay", "span of time"),
        ("dataset: d, time: t, target: y, format: cvs", "data.format", "Did you mean 'csv'?"),
        ("dataset: d, time: t, target: y, derive: {a: ''}", "data.derive.a", "It is empty"),
        ("dataset: d, time: t, target: y, contract: 5", "data.contract", "in quotes"),
        ("dataset: d, time: t, target: y, contract: {row: {}}", "data.contract.row", "Did you mean 'rows'?"),
    ],
)  # fmt: skip
def test_one_wrong_thing_about_data_is_one_finding(data: str, clause: str, words: str) -> None:
    findings = found(f"model: m\ndata:\n  {{{data}}}\n")
    assert [f.clause for f in findings] == [clause], findings
    assert words in f"{findings[0].wrong} {findings[0].right}"


@pytest.mark.parametrize(
    ("extra", "clause", "words"),
    [
        ("segments: [region]", "segments[0]", "no role, and no rename"),
        ("evaluate: {slices: [region]}", "evaluate.slices[0]", "no role, and no rename"),
        ("gates: [mape < 1 in every slice]", "gates[0]", "every slice"),
        ("retrain: {schedule: '0 1 * * *'}", "retrain.schedule", "has no effect"),
        ("retrain: {on: [performance]}", "retrain.on", "monitor.performance has no limit"),
        ("retrain: {on: [drift]}\nmonitor: {drift: null}", "retrain.on", "monitor.drift is off"),
        ("retrain: {stale_after: 1w}", "retrain.stale_after", "longer than cool_down"),
        ("retrain: {cool_down: 61d}", "retrain.cool_down", "longer than cool_down"),
        ("risk: {decay: {probability: high, impact: high}}", "monitor.performance", "no limit to tell it by"),
    ],
)  # fmt: skip
def test_what_may_be_meant_is_a_warning(extra: str, clause: str, words: str) -> None:
    finding = one(extra, "warning")
    assert finding.clause == clause
    assert words in finding.wrong + finding.right
    assert read_charter(SMALL + extra)
    assert "warning: " in finding.show("charter.yaml")


def test_shapes_can_stand_for_every_wrong_part() -> None:
    kind = msgspec.inspect.type_info(Everything)
    assert convert(placeholder(kind), Everything).level in ("low", "high")


def test_wrong_items_of_a_list_do_not_hide_other_findings() -> None:
    text = SMALL.replace("keys: [store]", "joins: [5]").replace("model: demand", "model: ..")
    assert [f.clause for f in found(text)] == ["model", "data.joins[0]"]
    assert [f.clause for f in found(SMALL + "fallback: [x, baselin]\n")] == ["fallback[0]", "fallback[1]"]


def test_good_choices_have_no_finding() -> None:
    extra = (
        "forecast: {candidates: [lasso, neural, mine], ensemble: [neural, mine], own: {mine: own/learn.py:fit}}\n"
        "monitor: {performance: {wmape: 0.3}, fresh_within: 10d}\n"
        "retrain: {on: [schedule, drift], schedule: '0 1 * * *'}\n"
        "pipeline: pipelines/demand.py:train\nrelease: {approvals: {prod: [owner]}}\n"
    )
    assert check_charter(SMALL + extra)[1] == []


def test_movers_without_a_segment_are_a_warning() -> None:
    text = "model: m\ndata: {dataset: d, time: t, target: y, movers: {}}\n"
    assert [f.clause for f in found(text, "warning")] == ["data.movers"]
    assert not found(text + "segments: [speed]\n", "warning")


def test_all_findings_come_at_once_in_order_of_lines() -> None:
    text = """\
model: ../x
onwer: {business: a}
data:
  dataset: sales
  time: week
  target: 5
  keys: [store, week]
gates:
  - mape <= .nan
  - 7
  - mape < baselin.mape
monitor: {window: 1w}
monitor: {window: 2w}
"""
    findings = found(text)
    assert [(f.line, f.clause) for f in findings] == [
        (1, "model"), (2, "onwer"), (6, "data.target"), (7, "data.keys[1]"), (9, "gates[0]"), (10, "gates[1]"),
        (11, "gates[2]"), (13, "monitor"),
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="7 more") as caught:
        read_charter(text, "a.yaml")
    assert caught.value.where == "a.yaml:1"


@pytest.mark.parametrize("text", ["[]", "7", "model: m\ndata: []", "data: {}", "model: []\ndata: x"])
def test_what_is_no_charter_at_all_is_said(text: str) -> None:
    findings = found(text)
    assert findings
    with pytest.raises(InvalidInput):
        read_charter(text)
    with pytest.raises(InvalidInput):
        recall_charter(text)


def test_known_columns_make_unknown_ones_errors() -> None:
    text = (
        "model: m\nsegments: [regin]\n"
        "data: {dataset: d, time: week, target: units, keys: [shop], rename: {Date: week}, derive: {units: a + b},"
        " fill: {pricee: 0}}\n"
    )
    columns = ["Dat", "a", "b", "store", "region", "price"]
    clauses = {f.clause: f"{f.wrong} {f.right}" for f in found(text, columns=columns)}
    assert set(clauses) == {"data.rename.Date", "data.keys[0]", "segments[0]", "data.fill.pricee"}
    assert "Did you mean 'Dat'?" in clauses["data.rename.Date"]
    assert "Did you mean 'region'?" in clauses["segments[0]"]
    good = text.replace("regin", "region").replace("shop", "store").replace("pricee", "price")
    assert not found(good, columns=["Date", *columns])


def test_joined_columns_are_made() -> None:
    text = SMALL.replace("keys: [store]", "joins: [{source: s.csv, on: {store: id}, columns: [format]}]")
    assert not found(text + "segments: [format]\n", "warning")


def test_a_broken_text_is_one_finding() -> None:
    with pytest.raises(InvalidInput, match="not YAML"):
        recall_charter("a: [")
    with pytest.raises(InvalidInput, match="characters") as caught:
        read_charter("x" * 200_000)
    assert caught.value.where == "charter.yaml"


def test_what_was_applied_stays_readable_when_rules_grow() -> None:
    old = SMALL + "gates: [no gate]\n"
    assert isinstance(recall_charter(old), Charter)


def test_words_of_findings() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert nearest("PROD", ["prod"]) == "Did you mean 'prod'?"
    assert shown("x" * 200).endswith("...")
    assert Finding(None, "", "Odd.", "Mend it.").show("f") == "f: Odd. Mend it."
