"""A real server process on a free port, and what comes to it over a bare socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keepwell import db
from keepwell.bootstrap import open_house
from keepwell.governance import identity
from keepwell.ledger import service as ledger
from keepwell.settings import read_settings

CANARY = "canary-5b0e77aa"


@dataclass
class Running:
    process: subprocess.Popen[str]
    home: Path
    port: int
    said: list[str]
    link: str | None

    def raw(self, sent: bytes, seconds: float = 20.0) -> bytes:
        """Send bytes as they are and return everything until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as s:
            s.sendall(sent)
            s.settimeout(seconds)
            got = b""
            try:
                while part := s.recv(65_536):
                    got += part
                    head, _, body = got.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: (\d+)", head)
                    if length and len(body) >= int(length[1]) and b"connection: close" not in head:
                        break
            except TimeoutError:
                got += b"<open>"
            return got

    def request(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, bytes]:
        lines = [line + " HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        got = self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return int(got.split()[1]), got

    def ledger(self, kind: str) -> list[dict[str, object]]:
        """Return the bodies of a kind's entries; what is written beside an answer may come a moment after it."""
        kit = open_house(read_settings(str(self.home), {}))
        until = time.monotonic() + 10
        while True:
            with db.read(kit.db) as tx:
                found = [dict(entry.body) for entry in ledger.entries(tx, kind=kind, limit=1_000)]
            if found or time.monotonic() > until:
                return found
            time.sleep(0.05)

    def count(self) -> int:
        return len(self.ledger(""))


def environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}, "PYTHONUNBUFFERED": "1"}


@contextmanager
def running(home: Path, *options: str, code: str | None = None) -> Iterator[Running]:
    command = ["-c", code] if code else ["-m", "keepwell"]
    with (home.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "server", "--home", str(home), "--port", "0", *options],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), cwd=home.parent,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Keepwell is at http"), (first, (home.parent / "log").read_text())
        link = None if "none" in options else process.stdout.readline().partition("): ")[2].strip()
        yield Running(process, home, int(first.strip().rpartition(":")[2]), [first], link)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    (folder / "canary.txt").write_text(CANARY)
    (folder / "home").mkdir()
    (folder / "home" / "canary.txt").write_text(CANARY)
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    with running(place / "home") as found:
        yield found


@pytest.fixture(scope="module")
def token(server: Running) -> str:
    kit = open_house(read_settings(str(server.home), {}))
    with db.write(kit.db) as tx:
        person = identity.people(tx)[0]
        return identity.new_token(tx, kit.call(person.id), person.id, "walk").secret


def test_health_is_open_and_the_rest_is_not(server: Running) -> None:
    status, got = server.request("GET /health")
    health = json.loads(got.partition(b"\r\n\r\n")[2])
    assert status == 200 and health["status"] == "ok" and health["database"] == "ok" and health["auth"] == "token"
    assert server.request("GET /api/openapi.json")[0] == 401
    assert server.request("HEAD /health", "Connection: close")[1].endswith(b"\r\n\r\n")


def test_it_listens_on_this_machine_only(server: Running) -> None:
    """F13."""
    port = f":{server.port:04X}"
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        pytest.skip("this system has no /proc/net/tcp")
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    assert {row[1] for row in rows if row[1].endswith(port) and row[3] == "0A"} == {"0100007F" + port}


def test_a_link_is_used_by_the_form_and_not_by_looking_at_it(server: Running) -> None:
    assert server.link is not None
    target = server.link.partition(str(server.port))[2]
    for _ in range(3):  # a preview, a reload
        status, got = server.request(f"GET {target}")
        assert status == 200 and b'method="post"' in got
    code = target.partition("code=")[2].encode()
    form = "Content-Type: application/x-www-form-urlencoded"
    assert server.request("POST /sign-in", form, "Origin: http://evil", body=b"code=" + code)[0] == 403
    status, got = server.request("POST /sign-in", form, f"Origin: http://127.0.0.1:{server.port}", body=b"code=" + code)
    assert status == 303
    cookie = re.search(rb"set-cookie: (keepwell-\d+=kws_[A-Za-z0-9_-]+); (.*)\r\n", got)
    assert cookie and b"HttpOnly" in cookie[2] and b"SameSite=Strict" in cookie[2]
    sent = f"Cookie: {cookie[1].decode()}"
    assert server.request("GET /api/openapi.json", sent)[0] == 200
    assert server.request("GET /api/openapi.json", f"Cookie: ={cookie[1].decode()}")[0] == 401
    assert server.request("POST /sign-in", form, body=b"code=" + code)[0] == 401
    assert server.request("POST /sign-out", sent, f"Origin: http://127.0.0.1:{server.port}")[0] == 303
    assert server.request("GET /api/openapi.json", sent)[0] == 401


