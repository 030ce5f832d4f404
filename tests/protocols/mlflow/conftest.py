"""A house behind the real edge, asked in process with requests written out as they go over the wire."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keepwell import db
from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.ledger import service as ledger
from keepwell.server.app import make_app
from keepwell.server.limits import Limits
from keepwell.settings import read_settings

PREFIX = "/api/2.0/mlflow"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code; the answer must be an error in MLflow's form, of one sentence without a trace."""
        told = self.json
        assert set(told) == {"error_code", "message"}, told
        assert "Traceback" not in told["message"] and "sqlalchemy" not in told["message"].lower(), told
        return str(told["error_code"])


@dataclass
class Wire:
    """The app of a house, asked as from the wire."""

    kit: Kit
    app: Any
    token: str
    log: io.StringIO
    made: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        signed_in: bool = True,
    ) -> Answer:
        """Send one request; the target goes as it is, nothing is normalised."""
        given = {"host": "127.0.0.1:8400", **({"authorization": f"Bearer {self.token}"} if signed_in else {})}
        given |= {"content-length": str(len(body))} if body or method not in ("GET", "HEAD") else {}
        given |= headers or {}
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "method": method, "path": "/", "raw_path": path.encode("latin-1"), "root_path": "",
            "query_string": query.encode("latin-1"), "scheme": "http", "http_version": "1.1",
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in given.items() if v is not None],
            "server": ("127.0.0.1", 8400), "client": ("127.0.0.1", 5),
        }  # fmt: skip
        sent: list[Any] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(60)
            return None

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            asyncio.run(self.app(scope, receive, send))
        except Exception:  # noqa: BLE001  (the app raises again what it answered with 500)
            assert sent, "the app raised and answered nothing"
        start = sent[0]
        return Answer(
            start["status"],
            {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    def post(self, path: str, raw: bytes | None = None, **fields: Any) -> Answer:
        data = raw if raw is not None else json.dumps(fields).encode()
        return self.ask("POST", PREFIX + path, data, {"content-type": "application/json"})

    def get(self, path: str) -> Answer:
        return self.ask("GET", PREFIX + path)

    def good(self, path: str, **fields: Any) -> Any:
        answer = self.post(path, **fields)
        assert answer.status == 200, answer.body
        return answer.json

    def run(self) -> str:
        """Return the id of a new run."""
        return str(self.good("/runs/create", experiment_id="0")["run"]["info"]["run_id"])

    def state(self) -> list[str]:
        """Return what the ledger holds but for refusals: nothing governed changed when it stays the same."""
        with db.read(self.kit.db) as tx:
            entries = ledger.entries(tx, limit=10_000)
        return [entry.digest if hasattr(entry, "digest") else str(entry) for entry in entries
                if entry.kind != "access.denied"]  # fmt: skip


def make_wire(folder: Path, **options: Any) -> Wire:
    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    kit = open_house(read_settings(str(folder / "home"), {}), clock=clock, ids=SeededIds(clock, 1))
    with db.write(kit.db) as tx:
        call = kit.call("person:ada")
        identity.ensure_owner(tx, call)
        token = identity.new_token(tx, call, "person:ada", "tests").secret
    log = io.StringIO()
    options.setdefault("limits", Limits(threads=2, denials_at_once=10_000))
    app = make_app(kit, auth=options.pop("auth", "token"), host="127.0.0.1", port=8400, log=log, **options)
    return Wire(kit, app, token, log)


@pytest.fixture(scope="session")
def new_wire() -> Callable[..., Wire]:
    """Make a house behind the edge in a folder."""
    return make_wire


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Wire:
    """A house for all tests of a module, with a run, a logged model, a file and a registered version in it."""
    folder = tmp_path_factory.mktemp("wire")
    (folder / "canary.txt").write_text("canary-77aa")
    found = make_wire(folder)
    run = found.made["run"] = found.run()
    found.good("/runs/log-batch", run_id=run, metrics=[{"key": "m", "value": 1.5, "timestamp": 5, "step": 1}],
               params=[{"key": "p", "value": "1"}], tags=[{"key": "t", "value": "x"}])  # fmt: skip
    model = found.good("/logged-models", experiment_id="0", name="lm", source_run_id=run)
    found.made["model"] = model["model"]["info"]["model_id"]
    put = found.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/MLmodel", b"flavors: {}")
    assert put.status == 200, put.body
    found.good("/registered-models/create", name="reg")
    found.good("/model-versions/create", name="reg", source=f"runs:/{run}/model", run_id=run)
    found.good("/registered-models/alias", name="reg", alias="best", version="1")
    return found
