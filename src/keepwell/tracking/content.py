"""The digest of what a run holds, which the ledger keeps from its end on."""

from __future__ import annotations

from sqlalchemy import select

from keepwell.core.digests import digest_json
from keepwell.db import Transaction
from keepwell.tracking import points_store, store
from keepwell.tracking.store import State
from keepwell.tracking.tables import artifacts, tags


def digest_of(tx: Transaction, run: State) -> dict[str, object]:
    """Return the digest of a run's params, latest metrics, tags and artifacts, and how many there are of each."""
    content = content_of(tx, run)
    return {"content": digest_json(content), **{name: len(part) for name, part in content.items()}}


def content_of(tx: Transaction, run: State) -> dict[str, dict[str, object]]:
    """Return what a run holds, as the JSON that its digest is over."""
    its_tags = tx.execute(select(tags.c.name, tags.c.value, tags.c.rest).where(tags.c.run == run.no))
    files = tx.execute(select(artifacts.c.path, artifacts.c.digest).where(artifacts.c.owner == run.id))
    return {
        "params": dict(store.param_texts(tx, run.no)),
        "metrics": {
            name: [value if mark is None else mark, step, at]
            for name, step, at, value, mark in points_store.latest(tx, run.no)
        },
        "tags": {name: value + (rest or "") for name, value, rest in its_tags},
        "artifacts": {file.path: file.digest for file in files},
    }
