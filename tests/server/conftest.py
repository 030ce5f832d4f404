"""A house behind the real edge, asked in process; each request has its own client, as from different machines."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest

from keepwell import db
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.ledger import service as ledger_service
from keepwell.server.app import make_app
from keepwell.server.limits import Limits
from keepwell.server.routing import Route

OWNER = "person:ada"


@dataclass
class Served:
    """The app of a house and one good token of its owner."""

    kit: Kit
    app: Any
    token: str
    log: io.StringIO = field(default_factory=io.StringIO)

    def ask(self, method: str, path: str, *, signed_in: bool = True, **options: Any) -> httpx2.Response:
        headers = {"host": "127.0.0.1:8400", **options.pop("headers", {})}
        if signed_in:
            headers.setdefault("authorization", f"Bearer {self.token}")

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
                return await client.request(method, path, headers=headers, **options)

        return anyio.run(go)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("POST", path, **options)

    def entries(self, kind: str | None = None) -> list[Any]:
        with db.read(self.kit.db) as tx:
            return list(ledger_service.entries(tx, kind=kind, limit=10_000))


@pytest.fixture(scope="session")
def serve_kit() -> Callable[..., Served]:
    """Make an app over any house."""

    def make(kit: Kit, *, auth: str = "token", pages: tuple[Route, ...] = (), **options: Any) -> Served:
        with db.write(kit.db) as tx:
            call = kit.call(OWNER)
            identity.ensure_owner(tx, call)
            token = identity.new_token(tx, call, OWNER, "tests").secret
        log = io.StringIO()
        options.setdefault("limits", Limits(threads=2))
        app = make_app(kit, auth=auth, host="127.0.0.1", port=8400, pages=pages, log=log, **options)
        return Served(kit, app, token, log)

    return make


@pytest.fixture
def serve(kit: Kit, serve_kit: Callable[..., Served]) -> Callable[..., Served]:
    """Make an app over the test's house."""
    return functools.partial(serve_kit, kit)


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
