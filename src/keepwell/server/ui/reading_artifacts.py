"""Artifacts of a run as its page shows them: a folder's listing, and a look into one file, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keepwell.blobs import LocalBlobs
from keepwell.core.errors import KeepwellError, NotFound
from keepwell.db import Transaction
from keepwell.server.ui import links, previews
from keepwell.server.ui.previews import Kind, TableView, TextView
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Artifact


@dataclass(frozen=True, slots=True)
class Listing:
    """Where among the artifacts a page is.

    Attributes:
        folder: the folder that is listed; empty for the outermost.
        entries: what is in it, folders first.
        file: the file that is looked at, or None.
        trail: (name, path) of each folder from the outermost in.
    """

    folder: str
    entries: Sequence[Artifact]
    file: Artifact | None
    trail: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Preview:
    """A look into a file.

    Attributes:
        kind: what it is shown as; `other` where nothing is shown.
        size: of it, in bytes.
        source: where a browser gets it to show it, for pictures and documents.
        saved: where it is saved from.
        table, text: what is shown of it.
        word: why nothing, or not all, is shown.
    """

    kind: Kind
    size: int
    source: str
    saved: str
    table: TableView | None = None
    text: TextView | None = None
    word: str = ""


def listing(tx: Transaction, owner: str, path: str) -> Listing:
    """Return the folder that a path names, or the folder of the file that it names.

    Raises:
        NotFound: there is no such file or folder.
    """
    path = path.strip("/")
    file = _file(tx, owner, path)
    folder = path.rpartition("/")[0] if file else path
    entries = tracking.artifacts(tx, owner, folder)
    if path and file is None and not entries:
        raise NotFound(f"The run made nothing called {path[:200]!a}; its list of artifacts shows what it made.")
    parts = folder.split("/") if folder else []
    trail = [(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts)]
    if not path and len(entries) == 1 and not entries[0].is_dir:
        file = entries[0]
    return Listing(folder, entries, file, trail)


def _file(tx: Transaction, owner: str, path: str) -> Artifact | None:
    if not path:
        return None
    try:
        return tracking.artifact(tx, owner, path)
    except NotFound:
        return None


def preview(blobs: LocalBlobs, file: Artifact, page: str) -> Preview:
    """Return a look into a file of a run.

    Args:
        blobs: where its bytes are.
        file: which.
        page: the run's page.
    """
    kind = previews.kind_of(file.path)
    source = links.with_query(f"{page}/shown", path=file.path)
    saved = links.with_query(f"{page}/saved", path=file.path)
    if file.digest is None:
        return Preview("other", 0, source, saved, word="Its bytes are not here.")
    try:
        place = blobs.path(file.digest)
    except KeepwellError as error:
        return Preview("other", 0, source, saved, word=str(error))
    size = place.stat().st_size
    if size > previews.LARGEST.get(kind, size):
        return Preview("other", size, source, saved, word="It is too large to be shown here; save it to look at it.")
    if kind in ("picture", "document"):
        return Preview(kind, size, source, saved)
    return _read(place, kind, file.path, size, source, saved)


def _read(place: Path, kind: Kind, path: str, size: int, source: str, saved: str) -> Preview:
    ending = path.rpartition(".")[2].casefold()
    if ending == "parquet":
        table = _parquet(place)
        return Preview("table" if table else "other", size, source, saved, table, word="" if table else _UNREADABLE)
    with place.open("rb") as opened:
        data = opened.read(size if kind == "json" else previews.READ)
    table, text = None, None
    if kind == "table":
        table = previews.csv_table(data, size, "\t" if ending == "tsv" else ",")
    elif kind == "json":
        table = previews.json_table(data)
        text = None if table else previews.json_text(data)
    text = None if table else text or previews.text_view(data, size)
    if table is None and text is None:
        return Preview("other", size, source, saved, word="It is no text; save it to look at it.")
    return Preview("table" if table else "text", size, source, saved, table, text)


_UNREADABLE = "It is called a Parquet file and cannot be read as one."


def _parquet(place: Path) -> TableView | None:
    """Return the first rows of a Parquet file."""
    import polars as pl

    try:
        lazy = pl.scan_parquet(place, glob=False)
        names = lazy.collect_schema().names()
        frame = lazy.select(names[: previews.COLUMNS]).head(previews.ROWS).collect()
        total = int(lazy.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError, ValueError):
        return None
    rows = [[None if v is None else v if isinstance(v, str | int | float | bool) else str(v) for v in row]
            for row in frame.iter_rows()]  # fmt: skip
    return previews.table_of(names, rows, total)
