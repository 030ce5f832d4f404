"""What the parts of a moving in share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import InvalidInput, KeepwellError, NotFound
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.flows.moving import names
from keepwell.flows.moving.report import Counts, Notes, Progress
from keepwell.flows.moving.source import Place, Source
from keepwell.tracking import service as tracking

ORIGIN = "mlflow"
_T = TypeVar("_T")
_R = TypeVar("_R")
Kept = tuple[str, str, int]
"""Path, digest and size of a file whose bytes are stored."""


@dataclass(slots=True)
class Carrying:
    """One moving in under way.

    Attributes:
        kit: the opened house.
        source: what is read.
        actor: who moves.
        notes: what the report will tell.
        recheck: look at files and histories again that seem not to have changed.
        threads: how many runs are read at once.
        progress: told how far it is.
        counts: what was carried.
        experiments: id there to number here.
    """

    kit: Kit
    source: Source
    actor: str
    notes: Notes
    recheck: bool = False
    threads: int = 1
    progress: Progress | None = None
    counts: Counts = field(default_factory=Counts)
    experiments: dict[str, int] = field(default_factory=dict)

    def call(self) -> Call:
        """Return the call of a change."""
        return self.kit.call(self.actor)

    def tell(self, what: str) -> None:
        """Say what is being carried."""
        if self.progress is not None:
            self.progress(self.counts, what)


def ahead(work: Callable[[_T], _R], items: Iterable[_T], threads: int) -> Iterator[_R]:
    """Yield what `work` makes of each item, in their order, a few of them made at once and ahead."""
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="moving") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def store_files(carrying: Carrying, place: Place, there: dict[str, int | None]) -> list[Kept]:
    """Store the bytes of the files of a place, those aside that are here already; return what is to be written down.

    Args:
        carrying: what is under way.
        place: where the files lie.
        there: path to size of the files that are here.
    """
    kept: list[Kept] = []
    seen: dict[str, str] = {}
    try:
        for file in carrying.source.files.list(place):
            name = f"{place.id}/{file.path}"
            try:
                path = names.path_of(file.path)
                if path in seen:
                    raise InvalidInput(f"It would be called {path!r} here, as {seen[path]!r} is.")
                seen[path] = file.path
                if path in there and there[path] == file.size is not None and not carrying.recheck:
                    continue
                kept.append((path, *_store(carrying, place, file.path)))
                carrying.notes.name("artifact", name, f"{place.id}/{path}")
            except (InvalidInput, NotFound) as error:
                carrying.notes("artifact", name, error.message)
    except NotFound as error:
        if place.kind != "version":  # of a version without files is told anyway
            carrying.notes("artifacts", place.id, error.message)
    return kept


def _store(carrying: Carrying, place: Place, path: str) -> tuple[str, int]:
    writer = carrying.kit.blobs.writer()
    try:
        for chunk in carrying.source.files.read(place, path):
            writer.write(chunk)
        digest = writer.settle()
    except BaseException:
        writer.abort()
        raise
    failpoints.reach("moving.file_stored")
    return digest, writer.size


def put_files(carrying: Carrying, tx: Transaction, call: Call, owner: str, files: Iterable[Kept]) -> None:
    """Write down files whose bytes are stored."""
    for path, digest, size in files:
        try:
            tracking.put_artifact(tx, call, owner, path, digest, size)
        except KeepwellError as error:
            carrying.notes("artifact", f"{owner}/{path}", error.message)
            continue
        carrying.counts.files += 1
        carrying.counts.bytes += size
