"""What may be changed, and what the ledger is told when a run is changed after its end."""

from __future__ import annotations

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.ledger import append
from keepwell.tracking import models_store, store
from keepwell.tracking.content import digest_of
from keepwell.tracking.store import State


def run_state(tx: Transaction, run_id: str, *, lock: bool = True) -> State:
    """Return what a change of a run asks first, and hold the run for this transaction.

    Raises:
        NotFound: there is no such run.
    """
    found = store.state(tx, check_id(run_id, "run"), lock=lock)
    if found is None:
        raise NotFound(f"There is no run {run_id}; see `keepwell runs list`.", where="run_id")
    return found


def active_run(tx: Transaction, run_id: str, *, lock: bool = True) -> State:
    """Return the state of a run that is not deleted, held for this transaction.

    Raises:
        NotFound: there is no such run.
        Conflict: it is deleted; code `not_active`.
    """
    state = run_state(tx, run_id, lock=lock)
    if state.gone:
        raise Conflict(f"The run {run_id} must be in the 'active' state. Current state is deleted.", code="not_active")
    return state


def writable(tx: Transaction, owner: str, *, lock: bool = True) -> State | None:
    """Return the state of the run that owns something, or None when a logged model does.

    Raises:
        NotFound: there is neither.
        Conflict: it is deleted; code `not_active`.
    """
    if not owner.startswith("m-"):
        return active_run(tx, owner, lock=lock)
    gone = models_store.gone(tx, owner)
    if gone is None:
        raise NotFound(f"Logged model with ID '{owner}' not found.", where="model_id")
    if gone:
        raise Conflict(f"The logged model {owner} is deleted.", code="not_active")
    return None


def amended(tx: Transaction, call: Call, state: State | None, **counts: int) -> None:
    """Tell the ledger of a change of a run that has ended: `run.amended`, with counts and the digest of its content."""
    if state is not None and state.ended:
        body = {"changed": {name: count for name, count in counts.items() if count}, **digest_of(tx, state)}
        failpoints.reach("tracking.amending")
        append(tx, call, Event("run.amended", f"run:{state.id}", body))
