"""The stores that tests of moving in read, opened as each of their kinds; see `mlflow_stores/make.py`."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keepwell.flows.kit import Kit
from keepwell.flows.moving.carry import open_source
from keepwell.flows.moving.names import RUN_TAG
from keepwell.flows.moving.report import Notes
from keepwell.flows.moving.source import Source
from keepwell.ledger.service import entries
from keepwell.models import registry
from keepwell.settings import MlflowAccess
from keepwell.tracking import service as tracking

STORES = Path(__file__).parent / "mlflow_stores"
KINDS = ("folder", "database", "server")
MODEL = "ete price"
START = 1_700_000_000_000


def copied(kind: str, folder: Path) -> Path:
    """Put a store of a kind into an empty folder, and return what a person would name."""
    if kind == "folder":
        return Path(shutil.copytree(STORES / "mlruns", folder / "mlruns"))
    shutil.copytree(STORES / "mlartifacts", folder / "mlartifacts")
    with sqlite3.connect(folder / "mlflow.db") as made:
        made.executescript((STORES / "mlflow.sql").read_text(encoding="utf-8"))
    made.close()
    return folder / "mlflow.db"


class Answering(BaseHTTPRequestHandler):
    """Answers as MLflow's server answered when the conversation was recorded."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        asked = f"{self.command} {self.path} {body}".strip()
        self.server.asked.append((asked, dict(self.headers)))
        status, text = self.server.instead(asked) or self.server.said.get(asked, [404, '{"message": "not recorded"}'])
        data = text.encode("latin-1")
        self.send_response(status)
        missing = self.server.cut.pop(asked, 0)
        self.send_header("content-length", str(len(data) + missing))
        if status == 302:
            self.send_header("location", "http://elsewhere.example/")
        self.end_headers_with(data)
        if missing:
            self.close_connection = True

    def end_headers_with(self, data: bytes) -> None:
        """Send head and body in one go, so that the body does not wait for an acknowledgement of the head."""
        self._headers_buffer.append(b"\r\n" + data)
        self.flush_headers()

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        return


class Server(ThreadingHTTPServer):
    """A server that says what was recorded.

    Attributes:
        asked: what it was asked so far, with headers.
        failing: answers to give before the right one, by the beginning of what is asked.
        cut: how many bytes an answer says it has and does not, once, by what is asked.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.said: dict[str, Any] = json.loads((STORES / "server.json").read_text(encoding="utf-8"))
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.failing: dict[str, list[tuple[int, str]]] = {}
        self.cut: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def instead(self, asked: str) -> tuple[int, str] | None:
        for start, answers in self.failing.items():
            if asked.startswith(start) and answers:
                return answers.pop(0)
        return None


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def opened(kind: str, folder: Path, notes: Notes) -> Iterator[Source]:
    if kind == "server":
        with serving() as server, closing(open_source(server.address, notes, MlflowAccess())) as source:
            yield source
    else:
        with closing(open_source(str(copied(kind, folder)), notes, MlflowAccess())) as source:
            yield source


def content(kit: Kit) -> dict[str, Any]:
    """Return all that was carried, without the ids that differ from store to store."""
    with kit.read() as tx:
        experiments = tracking.search_experiments(tx, view="all", limit=1000)
        named = {one.id: one.name for one in experiments}
        runs = tracking.search_runs(tx, list(named), "", "all", limit=1000)
        names = {run.id: run.name for run in runs}
        return {
            "experiments": {one.name: (one.lifecycle, one.tags) for one in experiments},
            "runs": {run.name: _run(kit, tx, run, named, names) for run in runs},
            "models": {
                model.name: [_version(tx, model.name, number, names) for number in range(1, 6)]
                + [model.description, dict(model.tags), dict(model.aliases)]
                for model in (registry.registered_model(tx, name) for name in _models(tx))
            },
            "logged": [_logged(kit, tx, one, names) for one in tracking.search_logged_models(tx, list(named))],
        }


def _models(tx: Any) -> list[str]:
    found = []
    for name in (MODEL, "empty one", "hello"):
        try:
            found.append(registry.model_name(tx, name))
        except Exception:  # noqa: BLE001  (it is not there)
            continue
    return found


def _run(kit: Kit, tx: Any, run: Any, named: dict[int, str], names: dict[str, str]) -> dict[str, Any]:
    histories = {}
    for metric in run.metrics:
        series = tracking.history(tx, run.id, metric)
        histories[metric] = sorted(
            (int(step), int(at), "nan" if math.isnan(value) else float(value))
            for step, at, value in zip(series.steps, series.ats, series.values, strict=True)
        )
    hidden = (RUN_TAG, "mlflow.user")
    return {
        "experiment": named[run.experiment],
        "status": run.status,
        "lifecycle": run.lifecycle,
        "times": (run.started_at, run.finished_at),
        "params": run.params,
        "tags": {name: text for name, text in run.tags.items() if name not in hidden},
        "parent": names.get(run.parent) if run.parent else None,
        "metrics": histories,
        "inputs": [(one.kind, one.name if one.kind == "dataset" else "m-", one.tags) for one in run.inputs],
        "outputs": [one.step for one in run.outputs],
        "commit": run.code.commit,
        "files": {one.path: kit.blobs.get(one.digest) for one in tracking.all_artifacts(tx, run.id)},
    }


def _version(tx: Any, model: str, number: int, names: dict[str, str]) -> Any:
    try:
        found = registry.registered_version(tx, model, number)
    except Exception:  # noqa: BLE001  (it is not there)
        return None
    tags = {name: text for name, text in found.tags.items() if not name.startswith("mlflow.imported.")}
    return (found.number, found.description, tags, found.stage, names.get(found.run_id or ""), found.manifest,
            bool(found.logged_model), sorted(found.aliases))  # fmt: skip


def _logged(kit: Kit, tx: Any, one: Any, names: dict[str, str]) -> Any:
    metrics = [(m.name, m.value, m.step, names[m.run], m.dataset_name, m.dataset_digest) for m in one.metrics]
    files = {file.path: kit.blobs.get(file.digest) for file in tracking.all_artifacts(tx, one.id)}
    return (one.name, one.model_type, one.status, names[one.run], one.params, one.tags, metrics, files)


def told(kit: Kit) -> dict[str, int]:
    """Return how many entries of each kind the ledger has."""
    count: dict[str, int] = {}
    with kit.read() as tx:
        for entry in entries(tx, limit=1000):
            count[entry.kind] = count.get(entry.kind, 0) + 1
    return count
