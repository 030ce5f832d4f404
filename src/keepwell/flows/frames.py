"""The standard-form table of a dataset version, kept in memory for as long as a few are in use."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from keepwell.blobs import LocalBlobs
from keepwell.core.errors import NotFound
from keepwell.core.lazy import pl
from keepwell.datasets import service as datasets
from keepwell.datasets.model import DatasetVersion
from keepwell.db import Database, Transaction, read
from keepwell.flows.kit import Kit


def frame_of(kit: Kit, version_id: str) -> pl.DataFrame:
    """Return the rows of a dataset version: standard columns, sorted by keys and time.

    A version never changes, so its rows are read once and shared; polars frames are immutable.

    Raises:
        NotFound: there is no such version.
        Damaged: a part's bytes have changed.
    """
    return _frame(kit.db, kit.blobs, version_id)


def latest_version(tx: Transaction, dataset: str) -> DatasetVersion:
    """Return a dataset's newest version.

    Raises:
        NotFound: it has none.
    """
    found = datasets.latest(tx, dataset)
    if found is None:
        raise NotFound(f"The dataset {dataset} has no version yet; receive its files first: `keepwell data receive`.")
    return found


def last_known(frame: pl.DataFrame, time: str, target: str) -> str:
    """Return the last time whose target is known, as text.

    Raises:
        NotFound: no target is known.
    """
    value = frame.filter(pl.col(target).is_not_null())[time].max()
    if value is None:
        raise NotFound(f"No row has a {target} yet, so there is nothing to learn from.")
    return value.isoformat() if isinstance(value, date) else str(value)


@lru_cache(maxsize=4)
def _frame(database: Database, blobs: LocalBlobs, version_id: str) -> pl.DataFrame:
    with read(database) as tx:
        return datasets.load(blobs, tx, version_id)
