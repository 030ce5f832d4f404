"""A small made-up fleet whose weeks arrive as files: for tests of the whole loop, in seconds.

Two kinds of stores, a few series each. A promotion that is planned ahead moves demand; `effect` says how much, so that
a test can let the world change under the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from keepwell.core.clock import SimulatedClock
from keepwell.core.lazy import pl
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter, apply_charter
from keepwell.loop.tick import Ticked, tick

MODEL = "stalls"
START = date(2024, 1, 1)
"""A Monday: the week 0."""
OWNER = "person:ada"

CHARTER = """
charter: 1
model: stalls
owner: {business: markets, technical: forecasting}
purpose: Weekly sales of stalls.
consumed: {how: batch, schedule: "0 5 * * MON"}
segments: [kind]
data:
  dataset: sales
  source: arriving/*.csv
  time: week
  target: units
  keys: [stall]
  known_ahead: [promo]
  static: [kind]
  joins: [{source: plan.csv, "on": {stall: stall, week: week}}]
  contract:
    columns: {units: {type: number, min: 0, max: 2000}}
    keys_unique: true
forecast:
  every: 1w
  horizons: [1w]
  candidates: [lasso]
  ensemble: [lasso]
  season: 0
  hold_back: 8w
gates:
  - wmape < baseline.wmape
release: {environments: [prod], approvals: {}, hold_windows: 3}
retrain: {"on": [performance, staleness], stale_after: 60d, cool_down: 2w}
monitor: {window: 1w, windows: 3, min_rows: 6, performance: {wmape: 0.15}, drift: null}
"""


def monday(week: int) -> date:
    """Return the first day of a week."""
    return START + timedelta(weeks=week)


def morning(week: int) -> datetime:
    """Return the moment at which the loop runs in a week: Monday at seven."""
    day = monday(week)
    return datetime(day.year, day.month, day.day, 7, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Weekly:
    """A fleet's folder, and what to put there.

    Attributes:
        folder: where the charter, the plan of promotions and the arriving files lie.
        kinds: how many segments.
        stalls: how many series each.
        whole: the time is a whole number of weeks instead of a date.
        most: weeks for which promotions are planned.
    """

    folder: Path
    kinds: int = 2
    stalls: int = 3
    whole: bool = False
    most: int = 160

    def begin(self, kit: Kit, changes: Mapping[str, object] | None = None) -> AppliedCharter:
        """Write the plan and put the charter in force, with clauses changed: `{"retrain.approval": "ask"}`."""
        (self.folder / "arriving").mkdir(parents=True, exist_ok=True)
        self.rows(0, self.most).select("stall", "week", "promo").write_csv(self.folder / "plan.csv")
        return self.apply(kit, changes)

    def apply(self, kit: Kit, changes: Mapping[str, object] | None = None) -> AppliedCharter:
        """Put the charter in force, with clauses changed."""
        text = charter_text(changes)
        (self.folder / "charter.yaml").write_text(text)
        with kit.write() as tx:
            return apply_charter(tx, kit.call(OWNER), text, str(self.folder))

    def rows(self, first: int, last: int, *, effect: float = 0.8, times: float = 1.0) -> pl.DataFrame:
        """Return the rows of weeks from `first` up to, not including, `last`; any week is the same every time."""
        table: dict[str, list[object]] = {name: [] for name in ("stall", "kind", "week", "units", "promo")}
        for week in range(first, last):
            random = np.random.default_rng(1000 + week)
            for number in range(self.kinds * self.stalls):
                promo = int((number + week) % 5 < 2)
                level = 60 + 25 * number
                units = level * (1 + effect * promo) * (1 + 0.05 * random.standard_normal()) * times
                for name, value in zip(
                    table,
                    (f"s{number:04d}", f"k{number % self.kinds:04d}", week if self.whole else monday(week),
                     round(units, 2), promo), strict=True,
                ):  # fmt: skip
                    table[name].append(value)
        return pl.DataFrame(table)

    def arrive(
        self, first: int, last: int | None = None, *, effect: float = 0.8, times: float = 1.0, name: str | None = None
    ) -> Path:
        """Let the rows of some weeks arrive as one file; `times` multiplies them, as another unit would."""
        path = self.folder / "arriving" / (name or f"week_{first:04d}.csv")
        rows = self.rows(first, first + 1 if last is None else last, effect=effect, times=times)
        rows.drop("promo").write_csv(path)
        return path


def charter_text(changes: Mapping[str, object] | None = None) -> str:
    """Return the charter's text with clauses changed, each named by its path."""
    spec = msgspec.yaml.decode(CHARTER)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = spec
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return msgspec.yaml.encode(spec).decode()


def live(kit: Kit, clock: SimulatedClock, fleet: Weekly, first: int, last: int, *, effect: float = 0.8) -> list[Ticked]:
    """Let the weeks from `first` up to (without) `last` come; each brings the file of the week before, and a tick."""
    done = []
    for week in range(first, last):
        clock.move_to(morning(week))
        fleet.arrive(week - 1, effect=effect)
        done.append(tick(kit, MODEL))
    return done


def started(
    kit: Kit, clock: SimulatedClock, folder: Path, changes: Mapping[str, object] | None = None, **fleet: Any
) -> tuple[Weekly, Ticked]:
    """Begin a fleet with 80 weeks of history, and tick once: it is trained, promoted and scored."""
    made = Weekly(folder / "stalls", **fleet)
    clock.move_to(morning(80))
    made.begin(kit, changes)
    made.arrive(0, 80)
    return made, tick(kit, MODEL)
