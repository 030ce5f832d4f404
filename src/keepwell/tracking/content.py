"""The digest of what a run holds, which the ledger keeps from its end on."""

from __future__ import annotations

from keepwell.core.digests import digest_json
from keepwell.db import Transaction
from keepwell.tracking import points_store, store
from keepwell.tracking.model import Run
from keepwell.tracking.rules import text_of
from keepwell.tracking.store import State


def digest_of(tx: Transaction, state: State, run: Run | None = None) -> dict[str, object]:
    """Return the digest of a run's params, latest metrics, tags and artifacts, and how many there are of each.

    Args:
        tx: a transaction.
        state: the run.
        run: the same run, whole, when the caller has it.
    """
    content = content_of(tx, state, run)
    return {"content": digest_json(content), **{name: len(part) for name, part in content.items()}}


def content_of(tx: Transaction, state: State, run: Run | None = None) -> dict[str, dict[str, object]]:
    """Return what a run holds, as the JSON that its digest is over."""
    found = run or store.get(tx, state.id)
    assert found is not None  # noqa: S101  (its state was read in this transaction)
    return {
        "params": {name: text_of(value)[0] for name, value in found.params.items()},
        "metrics": {
            name: [value if mark is None else mark, step, at]
            for name, step, at, value, mark in points_store.latest(tx, state.no)
        },
        "tags": dict(found.tags),
        "artifacts": dict(found.artifacts),
    }
