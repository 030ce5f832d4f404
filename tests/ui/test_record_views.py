"""What the record pages show, from values: rules and their results, columns, decisions, drawings, outcomes. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.contract import Column, Contract, RowCount
from keepwell.charter.model import Data
from keepwell.core.clock import iso
from keepwell.datasets.model import Arrival, Finding
from keepwell.datasets.profile import profile
from keepwell.ledger.model import Checkpoint, Entry
from keepwell.loop import decisions as made
from keepwell.loop.decisions import Fact, Scope
from keepwell.loop.service import KINDS
from keepwell.pipelines.model import PipelineRun, PlannedStep, StepRun
from keepwell.server.ui import drawings
from keepwell.server.ui.views_data import columns_of, rebin, rule_words, rules_of
from keepwell.server.ui.views_decisions import UNTIL, VERBS, explain
from keepwell.server.ui.views_ledger import lines_of, signed_words
from keepwell.server.ui.views_runs import dashboard_of, pipeline_view, worked_of
from keepwell.server.ui.views_scorings import scoring_view
from keepwell.tracking.model import Code, Run

NOW = datetime(2026, 1, 7, 6, tzinfo=UTC)
DATA = Data(dataset="sales", time="week", target="units", keys=("stand",), known_ahead=("price",))


def arrival(seq: int, *findings: Finding, rows: int | None = 4) -> Arrival:
    return Arrival(f"arr_{seq}", "sales", seq, f"/in/{seq}.csv", "sha256:0", 10, "accepted", NOW, rows=rows,
                   findings=list(findings))  # fmt: skip


def test_each_rule_is_said_and_a_breach_is_found_at_its_rule() -> None:
    contract = Contract(
        columns={"units": Column(type="number", min=0, max=9.0, missing=0.0, unique=True, allowed=(1.0, 2.0))},
        rows=RowCount(min=1, max=5, like_history=0.5), fresh="10d", outliers={"units": 8}, like_history={"units": 4},
        expressions={"whole": "units > 0"}, extra_columns="refuse",
    )  # fmt: skip
    words = rule_words(contract, DATA)
    assert words["columns.units.max"] == "units ≤ 9"
    assert words["keys_unique"] == "no two rows share stand and week"
    assert len(words) == 15
    told = [arrival(3, Finding("columns.units.max", "Too much.", 2)), arrival(2), arrival(1, rows=None)]
    rules = rules_of(contract, DATA, told)
    assert [(rule.check, rule.broken) for rule in rules[:2]] == [("columns.units.max", 1), ("columns.units.type", 0)]
    assert [cell.tone for cell in rules[0].cells] == ["unknown", "ok", "bad"]


def test_a_breach_that_no_rule_declares_is_shown_too() -> None:
    found = rules_of(None, DATA, [arrival(1, Finding("unit.temp", "Another unit?", 4), Finding("readable", "No."))])
    assert {(rule.check, rule.declared) for rule in found} == {("unit.temp", False), ("readable", False)}
    missing = rules_of(Contract(columns={"price": Column(type="number")}), DATA,
                       [arrival(1, Finding("columns.price", "The column price is not there."))])  # fmt: skip
    assert [rule.check for rule in missing if rule.broken] == ["columns.price.type"]


def test_columns_stand_in_the_order_of_their_roles() -> None:
    frame = pl.DataFrame({
        "note": ["a", None, "b"], "units": [1.0, 2.5, None], "stand": ["A", "B", "C"], "price": [None, None, None],
        "week": [date(2026, 1, 5 + day) for day in range(3)], "late": [True, False, True],
    })  # fmt: skip
    found = columns_of(profile(frame), DATA, profile(frame))
    assert [one.name for one in found][:4] == ["week", "units", "stand", "price"]
    units = found[1]
    assert (units.low, units.high, units.gaps, sum(units.counts)) == ("1", "2.5", 1, 2)
    assert units.other == pytest.approx([c / 2 for c in units.counts])
    assert found[3].counts == []
    assert dict(next(one for one in found if one.name == "late").top) == {"yes": 2, "no": 1}
    assert columns_of(None, DATA) == []
    assert columns_of(profile(frame.head(0)), DATA)[0].missing is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.floats(-5, 5), st.floats(0.1, 9))
def test_shares_on_other_bins_never_exceed_one(counts: list[int], start: float, width: float) -> None:
    old = {"counts": counts, "edges": [float(i) for i in range(len(counts) + 1)]}
    found = rebin(old, {"counts": [0] * 4, "edges": [start + width * i for i in range(5)]})
    assert not found or (0 <= sum(found) <= 1 + 1e-9 and min(found) >= 0)


def test_every_kind_of_decision_has_a_word_and_says_what_would_change_it() -> None:
    assert set(VERBS) == set(KINDS)
    assert set(UNTIL) == set(KINDS) - {"hold", "alert"}


@pytest.mark.parametrize(
    ("scope", "size", "words"),
    [(Scope(("a=1",)), 1, "1"), (Scope(others=True), 8, "all 8 models"), (Scope(("a=1",), others=True), 7, "7 of 8")],
)
def test_a_decision_names_whom_it_is_about(scope: Scope, size: int, words: str) -> None:
    facts = (Fact("signals", "sig_1"), Fact("charter", "sha256:" + "a" * 64), Fact("slot", "2026-01-05T06:00:00.000Z"))
    hold = made.Hold(scope=scope, reason="It is well.", clause="retrain.on", facts=facts, until="Worse forecasts.")
    found = explain(hold, "demand", size, 8)
    assert words in found.about
    assert found.quiet
    assert [fact.href is not None for fact in found.facts] == [True, True, False]
    assert found.facts[2].text == "2026-01-05 06:00"
    loud = explain(made.Hold(scope=scope, reason="r", clause="c", facts=facts, until="u", cause="x"), "demand", size, 8)
    assert not loud.quiet
    assert explain(hold, "demand", 1, 1).about == "the model"


def run(number: int, at: datetime, status: str = "finished", **params: object) -> Run:
    return Run(
        id=f"run_{number}", name="t", kind="train", status=status, model="m", parent=None, params=dict(params),  # type: ignore[arg-type]
        metrics={"gates_passed": 2.0, "gates_failed": 1.0}, tags={}, inputs=[], artifacts={}, code=Code(),
        environment=None, machine={}, actor="loop", started_at=iso(at), finished_at=iso(at + timedelta(seconds=30)),
        error=None,
    )  # fmt: skip


def test_the_dashboard_sums_up_the_weeks_it_shows() -> None:
    runs = [
        run(3, NOW, cause="performance", segments=3),
        run(2, NOW - timedelta(weeks=2), "failed", cause="code", segments=["a", "b"]),
        run(1, NOW - timedelta(weeks=90), segments=9),
    ]
    found = dashboard_of(runs, NOW, {"done": 3, "cached": 1}, {"run_3": 4.0})
    assert (found.runs, found.failed, found.fits, found.cached, found.passed) == (2, 1, 3, 0.25, 4 / 6)
    assert found.typical == 30
    assert found.longest is not None and found.longest.id == "run_2"
    assert [column.total for column in found.weekly_runs][-3:] == [1, 0, 1]
    assert [bar.shown for bar in found.durations] == ["4 s", "30 s"]
    empty = dashboard_of([], NOW, {}, {})
    assert (empty.runs, empty.typical, empty.cached, empty.passed) == (0, None, None, None)


def test_a_pipeline_belongs_to_the_run_that_its_actor_had_under_way() -> None:
    def entry(seq: int, kind: str, subject: str, actor: str = "loop") -> Entry:
        return Entry(seq, NOW, actor, kind, subject, {}, None, "", "")

    told = [
        entry(1, "run.started", "run:run_1"), entry(2, "pipeline.run_started", "pipeline_run:prn_1"),
        entry(3, "pipeline.run_started", "pipeline_run:prn_2", "person:eva"), entry(4, "run.finished", "run:run_1"),
        entry(5, "pipeline.run_started", "pipeline_run:prn_3"),
    ]  # fmt: skip
    assert worked_of(told, {"prn_1": 2.0, "prn_2": 5.0, "prn_3": 7.0}) == {"run_1": 2.0}


def test_a_mapped_step_spans_its_chunks_and_a_cached_one_saves() -> None:
    piped = PipelineRun(
        id="prn_1", pipeline="p", state="finished", params={}, plan="", steps=2, counts={}, attempts=1, seconds=3,
        actor="a", started_at=iso(NOW), finished_at=None, error=None,
    )  # fmt: skip

    def record(position: int, part: int, state: str, start: float, seconds: float) -> StepRun:
        return StepRun(run_id="prn_1", position=position, part=part, name=f"s{position}", state=state,  # type: ignore[arg-type]
                       seconds=seconds, started_at=iso(NOW + timedelta(seconds=start)))  # fmt: skip

    plan = [PlannedStep(name=f"s{i}", kind="function", does="f", after=(0,) * i, outputs=()) for i in range(2)]
    steps = [record(0, -1, "cached", 0, 5), record(1, -1, "done", 3, 2.5), record(1, 0, "done", 0, 1),
             record(1, 1, "done", 1, 1.5)]  # fmt: skip
    view = pipeline_view(piped, steps, plan)
    assert view.saved == 5
    assert view.whole == pytest.approx(2.5)
    assert [(line.start, line.length) for line in view.lines] == [(None, 0), (0, 2.5), (0, 1), (1, 1.5)]
    assert view.graph["edges"] == [["0", "1"]]


def rows(actual: float | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    weeks = [date(2026, 1, 5) + timedelta(weeks=w) for w in range(6)]
    known = pl.DataFrame(
        {"stand": ["A"] * 6, "week": weeks, "units": [10.0, 11.0, 12.0, 13.0, 14.0, actual]},
        schema_overrides={"units": pl.Float64},
    )
    made = pl.DataFrame({"stand": ["A"], "week": weeks[-1:], "segment": ["all"], "forecast": [12.0],
                         "baseline": [10.0], "version": ["ver_1"], "answered_by": ["champion"]})  # fmt: skip
    return made, known


def test_a_scoring_is_measured_on_rows_with_an_outcome_only() -> None:
    made, known = rows(20.0)
    found = scoring_view(made, known, "week", "units", limit=5, segment=None)
    assert (found.measured.rows, found.measured.wmape, found.measured.baseline) == (1, 0.4, 0.5)
    assert found.chart is not None
    assert len(found.chart["times"]) == 5  # type: ignore[arg-type]
    made, known = rows(None)
    none = scoring_view(made, known, "week", "units", limit=5, segment=None)
    assert (none.measured.rows, none.measured.wmape, none.segments) == (0, None, [])
    alone = scoring_view(made, None, "week", "units", limit=5, segment="elsewhere")
    assert (alone.height, alone.chart) == (0, None)
    made, known = rows(0.0)
    assert scoring_view(made, known, "week", "units", limit=5, segment=None).measured.wmape is None


def test_a_scoring_over_whole_numbers_of_steps_has_no_chart_over_time() -> None:
    made, known = rows(20.0)
    step = pl.col("week").dt.epoch("d") // 7
    found = scoring_view(made.with_columns(step), known.with_columns(step), "week", "units", limit=5, segment=None)
    assert found.chart is None
    assert found.measured.wmape == 0.4


def test_a_body_is_flattened_and_signing_is_said() -> None:
    found = lines_of({"a": {"b": [1, {"c": None}]}, "id": "run_01kd2a99r0b0p2ygmwwpfz61wf", "e": []})
    assert [(one.name, one.text) for one in found][:2] == [("a.b[0]", "1"), ("a.b[1].c", "none")]
    assert found[2].href == "/runs/run_01kd2a99r0b0p2ygmwwpfz61wf"
    signed = Checkpoint(5, "r", NOW, "k", "s")
    assert signed_words(5, None) == "not signed by any checkpoint yet"
    assert signed_words(5, signed) == "every one signed by the newest checkpoint"
    assert signed_words(6, signed) == "the first 5 signed, 1 entry since"


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=20), st.text(max_size=20))
def test_drawings_hold_for_any_counts_and_escape_what_they_say(counts: list[tuple[int, int]], label: str) -> None:
    stacks = [drawings.Stack(label, [("", a, label), ("bad", b, label)], label) for a, b in counts]
    nasty = "<b>&"
    texts = [
        drawings.weeks(stacks, label=nasty),
        drawings.distribution([a for a, _ in counts], [nasty] * (len(counts) + 1), label=nasty),
        drawings.strip([drawings.Cell("ok", nasty, "/x")], label=nasty),
        drawings.span(1, 2, 0, tone="", said=nasty),
        drawings.shares([("", float(a), nasty) for a, _ in counts], label=nasty),
    ]
    for text in texts:
        assert "<b>" not in text
        assert "nan" not in text and "inf" not in re.sub(r"[^0-9.a-z ]", " ", text).split()
