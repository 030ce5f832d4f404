"""Many finished runs at once, written past the services: for benchmarks of stores that a day of logging cannot fill."""

from __future__ import annotations

import random

from sqlalchemy import text

from keepwell.core.clock import to_ms
from keepwell.core.points import batch_of, pack
from keepwell.db import Transaction, write
from keepwell.db.bulk import insert_rows
from keepwell.flows.kit import Kit
from keepwell.tracking import service
from keepwell.tracking import tables as t

CHUNK = 5_000
Row = tuple[object, ...]


def fill(kit: Kit, count: int, *, points: bool = True, seed: int = 7) -> int:
    """Write `count` runs of 10 metrics, 10 params and 3 tags into a new experiment; return its number.

    They have no entries in the ledger, so `fsck` would name each of them. The indexes of a store that is empty are made
    after the rows, which is several times as fast; on PostgreSQL they are kept.
    """
    chance = random.Random(seed)  # noqa: S311  (data for measuring)
    with write(kit.db) as tx:
        experiment = service.create_experiment(tx, kit.call("person:bench"), f"filled {count}").id
        first = (tx.scalar(text("SELECT max(no) FROM runs")) or 0) + 1
    indexes = [i for table in (t.runs, t.params, t.tags, t.metrics) for i in table.indexes]
    later = first == 1 and count >= 100_000 and kit.db.engine.dialect.name == "sqlite"
    with write(kit.db) as tx:
        for index in indexes if later else ():
            index.drop(tx)
    now = to_ms(kit.clock.now())
    for start in range(first, first + count, CHUNK):
        with write(kit.db) as tx:
            _write(tx, range(start, min(start + CHUNK, first + count)), experiment, now - count * 1000, chance, points)
    with write(kit.db) as tx:
        for index in indexes if later else ():
            index.create(tx)
    return experiment


def _write(tx: Transaction, numbers: range, experiment: int, began: int, chance: random.Random, points: bool) -> None:
    runs: list[Row] = []
    params: list[Row] = []
    tags: list[Row] = []
    metrics: list[Row] = []
    log: list[Row] = []
    for no in numbers:
        at = began + no * 1000
        values = [chance.random() for _ in range(10)]
        runs.append((no, f"run_{no:026d}", experiment, at, at + 900, f"run {no}", "train", "finished", None, "ann",
                     "person:bench", '{"commit":"0123456789012345678901234567890123456789","dirty":false}',
                     "{}"))  # fmt: skip
        params += [(no, f"param{n}", experiment, str(chance.randrange(n + 2, 10 * n + 10)), 1) for n in range(10)]
        tags += [(no, "stage", experiment, "try"), (no, "team", experiment, f"team{no % 5}"),
                 (no, "mlflow.source.name", experiment, "train.py")]  # fmt: skip
        metrics += [(no, f"metric{n}", experiment, value, 0, at) for n, value in enumerate(values)]
        if points:
            packed = pack(batch_of((f"metric{n}", value, 0, at) for n, value in enumerate(values)))
            log.append((no, 0, 10, 10, packed))
    columns = (
        "no",
        "id",
        "experiment",
        "started",
        "finished",
        "name",
        "kind",
        "status",
        "model",
        "user",
        "actor",
        "code",
        "machine",
    )
    insert_rows(tx, t.runs, columns, runs)
    insert_rows(tx, t.params, ("run", "name", "experiment", "value", "json"), params)
    insert_rows(tx, t.tags, ("run", "name", "experiment", "value"), tags)
    insert_rows(tx, t.metrics, ("run", "name", "experiment", "value", "step", "at"), metrics)
    insert_rows(tx, t.metric_log, ("run", "seq", "points", "total", "data"), log)
