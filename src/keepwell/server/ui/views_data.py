"""What the pages about data show, from what the services answer: lists, columns, rules and their results. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

import numpy as np

from keepwell.charter.contract import Contract
from keepwell.charter.model import Data
from keepwell.datasets.model import Arrival, DatasetSummary, Stats
from keepwell.monitoring.model import Incident
from keepwell.server.ui import links
from keepwell.server.ui.drawings import Cell
from keepwell.server.ui.words import TONES, number, percent, plural

SHOWN_ARRIVALS = 16
ROLES = ("time", "target", "keys", "known_ahead", "observed", "static")
ROLE_WORDS = {"keys": "key", "known_ahead": "known ahead"}


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """One line of the list of datasets.

    Attributes:
        name: of the dataset.
        tone: `bad` with a file in quarantine or an open incident, else `ok`; `unknown` without a version.
        summary: its versions and how many arrivals are in which state.
        quarantined: how many files wait for a person.
        incidents: open ones that touch it.
        newest: greatest time in it, as text; None when it is not known.
        came: when its newest file was let in, or its newest version made.
        models: fleets that learn from it.
    """

    name: str
    tone: str
    summary: DatasetSummary
    quarantined: int
    incidents: Sequence[Incident]
    newest: str | None
    came: datetime | None
    models: Sequence[str]


def line_of(
    summary: DatasetSummary, stats: Sequence[Stats], incidents: Sequence[Incident], models: Sequence[str]
) -> DatasetLine:
    """Return a line of the list."""
    waiting = summary.arrivals.get("quarantined", 0)
    about = [one for one in incidents if summary.name in one.datasets]
    tone = "bad" if waiting or about else "ok" if summary.latest else "unknown"
    return DatasetLine(
        name=summary.name,
        tone=tone,
        summary=summary,
        quarantined=waiting,
        incidents=about,
        newest=max((one.last for one in stats if one.last), default=None),
        came=summary.latest.created_at if summary.latest else None,
        models=models,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a version as its card shows it.

    Attributes:
        name: of the column.
        kind: its type.
        roles: what the charter makes of it: time, target, key, ...
        missing: share of rows in which it is missing; `gaps` how many.
        distinct: different values.
        low, high, mean: of its values, as text; None where there are none.
        counts: rows by bin, with `edges` as texts; empty for text.
        top: most frequent values with their counts.
        other: shares of the version before on the same bins.
    """

    name: str
    kind: str
    roles: Sequence[str]
    missing: float | None
    gaps: int
    distinct: int
    low: str | None
    high: str | None
    mean: str | None
    counts: Sequence[int]
    edges: Sequence[str]
    top: Sequence[tuple[str, int]]
    other: Sequence[float] = ()


def columns_of(
    profile: Mapping[str, Any] | None, data: Data | None, before: Mapping[str, Any] | None = None
) -> list[Column]:
    """Return the cards of a profile's columns: those that the charter names first, in the order of their roles."""
    if profile is None:
        return []
    rows = int(profile["rows"])
    old = before["columns"] if before else {}
    found = [_column(name, facts, rows, data, old.get(name)) for name, facts in profile["columns"].items()]
    order = {role: place for place, role in enumerate((*map(_role_word, ROLES), "segment"))}
    return sorted(found, key=lambda one: min((order[r] for r in one.roles), default=len(order)))


def _column(name: str, facts: Mapping[str, Any], rows: int, data: Data | None, old: Mapping[str, Any] | None) -> Column:
    drawn = facts.get("histogram") or {"edges": [], "counts": []}
    few = bool(facts.get("top")) and facts["type"] != "number"
    return Column(
        name=name,
        kind=facts["type"],
        roles=roles_of(name, data),
        missing=facts["missing"] / rows if rows else None,
        gaps=facts["missing"],
        distinct=facts["distinct"],
        low=_value(facts.get("min")),
        high=_value(facts.get("max")),
        mean=_value(facts.get("mean")),
        counts=[] if few else drawn["counts"],
        edges=[] if few else [_value(edge) or "" for edge in drawn["edges"]],
        top=[(_value(value) or "", count) for value, count in facts.get("top", ())[:6]] if few else [],
        other=rebin(old["histogram"], drawn) if old and old.get("histogram") and not few and "mean" in facts else [],
    )


def roles_of(name: str, data: Data | None) -> list[str]:
    """Return what a charter makes of a column."""
    if data is None:
        return []
    return [_role_word(role) for role in ROLES if name == (named := getattr(data, role)) or
            (isinstance(named, tuple) and name in named)]  # fmt: skip


