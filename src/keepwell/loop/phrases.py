"""Phrases, facts and scopes that the wordings of outcomes share. Pure."""

from __future__ import annotations

import numpy as np

from keepwell.loop.decisions import (
    Fact,
    Scope,
    Trigger,
)
from keepwell.loop.model import Compared, Gates, Texts
from keepwell.loop.view import Rows, View

CLAUSES: dict[Trigger, str] = {
    "no_model": "segments",
    "cannot_answer": "fallback",
    "person": "retrain",
    "performance": "monitor.performance",
    "drift": "monitor.drift",
    "staleness": "retrain.stale_after",
    "schedule": "retrain.schedule",
    "new_data": "retrain.on",
    "code": "retrain.on",
}
"""The clause of the charter that each trigger follows."""
MOST_FACTS = 20
"""More ids than this are not listed one by one."""


NOTHING_NEW = "its newest training learned from the same data with the same code"


def because(v: View, fired: tuple[Trigger, ...]) -> str:
    """Return the triggers as the beginning of a sentence."""
    c = v.charter
    limits = " and ".join(f"{metric} at most {limit:g}" for metric, limit in sorted(c.monitor.performance.items()))
    said: dict[Trigger, str] = {
        "no_model": "No version answers for it",
        "cannot_answer": "Its version cannot answer",
        "person": "A person asked for a training",
        "performance": f"Its forecasts are worse than the charter allows ({limits or 'no limit'} over the newest "
        f"{windows_of(v, c.monitor.windows)})",
        "drift": f"Its data drifted from what it was trained on (by more than {c.monitor.drift or 0:g})",
        "staleness": f"It was trained more than {c.retrain.stale_after} ago",
        "schedule": "Its schedule is due",
        "new_data": "There is new data",
        "code": "The code that trains it changed",
    }
    first, *rest = [said[t] for t in fired]
    return "; ".join([first, *(r[0].lower() + r[1:] for r in rest)])


def pending(v: View, rows: Rows) -> str:
    """Return what is not known of held challengers, as the beginning of a sentence."""
    gates, compared = Gates(int(v.state.gates[rows[0]])), Compared(int(v.state.compared[rows[0]]))
    if gates == Gates.UNKNOWN:
        return "The challenger's gates were not judged"
    if gates == Gates.UNDECIDED:
        return "The challenger's gates are undecided: there is too little evidence"
    if compared == Compared.SAME:
        return "The challenger cannot be told from the champion"
    return "The challenger could not be compared with the champion"


def windows_of(v: View, count: int) -> str:
    """Return a number of windows in words."""
    return f"{count} window{'' if count == 1 else 's'} of {v.charter.monitor.window}"


def approval_clause(v: View) -> str:
    """Return the clause that demands approvals: declared, or derived from the risk."""
    return "risk" if v.charter.release.approvals is None else "release.approvals"


def triggering(v: View, fired: tuple[Trigger, ...]) -> list[Fact]:
    """Return the facts that fired triggers: the signals, the new data, the new code."""
    found: list[Fact] = []
    if {"performance", "drift", "staleness"} & set(fired):
        found += signals_of(v)
    if "new_data" in fired and v.state.data_latest is not None:
        found.append(Fact("dataset_version", v.state.data_latest))
    if "code" in fired and v.state.code_latest is not None:
        found.append(Fact("code", v.state.code_latest))
    return found


def blocking(v: View, rows: Rows) -> list[Fact]:
    """Return the incident that stands against training."""
    block = v.blocks[int(v.block[rows[0]])]
    return [Fact("incident", block.incident) if block.incident else Fact("cause", block.cause)]


def learned(v: View) -> list[Fact]:
    """Return what the newest training learned from and with."""
    latest, code = v.state.data_latest, v.state.code_latest
    return [Fact(w, i) for w, i in (("dataset_version", latest), ("code", code)) if i is not None]


def signals_of(v: View) -> list[Fact]:
    """Return the recording of signals that was judged by."""
    return [Fact("signals", v.state.signals_id)] if v.state.signals_id is not None else []


def each(what: str, column: Texts, rows: Rows) -> list[Fact]:
    """Return the distinct ids of a column as facts, unless they are too many to list."""
    ids = sorted({str(i) for i in column[rows].tolist() if i is not None})
    return [Fact(what, i) for i in ids] if len(ids) <= MOST_FACTS else []


def facts_of(v: View, *groups: list[Fact]) -> tuple[Fact, ...]:
    """Return facts without repeats; what rests on nothing but the charter says so."""
    found = dict.fromkeys(fact for group in groups for fact in group)
    return tuple(found) or (Fact("charter", v.state.charter),)


def scope_of(v: View, rows: Rows) -> Scope:
    """Return the shortest form of a scope."""
    n = len(v.state.segments)
    if 2 * len(rows) <= n:
        return named(v, rows)
    rest = np.ones(n, np.bool_)
    rest[rows] = False
    return Scope(tuple(v.state.segments[i] for i in np.flatnonzero(rest).tolist()), others=True)


def named(v: View, rows: Rows) -> Scope:
    """Return a scope that names its segments."""
    return Scope(tuple(v.state.segments[i] for i in rows.tolist()))


def ids_of(column: Texts, rows: Rows) -> tuple[str, ...]:
    """Return the ids of a column, in the order of the rows."""
    return tuple("" if i is None else str(i) for i in column[rows].tolist())


def all_of(roles: tuple[str, ...]) -> str:
    """Return all of some roles in words."""
    return " and ".join(roles)
