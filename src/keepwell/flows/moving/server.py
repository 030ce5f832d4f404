"""A reader of a tracking server of MLflow, over its REST API; servers from 2.0 on."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from keepwell.core.errors import NotFound
from keepwell.core.points import PointRow
from keepwell.flows.moving.http_client import HttpClient
from keepwell.flows.moving.source import (
    Dataset,
    Experiment,
    File,
    Lifecycle,
    Lost,
    Measured,
    Model,
    Place,
    Registered,
    Run,
    Version,
)

_API = "/api/2.0/mlflow"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_PAGE = 1000
_HISTORY = 25_000
_MODELS = 50
_STATUS = {"LOGGED_MODEL_READY": "READY", "LOGGED_MODEL_PENDING": "PENDING", "LOGGED_MODEL_UPLOAD_FAILED": "FAILED"}
_DEEPEST = 64
Json = dict[str, Any]


class ServerSource:
    """A tracking server.

    Args:
        client: asks it.
        lost: told of what it does not give.
    """

    def __init__(self, client: HttpClient, lost: Lost) -> None:
        self.address = client.address
        self._client = client
        self._lost = lost
        self.files = ServerFiles(client, lost)

    def experiments(self) -> Iterator[Experiment]:
        """Yield all experiments, deleted ones too."""
        for one in self._pages("POST", f"{_API}/experiments/search", "experiments", view_type="ALL", max_results=_PAGE):
            yield Experiment(str(one["experiment_id"]), one.get("name", ""), _lifecycle(one), _labels(one.get("tags")))

    def runs(self, experiment: Experiment) -> Iterator[Run]:
        """Yield the runs of an experiment, oldest first."""
        found = self._pages(
            "POST", f"{_API}/runs/search", "runs", experiment_ids=[experiment.id], run_view_type="ALL",
            max_results=_PAGE, order_by=["attributes.start_time ASC"],
        )  # fmt: skip
        return (_run(one) for one in found)

    def whole(self, run: Run) -> Run:
        """Return a run with the models that it read, which a search leaves away."""
        return _run(self._client.get(f"{_API}/runs/get", run_id=run.id).get("run", {}))

    def history(self, run: Run, metrics: Sequence[str]) -> Iterator[PointRow]:
        """Yield every point of some metrics; of one that the server does not give its latest."""
        for metric in metrics:
            found = self._pages(
                "GET", f"{_API}/metrics/get-history", "metrics", run_id=run.id, metric_key=metric, max_results=_HISTORY
            )
            try:
                for one in found:
                    yield metric, _value(one.get("value", 0.0)), int(one.get("step", 0)), int(one.get("timestamp", 0))
            except NotFound as error:
                self._lost("metric", f"{run.id}/{metric}", f"Only its latest value is carried: {error.message}")
                yield metric, *run.latest[metric]

    def models(self, experiment: Experiment) -> Iterator[Model]:
        """Yield the logged models of an experiment; a server before 3.0 has none."""
        path = f"{_API}/logged-models/search"
        try:
            yield from map(
                _model, self._pages("POST", path, "models", experiment_ids=[experiment.id], max_results=_MODELS)
            )
        except NotFound as error:
            if "404" not in error.message and "405" not in error.message:
                self._lost("logged models", experiment.name, error.message)

    def registered(self) -> Iterator[Registered]:
        """Yield the registered models."""
        for one in self._pages("GET", f"{_API}/registered-models/search", "registered_models", max_results=_PAGE):
            name = one.get("name", "")
            quoted = '"' if "'" in name else "'"
            found = self._pages(
                "GET", f"{_API}/model-versions/search", "model_versions", filter=f"name={quoted}{name}{quoted}",
                max_results=_PAGE,
            )  # fmt: skip
            aliases = {a.get("alias", ""): int(a.get("version", 0)) for a in one.get("aliases", ())}
            yield Registered(
                name=name,
                description=one.get("description") or None,
                tags=_labels(one.get("tags")),
                aliases=aliases,
                versions=sorted((self._version(v) for v in found), key=lambda v: v.number),
            )

    def _version(self, one: Json) -> Version:
        source, name, number = one.get("source", ""), one.get("name", ""), int(one["version"])
        try:
            said = self._client.get(f"{_API}/model-versions/get-download-uri", name=name, version=number)
            uri = said.get("artifact_uri") or source
        except NotFound:
            uri = source
        return Version(
            number=number,
            source=source,
            uri=uri,
            description=one.get("description") or None,
            tags=_labels(one.get("tags")),
            stage=one.get("current_stage") or "None",
            status=one.get("status") or "READY",
            run=one.get("run_id") or None,
            run_link=one.get("run_link") or None,
            model=one.get("model_id") or (source.removeprefix("models:/") if source.startswith("models:/m-") else None),
            user=one.get("user_id") or None,
            created=_whole(one.get("creation_timestamp")),
        )

    def others(self) -> Mapping[str, int]:
        """Return nothing: what else a server has is not counted."""
        return {}

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _pages(self, method: str, path: str, name: str, **asked: Any) -> Iterator[Json]:
        token: str | None = None
        while True:
            query = {**asked, **({"page_token": token} if token else {})}
            answer = self._client.post(path, query) if method == "POST" else self._client.get(path, **query)
            yield from answer.get(name, ())
            following = answer.get("next_page_token") or None
            if following is None or following == token:
                return
            token = following


class ServerFiles:
    """The artifacts that a server hands out: those it keeps itself, and those it can fetch."""

    def __init__(self, client: HttpClient, lost: Lost) -> None:
        self._client = client
        self._lost = lost

    def list(self, place: Place) -> Iterator[File]:
        """Yield every file below a place, by path."""
        kept = _kept(place.uri)
        if kept is not None:
            return self._below(place, "", lambda folder: self._kept(kept, folder), 0)
        if place.kind == "run":
            path = f"{_API}/artifacts/list"
            return self._below(place, "", lambda folder: self._listed(path, folder, run_id=place.id), 0)
        if place.kind == "model":
            path = f"{_API}/logged-models/{quote(place.id)}/artifacts/directories"
            return self._below(place, "", lambda folder: self._listed(path, folder, named="artifact_directory_path"), 0)
        raise NotFound(f"Its files lie at {place.uri[:200]}, which the server does not list.")

    def read(self, place: Place, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces."""
        kept = _kept(place.uri)
        if kept is not None:
            return self._client.stream(f"{_FILES}/{quote(f'{kept}/{path}')}")
        if place.kind == "run":
            return self._client.stream("/get-artifact", path=path, run_uuid=place.id)
        return self._client.stream(
            f"/ajax-api/2.0/mlflow/logged-models/{quote(place.id)}/artifacts/files", artifact_file_path=path
        )

    def _below(self, place: Place, folder: str, listed: Callable[[str], Sequence[Json]], depth: int) -> Iterator[File]:
        for one in sorted(listed(folder), key=lambda found: str(found.get("path", ""))):
            path = str(one.get("path", ""))
            if not path or ".." in path.split("/") or (folder and not path.startswith(folder + "/")):
                self._lost("artifact", f"{place.id}/{path}", "The server names it with a path that leads elsewhere.")
            elif not one.get("is_dir"):
                size = one.get("file_size")
                yield File(path, int(size) if size is not None else None)
            elif depth < _DEEPEST and path != folder:
                yield from self._below(place, path, listed, depth + 1)

    def _listed(self, path: str, folder: str, named: str = "path", **asked: str) -> Sequence[Json]:
        found: list[Json] = []
        token: str | None = None
        while True:
            answer = self._client.get(path, **{named: folder or None, "page_token": token}, **asked)
            found += answer.get("files", ())
            following = answer.get("next_page_token") or None
            if following is None or following == token:
                return found
            token = following

    def _kept(self, root: str, folder: str) -> Sequence[Json]:
        """List a folder of the server's own; it names what is inside without the folder."""
        start = f"{folder}/" if folder else ""
        found = self._client.get(_FILES, path=f"{root}/{folder}".rstrip("/")).get("files", ())
        return [{**one, "path": start + str(one.get("path", "")).rsplit("/", 1)[-1]} for one in found]


