"""One tick: join outcomes, judge, observe, decide, record, act; again until everything is settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keepwell.core import failpoints
from keepwell.flows.certify import certify_anew
from keepwell.flows.feedback import join_outcomes
from keepwell.flows.kit import Kit
from keepwell.flows.train import finish_left
from keepwell.flows.watch import watch
from keepwell.governance.charters import AppliedCharter, current_charter
from keepwell.loop import service
from keepwell.loop.act import act
from keepwell.loop.decide import decide
from keepwell.loop.decisions import Decision, Hold
from keepwell.loop.lease import holding
from keepwell.loop.model import State
from keepwell.loop.observe import observe, over
from keepwell.loop.ticks import Tick
from keepwell.pipelines.model import Progress

MOST_ROUNDS = 8
"""A tick settles in four rounds: receive, train, promote and score, hold. More would be a fault of the rules."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did.

    Attributes:
        model: the fleet.
        rounds: the recorded rounds, in order; the last one holds.
        settled: whether the last round left nothing to do.
    """

    model: str
    rounds: tuple[Tick, ...]
    settled: bool

    @property
    def decisions(self) -> list[Decision]:
        """Every decision of every round, in order."""
        return [d for r in self.rounds for d in r.decisions]


def tick(kit: Kit, model: str, *, progress: Callable[[Progress], None] | None = None) -> Ticked:
    """Run the loop once for a fleet, until a round decides nothing but holds.

    Raises:
        NotFound: no charter of that model is applied.
        Unavailable: another process works on this fleet.
        KeepwellError: something that was decided could not be done.
    """
    with kit.read() as tx:
        applied = current_charter(tx, model)
    actor = f"loop:{model}"
    rounds: list[Tick] = []
    with holding(kit, actor) as held:
        finish_left(held, applied, actor)
        certify_anew(held, applied, actor)
        for _ in range(MOST_ROUNDS):
            state, decisions = look(held, applied)
            with held.write() as tx:
                made = service.record_tick(tx, held.call(actor), state, held.clock.now(), decisions)
            failpoints.reach("tick.recorded")
            rounds.append(made)
            if settled(decisions) and not over(state, decisions):
                return Ticked(model, tuple(rounds), settled=True)
            act(held, applied, made, state.segments, actor, progress)
            failpoints.reach("tick.acted")
            if len(rounds) > 1 and rounds[-2].decisions == made.decisions:
                break
    return Ticked(model, tuple(rounds), settled=False)


def look(kit: Kit, applied: AppliedCharter) -> tuple[State, tuple[Decision, ...]]:
    """Bring a fleet's signals up to date and return its state and what would be decided; nothing is acted on."""
    actor = f"loop:{applied.charter.model}"
    join_outcomes(kit, applied, actor)
    state = observe(kit, applied, watch(kit, applied, actor))
    return state, decide(applied.charter, state, kit.clock.now())


def settled(decisions: tuple[Decision, ...]) -> bool:
    """Tell whether there is nothing left to do: only holds."""
    return all(isinstance(d, Hold) for d in decisions)
