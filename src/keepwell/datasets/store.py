"""Tables and queries of datasets: the only SQL of this capability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Column, Index, Integer, Row, String, Table, Text, func, insert, select, update

from keepwell.core.clock import from_iso, iso
from keepwell.datasets.model import Arrival, DatasetVersion, Finding, SourceFile
from keepwell.db import Transaction, metadata
from keepwell.db.portable import upsert
from keepwell.db.schema import Json

names = Table(
    "datasets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", String(27), nullable=False),
)
versions = Table(
    "dataset_versions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("dataset", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("rows", Integer),
    Column("parts", Integer, nullable=False),
    Column("schema", Json, nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("parent", String(40)),
    Column("cause", Text, nullable=False),
    Column("manifest", String(71), nullable=False),
    Column("profile", String(71)),
    Column("superseded", Integer, nullable=False),
    Index(None, "dataset", "number", unique=True),
)
arrivals = Table(
    "dataset_arrivals",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("dataset", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("uri", Text, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("received_at", String(27), nullable=False),
    Column("rows", Integer),
    Column("failed", Integer, nullable=False),
    Column("findings", Json, nullable=False),
    Column("failed_rows", String(71)),
    Column("version", String(40)),
    Column("part", String(71)),
    Column("kept", String(71)),
    Column("incident", String(40)),
    Column("model", Text),
    Column("settled_by", Text),
    Column("settled_at", String(27)),
    Column("corrections", Integer, nullable=False),
    Column("stats", Json),
    Column("entry", Json),
    Index(None, "dataset", "digest", unique=True),
    Index(None, "dataset", "seq", unique=True),
    Index(None, "dataset", "state", "seq"),
    Index(None, "state"),
)
files = Table(
    "dataset_files",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("uri", Text, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("ctime_ns", Integer, nullable=False),
    Column("sha256", String(71), nullable=False),
)

_VERSION_COLUMNS = [versions.c[name] for name in DatasetVersion.__slots__]
_ARRIVAL_COLUMNS = [arrivals.c[name] for name in Arrival.__slots__]


def named(tx: Transaction, key: str) -> str | None:
    """Return the spelling under which a name's key is taken."""
    return tx.execute(select(names.c.name).where(names.c.key == key)).scalar()


def add_name(tx: Transaction, key: str, name: str, at: str) -> None:
    """Take a name."""
    tx.execute(insert(names).values(key=key, name=name, created_at=at))


def all_names(tx: Transaction) -> list[str]:
    """Return the names of all datasets, sorted."""
    return [row.name for row in tx.execute(select(names.c.name).order_by(names.c.key))]


def add_version(tx: Transaction, new: DatasetVersion) -> None:
    """Write a version."""
    values = {name: getattr(new, name) for name in DatasetVersion.__slots__}
    tx.execute(insert(versions).values(**values | {"created_at": iso(new.created_at)}))


def version(tx: Transaction, version_id: str) -> DatasetVersion | None:
    """Return a version."""
    row = tx.execute(select(*_VERSION_COLUMNS).where(versions.c.id == version_id)).first()
    return _version(row) if row else None


def numbered(tx: Transaction, dataset: str, number: int) -> DatasetVersion | None:
    """Return the version of a dataset with that number."""
    query = select(*_VERSION_COLUMNS).where(versions.c.dataset == dataset, versions.c.number == number)
    row = tx.execute(query).first()
    return _version(row) if row else None


def latest(tx: Transaction, dataset: str) -> DatasetVersion | None:
    """Return the newest version of a dataset."""
    query = select(*_VERSION_COLUMNS).where(versions.c.dataset == dataset)
    row = tx.execute(query.order_by(versions.c.number.desc()).limit(1)).first()
    return _version(row) if row else None


def all_versions(tx: Transaction, dataset: str, before: int | None, limit: int) -> list[DatasetVersion]:
    """Return versions of a dataset, newest first, those numbered below `before`."""
    query = select(*_VERSION_COLUMNS).where(versions.c.dataset == dataset)
    if before is not None:
        query = query.where(versions.c.number < before)
    return [_version(row) for row in tx.execute(query.order_by(versions.c.number.desc()).limit(limit))]


def all_latest(tx: Transaction) -> dict[str, DatasetVersion]:
    """Return the newest version of every dataset."""
    newest = select(versions.c.dataset, func.max(versions.c.number).label("number")).group_by(versions.c.dataset)
    last = newest.subquery()
    joined = versions.join(last, (versions.c.dataset == last.c.dataset) & (versions.c.number == last.c.number))
    return {row.dataset: _version(row) for row in tx.execute(select(*_VERSION_COLUMNS).select_from(joined))}


def arrival_counts(tx: Transaction) -> dict[str, dict[str, int]]:
    """Return dataset to state to how many arrivals are in it."""
    query = select(arrivals.c.dataset, arrivals.c.state, func.count()).group_by(arrivals.c.dataset, arrivals.c.state)
    found: dict[str, dict[str, int]] = {}
    for dataset, state, count in tx.execute(query):
        found.setdefault(dataset, {})[state] = count
    return found


