"""Publish scorings and note their outcomes."""

from __future__ import annotations

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.ledger import append
from keepwell.serving import store
from keepwell.serving.model import Scoring


def publish(tx: Transaction, call: Call, scoring: Scoring) -> Scoring:
    """Record a scoring whose rows are stored; the same model, environment and origin is published once.

    Raises:
        InvalidInput: the counts of who answered do not add up to the rows.
    """
    if sum(scoring.answered.values()) != scoring.rows:
        raise InvalidInput("A scoring must say for every row who answered it.")
    there = store.by_origin(tx, scoring.model, scoring.environment, scoring.origin)
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
                "origin": scoring.origin,
                "input": scoring.input,
                "output": scoring.output,
                "part": scoring.part,
                "rows": scoring.rows,
                "answered": dict(scoring.answered),
            },
        ),
    )
    return scoring


def note_outcomes(tx: Transaction, call: Call, scoring: Scoring, joined: int, input_version: str) -> None:
    """Note that `joined` rows of a scoring have met their actual outcome, as known in a dataset version."""
    if joined == scoring.joined:
        return
    store.set_joined(tx, scoring.id, joined, input_version)
    append(
        tx,
        call,
        Event(
            "scoring.outcomes_joined",
            f"scoring:{scoring.id}",
            {"model": scoring.model, "rows": scoring.rows, "joined": joined, "input": input_version},
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


def published(tx: Transaction, model: str, environment: str, origin: str) -> Scoring | None:
    """Return the scoring of a model from an origin, or None when it is still due."""
    return store.by_origin(tx, model, environment, origin)


def waiting_for_outcomes(tx: Transaction, model: str) -> list[Scoring]:
    """Return a model's scorings that have rows without an outcome, oldest first."""
    return store.waiting_for_outcomes(tx, model)
