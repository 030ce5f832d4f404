"""A house that was lived in for twelve weeks: every kind of page has something to show, in a second or two.

Small and made up, but through the real services: arrivals are conditioned and judged, versions registered and gated,
the loop decides, a file in a wrong unit is quarantined, one training fails, forecasts meet their outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from keepwell.core.clock import SimulatedClock
from keepwell.core.lazy import pl
from keepwell.core.segments import segment_key
from keepwell.datasets import service as datasets
from keepwell.datasets.model import Form
from keepwell.datasets.parts import encode
from keepwell.flows.certify import Lineage, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.flows.publish import publish as publish_table
from keepwell.flows.receive import receive, settle
from keepwell.governance.charters import AppliedCharter, apply_charter
from keepwell.ledger.checkpoints import checkpoint
from keepwell.loop.decide import decide
from keepwell.loop.model import Gates, Health, Known, State, Training, unknown_state, with_columns
from keepwell.loop.service import record_tick
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Signal, SignalState, Window
from keepwell.pipelines.declare import step
from keepwell.pipelines.model import Pipeline, PipelineRun
from keepwell.pipelines.runners import InProcess
from keepwell.pipelines.service import run_pipeline
from keepwell.serving import service as serving
from keepwell.serving.model import ANSWERED_BY, Scoring
from keepwell.testing.fleets import GeneratedMeasurement, GeneratedMember
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Code, Input

START = date(2025, 10, 6)
WEEKS = 12
BROKEN = 9
REGIONS = ("Centre", "East", "North", "South", "West")
FORMATS = ("large", "small")
SEGMENTS = tuple(sorted(segment_key({"region": r, "format": f}) for r in REGIONS for f in FORMATS))
LOOP = "loop:weekly-demand"
OWNER = "person:ada"
COMMIT = "3f2a91c07b5de64418aa02c95be1d7f6e0c4b832"

CHARTER = """
charter: 1
model: weekly-demand
owner: {business: retail-planning, technical: forecasting}
purpose: Units that each outlet will sell next week, for stocking.
consumed: {how: batch, schedule: "0 6 * * MON"}
segments: [region, format]
data:
  dataset: shipments
  source: arriving/*.csv
  time: week
  target: units
  keys: [outlet]
  known_ahead: [promotion]
  observed: [price]
  contract:
    columns:
      units: {type: number, min: 0, max: 5000, missing: 0}
      price: {type: number, min: 0, missing: 0.1}
      promotion: {type: text, allowed: ["yes", "no"]}
      format: {type: text, allowed: [large, small]}
    keys_unique: true
    rows: {min: 20, like_history: 0.5}
    like_history: {units: 6}
    expressions: {"a price when units were sold": "units = 0 OR price IS NULL OR price > 0"}
evaluate:
  metrics: [wmape, mape, rmse]
  slices: [promotion]
gates:
  - wmape <= 0.30
  - wmape < baseline.wmape
release: {environments: [prod]}
retrain: {on: [performance, staleness], stale_after: 60d}
monitor: {window: 1w, min_rows: 5, performance: {wmape: 0.20}}
"""


@dataclass(frozen=True, slots=True)
class Lived:
    """What tests want to find again.

    Attributes:
        applied: the charter in force.
        quarantined: id of the arrival that waits for a person.
        scorings: ids, oldest first.
        pipeline_runs: ids, oldest first: the last one failed.
        runs: ids of recorded runs, oldest first.
        ticks: ids, oldest first.
    """

    applied: AppliedCharter
    quarantined: str
    scorings: tuple[str, ...]
    pipeline_runs: tuple[str, ...]
    runs: tuple[str, ...]
    ticks: tuple[str, ...]


def lived_house(kit: Kit, clock: SimulatedClock, *, seed: int = 3) -> Lived:
    """Live twelve weeks in an empty house.

    Args:
        kit: the opened house; its home also gets the arriving files.
        clock: the house's clock; it stands at the end of the twelve weeks afterwards.
        seed: of everything random.
    """
    random = np.random.default_rng(seed)
    clock.move_to(_monday(0))
    table = _table(random)
    with kit.write() as tx:
        applied = apply_charter(tx, kit.call(OWNER), CHARTER, str(kit.home))
    life = _Life(kit, applied, table, random)
    for week in range(WEEKS):
        clock.move_to(_monday(week + 1))
        life.week(week)
    checkpoint(kit.db, kit.home, kit.call(LOOP))
    return life.told()


class _Life:
    """One week after the other; remembers what came to be."""

    def __init__(self, kit: Kit, applied: AppliedCharter, table: pl.DataFrame, random: np.random.Generator) -> None:
        self.kit, self.applied, self.table, self.random = kit, applied, table, random
        self.runs: list[str] = []
        self.pipelines: list[str] = []
        self.scorings: list[str] = []
        self.ticks: list[str] = []
        self.quarantined = ""

    def told(self) -> Lived:
        """Return what came to be."""
        return Lived(
            self.applied, self.quarantined, tuple(self.scorings), tuple(self.pipelines), tuple(self.runs),
            tuple(self.ticks),
        )  # fmt: skip

    def week(self, week: int) -> None:
        """A file arrives, the loop decides, models are trained when it says so, the fleet is scored."""
        self._arrive(week)
        trains = week in (2, 6, 10)
        self._signals(week)
        self._tick(week, trains)
        if trains:
            self._train(week)
        if week > 2:
            self._score(week)

    def _arrive(self, week: int) -> None:
        folder = self.kit.home / "arriving"
        folder.mkdir(exist_ok=True)
        rows = self.table.filter(pl.col("week") == _day(week))
        if week in (4, BROKEN):
            rows = rows.with_columns(pl.col("units") * 1000)
        rows.write_csv(folder / f"{_day(week)}.csv")
        got = receive(self.kit, self.applied, LOOP)
        for arrival in got.quarantined:
            if week == BROKEN:
                self.quarantined = arrival.id
            else:
                settle(self.kit, arrival.id, OWNER, "reject", "Units were sent in single pieces, not in thousands.")
                rows.with_columns(pl.col("units") / 1000).write_csv(folder / f"{_day(week)}-corrected.csv")
                receive(self.kit, self.applied, LOOP)

    def _train(self, week: int) -> None:
        kit = self.kit
        with kit.read() as tx:
            latest = datasets.latest(tx, "shipments")
        with kit.write() as tx:
            run = tracking.start_run(
                tx, kit.call(LOOP), name="weekly-demand training", kind="train",
                params={"segments": len(SEGMENTS), "candidates": ["lasso", "lightgbm"], "season": 52},
                inputs=[Input(kind="dataset", name="shipments", id=latest.id if latest else None,
                              digest=latest.digest if latest else None)],
                code=Code(commit=COMMIT, dirty=False, remote="https://git.example.org/planning/demand.git"),
                model="weekly-demand", tags={"trigger": "no_model" if week == 2 else "performance"},
            )  # fmt: skip
        self.runs.append(run.id)
        piped = self._pipeline(week, broken=week == 10)
        failed = piped.state == "failed"
        made = {} if failed else {"evidence.json": kit.blobs.put(b'{"wmape": 0.118}')}
        metrics: dict[str, float | None] = {} if failed else {"wmape": 0.118, "baseline.wmape": 0.204, "rows": 960.0}
        _wait(kit, timedelta(seconds=0 if failed else 48 + 7 * week))
        with kit.write() as tx:
            tracking.finish_run(
                tx, kit.call(LOOP), run.id, "failed" if failed else "finished", metrics, made,
                "The step 'fit_models' failed: the price of 2025-12-08 is missing." if failed else None,
            )  # fmt: skip
        if not failed:
            self._register(run.id, latest.id if latest else None, week)

    def _pipeline(self, week: int, *, broken: bool) -> PipelineRun:
        source = Pipeline(
            "weekly-demand", (collect, features, fit_models, certify_fleet), {"weeks": 4, "broken": False}
        )
        params = {"weeks": 4 if week < 6 else 6, "broken": broken}
        run = run_pipeline(self.kit.db, self.kit.blobs, self.kit.call(LOOP), source, params, runner=InProcess())
        self.pipelines.append(run.id)
        return run

    def _register(self, run: str, data: str | None, week: int) -> None:
        kit, moment = self.kit, self.kit.clock.now()
        members = []
        for place, segment in enumerate(SEGMENTS):
            level = 0.09 + 0.012 * place - 0.003 * week
            evidence = [
                GeneratedMeasurement(slice_, subject, metric, level * factor * scale, 96)
                for slice_ in ("all", "promotion=yes", "promotion=no")
                for subject, factor in (("self", 1.0), ("baseline", 1.6 if place != 7 else 0.9))
                for metric, scale in (("wmape", 1.0), ("mape", 1.3), ("rmse", 80.0))
            ]
            members.append(GeneratedMember(segment, f"{segment} {week}".encode(), evidence, {"rows": 96, "series": 4}))
        lineage = Lineage(run, data, COMMIT, None, moment, str(_day(week)))
        made = register_and_gate(kit, self.applied, members, lineage, LOOP)
        promote_fleet(kit, self.applied, "prod", made.that("passed"), LOOP, "it passed its gates")

    def _tick(self, week: int, trains: bool) -> None:
        kit = self.kit
        with kit.read() as tx:
            champions = models.champions(tx, "weekly-demand", "prod")
            latest = datasets.latest(tx, "shipments")
            incidents = tuple(monitoring.open_for(tx, "weekly-demand", ("shipments",)))
            signals = monitoring.signals_id(tx, "weekly-demand")
        state = self._state(week, trains, {s: c.version_id for s, c in champions.items()})
        state = with_columns(state, incidents=incidents, signals_id=signals, data_latest=latest.id if latest else None)
        now = kit.clock.now()
        with kit.write() as tx:
            made = decide(self.applied.charter, state, now)
            self.ticks.append(record_tick(tx, kit.call(LOOP), state, now, made).id)

    def _state(self, week: int, trains: bool, champions: dict[str, str]) -> State:
        n, now = len(SEGMENTS), np.datetime64(_monday(week + 1).replace(tzinfo=None), "us")
        there = [Known.YES if s in champions else Known.NO for s in SEGMENTS]
        bad = [trains and week > 2 and place % 3 == 0 for place in range(n)]
        return with_columns(
            unknown_state("weekly-demand", self.applied.digest, SEGMENTS),
            champion=there,
            champion_id=[champions.get(s) for s in SEGMENTS],
            champion_since=np.full(n, now - np.timedelta64(20, "D")),
            can_answer=Known.YES,
            failed_over=Known.NO,
            guard=Health.OK,
            previous=Known.NO,
            challenger=Known.NO,
            gates=Gates.UNKNOWN,
            training=Training.FINISHED if week > 2 else Training.UNKNOWN,
            trained_at=np.full(n, now - np.timedelta64(25, "D")),
            trained_data=["dsv_before"] * n,
            trained_code=[COMMIT] * n,
            wanted=Known.NO,
            performance=[Health.BAD if b else Health.OK for b in bad],
            staleness=Health.OK,
            drift=Health.OK,
            code_latest=COMMIT,
            freshness=Health.OK,
            quality=Health.OK,
            arrivals=(),
            conditioning=Known.NO,
            scoring=Known.NO,
            scored=Known.NO,
        )

    def _signals(self, week: int) -> None:
        kit, end = self.kit, self.kit.clock.now()
        start = end - timedelta(weeks=1)
        signals, windows = [], []
        for place, segment in enumerate(SEGMENTS):
            value = round(0.10 + 0.01 * place + (0.06 if place % 3 == 0 else 0.01) * (week % 4) / 2, 4)
            state: SignalState = "bad" if value > 0.2 else "ok"
            said = f"WMAPE {value:.1%} over the newest week; the charter allows 20 %."
            signals.append(Signal(segment, "performance", state, value, 0.20, 12, start, end, said,
                                  "monitor.performance.wmape", "wmape"))  # fmt: skip
            known: dict[str, float | None] = {"wmape": value, "mape": value * 1.2, "rmse": value * 90}
            base: dict[str, float | None] = {"wmape": 0.19, "mape": 0.22, "rmse": 21.0}
            windows.append(Window(segment, "baseline", start, end, 12, True, 900.0, known, {"mape": 12}, base))
        with kit.write() as tx:
            monitoring.record_signals(tx, kit.call(LOOP), "weekly-demand", signals)
            monitoring.record_performance(tx, kit.call(LOOP), "weekly-demand", windows)

    def _score(self, week: int) -> None:
        kit = self.kit
        with kit.read() as tx:
            champions = models.champions(tx, "weekly-demand", "prod")
            latest = datasets.latest(tx, "shipments")
        rows = self._forecasts(week, {s: c.version_id for s, c in champions.items()})
        call = kit.call(LOOP)
        scoring, part = call.ids.new("scr"), kit.blobs.put(encode(rows))
        form = Form(time="week", keys=("outlet",))
        out = publish_table(kit, call, "weekly-demand.forecasts", rows, form, f"scoring:{scoring}")
        counts = dict(rows["answered_by"].value_counts().iter_rows())
        answered = {who: counts.get(who, 0) for who in ANSWERED_BY}
        data = latest.id if latest else ""
        new = Scoring(
            id=scoring, model="weekly-demand", environment="prod", slot=call.now, origin=str(_day(week)), at=call.now,
            input=data, output=out.id, part=part, rows=rows.height, answered=answered,
            first=str(_day(week + 1)), last=str(_day(week + 1)),
        )  # fmt: skip
        with kit.write() as tx:
            for before in serving.waiting_for_outcomes(tx, "weekly-demand"):
                if before.last <= str(_day(week)) and before.last != str(_day(BROKEN)):
                    serving.note_outcomes(tx, kit.call(LOOP), before, before.rows, data, closed=True)
            serving.publish(tx, call, new)
        self.scorings.append(scoring)

    def _forecasts(self, week: int, champions: dict[str, str]) -> pl.DataFrame:
        actual = self.table.filter(pl.col("week") == _day(week + 1))
        segments = [segment_key({"region": r, "format": f}) for r, f in actual.select("region", "format").rows()]
        noise = self.random.normal(1, 0.09, (2, actual.height))
        by = ["champion" if s in champions else "baseline" for s in segments]
        return actual.select("outlet", "week").with_columns(
            pl.Series("segment", segments),
            pl.Series("forecast", (actual["units"].to_numpy() * noise[0]).round(2)),
            pl.Series("baseline", (actual["units"].to_numpy() * (0.9 + 2 * (noise[1] - 1))).round(2)),
            pl.Series("version", [champions.get(s, "baseline") for s in segments]),
            pl.Series("answered_by", by),
        )


@step
def collect(weeks: int) -> list[int]:
    """Take the newest weeks."""
    print(f"collected {weeks} weeks of shipments")  # noqa: T201  (what a step prints is its log)
    return list(range(weeks))


@step(inputs={"rows": "collect"})
def features(rows: list[int]) -> list[float]:
    """Make columns of them."""
    print("lags 1, 2, 4, 52; rolling means 4, 13")  # noqa: T201
    return [float(row) ** 2 for row in rows]


@step(inputs={"table": "features"}, map_over="table", chunk=2)
def fit_models(table: list[float], broken: bool) -> list[float]:
    """Fit a chunk, or fail."""
    if broken:
        raise ValueError("the price of 2025-12-08 is missing")
    print(f"fitted {len(table)} segments")  # noqa: T201
    return [value + 1 for value in table]


@step(inputs={"fitted": "fit_models"})
def certify_fleet(fitted: list[float]) -> str:
    """Sum up."""
    return f"{sum(fitted):.1f}"


def _table(random: np.random.Generator) -> pl.DataFrame:
    """Return outlet x week: two outlets a segment, with level, season, promotions and noise."""
    rows = []
    for place, (region, kind) in enumerate((r, f) for r in REGIONS for f in FORMATS):
        for outlet in range(3):
            level = 60 + 25 * place + 9 * outlet
            for week in range(WEEKS + 1):
                promoted = (week + place + outlet) % 4 == 0
                units = level * (1.3 if promoted else 1.0) * (1 + 0.1 * np.sin(week / 2)) * random.normal(1, 0.06)
                price = None if (7 * week + 3 * outlet + place) % 41 == 5 else round(4.9 - 0.8 * promoted, 2)
                rows.append((_day(week), f"{region[0]}{kind[0]}{outlet + 1}".upper(), region, kind, round(units, 1),
                             price, "yes" if promoted else "no"))  # fmt: skip
    names = ("week", "outlet", "region", "format", "units", "price", "promotion")
    return pl.DataFrame(rows, schema=list(names), orient="row")


def _wait(kit: Kit, span: timedelta) -> None:
    if isinstance(kit.clock, SimulatedClock):
        kit.clock.advance(span)


def _day(week: int) -> date:
    return START + timedelta(weeks=week)


def _monday(week: int) -> datetime:
    return datetime(START.year, START.month, START.day, 6, tzinfo=UTC) + timedelta(weeks=week)
