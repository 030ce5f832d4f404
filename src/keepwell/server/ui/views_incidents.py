"""What the pages of incidents show: what one touches, and its way from opening to closing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keepwell.ledger.model import Entry
from keepwell.monitoring.model import Incident
from keepwell.server.ui import links
from keepwell.server.ui.words import number, plural


@dataclass(frozen=True, slots=True)
class Told:
    """One fact of an incident: what it is, its value as text, its page if it has one."""

    what: str
    value: str
    href: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One point of an incident's way: when, what happened, by whom, why, its entry in the ledger."""

    at: datetime
    what: str
    actor: str
    note: str | None
    entry: int


WORDS = {
    "incident.opened": "Opened",
    "incident.widened": "Widened to what else it touches",
    "incident.closed": "Closed",
}


def facts_of(facts: Mapping[str, object]) -> list[Told]:
    """Return facts in words, with the page of each id; what is nested is listed by its names."""
    found = []
    for what, value in facts.items():
        if isinstance(value, Mapping):
            found += [Told(f"{what.replace('_', ' ')}: {name}", _text(inner), _page(inner))
                      for name, inner in value.items()]  # fmt: skip
        else:
            found.append(Told(what.replace("_", " "), _text(value), _page(value)))
    return found


def timeline_of(entries: Sequence[Entry]) -> list[Event]:
    """Return an incident's way, oldest first."""
    ordered = sorted(entries, key=lambda one: one.seq)
    return [Event(e.at, WORDS.get(e.kind, e.kind), e.actor, e.note, e.seq) for e in ordered]


def summary_of(incidents: Sequence[Incident]) -> str:
    """Return how many of some open incidents are how severe, in words."""
    bad = sum(one.severity == "bad" for one in incidents)
    parts = [f"{bad} {'needs' if bad == 1 else 'need'} someone now"] if bad else []
    watch = len(incidents) - bad
    parts += [f"{plural(watch, 'is' if watch == 1 else 'are', 'are')} to be watched"] if watch else []
    return ", ".join(parts)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "yes" if value else "no" if value is False else "unknown"
    if isinstance(value, int | float):
        return number(value)
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _page(value: object) -> str | None:
    return links.of_id(value) if isinstance(value, str) else None
