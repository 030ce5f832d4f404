"""Write the ledger out, so that anyone can verify it without Keepwell; and verify the one in the database."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Row

from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import canonical_json
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.db import Database, Transaction, read, write
from keepwell.ledger import checkpoints, store, verify
from keepwell.ledger.keys import SigningKey
from keepwell.ledger.model import Checkpoint

README = """This folder is the ledger of a Keepwell installation: every change of governed state, in order,
hash-chained.

  entries.jsonl      one entry a line, as canonical JSON
  checkpoints.jsonl  signed statements: "the first N entries have this Merkle root"
  keys.json          the public keys that signed them
  verify.py          checks all of it; needs Python 3.9 or newer and nothing else

To verify it:

  python -I verify.py .  --checkpoint FILE

FILE is a checkpoint that you, or somebody you trust, was given earlier (keepwell audit checkpoint --out FILE) and has
kept where nobody who runs the installation could change it. Without one, edits and cuts are still found, but not a
rewrite of the whole ledger that was signed anew. If you do not trust the verify.py in this folder, take the same file
from a Keepwell release, or write your own: what it checks is said at its top, and in docs/audit.md.
"""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written: where, how many entries, notes and checkpoints, and the checkpoint at its end."""

    place: str
    entries: int
    notes: int
    checkpoints: int
    last: Checkpoint


class _Target(Protocol):
    def file(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open one file of the export for writing."""


def export(db: Database, out: Path, key: SigningKey, call: Call, *, notes: bool = True) -> ExportSummary:
    """Write the whole ledger, with a fresh checkpoint, to a new folder, or to a zip when the name ends in `.zip`.

    Args:
        db: the database.
        out: a folder that does not exist or is empty, or a `.zip` that does not exist.
        key: the signing key in use.
        call: who asks, and when.
        notes: whether the reasons that people typed come with it.

    Raises:
        InvalidInput: `out` cannot be written.
        Conflict: `out` is there already.
    """
    zipped = out.suffix.lower() == ".zip"
    if out.exists() and (zipped or not out.is_dir() or any(out.iterdir())):
        raise Conflict(f"{out} is there already; name a new folder or a new .zip file.", code="exists")
    with write(db) as tx:
        last = checkpoints.sign_checkpoint(tx, call, key)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}.", where="out") from error
    try:
        made = temp / out.name
        with read(db) as tx, _zip(made) if zipped else _folder(made) as target:
            counts = _write(tx, target, last.size, notes)
        made.replace(out)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}.", where="out") from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return ExportSummary(str(out), last.size, counts[0], counts[1], last)


def check(tx: Transaction, held: Mapping[str, object] | None = None) -> verify.Report:
    """Verify the ledger in the database as `verify.py` verifies an export, against a held checkpoint when given."""
    lines = (line(row, notes=True) for row in store.stream(tx))
    signed = [_checkpoint(c) for c in store.all_checkpoints(tx)]
    return verify.audit(verify.values(lines, "entries"), signed, _keys(tx), None if held is None else dict(held))


def line(row: Row[tuple[object, ...]], *, notes: bool) -> bytes:
    """Return an entry as a line of the export: canonical JSON; a tampered row comes out as it is, for the verifier."""
    before = canonical_json({"actor": _plain(row.actor), "at": _plain(row.at)})
    rest: dict[str, object] = {
        name: _plain(getattr(row, name)) for name in ("commitment", "hash", "kind", "previous", "seq", "subject")
    }
    if notes and row.note is not None:
        rest |= {"note": _plain(row.note), "salt": _plain(row.salt)}
    return b'%s,"body":%s,%s\n' % (before[:-1], str(_plain(row.body)).encode(), canonical_json(rest)[1:])


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _write(tx: Transaction, target: _Target, size: int, notes: bool) -> tuple[int, int]:
    noted = 0
    with target.file("entries.jsonl") as file:
        for row in store.stream(tx):
            if row.seq > size:
                break
            noted += notes and row.note is not None
            file.write(line(row, notes=notes))
    signed = [c for c in store.all_checkpoints(tx) if c.size <= size]
    with target.file("checkpoints.jsonl") as file:
        file.writelines(canonical_json(_checkpoint(c)) + b"\n" for c in signed)
    with target.file("keys.json") as file:
        file.write(canonical_json([key for key in _keys(tx) if int(str(key["seq"])) <= size]) + b"\n")
    with target.file("README.txt") as file:
        file.write(README.encode())
    with target.file("verify.py") as file:
        file.write(Path(verify.__file__).read_bytes())
    return noted, len(signed)


def _checkpoint(signed: Checkpoint) -> dict[str, object]:
    return {
        "at": iso(signed.at),
        "key": signed.key,
        "root": signed.root,
        "signature": signed.signature,
        "size": signed.size,
    }


def _keys(tx: Transaction) -> list[dict[str, object]]:
    return [
        {
            "added_at": iso(key.added_at),
            "introduced_by": key.introduced_by,
            "introduction": key.introduction,
            "key": key.key,
            "public": key.public,
            "seq": key.seq,
        }
        for key in store.all_keys(tx)
    ]


class _FolderTarget:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        with (self._folder / name).open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


class _ZipTarget:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as file:
            yield file


@contextmanager
def _folder(place: Path) -> Iterator[_Target]:
    place.mkdir()
    yield _FolderTarget(place)


@contextmanager
def _zip(place: Path) -> Iterator[_Target]:
    with zipfile.ZipFile(place, "x") as archive:
        yield _ZipTarget(archive)
