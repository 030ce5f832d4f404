"""How each outcome of a segment is said: the sentence, the clause, the facts, and what would change it. Pure."""

from __future__ import annotations

import msgspec

from keepwell.loop.decisions import (
    Alert,
    AskApproval,
    Discard,
    Fact,
    Outcome,
    Promote,
    RollBack,
    Severity,
    Train,
)
from keepwell.loop.model import Compared, Known
from keepwell.loop.phrases import (
    CLAUSES,
    NOTHING_NEW,
    all_of,
    approval_clause,
    because,
    blocking,
    each,
    facts_of,
    ids_of,
    learned,
    named,
    pending,
    scope_of,
    signals_of,
    triggering,
    windows_of,
)
from keepwell.loop.view import Rows, View, triggers_of


def roll_back(v: View, rows: Rows) -> RollBack:
    """The champion does harm, and there is a version to go back to."""
    return RollBack(
        scope=named(v, rows),
        reason="The version in production does worse than the charter's baseline since it was promoted; "
        "the one before it answers again.",
        clause="evaluate.baseline",
        facts=facts_of(v, signals_of(v)),
        environment=v.charter.release.environments[-1],
        versions=ids_of(v.state.champion_id, rows),
        to=ids_of(v.state.previous_id, rows),
    )


def promote(v: View, rows: Rows) -> Promote:
    """The challenger is better, or the first to pass."""
    first = bool(v.no_champion[rows[0]])
    dead = not first and bool(v.state.can_answer[rows[0]] == Known.NO)
    tie = not first and not dead and bool(v.state.compared[rows[0]] == Compared.SAME)
    why = "The first version passed its gates" if first else "The challenger passed its gates and beats the champion"
    if dead:
        why = "The champion cannot answer, and the challenger passed its gates"
    if tie:
        why = "The champion is stale, and the challenger passed its gates and cannot be told from it"
    approved = f", and {all_of(v.roles)} approved it" if v.roles else ""
    old = v.state.champion_id[rows].tolist()
    return Promote(
        scope=named(v, rows),
        reason=f"{why}{approved}.",
        clause="release.approvals" if v.roles else "release.tie" if tie else "gates",
        facts=facts_of(v, each("version", v.state.challenger_id, rows), each("approval", v.state.approval_id, rows)),
        environment=v.charter.release.environments[-1],
        versions=ids_of(v.state.challenger_id, rows),
        replaces=tuple(None if first else str(o) for o in old),
    )


def ask_promotion(v: View, rows: Rows) -> AskApproval:
    """The challenger would be promoted, and the charter wants a person."""
    return _ask(v, rows, "")


def ask_promotion_again(v: View, rows: Rows) -> AskApproval:
    """The approval that was asked for expired."""
    return _ask(v, rows, " The approval that was asked for has expired.")


def train(v: View, rows: Rows) -> Train:
    """A trigger fired, and nothing stands against training."""
    fired = triggers_of(int(v.bits[rows[0]]))
    latest = v.state.data_latest
    gone = v.out[rows] | v.held[rows]
    return Train(
        scope=scope_of(v, rows),
        reason=because(v, fired) + ".",
        clause=CLAUSES[fired[0]],
        facts=facts_of(v, triggering(v, fired), [Fact("dataset_version", latest)] if latest else []),
        triggers=fired,
        dataset_version=latest,
        replaces=tuple(i for i in ids_of(v.state.challenger_id, rows[gone]) if i),
    )


def ask_training(v: View, rows: Rows) -> AskApproval:
    """A training would start, and the charter wants a person."""
    fired = triggers_of(int(v.bits[rows[0]]))
    return AskApproval(
        scope=scope_of(v, rows),
        reason=f"{because(v, fired)}; the charter wants a person before training.",
        clause="retrain.approval",
        facts=facts_of(v, triggering(v, fired)),
        what="training",
        environment="",
        roles=("owner",),
        versions=(),
    )


def discard_failed(v: View, rows: Rows) -> Discard:
    """The challenger failed its gates."""
    why = v.state.gates_reason[rows[0]]
    said = f"The challenger failed its gates: {why.rstrip('.')}." if why else "The challenger failed its gates."
    return _discard(v, rows, said, "gates")


def discard_refused(v: View, rows: Rows) -> Discard:
    """A person refused the challenger."""
    return _discard(v, rows, "A person refused the challenger.", approval_clause(v))


def discard_worse(v: View, rows: Rows) -> Discard:
    """The challenger is worse than the champion."""
    return _discard(v, rows, "The challenger is worse than the champion on the same weeks.", "release")