def rebin(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[float]:
    """Return the shares of one histogram on the bins of another, its values taken as even within a bin."""
    edges = [np.asarray([_number_of(e) for e in side["edges"]], np.float64) for side in (old, new)]
    total = sum(old["counts"])
    if not total or not len(edges[1]):
        return []
    cumulated = np.concatenate(([0.0], np.cumsum(old["counts"]) / total))
    shares: list[float] = np.diff(np.interp(edges[1], edges[0], cumulated)).tolist()
    return shares


def _number_of(edge: object) -> float:
    return datetime.fromisoformat(edge).timestamp() if isinstance(edge, str) else float(str(edge))


def _value(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    text = str(value)
    return text.removesuffix("T00:00:00").replace("T", " ")


def _role_word(role: str) -> str:
    return ROLE_WORDS.get(role, role)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a contract and how the latest arrivals did by it.

    Attributes:
        check: its name, as findings have it.
        words: what it asks for.
        cells: one a shown arrival, oldest first.
        broken: how many of those breached it.
        declared: whether the contract writes it; else it is always looked at.
    """

    check: str
    words: str
    cells: Sequence[Cell]
    broken: int
    declared: bool = True


def rules_of(contract: Contract | None, data: Data | None, arrivals: Sequence[Arrival]) -> list[Rule]:
    """Return every rule with its results over the newest arrivals, breached ones first.

    Args:
        contract: what an arrival must satisfy; None when there is none.
        data: the charter's columns.
        arrivals: newest first.
    """
    latest = list(reversed(arrivals[:SHOWN_ARRIVALS]))
    told = rule_words(contract, data) if contract else {}
    seen = {finding.check for one in latest for finding in one.findings}
    always = {check: _always(check) for check in sorted(seen) if not any(_about(rule, check) for rule in told)}
    rules = [
        Rule(check, words, cells := [_cell(check, one) for one in latest],
             sum(cell.tone == "bad" for cell in cells), declared)
        for group, declared in ((told, True), (always, False)) for check, words in group.items()
    ]  # fmt: skip
    return sorted(rules, key=lambda rule: -rule.broken)


def rule_words(contract: Contract, data: Data | None) -> dict[str, str]:
    """Return the rules of a contract: the name that findings give them, and what they ask for in words."""
    told: dict[str, str] = {}
    for name, column in contract.columns.items():
        check = f"columns.{name}"
        if column.type is not None:
            told[f"{check}.type"] = f"{name} is there and is {_a(column.type)}"
        if column.missing is not None:
            most = f"missing in at most {percent(column.missing)} of rows" if column.missing else "never missing"
            told[f"{check}.missing"] = f"{name} is {most}"
        for bound, sign in (("min", "≥"), ("max", "≤")):
            value = getattr(column, bound)
            if value is not None:
                told[f"{check}.{bound}"] = f"{name} {sign} {_value(value)}"
        if column.allowed:
            told[f"{check}.allowed"] = f"{name} is one of {', '.join(_value(v) or '' for v in column.allowed)}"
        if column.unique:
            told[f"{check}.unique"] = f"{name} has no value twice"
    if contract.keys_unique:
        named = " and ".join((*data.keys, data.time)) if data else "keys and time"
        told["keys_unique"] = f"no two rows share {named}"
    told |= _row_words(contract)
    told |= {f"outliers.{c}": f"{c} within {z:g} robust deviations of the median" for c, z in contract.outliers.items()}
    told |= {f"expressions.{name}": f"{name}: {text}" for name, text in contract.expressions.items()}
    told |= {
        f"like_history.{c}": f"mean of {c} within {k:g} robust deviations of earlier arrivals"
        for c, k in contract.like_history.items()
    }
    return told


def _row_words(contract: Contract) -> dict[str, str]:
    rows, told = contract.rows, {}
    if rows is not None and rows.min is not None:
        told["rows.min"] = f"at least {plural(rows.min, 'row')}"
    if rows is not None and rows.max is not None:
        told["rows.max"] = f"at most {plural(rows.max, 'row')}"
    if rows is not None and rows.like_history is not None:
        told["rows.like_history"] = f"as many rows as usual, give or take {percent(rows.like_history)}"
    if contract.fresh is not None:
        told["fresh"] = f"newest row at most {contract.fresh} old when it arrives"
    if contract.extra_columns == "refuse":
        told["extra_columns"] = "no columns that the contract does not know"
    return told


def _always(check: str) -> str:
    what, _, name = check.partition(".")
    words = {"readable": "the file can be read", "unit": f"{name} in the unit it always had",
             "finite": f"{name} holds no infinity", "form": f"{name} as the charter declares it",
             "like_history": f"mean of {name} like earlier arrivals"}  # fmt: skip
    return words.get(what, f"{name or what} is there")


def _about(rule: str, check: str) -> bool:
    return rule == check or (rule.endswith(".type") and check == rule.removesuffix(".type"))


def _cell(rule: str, one: Arrival) -> Cell:
    about = [finding for finding in one.findings if _about(rule, finding.check)]
    name = PurePath(one.uri).name
    if about:
        return Cell("bad", f"{name}: {about[0].sentence}", links.arrival(one.id))
    if one.rows is None:
        return Cell("unknown", f"{name}: could not be read, so this was not judged", links.arrival(one.id))
    return Cell("ok", f"{name}: satisfied", links.arrival(one.id))


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}" if kind != "text" else "text"


def state_counts(summary: DatasetSummary) -> list[tuple[str, str, int]]:
    """Return tone, state and number of a dataset's arrivals, those that wait first."""
    order = ("quarantined", "accepted", "released", "rejected")
    return [(TONES.get(state, "none"), state, n) for state in order if (n := summary.arrivals.get(state, 0))]
