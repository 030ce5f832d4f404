"""Use cases and queries of artifacts: files that a run or a logged model made, by path; their bytes are blobs."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Integer, String, bindparam, delete, func, insert, literal, or_, select, update

from keepwell.core.calls import Call
from keepwell.core.clock import iso_ms, to_ms
from keepwell.core.digests import check_digest
from keepwell.core.errors import Conflict, NotFound
from keepwell.db import Transaction, quick
from keepwell.tracking import rules
from keepwell.tracking.amending import amended, writable
from keepwell.tracking.model import Artifact
from keepwell.tracking.tables import artifacts as table

_OF = (table.c.path, table.c.digest, table.c.size, table.c.at)
_ALL = select(*_OF).where(table.c.owner == bindparam("of_owner")).order_by(table.c.path)
_BELOW = _ALL.where(
    func.substr(table.c.path, 1, bindparam("length", type_=Integer)) == bindparam("start", type_=String)
)


def put_artifact(tx: Transaction, call: Call, owner: str, path: str, digest: str, size: int | None = None) -> Artifact:
    """Record a file of a run or logged model under a path, over the one that is there.

    Args:
        tx: a write transaction.
        call: who and when.
        owner: id of the run or the logged model.
        path: segments joined by `/`, see `rules.accept_path`.
        digest: digest of its bytes, which are stored already.
        size: bytes.

    Raises:
        InvalidInput: the path or the digest cannot be used.
        NotFound: there is no such run or logged model.
        Conflict: the owner is deleted, the path differs from another one in case only, or it is a folder, or lies below
            a file.
    """
    rules.accept_path(path)
    check_digest(digest)
    state = writable(tx, owner)
    at = to_ms(call.now)
    write(tx, owner, path, digest, size, at)
    amended(tx, call, state, artifacts=1)
    return Artifact(path=path, digest=digest, size=size, at=iso_ms(at))


def write(tx: Transaction, owner: str, path: str, digest: str, size: int | None, at: int) -> None:
    """Write one row, over the one of the same path.

    Raises:
        Conflict: see `put_artifact`.
    """
    if _is_there(tx, owner, path):
        here = (table.c.owner == owner) & (table.c.path == path)
        tx.execute(update(table).where(here).values(digest=digest, size=size, at=at))
    else:
        fold = rules.fold_path(path)
        tx.execute(insert(table).values(owner=owner, path=path, fold=fold, digest=digest, size=size, at=at))


def check_place(tx: Transaction, owner: str, path: str) -> None:
    """Refuse a path before its bytes are there, as `put_artifact` would; changes and holds nothing.

    Raises:
        InvalidInput, NotFound, Conflict: as `put_artifact`.
    """
    rules.accept_path(path)
    writable(tx, owner, lock=False)
    _is_there(tx, owner, path)


def _is_there(tx: Transaction, owner: str, path: str) -> bool:
    """Tell whether a file has this path; raise when another stands in its way."""
    fold = rules.fold_path(path)
    there = tx.execute(select(table.c.path).where(table.c.owner == owner, table.c.fold == fold)).scalar()
    if there == path:
        return True
    if there is not None:
        raise Conflict(f"There is {there!r} already, which differs in case only; use that name.", code="path_taken")
    parts = fold.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts))]
    below = func.substr(table.c.fold, 1, len(fold) + 1) == fold + "/"
    blocking = tx.scalar(
        select(table.c.path).where(table.c.owner == owner, or_(table.c.fold.in_(above), below)).limit(1)
    )
    if blocking is not None:
        raise Conflict(f"{path!r} cannot be beside {blocking!r}: one would be a file and a folder.", code="path_taken")
    return False


def artifact(tx: Transaction, owner: str, path: str) -> Artifact:
    """Return the file of a path.

    Raises:
        InvalidInput: the path cannot be one.
        NotFound: there is no such file.
    """
    rules.accept_path(path)
    row = tx.execute(select(*_OF).where(table.c.owner == owner, table.c.path == path)).first()
    if row is None:
        raise NotFound(f"{owner} has no artifact {path!r}.", where="path")
    return _artifact(row)


def artifacts(tx: Transaction, owner: str, folder: str = "") -> list[Artifact]:
    """Return what lies in a folder, one level, folders first; nothing when there is no such folder.

    Raises:
        InvalidInput: the folder's path cannot be one.
    """
    rules.accept_path(folder, empty=True)
    start = folder + "/" if folder else ""
    folders: set[str] = set()
    files: list[Artifact] = []
    for row in _below(tx, owner, start):
        inner, slash, _ = row.path[len(start) :].partition("/")
        if slash:
            folders.add(start + inner)
        else:
            files.append(_artifact(row))
    return [Artifact(path=path, is_dir=True) for path in sorted(folders)] + files


def all_artifacts(tx: Transaction, owner: str, folder: str = "") -> list[Artifact]:
    """Return every file of a run or logged model (below a folder), by path."""
    return [_artifact(row) for row in _below(tx, owner, folder + "/" if folder else "")]


def delete_artifacts(tx: Transaction, call: Call, owner: str, path: str = "") -> int:
    """Forget a file, or all files below a folder (all of them by default); return how many. The bytes are freed by gc.

    Raises:
        InvalidInput: the path cannot be one.
        NotFound: there is no such run or logged model.
        Conflict: the owner is deleted.
    """
    rules.accept_path(path, empty=True)
    state = writable(tx, owner)
    start = path + "/" if path else ""
    inside = or_(table.c.path == path, func.substr(table.c.path, 1, len(start)) == start) if path else literal(True)
    count = tx.execute(delete(table).where(table.c.owner == owner, inside)).rowcount
    if count:
        amended(tx, call, state, artifacts=count)
    return count


class _Row(NamedTuple):
    path: str
    digest: str
    size: int | None
    at: int


def _below(tx: Transaction, owner: str, start: str) -> list[_Row]:
    values: dict[str, object] = {"of_owner": owner}
    if start:
        values |= {"length": len(start), "start": start}
    return [_Row(*row) for row in quick.fetch(tx, _BELOW if start else _ALL, values)]


def _artifact(row: Any) -> Artifact:
    return Artifact(path=row.path, digest=row.digest, size=row.size, at=iso_ms(row.at))