@pytest.mark.parametrize(
    "target",
    ["/../canary.txt", "/../../canary.txt", "/api/../../canary.txt", "/api/%2e%2e/%2e%2e/canary.txt",
     "/api/%252e%252e%252fcanary.txt", "/api/..%c0%afcanary.txt", "/api/%2e%2e%5ccanary.txt", "//etc/hostname",
     "/api/..;/canary.txt", "/api/models/x%00canary.txt", "/api/models/%2fetc%2fhostname", "/api/C:%5c", "/api/./x",
     "/api//x", "/api/x/", "/api/x;a=b", "/api/x%0a", "/api/x%7f", "/api/..", "/%2e%2e%2f%2e%2e%2fcanary.txt"],
)  # fmt: skip
def test_tricks_with_the_path(server: Running, token: str, target: str) -> None:
    """A01, A03, A05, A07, A15, C01, F15: signed in and not, to read, to write and to delete."""
    before = server.count()
    status, got = server.request(f"GET {target}", f"Authorization: Bearer {token}")
    assert status == 400, got
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_path"
    assert CANARY.encode() not in got
    assert server.count() == before
    for method in ("PUT", "DELETE"):
        status, got = server.request(f"{method} {target}", f"Authorization: Bearer {token}", body=b"x")
        assert status == 400 and CANARY.encode() not in got


@pytest.mark.parametrize(
    "target", ["/.git/config", "/.env", "/.audit", "/canary.txt", "/static/canary.txt", "/api/blobs/x"]
)
def test_files_that_are_not_listed_are_not_there(server: Running, token: str, target: str) -> None:
    """A11."""
    status, got = server.request(f"GET {target}", f"Authorization: Bearer {token}")
    assert status == 404 and CANARY.encode() not in got


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: +5\r\n\r\nhello",
        b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n folded: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"BREW /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\x00\r\n\r\n",
        b"GET /hea lth HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_requests_that_two_servers_could_read_differently(server: Running, sent: bytes) -> None:
    """K01, K05: one answer of 400, and the connection closes."""
    got = server.raw(sent)
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert not got.endswith(b"<open>"), got
    assert got.count(b"HTTP/1.1 ") == 1
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_verbs(server: Running, token: str) -> None:
    for verb in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LINK"):
        status, got = server.request(f"{verb} /health", f"Authorization: Bearer {token}")
        assert status == 405 and b"allow: GET, HEAD" in got
    status, got = server.request(
        "GET /health", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"
    )
    assert status in (200, 400) and b"101" not in got.partition(b"\r\n")[0]


def test_large_and_many(server: Running, token: str) -> None:
    """J01, J03, J05."""
    assert server.request("GET /health", "X: " + "a" * 60_000)[0] == 431
    assert server.request("GET /" + "a" * 60_000)[0] in (414, 431)
    assert server.request("GET /health", "Range: bytes=" + ",".join(f"{n}-{n}" for n in range(6_000)))[0] == 431
    assert server.request("GET /health?" + "a=1&" * 3_000)[0] == 414
    auth = f"Authorization: Bearer {token}"
    status, _ = server.request(
        "POST /sign-in", auth, "Content-Type: application/x-www-form-urlencoded", body=b"c" * 100_000
    )
    assert status == 413
    status, _ = server.request("POST /sign-in", auth, "Content-Type: multipart/form-data; boundary=" + "-" * 20_000)
    assert status in (400, 415, 431)


def test_many_slow_connections_do_not_stop_others(server: Running) -> None:
    """J09."""
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        started = time.monotonic()
        assert server.request("GET /health")[0] == 200
        assert time.monotonic() - started < 2
    finally:
        for connection in slow:
            connection.close()


def test_what_was_denied_is_in_the_ledger_and_nothing_secret_is_in_the_log(tmp_path: Path) -> None:
    """On a server of its own: how many refusals a minute the ledger takes is bounded, and others spend that."""
    (tmp_path / "canary.txt").write_text(CANARY)
    with running(tmp_path / "home") as server:
        assert server.request("POST /api/nothing", "Authorization: Bearer kwt_secret-of-somebody")[0] == 401
        assert server.request("DELETE /api/../../canary.txt")[0] == 400
        form = "Content-Type: application/x-www-form-urlencoded"
        assert server.request("POST /sign-in", form, "Origin: http://evil", body=b"code=kwl_of-somebody")[0] == 403
        wanted, until = {"bad_path", "unauthenticated", "bad_origin"}, time.monotonic() + 20
        while (seen := {row["reason"] for row in server.ledger("access.denied")}) != wanted:
            assert time.monotonic() < until, seen
            time.sleep(0.05)
    log = (tmp_path / "log").read_text()
    assert log and CANARY not in log and "kwt_" not in log and "kwl_" not in log and "kws_" not in log
    assert all(json.loads(line) for line in log.splitlines())
    assert "Traceback" not in log


def test_a_second_server_on_the_port_ends_with_a_sentence(server: Running, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "keepwell", "server", "--home", str(tmp_path / "h"), "--port", str(server.port)],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert ended.returncode == 7
    assert ended.stderr.count("\n") == 1 and "--port" in ended.stderr


