"""A reader of the folder `mlruns` that MLflow's file store keeps. Nothing of it is executed or unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from keepwell.core.points import PointRow
from keepwell.flows.moving.local_files import LocalFiles
from keepwell.flows.moving.source import (
    Dataset,
    Experiment,
    Lifecycle,
    Lost,
    Measured,
    Model,
    Place,
    Registered,
    Run,
    Version,
)

META = "meta.yaml"
_TRASH, _MODELS = ".trash", "models"
_NO_RUNS = frozenset({"datasets", "models", "tags", "traces"})
_MOST = 1 << 24
"""Bytes of one of the store's own files, metrics aside."""
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_MODEL_STATUS = {1: "PENDING", 2: "READY", 3: "FAILED"}
_DELETED = "Deleted_Internal"


class Unreadable(Exception):
    """A file of the store is not what it should be; the message says how."""


class FolderSource:
    """A folder of MLflow's file store.

    Args:
        root: the folder.
        lost: told of what cannot be read.
        artifacts: another folder in which artifacts are looked for.
    """

    def __init__(self, root: Path, lost: Lost, artifacts: Path | None = None) -> None:
        self.address = str(root.absolute())
        self._root = root
        self._lost = lost
        self._folders: dict[str, Path] = {}
        bases = [root] if artifacts is None else [root, artifacts]
        self.files = LocalFiles(bases, lost, self._usual)

    def experiments(self) -> Iterator[Experiment]:
        """Yield all experiments, those in the trash too."""
        for top in (self._root, self._root / _TRASH):
            for folder in _folders(top):
                if folder.name in (_TRASH, _MODELS) or not (folder / META).is_file():
                    continue
                try:
                    meta = _meta(folder)
                    found = Experiment(
                        id=_text(meta, "experiment_id") or folder.name,
                        name=_needed(meta, "name"),
                        lifecycle=_lifecycle(meta),
                        tags=_texts(folder / "tags"),
                    )
                except Unreadable as error:
                    self._lost("experiment", folder.name, str(error))
                    continue
                self._folders[found.id] = folder
                yield found

    def runs(self, experiment: Experiment) -> Iterator[Run]:
        """Yield the runs of an experiment, by id."""
        top = self._folders[experiment.id]
        for folder in _folders(top):
            if folder.name in _NO_RUNS or not (folder / META).is_file():
                continue
            try:
                yield self._run(experiment, top, folder)
            except Unreadable as error:
                self._lost("run", folder.name, str(error))

    def _run(self, experiment: Experiment, top: Path, folder: Path) -> Run:
        meta = _meta(folder)
        tags, params = _texts(folder / "tags"), _texts(folder / "params")
        status = meta.get("status")
        datasets, models_in = self._inputs(top, folder)
        outputs = [(_needed(one, "destination_id"), _number(one, "step") or 0) for one in _metas(folder / "outputs")]
        return Run(
            id=_text(meta, "run_id") or _text(meta, "run_uuid") or folder.name,
            experiment=experiment.id,
            name=_text(meta, "run_name") or tags.get("mlflow.runName") or _text(meta, "name") or "",
            status=_STATUS.get(status, str(status)) if isinstance(status, int) else str(status),
            started=_number(meta, "start_time"),
            ended=_number(meta, "end_time"),
            lifecycle=_lifecycle(meta),
            user=_text(meta, "user_id"),
            uri=_text(meta, "artifact_uri") or "",
            params=params,
            tags=tags,
            latest={name: _latest(path, name) for name, path in _files(folder / "metrics")},
            datasets=datasets,
            models_in=models_in,
            models_out=outputs,
        )

    def _inputs(self, top: Path, folder: Path) -> tuple[list[Dataset], list[str]]:
        datasets, models = [], []
        for one in _metas(folder / "inputs"):
            named = _needed(one, "source_id")
            if one.get("source_type") != "DATASET":
                models.append(named)
                continue
            there = top / "datasets" / Path(named).name
            if not (there / META).is_file():
                self._lost("dataset", f"{folder.name}/{named}", "The run names it, and the store does not hold it.")
                continue
            meta, tags = _meta(there), one.get("tags")
            datasets.append(
                Dataset(
                    name=_needed(meta, "name"), digest=_needed(meta, "digest"),
                    source_type=_text(meta, "source_type") or "", source=_text(meta, "source") or "",
                    schema=_text(meta, "schema"), profile=_text(meta, "profile"),
                    tags={str(k): str(v) for k, v in tags.items()} if isinstance(tags, Mapping) else {},
                )
            )  # fmt: skip
        return datasets, models

    def whole(self, run: Run) -> Run:
        """Return the run: it is whole."""
        return run

    def history(self, run: Run, metrics: Sequence[str]) -> Iterator[PointRow]:
        """Yield every point of some metrics."""
        for metric in metrics:
            for line in _lines(self._folders[run.experiment] / run.id / "metrics" / metric):
                try:
                    yield _point(line, metric)
                except ValueError:
                    self._lost("point", f"{run.id}/{metric}", f"The line {line[:60]!r} is no point.")

    def models(self, experiment: Experiment) -> Iterator[Model]:
        """Yield the logged models of an experiment."""
        for folder in _folders(self._folders[experiment.id] / "models"):
            try:
                meta = _meta(folder)
                yield Model(
                    id=_text(meta, "model_id") or folder.name,
                    experiment=experiment.id,
                    name=_text(meta, "name") or "",
                    status=_MODEL_STATUS.get(_number(meta, "status") or 0, "PENDING"),
                    model_type=_text(meta, "model_type"),
                    run=_text(meta, "source_run_id"),
                    uri=_text(meta, "artifact_location") or "",
                    params=_texts(folder / "params"),
                    tags=_texts(folder / "tags"),
                    metrics=[one for name, path in _files(folder / "metrics") for one in self._measured(path, name)],
                    lifecycle=_lifecycle(meta),
                )
            except Unreadable as error:
                self._lost("logged model", folder.name, str(error))

    def _measured(self, path: Path, name: str) -> Iterator[Measured]:
        for line in _lines(path):
            try:
                _, value, step, at = _point(line, name)
                words = line.split()
                dataset = (words[4], words[5]) if len(words) > 5 else (None, None)
                yield Measured(words[3] if len(words) > 3 else "", name, value, step, at, *dataset)
            except ValueError:
                self._lost("point", f"{path.parents[1].name}/{name}", f"The line {line[:60]!r} is no point.")

    def registered(self) -> Iterator[Registered]:
        """Yield the registered models."""
        for folder in _folders(self._root / _MODELS):
            try:
                meta = _meta(folder)
                aliases = {name: text.strip() for name, text in _texts(folder / "aliases").items()}
                yield Registered(
                    name=_needed(meta, "name"),
                    description=_text(meta, "description"),
                    tags=_texts(folder / "tags"),
                    aliases={name: int(number) for name, number in aliases.items() if number.isdigit()},
                    versions=sorted(self._versions(folder), key=lambda one: one.number),
                )
            except Unreadable as error:
                self._lost("registered model", folder.name, str(error))

    def _versions(self, top: Path) -> Iterator[Version]:
        for folder in _folders(top):
            if not folder.name.startswith("version-"):
                continue
            try:
                meta = _meta(folder)
                if _text(meta, "current_stage") == _DELETED:
                    continue
                source = _text(meta, "source") or ""
                yield Version(
                    number=_number(meta, "version") or int(folder.name.removeprefix("version-")),
                    source=source,
                    uri=_text(meta, "storage_location") or source,
                    description=_text(meta, "description"),
                    tags=_texts(folder / "tags"),
                    stage=_text(meta, "current_stage") or "None",
                    status=_text(meta, "status") or "READY",
                    run=_text(meta, "run_id"),
                    run_link=_text(meta, "run_link"),
                    model=_text(meta, "model_id"),
                    user=_text(meta, "user_id"),
                    created=_number(meta, "creation_timestamp"),
                )
            except (Unreadable, ValueError) as error:
                self._lost("version", f"{top.name}/{folder.name}", str(error))

    def others(self) -> Mapping[str, int]:
        """Count the traces."""
        traces = sum(len(_folders(folder / "traces")) for folder in self._folders.values())
        return {"traces": traces} if traces else {}

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _usual(self, place: Place) -> Path | None:
        top = self._folders.get(place.experiment)
        if top is None:
            return None
        return top / Path(place.id).name / "artifacts" if place.kind == "run" else (
            top / "models" / Path(place.id).name / "artifacts" if place.kind == "model" else None
        )  # fmt: skip


