"""A reader of MLflow's SQLite database, of any of its versions: read only, and nothing but columns that are there."""

from __future__ import annotations

import math
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keepwell.core.errors import InvalidInput
from keepwell.core.points import PointRow
from keepwell.flows.moving.local_files import LocalFiles
from keepwell.flows.moving.source import Dataset, Experiment, Lost, Measured, Model, Registered, Run, Version

_PAGE = 400
_MAGIC = b"SQLite format 3\0"
_MODEL_STATUS = {1: "PENDING", 2: "READY", 3: "FAILED"}
_DELETED = "Deleted_Internal"
_OTHERS = {
    "traces": "trace_info", "evaluation datasets": "evaluation_datasets", "webhooks": "webhooks", "scorers": "scorers",
    "gateway endpoints": "endpoints", "gateway secrets": "secrets", "jobs": "jobs", "issues": "issues",
}  # fmt: skip
Row = Mapping[str, Any]


class DatabaseSource:
    """A SQLite database of MLflow.

    Args:
        file: the database.
        lost: told of what cannot be read.
        artifacts: the folder of its artifacts; by default they are looked for beside the database.
    """

    def __init__(self, file: Path, lost: Lost, artifacts: Path | None = None) -> None:
        self.address = str(file.absolute())
        self._lost = lost
        beside = file.absolute().parent
        bases = [beside / "mlruns", beside / "mlartifacts", beside] if artifacts is None else [artifacts]
        self.files = LocalFiles(bases, lost)
        try:
            self._db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = lambda data: data.decode("utf-8", "replace")
            names = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        except sqlite3.DatabaseError as error:
            raise InvalidInput(f"{file} cannot be read as a SQLite database: {error}.", where="source") from None
        self._tables = {str(row[0]) for row in names}
        columns = {str(row[1]) for row in self._db.execute("PRAGMA table_info(metrics)")}
        self._step, self._nan = (name if name in columns else "0" for name in ("step", "is_nan"))
        if not {"experiments", "runs"} <= self._tables:
            self._db.close()
            raise InvalidInput(f"{file} is a SQLite database, and none of MLflow's.", where="source")

    def experiments(self) -> Iterator[Experiment]:
        """Yield all experiments, deleted ones too."""
        tags = self._labels("experiment_tags", "experiment_id", None)
        for row in self._all("experiments", "experiment_id"):
            number = row["experiment_id"]
            deleted = row.get("lifecycle_stage") == "deleted"
            yield Experiment(str(number), str(row["name"]), "deleted" if deleted else "active", tags.get(number, {}))

    def runs(self, experiment: Experiment) -> Iterator[Run]:
        """Yield the runs of an experiment, oldest first."""
        query = "SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid"
        ids = [row[0] for row in self._db.execute(query, (int(experiment.id),))]
        for start in range(0, len(ids), _PAGE):
            yield from self._page(experiment, ids[start : start + _PAGE])

    def _page(self, experiment: Experiment, ids: Sequence[str]) -> Iterator[Run]:
        rows = {row["run_uuid"]: row for row in self._some("runs", "run_uuid", ids)}
        params, tags = self._labels("params", "run_uuid", ids), self._labels("tags", "run_uuid", ids)
        latest: dict[str, dict[str, tuple[float, int, int]]] = defaultdict(dict)
        for one in self._some("latest_metrics", "run_uuid", ids):
            latest[one["run_uuid"]][str(one["key"])] = (_value(one), one["step"] or 0, one["timestamp"] or 0)
        datasets, models_in, models_out = self._inputs(ids)
        for number in ids:
            row, labels = rows[number], tags.get(number, {})
            yield Run(
                id=number,
                experiment=experiment.id,
                name=row.get("name") or labels.get("mlflow.runName") or "",
                status=str(row["status"]),
                started=row["start_time"],
                ended=row["end_time"],
                lifecycle="deleted" if row.get("lifecycle_stage") == "deleted" else "active",
                user=row.get("user_id"),
                uri=row.get("artifact_uri") or "",
                params=params.get(number, {}),
                tags=labels,
                latest=latest.get(number, {}),
                datasets=datasets.get(number, ()),
                models_in=models_in.get(number, ()),
                models_out=models_out.get(number, ()),
            )

    def _inputs(
        self, ids: Sequence[str]
    ) -> tuple[dict[str, list[Dataset]], dict[str, list[str]], dict[str, list[tuple[str, int]]]]:
        datasets, models_in, models_out = defaultdict(list), defaultdict(list), defaultdict(list)
        links = [*self._some("inputs", "destination_id", ids), *self._some("inputs", "source_id", ids)]
        links = list({row["input_uuid"]: row for row in links}.values())
        tags = self._labels("input_tags", "input_uuid", [row["input_uuid"] for row in links], "name")
        read = [row["source_id"] for row in links if row["source_type"] == "DATASET"]
        known = {row["dataset_uuid"]: row for row in self._some("datasets", "dataset_uuid", read)}
        for row in links:
            kind = (row["source_type"], row["destination_type"])
            if kind == ("DATASET", "RUN"):
                there = known.get(row["source_id"])
                if there is None:
                    name = f"{row['destination_id']}/{row['source_id']}"
                    self._lost("dataset", name, "The run names it, and the store does not hold it.")
                    continue
                datasets[row["destination_id"]].append(_dataset(there, tags.get(row["input_uuid"], {})))
            elif kind == ("RUN_INPUT", "MODEL_INPUT"):
                models_in[row["source_id"]].append(row["destination_id"])
            elif kind == ("RUN_OUTPUT", "MODEL_OUTPUT"):
                models_out[row["source_id"]].append((row["destination_id"], row.get("step") or 0))
        return datasets, models_in, models_out

    def whole(self, run: Run) -> Run:
        """Return the run: it is whole."""
        return run

    def history(self, run: Run, metrics: Sequence[str]) -> Iterator[PointRow]:
        """Yield every point of some metrics."""
        wanted = frozenset(metrics)
        query = f'SELECT "key", value, {self._step}, timestamp, {self._nan} FROM metrics WHERE run_uuid = ?'  # noqa: S608
        for name, value, step, at, nan in self._db.execute(query, (run.id,)):
            if name in wanted:
                yield name, math.nan if nan else _infinite(value), step or 0, at

    def models(self, experiment: Experiment) -> Iterator[Model]:
        """Yield the logged models of an experiment."""
        rows = self._some("logged_models", "experiment_id", [int(experiment.id)])
        ids = [row["model_id"] for row in rows]
        params = self._labels("logged_model_params", "model_id", ids, "param_key", "param_value")
        tags = self._labels("logged_model_tags", "model_id", ids, "tag_key", "tag_value")
        metrics: dict[str, list[Measured]] = defaultdict(list)
        for one in self._some("logged_model_metrics", "model_id", ids):
            value = one["metric_value"]
            metrics[one["model_id"]].append(
                Measured(one["run_id"], one["metric_name"], _infinite(math.nan if value is None else value),
                         one["metric_step"], one["metric_timestamp_ms"], one["dataset_name"], one["dataset_digest"])
            )  # fmt: skip
        for row in rows:
            yield Model(
                id=row["model_id"],
                experiment=experiment.id,
                name=row["name"],
                status=_MODEL_STATUS.get(row["status"], "PENDING"),
                model_type=row["model_type"],
                run=row["source_run_id"],
                uri=row["artifact_location"],
                params=params.get(row["model_id"], {}),
                tags=tags.get(row["model_id"], {}),
                metrics=metrics.get(row["model_id"], ()),
                lifecycle="deleted" if row["lifecycle_stage"] == "deleted" else "active",
            )

    def registered(self) -> Iterator[Registered]:
        """Yield the registered models."""
        aliases: dict[str, dict[str, int]] = defaultdict(dict)
        for row in self._all("registered_model_aliases", "alias"):
            aliases[row["name"]][row["alias"]] = int(row["version"])
        labels = self._labels("registered_model_tags", "name", None)
        for row in self._all("registered_models", "name"):
            name = row["name"]
            yield Registered(
                name=name,
                description=row.get("description"),
                tags=labels.get(name, {}),
                aliases=aliases.get(name, {}),
                versions=list(self._versions(name)),
            )

    def _versions(self, name: str) -> Iterator[Version]:
        tags: dict[int, dict[str, str]] = defaultdict(dict)
        for row in self._some("model_version_tags", "name", [name]):
            tags[row["version"]][str(row["key"])] = row["value"] or ""
        for row in sorted(self._some("model_versions", "name", [name]), key=lambda one: one["version"]):
            if row.get("current_stage") == _DELETED:
                continue
            source = row.get("source") or ""
            yield Version(
                number=row["version"],
                source=source,
                uri=row.get("storage_location") or source,
                description=row.get("description"),
                tags=tags.get(row["version"], {}),
                stage=row.get("current_stage") or "None",
                status=row.get("status") or "READY",
                run=row.get("run_id"),
                run_link=row.get("run_link"),
                model=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
                user=row.get("user_id"),
                created=row.get("creation_time"),
            )

    def others(self) -> Mapping[str, int]:
        """Count what Keepwell does not have."""
        counts = {
            name: int(self._db.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0])  # noqa: S608 (our own names)
            for name, table in _OTHERS.items()
            if table in self._tables
        }
        return {name: count for name, count in counts.items() if count}

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _all(self, table: str, order: str) -> list[Row]:
        if table not in self._tables:
            return []
        return [dict(row) for row in self._db.execute(f'SELECT * FROM "{table}" ORDER BY "{order}"')]  # noqa: S608

    def _some(self, table: str, column: str, values: Iterable[object]) -> list[Row]:
        found: list[Row] = []
        wanted = list(dict.fromkeys(values))
        if table not in self._tables:
            return found
        for start in range(0, len(wanted), _PAGE):
            some = wanted[start : start + _PAGE]
            query = f'SELECT * FROM "{table}" WHERE "{column}" IN ({",".join("?" * len(some))})'  # noqa: S608
            found += [dict(row) for row in self._db.execute(query, some)]
        return found

    def _labels(
        self, table: str, column: str, values: Iterable[object] | None, name: str = "key", text: str = "value"
    ) -> dict[Any, dict[str, str]]:
        """Return name to text by owner."""
        found: dict[Any, dict[str, str]] = defaultdict(dict)
        for row in self._all(table, column) if values is None else self._some(table, column, values):
            found[row[column]][str(row[name])] = row[text] or ""
        return found


def is_database(file: Path) -> bool:
    """Tell whether a file is a SQLite database."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _dataset(row: Row, tags: Mapping[str, str]) -> Dataset:
    return Dataset(
        name=row["name"], digest=row["digest"], source_type=row["dataset_source_type"] or "",
        source=row["dataset_source"] or "", schema=row["dataset_schema"], profile=row["dataset_profile"], tags=tags,
    )  # fmt: skip


def _value(row: Row) -> float:
    return math.nan if row.get("is_nan") else _infinite(float(row["value"]))


def _infinite(value: float) -> float:
    """Return a value as it was logged: the database keeps infinity as the largest number."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