def test_it_stops_cleanly_when_it_is_told_to(tmp_path: Path) -> None:
    with running(tmp_path / "home") as found:
        assert found.request("GET /health")[0] == 200
        started = time.monotonic()
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(20) == 0
        assert time.monotonic() - started < 10
        assert found.ledger("server.stopped")
        (told,) = found.ledger("server.started")
        assert told["auth"] == "token" and told["insecure"] is False
    with running(tmp_path / "home") as found:
        found.process.kill()
        found.process.wait(10)
    with running(tmp_path / "home") as found:
        assert found.request("GET /health")[0] == 200
        assert len(found.ledger("identity.owner_made")) == 1
        assert len(found.ledger("server.started")) == 3


def test_without_sign_in_it_says_so_everywhere(tmp_path: Path) -> None:
    with running(tmp_path / "home", "--auth", "none") as found:
        status, got = found.request("GET /health")
        assert status == 200 and b'"auth":"none"' in got
        assert found.request("GET /api/openapi.json")[0] == 200
        assert found.ledger("server.started")[0]["auth"] == "none"
        log = (tmp_path / "log").read_text()
        assert "Warning: Nobody has to sign in" in log and '"auth": "none"' in log


@pytest.mark.parametrize(
    "options",
    [["--host", "0.0.0.0", "--auth", "none"], ["--host", "0.0.0.0"], ["--tls-cert", "x"], ["--port", "70000"],
     ["--host", "0.0.0.0", "--auth", "none", "--insecure"], ["--tls-cert", "no.pem", "--tls-key", "no.pem"],
     ["--host", "no.such.host.invalid", "--insecure"], ["--auth", "maybe"]],
)  # fmt: skip
def test_what_would_give_the_house_away_is_refused(tmp_path: Path, options: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "keepwell", "server", "--home", str(tmp_path / "home"), *options],
        capture_output=True, text=True, env=environment(), timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_network_without_tls_wants_a_flag_and_is_recorded(tmp_path: Path) -> None:
    with running(tmp_path / "home", "--host", "0.0.0.0", "--insecure") as found:
        assert found.request("GET /health")[0] == 200
        assert found.ledger("server.started")[0]["insecure"] is True
        assert "without TLS" in (tmp_path / "log").read_text()
        got = found.raw(b"GET /health HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 400 ")


def test_a_head_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    code = (
        "from keepwell.server import protocol; from keepwell.server.limits import Limits\n"
        "protocol.LIMITS = Limits(head_seconds=0.3)\n"
        "from keepwell.cli import main; main()"
    )
    with running(tmp_path / "home", code=code) as found:
        for sent in (b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
            started = time.monotonic()
            got = found.raw(sent)
            assert got.startswith(b"HTTP/1.1 408 ") and b"slow_head" in got
            assert time.monotonic() - started < 2
        two = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert found.raw(two).startswith(b"HTTP/1.1 200 ")


def test_over_tls_the_cookie_does_not_leave_it(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    options = [
        "--host",
        "0.0.0.0",
        "--tls-cert",
        str(certificate),
        "--tls-key",
        str(key),
        "--allow-host",
        "keep.example",
    ]
    with running(tmp_path / "home", *options) as found:
        assert found.link is not None and found.link.startswith(f"https://keep.example:{found.port}/sign-in?code=kwl_")
        code = found.link.partition("code=")[2]
        context = ssl.create_default_context(cafile=str(certificate))
        body = f"code={code}"
        with (
            socket.create_connection(("127.0.0.1", found.port), 20) as plain,
            context.wrap_socket(plain, server_hostname="keep.example") as connection,
        ):
            connection.sendall(
                f"POST /sign-in HTTP/1.1\r\nHost: keep.example:{found.port}\r\nConnection: close\r\n"
                f"Origin: https://keep.example:{found.port}\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
            )
            got = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert got.startswith(b"HTTP/1.1 303 ")
        assert f"set-cookie: __Host-keepwell-{found.port}=kws_".encode() in got and b"; Secure" in got
        assert found.ledger("server.started")[0]["tls"] is True


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for keep.example that is good for a day."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keep.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("keep.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


def test_tokens_on_the_command_line(server: Running, tmp_path: Path) -> None:
    def keepwell(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "keepwell", "token", *words, "--home", str(server.home)]
        return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)

    made = keepwell("new", "by hand", "--read-only", "--life", "2d")
    token, ident = made.stdout.strip(), made.stderr.split(",")[0]
    assert made.returncode == 0 and token.startswith("kwt_")
    assert server.request("GET /api/me", f"Authorization: Bearer {token}")[0] == 200
    listed = json.loads(keepwell("list", "--json").stdout)
    assert {row["id"]: row["state"] for row in listed}[ident] == "good" and token not in json.dumps(listed)
    assert token not in keepwell("list").stdout
    assert keepwell("revoke", ident).returncode == 0
    assert server.request("GET /api/me", f"Authorization: Bearer {token}")[0] == 401
    assert keepwell("link", "--address", "http://localhost:1/").stdout.startswith(
        "http://localhost:1/sign-in?code=kwl_"
    )
    for words, code in ((("new", "../x"), 2), (("revoke", "tok_" + "0" * 26), 3)):
        refused = keepwell(*words)
        assert refused.returncode == code and refused.stderr.count("\n") == 1, refused.stderr
