"""Bodies that are stored while they come, files that are sent in parts, other systems' errors, Basic credentials."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from keepwell import db
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.governance import identity
from keepwell.server.limits import Limits
from keepwell.server.ranges import read_range
from keepwell.server.routing import Ask, Dialect, Download, Problem, Reply, Route, Upload, check_routes

Served = Any


def put(ask: Ask[None, Upload]) -> dict[str, Any]:
    return {"digest": ask.body.digest, "size": ask.body.size, "path": ask.path["path"]}


def before(ask: Ask[None, None]) -> None:
    if ask.path["path"] == "taken":
        raise Conflict("That place is taken.")


def get(ask: Ask[None, None]) -> Download:
    digest = ask.path["digest"]
    return Download(ask.kit.blobs.path(digest), digest, "ä b\n.html", "text/html")


def shown(ask: Ask[None, None]) -> Download:
    digest = ask.path["digest"]
    media = "image/png" if ask.path["name"] == "png" else "image/svg+xml"
    return Download(ask.kit.blobs.path(digest), digest, "a", media, show=True)


def read(route: Route, query: bytes, headers: Mapping[str, str], raw: bytes) -> object:
    return {"query": query.decode(), "raw": raw.decode(), "route": route.path}


def problem(found: Problem) -> tuple[int, bytes]:
    return 418 if found.status == 409 else found.status, json.dumps({"said": found.message, "c": found.code}).encode()


def other(ask: Ask[None, Any]) -> Reply:
    if "fail" in ask.body["raw"]:
        raise Conflict("No.")
    if "burst" in ask.body["raw"]:
        raise RuntimeError("deep inside")
    return Reply(json.dumps(ask.body).encode(), status=201)


OTHER = Dialect(("/api/other/",), read, problem)
ROUTES = (
    Route("PUT", "/api/up/{path...}", "models.gate", put, "Put.", upload=True, before=before, max_body=3_000_000),
    Route(
        "POST", "/api/raw", "models.gate", lambda ask: {"n": len(ask.body)}, "Put.", raw="application/x-t", max_body=9
    ),
    Route("GET", "/api/down/{digest}", "models.read", get, "Get.", answer=Download),
    Route("GET", "/api/shown/{digest}/{name}", "models.read", shown, "Get.", answer=Download),
    Route("POST", "/api/other/echo", "models.gate", other, "Echo.", dialect=OTHER),
    Route("PATCH", "/api/other/echo", "models.gate", other, "Echo.", dialect=OTHER),
)


@pytest.fixture
def moved(serve: Callable[..., Served]) -> Served:
    return serve(pages=ROUTES)


def stored(served: Served) -> list[str]:
    return list(served.kit.blobs.digests())


def waiting(served: Served) -> list[str]:
    """Return what is left of uploads that did not end; what ends them runs in a thread."""
    folder = Path(served.kit.home) / "blobs" / "tmp"
    for _ in range(200):
        if not (left := [file.name for file in folder.iterdir()]):
            return []
        anyio.run(anyio.sleep, 0.01)
    return left


# ------------------------------------------------------------------------------------------------------------- uploads


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 2_500_000])
def test_a_body_is_stored_while_it_comes(moved: Served, size: int) -> None:
    data = os.urandom(size)
    answer = moved.ask("PUT", "/api/up/a%20b/%C3%BC/c.bin", content=data, headers={"content-type": "text/html"})
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert answer.json() == {"digest": digest, "size": size, "path": "a b/ü/c.bin"}
    assert moved.kit.blobs.get(digest) == data
    assert waiting(moved) == []


def chunks(size: int, piece: int) -> Callable[[], AsyncIterator[bytes]]:
    async def go() -> AsyncIterator[bytes]:
        for _ in range(size // piece):
            yield b"x" * piece

    return go


def test_a_body_of_untold_length_is_bounded(moved: Served) -> None:
    assert moved.ask("PUT", "/api/up/a", content=chunks(2_000_000, 50_000)()).json()["size"] == 2_000_000
    before = stored(moved)
    answer = moved.ask("PUT", "/api/up/a", content=chunks(4_000_000, 50_000)())
    assert answer.status_code == 413 and answer.headers["connection"] == "close"
    assert moved.ask("PUT", "/api/up/a", content=b"x", headers={"content-length": "3000001"}).status_code == 413
    assert stored(moved) == before and waiting(moved) == []


def test_what_is_refused_is_not_read(moved: Served) -> None:
    read_pieces = []

    async def counted() -> AsyncIterator[bytes]:
        for _ in range(10):
            read_pieces.append(1)
            yield b"x"

    assert moved.ask("PUT", "/api/up/taken", content=counted()).status_code == 409
    assert moved.ask("PUT", "/api/up/x", content=counted(), signed_in=False).status_code == 401
    for path in ("/api/up/..%2fx", "/api/up//tmp/x", "/api/up/a%00", "/api/up/a%5cb", "/api/up/"):
        assert moved.ask("PUT", path, content=counted()).status_code == 400, path
    assert read_pieces == [] and stored(moved) == []


def test_a_body_that_stops_coming_is_given_up(serve: Callable[..., Served]) -> None:
    served = serve(pages=ROUTES, limits=Limits(threads=2, block_seconds=0.05))

    async def dripping() -> AsyncIterator[bytes]:
        yield b"x"
        await anyio.sleep(0.3)
        yield b"y"

    assert served.ask("PUT", "/api/up/a", content=dripping()).status_code == 408
    assert stored(served) == [] and waiting(served) == []


def test_a_full_disk_is_said_in_one_sentence(moved: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = moved.ask("PUT", "/api/up/a", content=b"x", headers={"content-length": "1"})
    assert answer.status_code == 200
    monkeypatch.setattr("keepwell.server.streams.RESERVE", 1 << 62)
    answer = moved.ask("PUT", "/api/up/b", content=b"yy")
    assert answer.status_code == 503 and "full" in answer.json()["error"]["message"]
    assert len(stored(moved)) == 1


def test_a_raw_body_has_its_media_type_and_its_bound(moved: Served) -> None:
    media = {"content-type": "application/x-t"}
    assert moved.post("/api/raw", content=b"\x00\xff", headers=media).json() == {"n": 2}
    assert moved.post("/api/raw", content=b"{}", headers={"content-type": "application/json"}).status_code == 415
    assert moved.post("/api/raw", content=b"0123456789", headers=media).status_code == 413


# ----------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def held(moved: Served) -> tuple[Served, str, bytes]:
    data = os.urandom(2_100_000)
    return moved, moved.kit.blobs.put(data), data


def test_a_file_is_sent_whole_and_never_shown(held: tuple[Served, str, bytes]) -> None:
    served, digest, data = held
    answer = served.get(f"/api/down/{digest}")
    assert answer.content == data
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4%20b%0A.html"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = served.ask("HEAD", f"/api/down/{digest}")
    assert head.content == b"" and head.headers["content-length"] == str(len(data))
    again = served.get(f"/api/down/{digest}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_only_pictures_and_text_are_shown(held: tuple[Served, str, bytes]) -> None:
    served, digest, _ = held
    assert served.get(f"/api/shown/{digest}/png").headers["content-disposition"].startswith("inline")
    assert served.get(f"/api/shown/{digest}/svg").headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-", 5, 2_100_000), ("bytes=-7", 2_099_993, 2_100_000),
     ("bytes=1000000-1999999", 1_000_000, 2_000_000), ("bytes=2099999-9999999", 2_099_999, 2_100_000)],
)  # fmt: skip
def test_one_range_is_served(held: tuple[Served, str, bytes], header: str, start: int, end: int) -> None:
    served, digest, data = held
    answer = served.get(f"/api/down/{digest}", headers={"range": header})
    assert answer.status_code == 206 and answer.content == data[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(data)}"
    stale = served.get(f"/api/down/{digest}", headers={"range": header, "if-range": '"other"'})
    assert stale.status_code == 200 and stale.content == data


def test_other_ranges_are_the_whole_or_behind_the_end(held: tuple[Served, str, bytes]) -> None:
    """J03."""
    served, digest, data = held
    behind = served.get(f"/api/down/{digest}", headers={"range": "bytes=2100000-"})
    assert behind.status_code == 416 and behind.headers["content-range"] == f"bytes */{len(data)}"
    for header in ("bytes=0-1,2-3", "lines=0-1", "bytes=5-2", "bytes=-", "bytes=a-b", "bytes=0-1," * 2_000):
        answer = served.get(f"/api/down/{digest}", headers={"range": header})
        assert answer.status_code == 200 and answer.content == data, header[:20]


def test_ranges_of_nothing() -> None:
    assert read_range(None, 5) is None
    assert read_range("bytes=0-", 0) == (0, 0)
    assert read_range("bytes=-5", 0) == (0, 0)
    assert read_range("bytes=-0", 5) == (5, 0)


# ------------------------------------------------------------------------------------------------------------ dialects


def test_a_dialect_reads_and_says_things_its_way(moved: Served) -> None:
    answer = moved.post("/api/other/echo?a=1&a=2&", content=b"{not json")
    assert answer.status_code == 201
    assert answer.json() == {"query": "a=1&a=2&", "raw": "{not json", "route": "/api/other/echo"}
    assert moved.ask("PATCH", "/api/other/echo", content=b"x").status_code == 201
    refused = moved.post("/api/other/echo", content=b"fail")
    assert refused.status_code == 418 and refused.json() == {"said": "No.", "c": "conflict"}
    for answer in (
        moved.get("/api/other/nothing"),
        moved.ask("DELETE", "/api/other/echo"),
        moved.post("/api/other/echo", content=b"x", signed_in=False),
        moved.post("/api/other/echo", content=b"burst"),
        moved.post("/api/other/echo", content=b"x" * (1 << 21)),
    ):
        assert answer.status_code >= 400 and set(answer.json()) == {"said", "c"}
        assert "deep inside" not in answer.text
    assert set(moved.get("/api/others").json()) == {"error"}


def test_a_route_has_one_kind_of_body_and_one_tail() -> None:
    def route(path: str, **options: Any) -> Route:
        return Route("PUT", path, "models.gate", put, "Put.", **options)

    check_routes([route("/a/{b}/{c...}", upload=True), route("/a/{b}/{c}")])
    for bad in (
        [route("/a/{b...}/c")],
        [route("/a/{b..}")],
        [route("/a/{b}/{b...}")],
        [route("/a", upload=True, raw="x/y")],
        [route("/a/{b...}"), route("/a/{c...}")],
    ):
        with pytest.raises(InvalidInput):
            check_routes(bad)


# ---------------------------------------------------------------------------------------------------------- credentials


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_is_a_password_of_its_owner(moved: Served) -> None:
    for user in ("ada", "token"):
        answer = moved.post(
            "/api/raw", content=b"x", headers={**basic(user, moved.token), "content-type": "application/x-t"}
        )
        assert answer.status_code == 200, user
    with db.write(moved.kit.db) as tx:
        link = identity.new_link(tx, moved.kit.call("person:ada"), "person:ada").secret
    for user, password in (("bob", moved.token), ("", moved.token), ("ADA", moved.token), ("ada", ""), ("ada", "ada"),
                           ("ada", link), ("token", "token")):  # fmt: skip
        answer = moved.get("/api/me", headers=basic(user, password))
        assert answer.status_code == 401, (user, password)
        assert "basic" not in answer.headers["www-authenticate"].lower()
        assert ("user name" in answer.text) is (password == moved.token), (user, password)
    assert moved.token not in moved.log.getvalue()


@pytest.mark.parametrize("how", ["bearer", "basic"])
def test_who_was_good_before_is_asked_again_before_anything_is_done(moved: Served, how: str) -> None:
    headers = basic("ada", moved.token) if how == "basic" else {}
    for _ in range(3):
        assert moved.ask("PUT", "/api/up/a", content=b"first", headers=headers).status_code == 200
    with db.write(moved.kit.db) as tx:
        found = next(c for c in identity.credentials(tx) if c.name == "tests")
        identity.revoke(tx, moved.kit.call("person:ada"), found.id)
    held = stored(moved)
    assert moved.get("/api/nothing", headers=headers).status_code == 401
    assert moved.ask("PUT", "/api/up/b", content=b"second", headers=headers).status_code == 401
    assert moved.post("/api/other/echo", content=b"x", headers=headers).status_code == 401
    assert moved.ask("BREW", "/api/raw", headers=headers).status_code == 401
    assert stored(moved) == held
    rows = [(row.actor, row.body["reason"]) for row in moved.entries("access.denied")]
    assert set(rows) == {("anonymous", "unauthenticated")} and len(rows) == 3
