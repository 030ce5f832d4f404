"""Columns of a table of runs: what they are called in an address, in the search grammar, and on the page. Pure.

A column is written `metrics.loss`, `params.lr`, `tags.team` or `attributes.start_time`; several are joined by commas,
each of them quoted as a part of an address, so that any name may be one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote, unquote

from keepwell.core.clock import from_iso
from keepwell.core.filters import quoted as in_grammar
from keepwell.server.ui.words import metric_name, number
from keepwell.tracking.model import Run

Kind = Literal["attributes", "params", "metrics", "tags"]
KINDS: tuple[Kind, ...] = ("attributes", "params", "metrics", "tags")
ATTRIBUTES = {
    "run_name": "Name", "status": "State", "start_time": "Started", "end_time": "Ended", "user_id": "User",
    "run_id": "Id",
}  # fmt: skip
"""Attributes that can be sorted and filtered by, as the search grammar calls them."""
SHOWN_FIRST = 4
"""So many parameters, and so many metrics, are columns when nobody chose any."""
MOST = 40
"""So many columns, at most."""
HIDDEN_TAGS = re.compile(r"(mlflow|keepwell)\.")
"""Tags that clients write for machines; they can be chosen, and are no columns by themselves."""


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """One column: its kind, and its name there."""

    kind: Kind
    name: str

    @property
    def text(self) -> str:
        """How it is written: `metrics.loss`."""
        return f"{self.kind}.{self.name}"

    @property
    def key(self) -> str:
        """How the search grammar writes it."""
        return in_grammar(self.kind, self.name)

    @property
    def label(self) -> str:
        """What its header says."""
        if self.kind == "attributes":
            return ATTRIBUTES.get(self.name, self.name)
        return metric_name(self.name) if self.kind == "metrics" else self.name


def parse(text: str) -> Column | None:
    """Return the column that a text names; None when it names none."""
    kind, _, name = text.partition(".")
    for known in KINDS:
        if kind == known and name:
            return Column(known, name[:250])
    return None


def parse_all(text: str) -> list[Column]:
    """Return the columns of an address, each once, in their order."""
    found = (parse(unquote(part)) for part in text.split(",") if part)
    return list(dict.fromkeys(one for one in found if one is not None))[:MOST]


def written(columns: Iterable[Column]) -> str:
    """Return columns as an address holds them."""
    return ",".join(quote(one.text, safe="/ .:_-@=+()[]") for one in columns)


def names_of(text: str) -> list[str]:
    """Return names (of metrics) that an address lists, quoted the same way."""
    return list(dict.fromkeys(unquote(part)[:250] for part in text.split(",") if part))


def names_written(names: Iterable[str]) -> str:
    """Return names as an address lists them."""
    return ",".join(quote(name, safe="/ .:_-@=+()[]") for name in names)


def order_of(sort: str) -> tuple[Column, bool] | None:
    """Return by what a table is sorted, and whether downwards: `-metrics.loss` is the greatest first."""
    column = parse(sort.removeprefix("-"))
    if column is None or (column.kind == "attributes" and column.name not in ATTRIBUTES):
        return None
    return column, sort.startswith("-")


def order_clauses(sort: str) -> list[str]:
    """Return the order in the search grammar; empty for the usual one, newest first."""
    found = order_of(sort)
    return [] if found is None else [f"{found[0].key} {'DESC' if found[1] else 'ASC'}"]


def toggled(column: Column, sort: str) -> str:
    """Return the sorting that a click on a header asks for: metrics and times downwards first, then the other way."""
    now = order_of(sort)
    if now is not None and now[0] == column:
        return column.text if now[1] else f"-{column.text}"
    falling = column.kind == "metrics" or column.name in ("start_time", "end_time")
    return f"-{column.text}" if falling else column.text


def usual(runs: Sequence[Run]) -> list[Column]:
    """Return the columns of a table for which none were chosen: what differs between its runs, then what most have."""
    varied: dict[str, set[str]] = {}
    params: Counter[str] = Counter()
    metrics: Counter[str] = Counter()
    for run in runs:
        metrics.update(name for name in run.metrics if not name.startswith("system/"))
        params.update(run.params.keys())
        for name, value in run.params.items():
            varied.setdefault(name, set()).add(repr(value))
    tell = sorted(params, key=lambda name: (len(varied[name]) < 2, -params[name], name))[:SHOWN_FIRST]
    most = max(metrics.values(), default=0)
    common = [name for name in metrics if 4 * metrics[name] >= most]
    best = leading(common)[:SHOWN_FIRST]
    return [*(Column("metrics", name) for name in best), *(Column("params", name) for name in tell)]


_TELL = ("test", "val", "eval", "accuracy", "auc", "f1", "mape", "rmse", "mae", "r2", "loss", "score", "error")
"""Words in a metric's name that say that it judges a run, the most telling first."""