def discard_held(v: View, rows: Rows) -> Discard:
    """The challenger was held for as long as the charter says."""
    count = v.charter.release.hold_windows
    reason = f"{pending(v, rows)}; it was held for {windows_of(v, count)}, as long as the charter says."
    return _discard(v, rows, reason, "release.hold_windows")


def still(discard: Outcome, cause: str) -> Outcome:
    """Return a discard that keeps the cause of an alert standing."""
    return msgspec.structs.replace(discard, cause=cause) if isinstance(discard, Discard) else discard


def harm(v: View, rows: Rows) -> Alert:
    """The champion does harm, and there is nothing to go back to."""
    reason = "The version in production does worse than the charter's baseline, and no version before it is known."
    return _alert(v, rows, "bad", reason, "evaluate.baseline", "harm", "A better version, or a person.", signals_of(v))


def blocked(v: View, rows: Rows) -> Alert:
    """A training is wanted, and an incident stands against what it would learn from."""
    block = v.blocks[int(v.block[rows[0]])]
    fired = triggers_of(int(v.bits[rows[0]]))
    return _alert(
        v,
        rows,
        "bad",
        f"{because(v, fired)}, but its data is under an open incident ({block.title}): it is not trained on that.",
        CLAUSES[fired[0]],
        f"blocked:{block.cause}",
        "The incident's end.",
        blocking(v, rows),
        triggering(v, fired),
    )


def training_failed(v: View, rows: Rows) -> Alert:
    """The last training ended without a version."""
    run = v.state.training_id[rows[0]]
    until = "A person, or the next training after the cool-down."
    facts = [Fact("run", str(run))] if run is not None else []
    cause = f"training_failed:{run}" if run is not None else "training_failed"
    return _alert(v, rows, "bad", "The last training failed.", "pipeline", cause, until, facts)


def nothing_new(v: View, rows: Rows) -> Alert:
    """A training is wanted, and there is nothing to learn that was not learned."""
    fired = triggers_of(int(v.bits[rows[0]]))
    return _alert(
        v,
        rows,
        "watch",
        f"{because(v, fired)}, but {NOTHING_NEW}.",
        CLAUSES[fired[0]],
        f"nothing_new:{v.state.data_latest}",
        "New data, or new code.",
        learned(v),
        triggering(v, fired),
    )


def decayed_unanswered(v: View, rows: Rows) -> Alert:
    """Performance is bad, and the charter does not retrain on it."""
    reason = f"{because(v, ('performance',))}; the charter does not retrain for that."
    return _alert(
        v, rows, "bad", reason, "retrain.on", "performance", "Better forecasts, or a changed charter.", signals_of(v)
    )


def stale_unanswered(v: View, rows: Rows) -> Alert:
    """The champion is stale, and the charter does not retrain on it."""
    reason = f"{because(v, ('staleness',))}; the charter does not retrain for that."
    return _alert(v, rows, "watch", reason, "retrain.on", "staleness", "A newer version.", signals_of(v))


def drifted_unanswered(v: View, rows: Rows) -> Alert:
    """Columns drifted, and the charter does not retrain on it."""
    reason = f"{because(v, ('drift',))}; the charter does not retrain for that."
    return _alert(v, rows, "watch", reason, "retrain.on", "drift", "Data like that of the training.", signals_of(v))


def _ask(v: View, rows: Rows, more: str) -> AskApproval:
    first = bool(v.no_champion[rows[0]])
    why = "The first version passed its gates" if first else "The challenger passed its gates and beats the champion"
    clause = approval_clause(v)
    who = "the risk" if clause == "risk" else "the charter"
    return AskApproval(
        scope=named(v, rows),
        reason=f"{why}; {who} wants {all_of(v.roles)} to approve it.{more}",
        clause=clause,
        facts=facts_of(v, each("version", v.state.challenger_id, rows)),
        what="promotion",
        environment=v.charter.release.environments[-1],
        roles=v.roles,
        versions=ids_of(v.state.challenger_id, rows),
    )


def _discard(v: View, rows: Rows, reason: str, clause: str) -> Discard:
    facts = facts_of(v, each("version", v.state.challenger_id, rows))
    versions = ids_of(v.state.challenger_id, rows)
    return Discard(scope=named(v, rows), reason=reason, clause=clause, facts=facts, versions=versions)


def _alert(
    v: View, rows: Rows, severity: Severity, reason: str, clause: str, cause: str, until: str, *facts: list[Fact]
) -> Alert:
    owner = v.charter.owner.business if clause.startswith("data") else v.charter.owner.technical
    return Alert(
        scope=scope_of(v, rows),
        reason=reason,
        clause=clause,
        facts=facts_of(v, *facts),
        cause=f"{v.state.model}:{cause}",
        severity=severity,
        owner=owner,
        until=until,
    )