def is_file_store(folder: Path) -> bool:
    """Tell whether a folder is one of MLflow's file store."""
    return any((one / META).is_file() for one in _folders(folder)) or any(
        (one / META).is_file() for top in (folder / _TRASH, folder / _MODELS) for one in _folders(top)
    )


def _folders(top: Path) -> list[Path]:
    try:
        return sorted(one for one in top.iterdir() if one.is_dir() and not one.is_symlink())
    except OSError:
        return []


def _files(top: Path, start: str = "") -> Iterator[tuple[str, Path]]:
    """Yield name and path of the files below a folder; links are not followed."""
    try:
        found = sorted(top.iterdir())
    except OSError:
        return
    for one in found:
        if one.is_symlink():
            continue
        if one.is_dir():
            yield from _files(one, f"{start}{one.name}/")
        else:
            yield start + one.name, one


def _texts(top: Path) -> dict[str, str]:
    return {name: _read(path) for name, path in _files(top)}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise Unreadable(f"{path.name} is larger than 16 MiB.")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path.name} cannot be read: {error}.") from None


def _meta(folder: Path) -> dict[str, Any]:
    """Return the plain values of a folder's `meta.yaml`."""
    try:
        found = yaml.load(_read(folder / META), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError):
        raise Unreadable("Its meta.yaml is no YAML of plain values.") from None
    if not isinstance(found, dict):
        raise Unreadable("Its meta.yaml holds no fields.")
    return found


def _metas(top: Path) -> Iterator[dict[str, Any]]:
    for folder in _folders(top):
        if (folder / META).is_file():
            yield _meta(folder)


def _text(meta: Mapping[str, Any], name: str) -> str | None:
    value = meta.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _needed(meta: Mapping[str, Any], name: str) -> str:
    value = _text(meta, name)
    if not value:
        raise Unreadable(f"Its meta.yaml does not say {name}.")
    return value


def _number(meta: Mapping[str, Any], name: str) -> int | None:
    value = meta.get(name)
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _lifecycle(meta: Mapping[str, Any]) -> Lifecycle:
    return "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("r", encoding="utf-8") as file:
            yield from (line for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path.name} cannot be read: {error}.") from None


def _point(line: str, name: str) -> PointRow:
    words = line.split()
    if len(words) < 2:
        raise ValueError(line)
    return name, float(words[1]), int(words[2]) if len(words) > 2 else 0, int(words[0])


def _latest(path: Path, name: str) -> tuple[float, int, int]:
    """Return value, step and time of the latest point; where a line is no point, of those that are."""
    best: tuple[int, int, float] | None = None
    for line in _lines(path):
        try:
            _, value, step, at = _point(line, name)
        except ValueError:
            continue
        if best is None or (step, at) >= best[:2]:
            best = (step, at, value)
    return (float("nan"), 0, 0) if best is None else (best[2], best[0], best[1])