def leading(names: Iterable[str]) -> list[str]:
    """Return metrics by how much they tell of a run: those of a test or a validation before those of a training."""

    def rank(name: str) -> tuple[int, str]:
        folded = name.casefold()
        return next((place for place, word in enumerate(_TELL) if word in folded), len(_TELL)), name

    return sorted((name for name in names if not name.startswith("system/")), key=rank)


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell says; `exact` on hover; a number stands on the right."""

    text: str
    exact: str = ""
    numeric: bool = False


NOTHING = Cell("")


def cell(run: Run, column: Column) -> Cell:
    """Return what a run says in a column; nothing where it has no such value."""
    match column.kind:
        case "metrics":
            return number_cell(run.metrics.get(column.name))
        case "params":
            return value_cell(run.params[column.name]) if column.name in run.params else NOTHING
        case "tags":
            return value_cell(run.tags[column.name]) if column.name in run.tags else NOTHING
        case _:
            return _attribute(run, column.name)


def number_cell(value: float | str | None) -> Cell:
    """Return a metric: at most four digits, all of them on hover; `NaN` and the like as they are."""
    if value is None:
        return NOTHING
    if isinstance(value, str) or not math.isfinite(value):
        return Cell(str(value), "", True)
    return Cell(number(float(value), digits=4), repr(float(value)), True)


def value_cell(value: Any) -> Cell:
    """Return a parameter or tag: text shortened, all of it on hover; numbers are seen as such also in text."""
    text = said(value)
    return Cell(text if len(text) <= 60 else f"{text[:58]}…", text if len(text) > 60 else "", is_number(text))


def said(value: Any) -> str:
    """Return a JSON value as people write it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str | int | float):
        return str(value)
    import msgspec

    return msgspec.json.encode(value).decode()


def is_number(text: str) -> bool:
    """Tell whether a text is a number."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def seconds_of(run: Run, now: datetime | None = None) -> float | None:
    """Return how long a run took, or has been running until now."""
    until = from_iso(run.finished_at) if run.finished_at else now
    return None if until is None else max(0.0, (until - from_iso(run.started_at)).total_seconds())


def _attribute(run: Run, name: str) -> Cell:
    if name in ("start_time", "end_time"):
        moment = run.started_at if name == "start_time" else run.finished_at
        return Cell(f"{from_iso(moment).astimezone(UTC):%Y-%m-%d %H:%M}", moment) if moment else NOTHING
    who = run.user or run.actor.partition(":")[2] or run.actor
    told = {"run_name": run.name, "status": run.status, "run_id": run.id, "user_id": who}
    return Cell(told[name]) if name in told else NOTHING


def as_filter(text: str) -> str:
    """Return what was typed in the search grammar: plain words look for runs of that name."""
    words = " ".join(text.split())
    if not words or re.search(r"[=<>!'\"`]|\b(?:I?LIKE|IN|IS|AND)\b", words, re.IGNORECASE):
        return words
    return f"attributes.run_name ILIKE '%{words}%'"  # no quotes are in it


def with_comparison(text: str, column: Column, value: str) -> str:
    """Return a filter narrowed to runs with a value in a column."""
    quoted = value.replace("'", "''")
    clause = f"{column.key} = '{quoted}'"
    before = as_filter(text)
    return f"{before} AND {clause}" if before else clause
