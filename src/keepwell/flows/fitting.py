"""The training pipeline: segments of a fleet are fitted in chunks, each a recorded and cached step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from keepwell.charter.model import Charter
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.forecasting.model import Fitted, Measured
from keepwell.forecasting.service import fit as fit_task
from keepwell.forecasting.task import Task, task_of
from keepwell.pipelines.declare import step
from keepwell.pipelines.model import Pipeline
from keepwell.stats.paired import compare

PIPELINE = "forecast"
STEP = "fit"
RIVAL = "champion"


@dataclass(frozen=True, slots=True)
class Member:
    """A fitted member, without its rows: what the step hands on.

    Attributes:
        segment, artifact, rows, series, trained_until, weights, evidence, facts: as in `forecasting.Fitted`; facts
            hold `against_champion`, the comparison with the champion on the same weeks, where there was one.
    """

    segment: str
    artifact: bytes
    rows: int
    series: int
    trained_until: str
    weights: dict[str, float]
    evidence: list[Measured]
    facts: dict[str, Any]


def pipeline_of(chunk: int) -> Pipeline:
    """Return the training pipeline, fitting `chunk` segments in one step."""
    return Pipeline(
        PIPELINE,
        (dataclasses.replace(fit, chunk=chunk),),
        params={"segments": [], "spec": {}, "folder": "", "origin": ""},
    )


@step(name=STEP, map_over="segments")
def fit(
    segments: list[str], rows: pl.DataFrame, spec: dict[str, Any], folder: str, origin: str, rivals: bytes
) -> list[Any]:
    """Fit segments on the rows up to an origin, and compare each with the champion where there is one.

    Args:
        segments: the chunk's segments.
        rows: the whole table in standard form: totals over series are features too.
        spec: the charter, as JSON.
        folder: where the charter lies; own models are found there.
        origin: the last time that may be used, as text.
        rivals: msgpack of segment to the champion's bytes.
    """
    charter = msgspec.convert(spec, Charter)
    task = task_of(charter, Path(folder))
    champions: dict[str, bytes] = msgspec.msgpack.decode(rivals)
    mine = {s: champions[s] for s in segments if s in champions}
    fitted = fit_task(rows, task, segments, origin, mine)
    return [member(one, task, charter.monitor.window) for one in fitted]


def member(one: Fitted, task: Task, window: str) -> Member:
    """Return what is kept of a fitted segment."""
    facts = dict(one.facts)
    if (against := _against(one, task, window)) is not None:
        facts["against_champion"] = against
    evidence = [m for m in one.evidence if m.subject != RIVAL or m.n]
    return Member(one.segment, one.artifact, one.rows, one.series, one.trained_until, one.weights, evidence, facts)


def named_rivals(members: Sequence[Member], champions: Mapping[str, str]) -> list[Member]:
    """Return the members with the champion's id as the subject of what was measured of it."""
    return [
        dataclasses.replace(
            one,
            evidence=[
                dataclasses.replace(m, subject=champions[one.segment]) if m.subject == RIVAL else m
                for m in one.evidence
                if m.subject != RIVAL or one.segment in champions
            ],
        )
        for one in members
    ]


def _against(one: Fitted, task: Task, window: str) -> dict[str, object] | None:
    """Compare with the champion on the held-back rows that both have not seen, by blocks of one window."""
    held = one.held
    if held is None or held["rival"].null_count() == held.height:
        return None
    actual = held["actual"].to_numpy()
    ours, theirs = (
        np.abs(held[c].cast(pl.Float64).fill_null(np.nan).to_numpy() - actual) for c in ("forecast", "rival")
    )
    found = compare(ours, theirs, _blocks(held, task, window))
    return {
        "outcome": found.outcome,
        "change": found.change,
        "p": found.p,
        "blocks": found.blocks,
        "rows": found.rows,
        "window": window,
    }


def _blocks(held: pl.DataFrame, task: Task, window: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the window of each row, counted from the first row."""
    step = held["step"].to_numpy()
    length = max(1, parse_span(window) // parse_span(task.forecast.every))
    return np.asarray((step - step.min()) // length, np.int64)
