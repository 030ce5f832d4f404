"""Recorded ticks and decisions as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keepwell.loop.decisions import Decision


@dataclass(frozen=True, slots=True)
class Tick:
    """One time the loop decided for one fleet.

    Attributes:
        seq: the place among all ticks of the house; grows.
        id: `tick_...`.
        model: the fleet.
        number: the place among the fleet's ticks, dense from 1.
        at: the moment it was decided for.
        actor: who ran the loop.
        charter: digest of the charter in force.
        state: digest of the state it was decided from.
        size: how many segments the fleet had.
        counts: kind of decision to how many segments got it; work of the whole fleet counts as 1.
        decisions: what was decided, in order; empty in a listing.
    """

    seq: int
    id: str
    model: str
    number: int
    at: datetime
    actor: str
    charter: str
    state: str
    size: int
    counts: Mapping[str, int]
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded decision and the tick it was made in.

    Attributes:
        seq: the tick's place among all ticks; `place` the decision's place in the tick: together a page's cursor.
        tick: the tick's id.
        number: the tick's number in its fleet.
        at: the moment of the tick.
        model: the fleet.
        fleet_size: how many segments the fleet had.
        size: how many of them the decision is about.
        decision: the decision.
    """

    seq: int
    place: int
    tick: str
    number: int
    at: datetime
    model: str
    fleet_size: int
    size: int
    decision: Decision
