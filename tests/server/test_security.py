"""Addresses, hosts, origins, cookies: tables of what passes and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import Denied, InvalidInput, KeepwellError, TooLarge
from keepwell.server import security
from keepwell.server.limits import Limits

LIMITS = Limits()
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/api/models", "/api/models"),
        (b"/api/models/weekly%20demand", "/api/models/weekly demand"),
        (b"/api/models/d%C3%A9j%C3%A0", "/api/models/déjà"),
        (b"/a.b/..c/d..", "/a.b/..c/d.."),
        (b"/api/x=1,y:2@z", "/api/x=1,y:2@z"),
    ],
)
def test_a_path_is_decoded_once(raw: bytes, path: str) -> None:
    assert security.check_path(raw, LIMITS) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"*",
        b"api",
        b"//",
        b"//etc/hostname",
        b"/api//x",
        b"/api/x/",
        b"/api/./x",
        b"/api/../x",
        b"/api/..",
        b"/api/%2e%2e/x",
        b"/api/%2E/x",
        b"/api/%2e%2e%2fx",
        b"/api/x%2fy",
        b"/api/x%2Fy",
        b"/api/%252e%252e%252fx",
        b"/api/mod%2565l",
        b"/api/..%c0%af",
        b"/api/%2e%2e%5c",
        b"/api/a\\b",
        b"/api/x;a=b",
        b"/api/x%3ba=b",
        b"/api/x%00",
        b"/api/x%0a",
        b"/api/x%7f",
        b"/api/x\x00",
        b"/api/x\x7f",
        b"/api/x y",
        b"/api/x%",
        b"/api/x%4",
        b"/api/x%zz",
        b"/api/\xff",
        b"/api/%ff",
        b"/api/%e2%80%ae",
        b"/api/%e2%80%8b",
        b"/api/%c2%9b2J",
        b"/api/x?y",
        b"/api/x#y",
        b"http://127.0.0.1/api",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as told:
        security.check_path(raw, LIMITS)
    assert told.value.code == "bad_path"


@given(st.binary(max_size=40))
def test_what_passes_has_no_empty_dot_or_hidden_part(tail: bytes) -> None:
    try:
        path = security.check_path(b"/" + tail, LIMITS)
    except KeepwellError:
        return
    assert path == "/" or not {"", ".", ".."} & set(path.split("/")[1:])
    assert not set(path) & set("\\%;\0\n\r\t\x7f")


def test_a_long_path_is_refused() -> None:
    with pytest.raises(TooLarge):
        security.check_path(b"/" + b"a" * 2_000, LIMITS)


@pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost", "LocalHost:1", "[::1]:8400", "localhost:"])
def test_hosts_that_are_this_machine(host: str) -> None:
    assert security.check_host({"host": host}, LOOPBACK, any_address=False) == host.lower()


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil", "127.0.0.1.evil", "localhost.", "127.1", "2130706433", "0", "a@localhost",
     "localhost:80:90", "localhost:x", "127.0.0.1#@ok", "[::1", "10.0.0.1", "localhost evil", "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_hosts_that_are_not(host: str) -> None:
    with pytest.raises(InvalidInput):
        security.check_host({"host": host}, LOOPBACK, any_address=False)


def test_bound_to_all_addresses_any_address_is_ours_and_a_name_still_not() -> None:
    assert security.check_host({"host": "10.1.2.3:8400"}, LOOPBACK, any_address=True) == "10.1.2.3:8400"
    with pytest.raises(InvalidInput):
        security.check_host({"host": "rebound.example:8400"}, LOOPBACK, any_address=True)


@pytest.mark.parametrize(
    ("headers", "via"),
    [
        ({"origin": "http://localhost:8400"}, "session"),
        ({"sec-fetch-site": "same-origin"}, "session"),
        ({"origin": "https://localhost:8400"}, "session"),
        ({}, "token"),
        ({}, "none"),
        ({}, None),
    ],
)
def test_changes_that_our_page_or_a_program_asked_for(headers: dict[str, str], via: str | None) -> None:
    security.check_origin(headers, "http", "localhost:8400", via)


@pytest.mark.parametrize(
    ("headers", "via"),
    [
        ({}, "session"),
        *(({"origin": o}, via) for via in ("session", "none", None, "token") for o in (
            "http://evil", "null", "http://localhost.evil", "http://127.0.0.1.evil", "HTTP://LOCALHOST:8400", "",
            "http://localhost:8401", "http://localhost", "http://localhost:8400/", "file://")),
        ({"sec-fetch-site": "cross-site"}, "none"),
        ({"sec-fetch-site": "same-site"}, "session"),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8400"}, "session"),
    ],
)  # fmt: skip
def test_changes_that_another_site_may_have_asked_for(headers: dict[str, str], via: str | None) -> None:
    with pytest.raises(Denied) as told:
        security.check_origin(headers, "http", "localhost:8400", via)
    assert told.value.code == "bad_origin"


def test_a_cookie_is_read_by_its_exact_name_and_only_once() -> None:
    assert security.read_cookie({"cookie": "a=1; keepwell-1=x; b=2"}, "keepwell-1") == "x"
    assert security.read_cookie({"cookie": "=keepwell-1=x"}, "keepwell-1") is None
    assert security.read_cookie({"cookie": "keepwell-1=x; keepwell-1=y"}, "keepwell-1") is None
    assert security.read_cookie({"cookie": "keepwell-1"}, "keepwell-1") is None
    assert security.read_cookie({}, "keepwell-1") is None


def test_an_authorization_of_another_scheme_is_not_no_authorization() -> None:
    def read(headers: dict[str, str]) -> object:
        found = security.read_credential(headers, "keepwell-1")
        return found and (found.kind, found.secret, found.user)

    cookie = {"cookie": "keepwell-1=kws_1"}
    assert read({}) is None
    assert read(cookie) == ("session", "kws_1", None)
    assert read({"authorization": "bearer kwt_1", **cookie}) == ("api", "kwt_1", None)
    assert read({"authorization": "Basic YWRhOmt3dF8x", **cookie}) == ("api", "kwt_1", "ada")
    assert read({"authorization": "Basic YWRhOmE6Yg=="}) == ("api", "a:b", "ada")
    for header in ("Digest x", "Basic x", "Basic YWRh", "Basic /////w==", "Basic", "", "Bearer"):
        found = security.read_credential({"authorization": header, **cookie}, "keepwell-1")
        assert found is not None and found.secret == "", header


@pytest.mark.parametrize("name", ["host", "authorization", "content-type", "cookie", "origin"])
def test_a_header_that_decides_something_stands_once(name: str) -> None:
    with pytest.raises(InvalidInput):
        security.read_headers([(name.encode(), b"a"), (name.upper().encode(), b"b")], LIMITS)


def test_headers_are_bounded() -> None:
    with pytest.raises(TooLarge):
        security.read_headers([(b"x", b"a" * 33_000)], LIMITS)
    with pytest.raises(TooLarge):
        security.read_headers([(b"x", b"a")] * 101, LIMITS)
    assert security.read_headers([(b"Range", b"bytes=0-1"), (b"range", b"2-3")], LIMITS) == {"range": "bytes=0-1, 2-3"}


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False), ("localhost.evil", False), ("127.0.0.1.evil", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert security.is_loopback(host) is loopback