def _kept(uri: str) -> str | None:
    """Return the path of what the server itself keeps, or None when it lies elsewhere."""
    split = urlsplit(uri)
    path = unquote(split.path).strip("/")
    return path if split.scheme == "mlflow-artifacts" and ".." not in path.split("/") else None


def _run(one: Json) -> Run:
    info, data = one.get("info", {}), one.get("data", {})
    inputs, outputs = one.get("inputs", {}), one.get("outputs", {})
    tags = _labels(data.get("tags"))
    return Run(
        id=info.get("run_id") or info.get("run_uuid", ""),
        experiment=str(info.get("experiment_id", "")),
        name=info.get("run_name") or tags.get("mlflow.runName", ""),
        status=str(info.get("status", "")),
        started=_whole(info.get("start_time")),
        ended=_whole(info.get("end_time")),
        lifecycle=_lifecycle(info),
        user=info.get("user_id") or None,
        uri=info.get("artifact_uri", ""),
        params=_labels(data.get("params")),
        tags=tags,
        latest={
            m["key"]: (_value(m.get("value", 0.0)), int(m.get("step", 0)), int(m.get("timestamp", 0)))
            for m in data.get("metrics", ())
        },
        datasets=[_dataset(d) for d in inputs.get("dataset_inputs", ())],
        models_in=[m.get("model_id", "") for m in inputs.get("model_inputs", ())],
        models_out=[(m.get("model_id", ""), int(m.get("step", 0))) for m in outputs.get("model_outputs", ())],
    )


def _dataset(one: Json) -> Dataset:
    there = one.get("dataset", {})
    return Dataset(
        name=there.get("name", ""), digest=there.get("digest", ""), source_type=there.get("source_type", ""),
        source=there.get("source", ""), schema=there.get("schema"), profile=there.get("profile"),
        tags=_labels(one.get("tags")),
    )  # fmt: skip


def _model(one: Json) -> Model:
    info, data = one.get("info", {}), one.get("data", {})
    return Model(
        id=info.get("model_id", ""),
        experiment=str(info.get("experiment_id", "")),
        name=info.get("name", ""),
        status=_STATUS.get(str(info.get("status")), "PENDING"),
        model_type=info.get("model_type") or None,
        run=info.get("source_run_id") or None,
        uri=info.get("artifact_uri", ""),
        params=_labels(data.get("params")),
        tags=_labels(info.get("tags")),
        metrics=[
            Measured(m.get("run_id", ""), m["key"], _value(m.get("value", 0.0)), int(m.get("step", 0)),
                     int(m.get("timestamp", 0)), m.get("dataset_name"), m.get("dataset_digest"))
            for m in data.get("metrics", ())
        ],
    )  # fmt: skip


def _labels(listed: Sequence[Json] | None) -> dict[str, str]:
    return {str(one.get("key", "")): str(one.get("value", "")) for one in listed or ()}


def _lifecycle(one: Json) -> Lifecycle:
    return "deleted" if one.get("lifecycle_stage") == "deleted" else "active"


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).lstrip("-").isdigit() else None


def _value(value: object) -> float:
    """Return a metric's value: servers say NaN and infinity as text, and infinity as the largest number."""
    number = float(value) if isinstance(value, int | float | str) else math.nan
    return math.copysign(math.inf, number) if abs(number) == sys.float_info.max else number
