"""The tables of tracking.

Runs have a whole number `no` beside their id: the tables of what runs have many of refer to it, which keeps a million
runs with ten million metrics small. Texts that are looked up by value stand in two columns, the first 200 characters
(`value`, indexed) and the rest, because an index takes no long entries.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from keepwell.db import metadata
from keepwell.db.schema import Json

HEAD = 200
"""How many characters of a text stand in the indexed column."""

experiments = Table(
    "experiments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("gone", SmallInteger, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
)
experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column("experiment", Integer, ForeignKey("experiments.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)
numbers = Table(
    "tracking_numbers",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("last", Integer, nullable=False),
    sqlite_with_rowid=False,
)
runs = Table(
    "runs",
    metadata,
    Column("no", Integer, primary_key=True, autoincrement=False),
    Column("id", String(40), nullable=False, unique=True),
    Column("experiment", Integer, ForeignKey("experiments.id"), nullable=False),
    Column("gone", SmallInteger, nullable=False, server_default="0"),
    Column("started", BigInteger, nullable=False),  # milliseconds since 1970, as all moments of this table
    Column("finished", BigInteger),
    Column("deleted", BigInteger),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", Text),
    Column("parent", String(40), ForeignKey("runs.id")),
    Column("user", Text),
    Column("actor", Text, nullable=False),
    Column("environment", String(71)),
    Column("code", Json, nullable=False),
    Column("machine", Json, nullable=False),
    Column("error", Text),
    Index(None, "experiment", "gone", "started"),
    Index(None, "model", "id"),
    Index(None, "kind", "id"),
    Index(None, "status", "id"),
    Index(None, "parent", "id"),
)


def _part(name: str, *columns: Column[Any] | Index | CheckConstraint) -> Table:
    """A table of what runs have many of, keyed by run and name; the experiment is the run's."""
    return Table(
        name,
        metadata,
        Column("run", Integer, ForeignKey("runs.no"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("experiment", Integer, nullable=False),
        *columns,
        sqlite_with_rowid=False,
    )


params = _part(
    "run_params",
    Column("value", String(HEAD), nullable=False),
    Column("rest", Text),
    Column("json", SmallInteger, nullable=False, server_default="0"),  # 1: the text is JSON of a value that is no text
    Index(None, "experiment", "name", "value", "run"),
)
tags = _part(
    "run_tags",
    Column("value", String(HEAD), nullable=False),
    Column("rest", Text),
    Index(None, "experiment", "name", "value", "run"),
)
metrics = _part(
    "run_metrics",
    Column("value", Float),  # an infinity is the largest number of its sign, with its mark; NaN and unknown are NULL
    Column("mark", String(9)),
    Column("step", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    CheckConstraint("(value IS NULL) = (COALESCE(mark, '') IN ('NaN', 'unknown'))", name="number_or_mark"),
    Index(None, "experiment", "name", "value", "run"),
)
metric_log = Table(
    "metric_log",
    metadata,
    Column("run", Integer, ForeignKey("runs.no"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("points", Integer, nullable=False),
    Column("total", Integer, nullable=False),  # points of this row and the ones before it
    Column("data", LargeBinary, nullable=False),  # core.points.pack, or its zlib stream
)
metric_chunks = Table(
    "metric_chunks",
    metadata,
    Column("run", Integer, ForeignKey("runs.no"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("points", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # tracking.chunks.encode
)
inputs = Table(
    "run_inputs",
    metadata,
    Column("run", Integer, ForeignKey("runs.no"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("experiment", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("id", Text),
    Column("digest", Text),
    Column("context", Text),
    Column("dataset", Integer, ForeignKey("logged_datasets.no")),
    Column("tags", Json),
    Index(None, "digest"),
    Index(None, "id"),
    Index(None, "experiment", "kind"),
    sqlite_with_rowid=False,
)
datasets = Table(
    "logged_datasets",
    metadata,
    Column("no", Integer, primary_key=True, autoincrement=False),
    Column("experiment", Integer, ForeignKey("experiments.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("schema", Text),
    Column("profile", Text),
    UniqueConstraint("experiment", "name", "digest"),
)
outputs = Table(
    "run_outputs",
    metadata,
    Column("run", Integer, ForeignKey("runs.no"), primary_key=True),
    Column("model", String(40), primary_key=True),
    Column("step", BigInteger, nullable=False),
    Index(None, "model"),
    sqlite_with_rowid=False,
)
artifacts = Table(
    "artifacts",
    metadata,
    Column("owner", String(40), primary_key=True),  # the id of a run or of a logged model
    Column("path", Text, primary_key=True),
    Column("fold", Text, nullable=False),  # the path as it is compared: two that differ in case only are one
    Column("digest", String(71), nullable=False),
    Column("size", BigInteger),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("owner", "fold"),
    Index(None, "digest"),
    sqlite_with_rowid=False,
)
models = Table(
    "logged_models",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("experiment", Integer, ForeignKey("experiments.id"), nullable=False),
    Column("gone", SmallInteger, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("model_type", Text),
    Column("status", String(16), nullable=False),
    Column("run", String(40)),
    Index(None, "experiment", "gone", "created"),
    Index(None, "run"),
    sqlite_with_rowid=False,
)


def _model_part(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("model", String(40), ForeignKey("logged_models.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        *columns,
        sqlite_with_rowid=False,
    )


model_params = _model_part("logged_model_params", Column("value", Text, nullable=False))
model_tags = _model_part("logged_model_tags", Column("value", Text, nullable=False))
model_metrics = _model_part(
    "logged_model_metrics",
    Column("at", BigInteger, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("run", String(40), primary_key=True),
    Column("value", Float),
    Column("mark", String(9)),
    Column("dataset_name", Text),
    Column("dataset_digest", Text),
)
