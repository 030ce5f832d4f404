"""Checkpoints: a Merkle root over all entries, signed, that anyone can keep elsewhere and hold against us later.

The tree is kept as its frontier (RFC 6962: the roots of its full subtrees), so a checkpoint costs the entries since the
last one, however long the ledger is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.db import Database, Transaction, read, write
from keepwell.ledger import rules, store
from keepwell.ledger.keys import SigningKey, discard_key, load_or_make_key, make_key
from keepwell.ledger.model import Checkpoint, PublicKey
from keepwell.ledger.service import append
from keepwell.ledger.verify import checkpoint_statement, key_statement

EVERY = 1000
"""After how many entries a checkpoint is due."""
_CHUNK = 20_000


def sign_checkpoint(tx: Transaction, call: Call, key: SigningKey) -> Checkpoint:
    """Sign a checkpoint over all entries; one that stands over the same entries is returned as it is.

    The first one also records the key in the ledger.

    Raises:
        Conflict: another key than this one is in use.
    """
    known = store.all_keys(tx)
    if not known:
        _add_key(tx, call, key, None)
    elif known[-1].key != key.key:
        raise Conflict(f"The ledger is signed by key {known[-1].key}; {key.key} is not in use.", code="other_key")
    last = store.last_checkpoint(tx)
    head = store.head(tx)
    if head is not None and last is not None and last.size == head[0]:
        return last
    tree = _advance(tx, limit=None)
    fields = {"at": iso(call.now), "key": key.key, "root": rules.root(tree), "size": tree.size}
    signed = Checkpoint(tree.size, rules.root(tree), call.now, key.key, key.sign(checkpoint_statement(fields)))
    store.add_checkpoint(tx, signed)
    failpoints.reach("checkpoint.signed")
    return signed


def signing_key(db: Database, home: Path) -> SigningKey:
    """Return the key that the ledger says is in use; makes the first one.

    Raises:
        Damaged: the key is lost.
    """
    with read(db) as tx:
        known = store.all_keys(tx)
    return load_or_make_key(home, known[-1].key if known else None)


def checkpoint(db: Database, home: Path, call: Call) -> Checkpoint:
    """Sign a checkpoint over all entries, and keep a copy of it in `<home>/checkpoint.json`, outside the database.

    Raises:
        Damaged: the signing key is lost.
    """
    _catch_up(db)
    key = signing_key(db, home)
    with write(db) as tx:
        signed = sign_checkpoint(tx, call, key)
        kept = held(tx, signed)
    keep(home / "checkpoint.json", kept)
    return signed


def checkpoint_if_due(db: Database, home: Path, call: Call, every: int = EVERY) -> Checkpoint | None:
    """Sign a checkpoint when `every` entries came since the last one; cheap enough to ask after every piece of work."""
    with read(db) as tx:
        last, head = store.last_checkpoint(tx), store.head(tx)
    behind = (head[0] if head else 0) - (last.size if last else 0)
    return checkpoint(db, home, call) if behind >= every else None


def rotate_key(db: Database, home: Path, call: Call, *, lost: bool = False) -> PublicKey:
    """Start a new signing key, introduced by the signature of the one in use.

    Args:
        db: the database.
        home: the installation's folder.
        call: who does it, and when.
        lost: the key in use is lost: the new one starts without an introduction, which every verification will say.

    Raises:
        Damaged: the key in use is not there, and `lost` was not said.
        Conflict: `lost` was said, and the key in use is there; or another process rotated it meanwhile.
    """
    with read(db) as tx:
        known = store.all_keys(tx)
    active = known[-1].key if known else None
    if lost and (active is None or (home / "keys" / f"ledger-{active}.key").exists()):
        raise Conflict("The signing key is not lost; rotate it without --lost.", code="key_not_lost")
    if not lost:
        active = checkpoint(db, home, call).key  # everything so far is signed by the key that is leaving
    older = None if lost else load_or_make_key(home, active)
    new = make_key(home)
    try:
        with write(db) as tx:
            if (found := store.all_keys(tx)[-1].key) != active:
                raise Conflict(f"Key {found} was started meanwhile; nothing was changed.", code="other_key")
            return _add_key(tx, call, new, older)
    except BaseException:
        discard_key(home, new)
        raise


def held(tx: Transaction, signed: Checkpoint) -> dict[str, object]:
    """Return a checkpoint as a witness keeps it: with the public key, and a trail of hashes that locates a change.

    The trail keeps the first 16 hex digits of every `every`-th entry's hash, 4,096 at most. It proves nothing (the
    root does); it only lets the verifier name the first entry that a rewrite changed.
    """
    public = next((key.public for key in store.all_keys(tx) if key.key == signed.key), None)
    if public is None:
        raise NotFound(f"Key {signed.key} of this checkpoint is not in the ledger.")
    step = rules.trail_step(signed.size)
    trail = store.hashes_at(tx, range(step, signed.size + 1, step))
    return {
        "at": iso(signed.at),
        "key": signed.key,
        "public": public,
        "root": signed.root,
        "signature": signed.signature,
        "size": signed.size,
        "trail": {"every": step, "hashes": "".join(h[:16] for h in trail)},
    }


def keep(place: Path, kept: dict[str, object]) -> None:
    """Write a held checkpoint to a file, whole or not at all; one over more entries is left as it is."""
    if (found := kept_size(place)) is not None and found > int(str(kept["size"])):
        return
    temp = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    with temp.open("w", encoding="utf-8") as file:
        file.write(json.dumps(kept, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temp.replace(place)


def kept_size(place: Path) -> int | None:
    """Return how many entries the checkpoint in a file covers; None when there is no checkpoint in it."""
    try:
        size = json.loads(place.read_bytes())["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if type(size) is int else None


def _add_key(tx: Transaction, call: Call, new: SigningKey, older: SigningKey | None) -> PublicKey:
    facts: dict[str, object] = {
        "introduced_by": older.key if older else None,
        "key": new.key,
        "public": new.public,
    }
    introduction = older.sign(key_statement(facts)) if older else None
    (entry,) = append(tx, call, Event("ledger.key_added", f"key:{new.key}", {**facts, "introduction": introduction}))
    added = PublicKey(new.key, new.public, entry.seq, call.now, older.key if older else None, introduction)
    store.add_key(tx, added)
    failpoints.reach("key.added")
    return added


def _catch_up(db: Database) -> None:
    """Sum up most of what is new in short transactions, so that signing holds the write lock for a moment only."""
    while True:
        with read(db) as tx:
            tree, head = store.read_frontier(tx), store.head(tx)
        if head is None or head[0] - tree.size < _CHUNK:
            return
        with write(db) as tx:
            _advance(tx, limit=_CHUNK)


def _advance(tx: Transaction, limit: int | None) -> rules.Frontier:
    """Add entries to the summed-up tree: all that are new, or `limit` of them."""
    old = tree = store.read_frontier(tx)
    while new := store.hashes(tx, tree.size, limit or _CHUNK):
        tree = rules.extend(tree, new)
        if limit is not None:
            break
    if tree.size != old.size and not store.write_frontier(tx, old, tree):
        raise Conflict("The ledger's tree was summed up by somebody else meanwhile; try again.")
    return tree
