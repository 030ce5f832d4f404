"""How each hold is said: why nothing is done, and what would change that. Pure."""

from __future__ import annotations

import msgspec

from keepwell.core.spans import parse_span, show_span
from keepwell.loop.decisions import (
    Alert,
    Fact,
    Hold,
)
from keepwell.loop.model import Health
from keepwell.loop.phrases import (
    CLAUSES,
    NOTHING_NEW,
    all_of,
    approval_clause,
    because,
    blocking,
    each,
    facts_of,
    learned,
    pending,
    scope_of,
    signals_of,
    triggering,
    windows_of,
)
from keepwell.loop.view import Rows, View, day_of, triggers_of


def waits_for_approval(v: View, rows: Rows) -> Hold:
    """A person was asked and has not answered."""
    reason = f"The challenger is ready and waits for {all_of(v.roles)} to approve it."
    facts = each("approval", v.state.approval_id, rows)
    return _waiting(_hold(v, rows, reason, approval_clause(v), "An approval, or a refusal.", facts))


def approval_unknown(v: View, rows: Rows) -> Hold:
    """Whether it was approved is not known."""
    reason = "The challenger is ready, but whether it was approved is not known."
    return _hold(v, rows, reason, approval_clause(v), "The state of its approval.")


def waits_for_training_approval(v: View, rows: Rows) -> Hold:
    """A person was asked about a training and has not answered."""
    reason = "A training waits for a person to approve it."
    return _waiting(_hold(v, rows, reason, "retrain.approval", "An approval, or a refusal."))


def training_approval_open(v: View, rows: Rows) -> Hold:
    """A training was refused, or whether it was approved is not known."""
    fired = triggers_of(int(v.bits[rows[0]]))
    reason = f"{because(v, fired)}; the training is not approved."
    return _hold(v, rows, reason, "retrain.approval", "An approval of the training.", triggering(v, fired))


def settling(v: View, rows: Rows) -> Hold:
    """What answers changed lately."""
    reason = f"What answers changed less than {v.charter.monitor.window} ago, and nothing is known of it yet."
    until = f"The end of its first window, on {day_of(v.settled_at[rows].max())}."
    return _hold(v, rows, reason, "monitor.window", until, each("version", v.state.champion_id, rows))


def in_training(v: View, rows: Rows) -> Hold:
    """A training is under way."""
    facts = each("run", v.state.training_id, rows)
    return _hold(v, rows, "A training is under way.", "retrain", "Its end.", facts)


def champion_unknown(v: View, rows: Rows) -> Hold:
    """Which version answers is not known."""
    return _hold(v, rows, "Which version answers in production is not known.", "release", "The registry's answer.")


def training_unknown(v: View, rows: Rows) -> Hold:
    """Whether a training is under way is not known."""
    reason = "A training is wanted, but whether one is under way is not known."
    return _hold(v, rows, reason, "retrain", "The state of its last training.")


def cooling(v: View, rows: Rows) -> Hold:
    """The segment was trained too recently."""
    fired = triggers_of(int(v.bits[rows[0]]))
    span = show_span(parse_span(v.charter.retrain.cool_down))
    reason = f"{because(v, fired)}; it was trained less than {span} ago."
    until = f"The end of the cool-down, on {day_of(v.cool_until[rows].max())}."
    return _hold(v, rows, reason, "retrain.cool_down", until, triggering(v, fired))


def blocked_quietly(v: View, rows: Rows) -> Hold:
    """An incident stands against a training that nobody needs to be told of."""
    block = v.blocks[int(v.block[rows[0]])]
    fired = triggers_of(int(v.bits[rows[0]]))
    reason = f"{because(v, fired)}, but its data is under an open incident ({block.title})."
    return _hold(v, rows, reason, CLAUSES[fired[0]], "The incident's end.", blocking(v, rows))


def incidents_unknown(v: View, rows: Rows) -> Hold:
    """Whether an incident stands against a training is not known."""
    reason = "A training is wanted, but whether an incident touches its data is not known."
    return _hold(v, rows, reason, "data", "The list of open incidents.")


def nothing_new_quietly(v: View, rows: Rows) -> Hold:
    """There is nothing to learn that was not learned."""
    fired = triggers_of(int(v.bits[rows[0]]))
    reason = f"{because(v, fired)}, but {NOTHING_NEW}."
    return _hold(v, rows, reason, CLAUSES[fired[0]], "New data, or new code.", learned(v))


def data_arriving(v: View, rows: Rows) -> Hold:
    """Newer data is on its way."""
    fired = triggers_of(int(v.bits[rows[0]]))
    reason = f"{because(v, fired)}; it waits for the data that is being let in."
    return _hold(v, rows, reason, "data.source", "The end of conditioning.", triggering(v, fired))


def held(v: View, rows: Rows) -> Hold:
    """The challenger cannot be told from the champion, or not be judged."""
    count, most = int(v.state.held_windows[rows[0]]), v.charter.release.hold_windows
    so_far = f"held for {count} of {windows_of(v, most)}" if count >= 0 else "for how long it was held is not known"
    until = "More outcomes: it is promoted when it is better, discarded when it is worse or was held for long enough."
    facts = each("version", v.state.challenger_id, rows)
    return _hold(v, rows, f"{pending(v, rows)}; {so_far}.", "release.hold_windows", until, facts)


def nothing_answers(v: View, rows: Rows) -> Hold:
    """No version answers, and what waits to is not known."""
    reason = "No version answers for it, and whether one wants to is not known."
    return _hold(v, rows, reason, "release", "The registry's answer.")


def too_few_outcomes(v: View, rows: Rows) -> Hold:
    """Performance is not known."""
    limit = v.charter.monitor
    stale = {Health.OK: "it is not stale", Health.BAD: "it is stale", Health.UNKNOWN: "its age is not known"}
    if limit.performance:
        reason = (
            f"How well it does is not known: fewer than {limit.min_rows} rows with an outcome in the newest windows"
        )
    else:
        reason = "The charter sets no limit for performance"
    age = stale[Health(int(v.state.staleness[rows[0]]))]
    clause = "monitor.min_rows" if limit.performance else "monitor.performance"
    return _hold(v, rows, f"{reason}; {age}.", clause, "Outcomes of its forecasts.", signals_of(v))


def well(v: View, rows: Rows) -> Hold:
    """Nothing is to be done."""
    reason = "It does as well as the charter asks, and nothing asks for a new version."
    until = "Worse forecasts, age, or another trigger of the charter."
    return _hold(v, rows, reason, "retrain.on", until, signals_of(v))


def standing(alert: Alert) -> Hold:
    """Someone was told already, and the cause stands."""
    return Hold(
        scope=alert.scope,
        reason=f"{alert.reason} {alert.owner} was told.",
        clause=alert.clause,
        facts=alert.facts,
        until=alert.until,
        cause=alert.cause,
    )


def _hold(v: View, rows: Rows, reason: str, clause: str, until: str, *facts: list[Fact]) -> Hold:
    return Hold(scope=scope_of(v, rows), reason=reason, clause=clause, facts=facts_of(v, *facts), until=until)


def _waiting(hold: Hold) -> Hold:
    return msgspec.structs.replace(hold, waits_for_a_person=True)
