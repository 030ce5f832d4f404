"""fsck: ask whether the stored state is whole. It changes nothing, and an empty answer means clean.

The invariants are those of the safety plan: I1 what is registered has its bytes, I2 stored bytes are what their names
say, I3 numbers are dense, I4 the ledger verifies and every effect has its entry, I5 the champion is the last
promotion's and the only one, I6 a remembered answer can be given again.
Beside them, I7: what is stored twice of a run agrees, and its points can be read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import msgspec

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import KeepwellError, Unavailable
from keepwell.db import read
from keepwell.flows import invariants, references
from keepwell.flows.kit import Kit


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it must be.

    Attributes:
        invariant: which promise is broken: `I1` to `I7`, or `database`.
        subject: what is concerned, as `<type>:<id or name>`.
        wrong: what is wrong, and what to do, in a sentence.
    """

    invariant: str
    subject: str
    wrong: str


def fsck(kit: Kit, *, quick: bool = False) -> list[Problem]:
    """Check every invariant; return what is broken, nothing when the house is whole.

    Args:
        kit: the opened house.
        quick: look at rows and at what is there, but hash no bytes and verify no chain.

    Raises:
        Unavailable: the database is busy.
        Damaged: the database cannot be read at all.
    """
    found: list[Problem] = []
    with read(kit.db) as tx:
        for wrong in invariants.all_of_rows(tx, kit.db.backend, deep=not quick):
            found.append(Problem(*wrong))
        found += [Problem(*wrong) for wrong in invariants.ledger(tx, kit.home, deep=not quick)]
        needed = references.needed(tx)
        slices = invariants.slices(tx)
    damaged = set() if quick else {digest for digest in kit.blobs.digests() if not kit.blobs.verify(digest)}
    found += [
        Problem("I2", f"blob:{d}", "The stored bytes are not what their name says; restore them.") for d in damaged
    ]
    with read(kit.db) as tx:
        needed |= references.inner(tx, kit.blobs, damaged)
    for digest, who in needed.items():
        found += _missing(kit, digest, who, damaged)
    for pack, members in slices.items():
        if pack not in damaged and kit.blobs.has(pack):
            found += _slices(kit, pack, members, quick=quick)
    return found


def remarks(kit: Kit) -> list[str]:
    """Return what an operator should know that breaks no promise."""
    with read(kit.db) as tx:
        said = kit.db.backend.remarks(tx)
    if (free := kit.blobs.free_bytes()) < 1 << 30:
        said.append(f"The disk has only {free >> 20} MiB left.")
    return said


def _missing(kit: Kit, digest: str, who: str, damaged: set[str]) -> Iterator[Problem]:
    if digest in damaged:
        yield Problem("I1", who, f"The bytes {digest} that it needs have changed; restore them from a backup.")
    elif not kit.blobs.has(digest):
        yield Problem("I1", who, f"The bytes {digest} that it needs are not stored; restore them from a backup.")


def _slices(kit: Kit, pack: str, members: list[invariants.Slice], *, quick: bool) -> Iterator[Problem]:
    """Check that every member's bytes lie in its pack and hash to its artifact."""
    size = kit.blobs.size(pack) or 0
    outside = [m for m in members if m.offset < 0 or m.length < 0 or m.offset + m.length > size]
    for member in outside:
        yield Problem("I1", f"version:{member.version}", f"Its bytes lie outside of its pack {pack}.")
    if quick or size == 0:
        return
    try:
        with kit.blobs.path(pack).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            view = memoryview(whole)
            try:
                for member in members:
                    if member not in outside:
                        yield from _slice(view, member)
            finally:
                view.release()
    except Unavailable:
        raise
    except KeepwellError as error:
        yield Problem("I1", f"blob:{pack}", error.message)


def _slice(view: memoryview, member: invariants.Slice) -> Iterator[Problem]:
    part = view[member.offset : member.offset + member.length]
    try:
        if digest_bytes(part) != member.artifact:
            wrong = f"Its bytes do not hash to its artifact {member.artifact}."
            yield Problem("I1", f"version:{member.version}", wrong)
    finally:
        part.release()
