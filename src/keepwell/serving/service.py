"""Publish scorings and note their outcomes."""

from __future__ import annotations

from datetime import datetime

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.ledger import append
from keepwell.serving import store
from keepwell.serving.model import Scoring


def publish(tx: Transaction, call: Call, scoring: Scoring) -> Scoring:
    """Record a scoring whose rows are stored; the same model, environment and slot is published once.

    Raises:
        InvalidInput: the counts of who answered do not add up to the rows.
    """
    if sum(scoring.answered.values()) != scoring.rows:
        raise InvalidInput("A scoring must say for every row who answered it.")
    there = store.by_slot(tx, scoring.model, scoring.environment, scoring.slot)
    if there is not None:
        return there
    store.add(tx, scoring)
    failpoints.reach("scoring.stored")
    append(
        tx,
        call,
        Event(
            "scoring.published",
            f"scoring:{scoring.id}",
            {
                "model": scoring.model,
                "environment": scoring.environment,
                "slot": iso(scoring.slot),
                "origin": scoring.origin,
                "input": scoring.input,
                "output": scoring.output,
                "part": scoring.part,
                "rows": scoring.rows,
                "answered": dict(scoring.answered),
                "silent": len(scoring.silent),
            },
        ),
    )
    return scoring


def note_outcomes(
    tx: Transaction, call: Call, scoring: Scoring, joined: int, input_version: str, *, closed: bool
) -> None:
    """Note that `joined` rows of a scoring have met their outcome, and whether every one that will come has come.

    That newer data was looked at is noted too; it is told to the ledger when it brought something.
    """
    store.set_joined(tx, scoring.id, joined, input_version, closed)
    if joined == scoring.joined and closed == scoring.closed:
        return
    append(
        tx,
        call,
        Event(
            "scoring.outcomes_joined",
            f"scoring:{scoring.id}",
            {
                "model": scoring.model,
                "rows": scoring.rows,
                "joined": joined,
                "input": input_version,
                "closed": closed,
            },
        ),
    )


def scoring(tx: Transaction, scoring_id: str) -> Scoring:
    """Return one scoring.

    Raises:
        NotFound: there is none with that id.
    """
    found = store.by_id(tx, scoring_id)
    if found is None:
        raise NotFound(f"There is no scoring {scoring_id!r}; list them with `keepwell score list`.")
    return found


def scorings(tx: Transaction, model: str, *, limit: int = 50, before: str | None = None) -> list[Scoring]:
    """Return a model's scorings, newest first."""
    return store.newest(tx, model, limit, before)


def published(tx: Transaction, model: str, environment: str, slot: datetime) -> Scoring | None:
    """Return the scoring of a model for a moment of its schedule, or None when it is still due."""
    return store.by_slot(tx, model, environment, slot)


def waiting_for_outcomes(tx: Transaction, model: str) -> list[Scoring]:
    """Return a model's scorings whose outcomes have not all come, oldest first."""
    return store.waiting_for_outcomes(tx, model)
