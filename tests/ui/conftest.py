"""Houses behind the real edge with all pages, asked in process: an empty one, and one that was lived in."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx2
import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.server import api, ui
from keepwell.server.app import make_app
from keepwell.server.limits import Limits
from keepwell.settings import read_settings
from keepwell.testing.lived import Lived, lived_house

assert api  # with it come the tables of every capability


@dataclass
class Pages:
    """The app of a house, asked as its owner's browser would."""

    kit: Kit
    app: Any
    token: str
    log: io.StringIO
    lived: Lived | None = None

    def ask(self, method: str, path: str, *, signed_in: bool = True, **options: Any) -> httpx2.Response:
        headers = {"host": "127.0.0.1:8400", "accept": "text/html", **options.pop("headers", {})}
        if signed_in:
            headers.setdefault("authorization", f"Bearer {self.token}")

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
                return await client.request(method, path, headers=headers, **options)

        return anyio.run(go)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("GET", path, **options)

    def page(self, path: str) -> str:
        """Return a page that must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[-400:], self.log.getvalue()[-800:])
        return answer.text

    def words(self, path: str) -> str:
        """Return the text of a page as one line."""
        main = re.sub(r"<(script|style)\b.*?</\1>", "", self.page(path), flags=re.S)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())

    def form(self, path: str, **fields: str) -> httpx2.Response:
        """Post a form."""
        return self.ask(
            "POST", path, content=urlencode(fields), headers={"content-type": "application/x-www-form-urlencoded"}
        )


def serve_pages(kit: Kit, auth: Any = "token", lived: Lived | None = None) -> Pages:
    with kit.write() as tx:
        identity.ensure_owner(tx, kit.call("person:ada"))
        token = identity.new_token(tx, kit.call("person:ada"), "person:ada", "tests").secret
    log = io.StringIO()
    app = make_app(
        kit, auth=auth, host="127.0.0.1", port=8400, pages=ui.ROUTES, look=ui.LOOK, log=log, limits=Limits(threads=2)
    )
    return Pages(kit, app, token, log, lived)


@pytest.fixture
def pages_of() -> Callable[..., Pages]:
    """Make the pages of any house."""
    return serve_pages


@pytest.fixture
def empty(kit: Kit) -> Pages:
    """The pages of an empty house."""
    return serve_pages(kit)


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The pages of a house that was lived in; tests only look."""
    clock = SimulatedClock(datetime(2025, 10, 6, 6, tzinfo=UTC))
    home = str(tmp_path_factory.mktemp("lived"))
    kit = open_house(read_settings(home, {}), clock=clock, ids=SeededIds(clock, 7))
    told = lived_house(kit, clock)
    return serve_pages(kit, lived=told)