def last_seq(tx: Transaction, dataset: str) -> int:
    """Return the place of the dataset's newest arrival, or 0."""
    return tx.execute(select(func.max(arrivals.c.seq)).where(arrivals.c.dataset == dataset)).scalar() or 0


def add_arrivals(tx: Transaction, new: Sequence[tuple[Arrival, object, object]]) -> None:
    """Write arrivals, each with its stats and its manifest entry as JSON values."""
    if new:
        rows = [_arrival_values(arrival) | {"stats": stats, "entry": entry} for arrival, stats, entry in new]
        tx.execute(insert(arrivals), rows)


def settle_arrival(tx: Transaction, settled: Arrival) -> bool:
    """Write what became of an arrival if it is still quarantined; tell whether it was."""
    done = tx.execute(
        update(arrivals)
        .where(arrivals.c.id == settled.id, arrivals.c.state == "quarantined")
        .values(**_arrival_values(settled))
    )
    return done.rowcount == 1


def arrival(tx: Transaction, arrival_id: str) -> Arrival | None:
    """Return an arrival."""
    row = tx.execute(select(*_ARRIVAL_COLUMNS).where(arrivals.c.id == arrival_id)).first()
    return _arrival(row) if row else None


def arrival_entry(tx: Transaction, arrival_id: str) -> object:
    """Return the manifest entry, as a JSON value, that an arrival has or would have."""
    return tx.execute(select(arrivals.c.entry).where(arrivals.c.id == arrival_id)).scalar()


def all_arrivals(
    tx: Transaction, dataset: str | None, state: str | None, before: int | None, limit: int
) -> list[Arrival]:
    """Return arrivals, newest first, those before a place in the order."""
    query = select(*_ARRIVAL_COLUMNS)
    if dataset is not None:
        query = query.where(arrivals.c.dataset == dataset)
    if state is not None:
        query = query.where(arrivals.c.state == state)
    if before is not None:
        query = query.where(arrivals.c.seq < before)
    query = query.order_by(arrivals.c.seq.desc(), arrivals.c.dataset).limit(limit)
    return [_arrival(row) for row in tx.execute(query)]


def digests(tx: Transaction, dataset: str) -> set[str]:
    """Return the digests of all files that ever arrived at a dataset."""
    return set(tx.execute(select(arrivals.c.digest).where(arrivals.c.dataset == dataset)).scalars())


def accepted_stats(tx: Transaction, dataset: str, newest: int) -> list[object]:
    """Return the stats of the newest arrivals that were let in, oldest first, as JSON values."""
    query = select(arrivals.c.stats).where(
        arrivals.c.dataset == dataset, arrivals.c.state.in_(("accepted", "released")), arrivals.c.stats.is_not(None)
    )
    return list(tx.execute(query.order_by(arrivals.c.seq.desc()).limit(newest)).scalars())[::-1]


def known_files(tx: Transaction, dataset: str) -> dict[str, SourceFile]:
    """Return files as they were last seen, by uri."""
    query = select(files.c.uri, files.c.size, files.c.mtime_ns, files.c.ctime_ns, files.c.sha256)
    return {row.uri: SourceFile(*row) for row in tx.execute(query.where(files.c.dataset == dataset))}


def remember_files(tx: Transaction, dataset: str, seen: Iterable[SourceFile]) -> None:
    """Note how files were seen, so that they are not digested again. This is a cache, not governed state."""
    rows = [
        {"dataset": dataset, "uri": f.uri, "size": f.size, "mtime_ns": f.mtime_ns, "ctime_ns": f.ctime_ns,
         "sha256": f.sha256}
        for f in seen
    ]  # fmt: skip
    if rows:
        query = upsert(tx, files)
        changed = {name: query.excluded[name] for name in ("size", "mtime_ns", "ctime_ns", "sha256")}
        tx.execute(query.on_conflict_do_update(index_elements=["dataset", "uri"], set_=changed), rows)


def _version(row: Row[tuple[object, ...]]) -> DatasetVersion:
    return DatasetVersion(**dict(row._mapping) | {"created_at": from_iso(row.created_at)})


def _arrival(row: Row[tuple[object, ...]]) -> Arrival:
    values = dict(row._mapping)
    values["findings"] = [Finding(**finding) for finding in row.findings]
    values["received_at"] = from_iso(row.received_at)
    values["settled_at"] = from_iso(row.settled_at) if row.settled_at else None
    return Arrival(**values)


def _arrival_values(arrival: Arrival) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(arrival, name) for name in Arrival.__slots__}
    values["received_at"] = iso(arrival.received_at)
    values["settled_at"] = iso(arrival.settled_at) if arrival.settled_at else None
    return values
