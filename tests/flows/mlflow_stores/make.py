"""Makes the three stores that the tests of moving in read, with MLflow's own client and server (3.17, whole).

    MLFLOW_ALLOW_FILE_STORE=true python make.py FOLDER path/to/keepwell

FOLDER is emptied: `mlruns` becomes a file store, `mlflow.sql` a dump of a database whose artifacts are in
`mlartifacts`, `server.json` what a server answers to everything that the reader asks. What they hold is the same, ids
and times aside.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import ClassVar

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    RunTag,
)

T = 1_700_000_000_000
PORT = 5600
TABLES = (
    "alembic_version", "experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics",
    "datasets", "inputs", "input_tags", "logged_models", "logged_model_params", "logged_model_tags",
    "logged_model_metrics", "registered_models", "registered_model_tags", "registered_model_aliases",
    "model_versions", "model_version_tags", "trace_info",
)  # fmt: skip


def fill(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient(uri, uri)
    tags = {"team": "retail", "mlflow.note.content": "What prices do."}
    prices = client.create_experiment("prices/weekly: été", tags=tags)
    gone = client.create_experiment("gone")

    def run(experiment: str, name: str, after: int, **tags: str) -> str:
        named = {f"mlflow.{key}": value for key, value in tags.items()}
        return client.create_run(experiment, start_time=T + after, run_name=name, tags=named).info.run_id

    def put(run_id: str, path: str, text: str) -> None:
        whole = PurePosixPath(path)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, whole.name)
            file.write_text(text)
            client.log_artifact(run_id, str(file), None if str(whole.parent) == "." else str(whole.parent))

    grid = run(prices, "grid", 0, user="ada")
    client.set_tag(grid, "mlflow.source.git.commit", "0123456789abcdef0123456789abcdef01234567")
    loss = [Metric("loss", 1 / (step + 1), T + 1000 * step, step) for step in range(25)]
    odd = [Metric("odd/nan", float("nan"), T, 0), Metric("odd/inf", float("inf"), T, 0),
           Metric("odd/inf", float("-inf"), T + 5, 1), Metric("neg", -1.5, T, -3)]  # fmt: skip
    params = [Param("lr", "0.1"), Param("deep/name with space", "x" * 300), Param("empty", "")]
    client.log_batch(grid, metrics=loss + odd, params=params, tags=[RunTag("note", "two\nlines")])
    put(grid, "notes.txt", "hello\n")
    put(grid, "plots/deep/curve.csv", "x,y\n1,2\n")
    put(grid, "naïve file (1).txt", "é\n")
    sales = Dataset("sales", "abc123", "local", '{"uri": "sales.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 3}')
    client.log_inputs(grid, [DatasetInput(sales, [InputTag("mlflow.data.context", "training")])])
    child = run(prices, "child", 10, parentRunId=grid)
    client.log_metric(child, "loss", 0.5, T + 20, 0)
    client.log_metric(child, "loss", 0.25, T + 30, 1)
    client.set_terminated(child, "FAILED", T + 40)
    client.set_terminated(run(prices, "killed", 50), "KILLED", T + 60)
    run(prices, "still running", 70)
    deleted = run(prices, "deleted", 80)
    put(deleted, "d.txt", "d")
    client.delete_run(deleted)
    run(gone, "in gone", 90)
    client.delete_experiment(gone)
    client.set_terminated(run("0", "in default", 95), "FINISHED", T + 99)

    model = client.create_logged_model(
        prices, name="booster", source_run_id=grid, tags={"stage": "x"}, params={"depth": "3"}, model_type="demo"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: demo\n")
        Path(folder, "weights.bin").write_bytes(bytes(range(64)))
        client.log_model_artifacts(model.model_id, folder)
        client.log_artifacts(grid, folder, "old_model")
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(grid, [LoggedModelOutput(model.model_id, 2)])
    client.log_metric(
        grid, "auc", 0.9, T + 100, 1, dataset_name="sales", dataset_digest="abc123", model_id=model.model_id
    )
    client.log_inputs(child, models=[LoggedModelInput(model.model_id)])
    client.set_terminated(grid, "FINISHED", T + 5000)

    name = "été price"
    root = client.get_run(grid).info.artifact_uri
    client.create_registered_model(name, tags={"tier": "gold"}, description="Prices.")
    client.create_model_version(name, f"{root}/old_model", grid, tags={"by": "hand"}, description="First.")
    client.create_model_version(name, f"models:/{model.model_id}", grid, model_id=model.model_id)
    client.create_model_version(name, f"{root}/old_model", grid)
    client.delete_model_version(name, "3")
    client.create_model_version(name, f"{root}/old_model", grid)
    client.create_model_version(name, f"{root}/no_such_folder", grid)
    client.set_registered_model_alias(name, "best", "1")
    client.set_registered_model_alias(name, "shadow", "4")
    client.transition_model_version_stage(name, "1", "Production")
    client.transition_model_version_stage(name, "2", "Staging")
    client.create_registered_model("empty one")
    client.register_prompt("hello", "Say {{ what }}.")


def dump(database: Path) -> str:
    found = sqlite3.connect(database)
    lines = []
    for table in TABLES:
        [(ddl,)] = found.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
        lines.append(f"{ddl};")
        columns = [row[1] for row in found.execute(f"PRAGMA table_info({table})")]
        quoted = ", ".join(f'quote("{column}")' for column in columns)
        for row in found.execute(f"SELECT {quoted} FROM {table}"):
            lines.append(f"INSERT INTO {table} VALUES ({', '.join(row)});")
    return "\n".join(lines) + "\n"


class Recorder(BaseHTTPRequestHandler):
    """Passes requests on to the server, and keeps what it answers."""

    kept: ClassVar[dict[str, list[object]]] = {}
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {"content-type": "application/json"} if body else {}
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}{self.path}", body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request) as answered:
                status, said = answered.status, answered.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        self.kept[f"{self.command} {self.path} {body.decode()}".strip()] = [status, said.decode("latin-1")]
        self.send_response(status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        return


def record(folder: Path, keepwell: str) -> None:
    """Let the reader ask a server that is filled, and keep the conversation."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
               "--artifacts-destination", str(folder / "kept"), "--port", str(PORT), "--workers", "1"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    recorder = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=recorder.serve_forever, daemon=True).start()
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health")
                break
            except OSError:
                time.sleep(0.5)
        fill(f"http://127.0.0.1:{PORT}")
        reader = [keepwell, "import", "mlflow", f"http://127.0.0.1:{recorder.server_port}", "--home",
                  str(folder / "home")]  # fmt: skip
        subprocess.run(reader, check=True)
        (folder / "server.json").write_text(json.dumps(Recorder.kept, indent=0, sort_keys=True, ensure_ascii=False))
    finally:
        recorder.shutdown()
        server.terminate()
        server.wait()


def main(folder: Path, keepwell: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fill(f"file://{folder / 'mlruns'}")
    (folder / "beside").mkdir()
    os.chdir(folder / "beside")  # a database puts its artifacts into `mlruns` of the working folder
    fill(f"sqlite:///{folder / 'mlflow.db'}")
    (folder / "beside" / "mlruns").rename(folder / "mlartifacts")
    (folder / "mlflow.sql").write_text(dump(folder / "mlflow.db"))
    record(folder, keepwell)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2])
