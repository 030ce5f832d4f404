"""The edge around every route: who may pass, what is refused how, what a refused change leaves behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from keepwell import db, ledger
from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.events import Event
from keepwell.core.ids import SeededIds
from keepwell.governance import identity
from keepwell.governance.identity_rules import OPEN
from keepwell.server.app import Opening, all_routes, assemble, make_app, make_edge
from keepwell.server.limits import Limits
from keepwell.server.routing import Ask, Body, File, Html, Paging, Route, SeeOther, Shown, check_routes
from keepwell.settings import read_settings

Served = Any
"""What `conftest.py` gives."""

CANARY = "canary-1f7c2e"


class Note(Body, frozen=True, kw_only=True):
    text: str
    count: int = 1


def note(ask: Ask[None, Note]) -> dict[str, Any]:
    with ask.write() as tx:
        entry = ledger.append(tx, ask.call(), Event("test.noted", "test:1", {"count": ask.body.count}))[0]
    return {"seq": entry.seq}


def note_form(ask: Ask[None, Note]) -> SeeOther:
    note(ask)
    return SeeOther("/after")


def fail(ask: Ask[None, None]) -> None:
    raise RuntimeError(CANARY if ask.key else "deep inside")


def refuse(ask: Ask[None, None]) -> None:
    raise Conflict("The state does not allow it.", where="here")


def slow(ask: Ask[None, None]) -> dict[str, str]:
    time.sleep(0.6)
    return {}


def secret(ask: Ask[None, None]) -> dict[str, str]:
    return {"secret": CANARY}


def listing(ask: Ask[Paging, None]) -> Any:
    start = ask.after(int) or 0
    return ask.page(list(range(start + 1, 8))[: ask.query.limit + 1], lambda n: n)


PROBES = (
    Route("POST", "/api/test/notes", "models.gate", note, "Note.", body=Note, answer=dict[str, int], max_body=2_000),
    Route("POST", "/test/notes", "models.gate", note_form, "Note.", body=Note, form=True, answer=SeeOther),
    Route("GET", "/test/page", "pages.read", lambda _: Html("<p>page"), "Show.", answer=Html),
    Route("GET", "/api/test/file", "pages.read", lambda _: File(b"<svg>", "image/svg+xml", "a b\n.svg"), "Get.",
          answer=File),
    Route("GET", "/api/test/document", "pages.read", lambda _: Shown(b"<script>", "text/html", "a.html"), "Get.",
          answer=Shown),
    Route("GET", "/api/test/fail", "pages.read", fail, "Fail."),
    Route("POST", "/api/test/fail", "models.gate", fail, "Fail."),
    Route("GET", "/api/test/refuse", "pages.read", refuse, "Refuse."),
    Route("GET", "/api/test/slow", "pages.read", slow, "Sleep."),
    Route("POST", "/api/test/slow", "models.gate", slow, "Sleep."),
    Route("POST", "/api/test/secret", "models.gate", secret, "Tell.", secret=True),
    Route("GET", "/api/test/list", "pages.read", listing, "List.", query=Paging),
    Route("GET", "/test/away", "pages.read", lambda _: SeeOther("//evil"), "Go.", answer=SeeOther),
    Route("GET", "/api/test/{name}", "pages.read", lambda ask: dict(ask.path), "Echo.", answer=dict[str, str]),
)  # fmt: skip


@pytest.fixture
def probed(serve: Callable[..., Served]) -> Served:
    return serve(pages=PROBES, limits=Limits(threads=2, work_seconds=0.3))


@pytest.fixture(scope="module")
def steady(serve_kit: Callable[..., Served], tmp_path_factory: pytest.TempPathFactory) -> Served:
    """One house for all tests that change nothing in it but its list of denials."""
    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    home = tmp_path_factory.mktemp("steady") / "home"
    kit = open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 1))
    return serve_kit(kit, pages=PROBES, limits=Limits(threads=2, denials_at_once=10_000))


def error(response: Any) -> dict[str, Any]:
    told = json.loads(response.content)
    assert set(told) == {"error"} and set(told["error"]) == {"code", "message", "where"}
    assert "\n" not in told["error"]["message"]
    assert "Traceback" not in response.text
    return dict(told["error"])


def cookie(served: Served) -> str:
    with db.write(served.kit.db) as tx:
        link = identity.new_link(tx, served.kit.call("person:ada"), "person:ada")
    answer = served.ask("POST", "/sign-in", signed_in=False, data={"code": link.secret})
    assert answer.status_code == 303
    return str(answer.headers["set-cookie"].partition(";")[0])


# ---------------------------------------------------------------------------------------------------- deny by default


def test_without_credentials_every_route_and_method_is_closed(served: Served) -> None:
    """F01: for every declared route and every method."""
    open_routes = {(r.method, r.path) for r in all_routes() if r.permission == OPEN}
    assert open_routes == {("GET", "/health"), ("GET", "/sign-in"), ("POST", "/sign-in")}
    for path in sorted({route.path for route in all_routes()}):
        asked = "/".join("x" if part.startswith("{") else part for part in path.split("/"))
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"):
            if ("GET" if method == "HEAD" else method, path) not in open_routes:
                answer = served.ask(method, asked, signed_in=False)
                assert answer.status_code == 401, (method, asked)
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_is_not_there_is_closed_before_it_is_missing(served: Served) -> None:
    for path in (
        "/",
        "/nothing",
        "/api",
        "/docs",
        "/metrics",
        "/openapi.json",
        "/api/openapi.json",
        "/.env",
        "/.git/config",
    ):
        assert served.get(path, signed_in=False).status_code == 401
    for path in ("/nothing", "/docs", "/metrics", "/.env", "/.git/config", "/.audit", "/API/models", "/api"):
        answer = served.get(path)
        assert answer.status_code == 404 and error(answer)["code"] == "not_found"


def test_a_websocket_is_closed(served: Served) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(lambda: served.app({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x' OR 1=1 --", "Bearer x'; WAITFOR DELAY '0:0:5' --", "Basic YTpi", "bearer null",
     "Bearer kwt_" + "A" * 43, "Bearer kws_" + "A" * 43, "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer " + "A" * 9_000],
)  # fmt: skip
def test_bad_credentials_are_one_sentence_and_no_row(steady: Served, header: str) -> None:
    """I01, F21."""
    before = len(steady.entries())
    answer = steady.get("/api/openapi.json", headers={"authorization": header})
    assert answer.status_code == 401
    assert error(answer)["code"] == "unauthenticated"
    assert len(steady.entries()) == before


def test_a_token_in_the_query_is_no_token(served: Served) -> None:
    assert served.get(f"/api/openapi.json?token={served.token}", signed_in=False).status_code == 401
    assert served.get(f"/api/openapi.json?access_token={served.token}").status_code == 400


def test_one_kind_of_secret_is_not_another(served: Served) -> None:
    with db.write(served.kit.db) as tx:
        link = identity.new_link(tx, served.kit.call("person:ada"), "person:ada").secret
    session = cookie(served).partition("=")[2]
    for secret_text in (link, session):
        assert served.get("/api/openapi.json", headers={"authorization": f"Bearer {secret_text}"}).status_code == 401
    for secret_text in (link, served.token):
        answer = served.get("/api/openapi.json", signed_in=False, headers={"cookie": f"keepwell-8400={secret_text}"})
        assert answer.status_code == 401
    assert served.post("/sign-in", signed_in=False, data={"code": served.token}).status_code == 401


def test_a_revoked_or_expired_token_is_refused_at_once(served: Served, clock: Any) -> None:
    from datetime import timedelta

    with db.write(served.kit.db) as tx:
        call = served.kit.call("person:ada")
        other = identity.new_token(tx, call, "person:ada", "short", life=timedelta(hours=1))
    with_other = {"authorization": f"Bearer {other.secret}"}
    assert served.get("/api/openapi.json", headers=with_other).status_code == 200
    clock.advance(timedelta(hours=1))
    assert served.get("/api/openapi.json", headers=with_other).status_code == 401
    assert served.get("/api/openapi.json").status_code == 200
    with db.write(served.kit.db) as tx:
        found = [c for c in identity.credentials(tx) if c.name == "tests"]
        identity.revoke(tx, call, found[0].id)
    assert served.get("/api/openapi.json").status_code == 401


def test_a_read_only_token_changes_nothing(probed: Served) -> None:
    with db.write(probed.kit.db) as tx:
        reader = identity.new_token(tx, probed.kit.call("person:ada"), "person:ada", "reader", read_only=True).secret
    reading = {"authorization": f"Bearer {reader}"}
    assert probed.get("/api/test/list", headers=reading).status_code == 200
    answer = probed.post("/api/test/notes", headers=reading, json={"text": "x"})
    assert answer.status_code == 403 and error(answer)["code"] == "denied"
    assert [e.body["reason"] for e in probed.entries("access.denied")] == ["denied"]
    assert not probed.entries("test.noted")


# ------------------------------------------------------------------------------------------------------- declarations


def test_the_app_does_not_start_with_a_route_that_is_not_declared_whole() -> None:
    good = Route("GET", "/x", "pages.read", lambda _: None, "Show.")
    check_routes([good])
    for bad in (
        [Route("GET", "/x", "", lambda _: None, "Show.")],
        [Route("GET", "/x", "everything", lambda _: None, "Show.")],
        [Route("GET", "/x", "models.promote", lambda _: None, "Show.")],
        [Route("GET", "/x", "pages.read", lambda _: None, "Show.", body=Note)],
        [Route("GET", "/x", "pages.read", lambda _: None, "")],
        [Route("GET", "/x/", "pages.read", lambda _: None, "Show.")],
        [Route("GET", "x", "pages.read", lambda _: None, "Show.")],
        [Route("GET", "/{a}/{a}", "pages.read", lambda _: None, "Show.")],
        [good, Route("GET", "/x", OPEN, lambda _: None, "Show.")],
        [Route("GET", "/{a}", OPEN, lambda _: None, "Show."), Route("GET", "/{b}", OPEN, lambda _: None, "Show.")],
    ):
        with pytest.raises(InvalidInput):
            check_routes(bad)


def test_no_sign_in_is_refused_off_loopback(served: Served) -> None:
    with pytest.raises(InvalidInput):
        make_app(served.kit, auth="none", host="0.0.0.0", port=8400)


def test_while_routes_load_health_is_answered_and_the_rest_waits(served: Served) -> None:
    edge = make_edge(served.kit, auth="token", host="127.0.0.1", port=8400, log=served.log)
    opening = Opening(edge, lambda: assemble(edge, all_routes()))
    loading = threading.Timer(0.2, opening.open)
    waiting = type(served)(served.kit, opening, served.token, served.log)
    assert waiting.get("/health", signed_in=False).status_code == 200
    assert waiting.get("/health", signed_in=False, headers={"host": "evil"}).status_code == 400
    loading.start()
    assert waiting.get("/api/me").json()["actor"] == "person:ada"
    assert waiting.get("/api/me", signed_in=False).status_code == 401
    loading.join()


def test_routes_that_cannot_be_loaded_answer_nothing(served: Served) -> None:
    edge = make_edge(served.kit, auth="token", host="127.0.0.1", port=8400, log=served.log)
    bad = Route("GET", "/api/bad", "everything", lambda _: None, "Show.")
    opening = Opening(edge, lambda: assemble(edge, all_routes(pages=(bad,))))
    with pytest.raises(InvalidInput):
        opening.open()
    assert type(served)(served.kit, opening, served.token).get("/api/bad").status_code == 500


# ---------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "path",
    ["/api/test/..%2f..%2fetc", "/api/test/%252e%252e%252fx", "/api/test/a;b=c", "/api/test/x%00", "/api//test/list",
     "/api/test/..%c0%af", "/api/test/%2e%2e%5c", "/api/test/list/", "/api/test/mod%2565l"],
)  # fmt: skip
def test_an_address_with_two_readings_is_refused(steady: Served, path: str) -> None:
    """A01, A03, A05, A15, D01, F15: the same address without the trick works."""
    assert steady.get("/api/test/plain").json() == {"name": "plain"}
    before = len(steady.entries())
    answer = steady.get(path)
    assert answer.status_code == 400 and error(answer)["code"] == "bad_path"
    assert len(steady.entries()) == before
    assert steady.post(path).status_code == 400
    (row,) = steady.entries()[:-before]
    assert row.kind == "access.denied" and row.body["reason"] == "bad_path"


def test_one_name_has_one_spelling(probed: Served) -> None:
    assert probed.get("/api/test/mod%65l").json() == {"name": "model"}
    assert probed.get("/api/test/a%20b").json() == {"name": "a b"}


def test_methods(probed: Served) -> None:
    assert probed.ask("HEAD", "/api/test/list").content == b""
    assert probed.ask("HEAD", "/api/test/list").headers["content-length"] == str(
        len(probed.get("/api/test/list").content)
    )
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"):
        answer = probed.ask(method, "/api/test/list")
        assert answer.status_code == 405, method
        assert answer.headers["allow"] == "GET, HEAD"
    answer = probed.get("/api/test/notes")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


def test_a_method_is_not_overridden(probed: Served) -> None:
    for name in ("x-http-method-override", "x-method-override", "x-http-method"):
        assert probed.get("/api/test/list", headers={name: "POST"}).status_code == 200
    assert probed.get("/api/test/list?_method=DELETE").status_code == 400
    assert not probed.entries("test.noted")


# --------------------------------------------------------------------------------------------------- hosts and origins


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil", "127.0.0.1.evil:8400", "", "169.254.169.254", "a@localhost"]
)
def test_a_foreign_host_is_refused(steady: Served, host: str) -> None:
    answer = steady.get("/health", headers={"host": host}, signed_in=False)
    assert answer.status_code == 400 and error(answer)["code"] == "bad_host"


def test_forwarded_headers_change_nothing(served: Served) -> None:
    headers = {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost", "x-original-url": "/health"}
    answer = served.get("/api/openapi.json", signed_in=False, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "origin", ["http://evil", "null", "http://localhost.evil", "http://127.0.0.1.evil", "http://127.0.0.1:1"]
)
def test_another_sites_form_changes_nothing(steady: Served, origin: str) -> None:
    """G01, G03."""
    session, before = cookie(steady), len(steady.entries("test.noted"))
    for options in ({"data": {"text": "x"}}, {"content": b"{}", "headers": {"content-type": "text/plain"}}):
        headers = {"cookie": session, "origin": origin, **options.pop("headers", {})}  # type: ignore[dict-item]
        answer = steady.post("/test/notes", signed_in=False, headers=headers, **options)
        assert answer.status_code == 403 and error(answer)["code"] == "bad_origin"
    assert [e.body["reason"] for e in steady.entries()[:2]] == ["bad_origin"] * 2
    headers = {"cookie": session, "origin": "http://127.0.0.1:8400"}
    assert steady.post("/test/notes", signed_in=False, headers=headers, data={"text": "x"}).status_code == 303
    assert len(steady.entries("test.noted")) == before + 1


def test_a_cookie_without_an_origin_changes_nothing(probed: Served) -> None:
    assert (
        probed.post("/test/notes", signed_in=False, headers={"cookie": cookie(probed)}, data={"text": "x"}).status_code
        == 403
    )


# ------------------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "media",
    ["text/plain", "<b>x</b>", "multipart/form-data; boundary=" + "-" * 7_000, "", "application/x-www-form-urlencoded",
     "application/json; charset=utf-7"],
)  # fmt: skip
def test_another_media_type_is_refused(steady: Served, media: str) -> None:
    """G05, J05."""
    before = len(steady.entries())
    answer = steady.post("/api/test/notes", content=b'{"text": "x"}', headers={"content-type": media})
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/json"
    assert "<b>" not in answer.text
    assert len(steady.entries()) == before


@pytest.mark.parametrize(
    "raw",
    [b"{", b"", b"[]", b'{"text": "x", "text": "y"}', b'{"text": "x", "count": NaN}', b'{"text": "x", "count": 1e400}',
     b'{"text": "\\ud800"}', b'{"text": "x", "count": 9007199254740993}', b'{"text": "x", "extra": 1}',
     b'{"text": "\\u001b[2J\\n2026 INFO admin approved"}', b"[" * 1_500],
)  # fmt: skip
def test_a_bad_body_is_refused_whole(steady: Served, raw: bytes) -> None:
    """I07, I09, J01."""
    before = len(steady.entries())
    answer = steady.post("/api/test/notes", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)
    error(answer)
    assert len(steady.entries()) == before
    assert steady.post("/api/test/notes", json={"text": "x"}).status_code == 200


def test_a_large_body_is_refused_by_what_it_says_and_by_what_it_sends(probed: Served) -> None:
    answer = probed.post("/api/test/notes", content=b"x" * 2_001, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"

    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 100

    async def go() -> Any:
        import httpx2

        transport = httpx2.ASGITransport(app=probed.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
            headers = {"authorization": f"Bearer {probed.token}", "content-type": "application/json"}
            return await client.post("/api/test/notes", content=endless(), headers=headers)

    assert anyio.run(go).status_code == 413
    assert probed.get("/api/test/list", headers={"content-length": "x"}).status_code == 413
    assert probed.ask("GET", "/api/test/list", content=b"{}").status_code == 413


def test_a_body_that_does_not_come_is_given_up(serve: Callable[..., Served]) -> None:
    served = serve(pages=PROBES, limits=Limits(threads=2, body_seconds=0.05))

    async def go() -> Any:
        import httpx2

        async def dripping() -> Any:
            yield b'{"text"'
            await anyio.sleep(0.2)
            yield b': "x"}'

        transport = httpx2.ASGITransport(app=served.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
            headers = {"authorization": f"Bearer {served.token}", "content-type": "application/json"}
            return await client.post("/api/test/notes", content=dripping(), headers=headers)

    answer = anyio.run(go)
    assert answer.status_code == 408 and error(answer)["code"] == "slow_body"
    assert not served.entries("test.noted")


def test_large_headers_and_many_ranges(served: Served) -> None:
    """J03: ranges are not offered; the answer is whole, or the header too large."""
    assert served.get("/health", headers={"range": "bytes=" + ",".join(["0-1"] * 10_000)}).status_code == 431
    answer = served.get("/health", headers={"range": "bytes=0-1,2-3"})
    assert answer.status_code == 200 and answer.json()["status"] == "ok"
    assert served.get("/health", headers={f"x-{n}": "1" for n in range(101)}).status_code == 431
    assert served.get("/health?q=" + "a" * 8_001).status_code == 414
    assert served.get("/health?q=1").status_code == 400


# ------------------------------------------------------------------------------------------------------------- answers


def test_every_answer_has_the_browsers_defences(probed: Served) -> None:
    answers = [probed.get(path) for path in ("/test/page", "/nothing", "/api/test/fail", "/health")]
    answers.append(probed.post("/api/test/notes", json={"text": "x"}))
    answers.append(probed.get("/x", signed_in=False))
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_a_file_of_a_user_is_saved_and_never_shown(probed: Served) -> None:
    """G07."""
    answer = probed.get("/api/test/file")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b%0A.svg"
    assert "sandbox" in answer.headers["content-security-policy"]
    again = probed.get("/api/test/file", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_a_document_of_a_user_is_shown_in_a_sandbox_or_not_at_all(probed: Served) -> None:
    """G07."""
    framed = probed.get("/api/test/document", headers={"sec-fetch-dest": "iframe"})
    assert framed.headers["content-type"] == "text/html"
    assert "content-disposition" not in framed.headers
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none';")
    assert "allow-same-origin" not in policy and "frame-ancestors 'self'" in policy
    assert framed.headers["x-frame-options"] == "SAMEORIGIN" and framed.headers["x-content-type-options"] == "nosniff"
    for headers in ({}, {"sec-fetch-dest": "document"}, {"sec-fetch-dest": "embed"}, {"sec-fetch-dest": "script"}):
        answer = probed.get("/api/test/document", headers=headers)
        assert answer.headers["content-disposition"].startswith("attachment"), headers
        assert "sandbox;" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_an_error_nobody_foresaw_has_a_number_and_no_values(probed: Served) -> None:
    """L01."""
    answer = probed.get("/api/test/fail", headers={"x-secret": CANARY})
    told = error(answer)
    assert answer.status_code == 500 and told["code"] == "unexpected"
    assert "deep inside" not in answer.text
    line = next(json.loads(line) for line in probed.log.getvalue().splitlines() if "request.failed" in line)
    assert line["id"] in told["message"] and line["error"] == "RuntimeError" and line["places"]
    assert CANARY not in probed.log.getvalue() and probed.token not in probed.log.getvalue()
    page = probed.get("/api/test/fail", headers={"accept": "text/html"})
    assert page.headers["content-type"] == "application/json"


def test_errors_are_pages_for_those_who_look_at_pages(probed: Served) -> None:
    answer = probed.get("/nothing%3Cscript%3E", headers={"accept": "text/html"})
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
    assert "<script>" not in answer.text
    assert probed.get("/api/nothing", headers={"accept": "text/html"}).headers["content-type"] == "application/json"
    answer = probed.get("/test/page", signed_in=False, headers={"accept": "text/html"})
    assert answer.status_code == 401 and "sign-in link" in answer.text


def test_a_redirect_stays_here(probed: Served) -> None:
    """G09."""
    assert probed.get("/test/away").status_code == 400
    assert probed.get("/sign-in?next=//evil", signed_in=False).status_code == 400


def test_a_late_handler_is_not_waited_for_and_others_go_on(probed: Served) -> None:
    answer = probed.get("/api/test/slow")
    assert answer.status_code == 503 and error(answer)["code"] == "deadline"
    assert answer.headers["retry-after"] == "5"
    assert probed.get("/api/test/list").status_code == 200


def test_when_too_much_waits_more_is_sent_away(serve: Callable[..., Served]) -> None:
    served = serve(pages=PROBES, limits=Limits(threads=1, waiting=1))

    async def go() -> list[int]:
        import httpx2

        codes: list[int] = []
        transport = httpx2.ASGITransport(app=served.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:

            async def one() -> None:
                headers = {"authorization": f"Bearer {served.token}"}
                codes.append((await client.get("/api/test/slow", headers=headers)).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(one)
        return codes

    codes = anyio.run(go)
    assert codes.count(503) >= 3 and 200 in codes


# --------------------------------------------------------------------------------------------------------- idempotency


def test_a_repeated_key_is_done_once_and_answered_the_same(probed: Served) -> None:
    first = probed.post("/api/test/notes", json={"text": "x"}, headers={"idempotency-key": "k1"})
    again = probed.post("/api/test/notes", json={"text": "x"}, headers={"idempotency-key": "k1"})
    assert first.json() == again.json() and again.headers["idempotent-replay"] == "true"
    assert len(probed.entries("test.noted")) == 1
    other = probed.post("/api/test/notes", json={"text": "y"}, headers={"idempotency-key": "k1"})
    assert other.status_code == 409 and error(other)["code"] == "key_reused"
    assert probed.post("/api/test/notes", json={"text": "x"}, headers={"idempotency-key": "k2"}).status_code == 200
    assert len(probed.entries("test.noted")) == 2


def test_a_form_carries_its_key_in_a_field(probed: Served) -> None:
    for _ in range(2):
        answer = probed.post("/test/notes", data={"text": "x", "idempotency_key": "k"})
        assert answer.status_code == 303 and answer.headers["location"] == "/after"
    assert len(probed.entries("test.noted")) == 1


def test_a_failed_call_is_not_kept(probed: Served) -> None:
    assert probed.post("/api/test/fail", headers={"idempotency-key": "k"}).status_code == 500
    assert probed.post("/api/test/notes", json={"text": "x"}, headers={"idempotency-key": "k"}).status_code == 200


@pytest.mark.parametrize("key", ["", "a" * 201, "a\tb", "caf\xe9"])
def test_a_bad_key_is_refused(steady: Served, key: str) -> None:
    before = len(steady.entries())
    answer = steady.post("/api/test/notes", json={"text": "x"}, headers={"idempotency-key": key.encode("latin-1")})
    assert answer.status_code == 400 and len(steady.entries()) == before


def test_a_secret_is_told_once_and_kept_nowhere(probed: Served) -> None:
    assert probed.post("/api/test/secret", headers={"idempotency-key": "k"}).json() == {"secret": CANARY}
    again = probed.post("/api/test/secret", headers={"idempotency-key": "k"})
    assert again.status_code == 409 and CANARY not in again.text
    home = probed.kit.home
    assert not [f for f in home.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()]


def test_one_key_at_once(serve: Callable[..., Served]) -> None:
    served = serve(pages=PROBES, limits=Limits(threads=4))
    codes: list[int] = []
    asking = [
        threading.Thread(
            target=lambda: codes.append(served.post("/api/test/slow", headers={"idempotency-key": "k"}).status_code)
        )
        for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert sorted(codes) == [200, 409, 409]
    assert served.post("/api/test/slow", headers={"idempotency-key": "k"}).headers["idempotent-replay"] == "true"


# -------------------------------------------------------------------------------------------------------------- paging


def test_pages_follow_each_other_and_a_forged_token_is_refused(probed: Served) -> None:
    """J11."""
    seen: list[int] = []
    path = "/api/test/list?limit=3"
    while True:
        page = probed.get(path).json()
        seen += page["items"]
        if page["next"] is None:
            break
        path = f"/api/test/list?limit=3&cursor={page['next']}"
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    token = probed.get("/api/test/list?limit=3").json()["next"]
    for bad in ("AAAA", "x", "%00", token[:-2], token[::-1], "A" * 900, "eyJhIjoxfQ"):
        answer = probed.get(f"/api/test/list?cursor={bad}")
        assert answer.status_code == 400, bad
    for limit in ("0", "-1", "501", "1000000000", "1e3", "abc", "9" * 400):
        assert probed.get(f"/api/test/list?limit={limit}").status_code == 400
    assert probed.get("/api/test/list?offset=1000000000000").status_code == 400
    with db.write(probed.kit.db) as tx:
        from keepwell.governance import identity_store
        from keepwell.governance.identity_rules import Person

        identity_store.add_person(tx, Person("person:eve", "eve", "owner", probed.kit.clock.now()))
        eve = identity.new_token(tx, probed.kit.call("person:eve"), "person:eve", "eve").secret
    answer = probed.get(f"/api/test/list?cursor={token}", headers={"authorization": f"Bearer {eve}"})
    assert answer.status_code == 400


# ------------------------------------------------------------------------------------------------------------- denials


def test_denied_changes_leave_a_bounded_number_of_rows(serve: Callable[..., Served]) -> None:
    served = serve(limits=Limits(threads=2, denials_at_once=3, denials_per_minute=1))
    for _ in range(10):
        assert served.post("/api/anything", signed_in=False).status_code == 401
    rows = served.entries("access.denied")
    assert len(rows) == 3
    assert all(row.actor == "anonymous" and row.body["route"] is None for row in rows)
    assert served.get("/api/anything", signed_in=False).status_code == 401
    assert len(served.entries("access.denied")) == 3


def test_the_log_is_json_in_ascii(served: Served) -> None:
    """I07."""
    served.get("/api/%C3%A9%20INFO%20admin%20approved")
    served.get("/nothing", headers={"user-agent": "\x1b[2J"})
    for line in served.log.getvalue().splitlines():
        assert line.isascii() and line.isprintable()
        json.loads(line)


# --------------------------------------------------------------------------------------------------------- no sign-in


def test_without_sign_in_programs_pass_and_other_sites_do_not(serve: Callable[..., Served]) -> None:
    served = serve(auth="none", pages=PROBES)
    assert served.get("/health", signed_in=False).json()["auth"] == "none"
    assert served.post("/api/test/notes", signed_in=False, json={"text": "x"}).status_code == 200
    assert served.entries("test.noted")[0].actor == "person:anyone"
    for headers in ({"origin": "http://evil"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert served.post("/api/test/notes", signed_in=False, json={"text": "x"}, headers=headers).status_code == 403
    assert served.get("/api/test/list", signed_in=False, headers={"host": "rebound.evil"}).status_code == 400
    assert served.get("/sign-in", signed_in=False).headers["location"] == "/"
    assert len(served.entries("test.noted")) == 1
