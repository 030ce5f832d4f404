"""A Keepwell server over HTTP, with the standard library."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from keepwell.client.transports import Away, Closed
from keepwell.core import errors
from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.tracking import wire

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
MOST_ANSWER = 512 << 20
_BLOCK = 1 << 20
_KINDS: dict[int, type[KeepwellError]] = {
    400: errors.InvalidInput,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    501: errors.NotSupported,
}
_LOST = (OSError, http.client.HTTPException)

T = TypeVar("T")


class _Said(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    where: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    error: _Said = _Said()


class Web:
    """One connection to a server, kept alive and opened again when it was closed."""

    def __init__(self, uri: str, token: str | None = None) -> None:
        self._address = check_address(uri)
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    @property
    def uri(self) -> str:
        """The server's address."""
        return self._address

    def send(self, batch: wire.Batch) -> wire.Outcome:
        """Store a batch."""
        return self.ask("POST", "/api/log", kind=wire.Outcome, raw=wire.pack(batch), media=wire.MEDIA)

    def upload(self, owner: str, path: str, file: Path) -> None:
        """Store a file as an artifact of a run or a logged model."""
        with file.open("rb") as body:
            self._call(
                "PUT",
                artifact_at(owner, path),
                body,
                {"content-type": "application/octet-stream", "content-length": str(file.stat().st_size)},
            )

    def ask(
        self,
        method: str,
        path: str,
        *,
        kind: type[T],
        query: Mapping[str, object] | None = None,
        body: object = None,
        raw: bytes | None = None,
        media: str = "application/json",
    ) -> T:
        """Return the answer of a call as `kind`.

        Raises:
            KeepwellError: what the server said, as an error of ours; `Away` when it did not say anything.
        """
        data = self.raw(method, path, query=query, body=body, raw=raw, media=media)
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise Away(f"{self._address} answered what a Keepwell server does not: {error}.", tell=True) from None

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        raw: bytes | None = None,
        media: str = "application/json",
    ) -> bytes:
        """Return the answer of a call as bytes; raises as `ask` does."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given, doseq=True)}" if given else path
        data = raw if raw is not None else msgspec.json.encode(body) if body is not None else None
        return self._call(method, target, data, {"content-type": media} if data is not None else {})

    def download(self, path: str, into: IO[bytes]) -> None:
        """Write the bytes at a path of the API into a file; raises as `ask` does."""
        try:
            answer = self._answer("GET", path, None, {})
            if answer.status != 200:
                raise self._problem(answer)
            while block := answer.read(_BLOCK):
                into.write(block)
        except _LOST as error:
            self.close()
            raise self._away(error) from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with contextlib.suppress(*_LOST):
                self._connection.close()
            self._connection = None

    def _call(self, method: str, target: str, body: bytes | IO[bytes] | None, headers: dict[str, str]) -> bytes:
        try:
            answer = self._answer(method, target, body, headers)
            data = answer.read(MOST_ANSWER)
            if not answer.isclosed():
                self.close()
        except _LOST as error:
            self.close()
            raise self._away(error) from error
        if 200 <= answer.status < 300:
            return data
        raise self._problem(answer, data)

    def _answer(
        self, method: str, target: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Send a request; once more over a new connection when a kept one turns out to be closed."""
        given = {**headers, "accept": "application/json", "user-agent": "keepwell"}
        if self._token:
            given["authorization"] = f"Bearer {self._token}"
        kept = self._connection is not None
        for last in (False, True) if kept and not hasattr(body, "read") else (True,):
            connection = self._connected()
            try:
                connection.request(method, target, body, given)
                return connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
                self.close()
                if last:
                    raise
        raise AssertionError("unreachable")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self._address)
            host = parts.hostname or ""
            if parts.scheme == "https":
                context = ssl.create_default_context()
                made: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, parts.port, timeout=CONNECT_SECONDS, context=context
                )
            else:
                made = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
            made.connect()
            if made.sock is not None:
                made.sock.settimeout(ANSWER_SECONDS)
                with contextlib.suppress(OSError):
                    made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = made
        return self._connection

    def _away(self, error: BaseException) -> Away:
        certificate = isinstance(error, ssl.SSLCertVerificationError)
        return Away(f"{self._address} cannot be reached: {type(error).__name__}: {error}", tell=certificate)

    def _problem(self, answer: http.client.HTTPResponse, data: bytes | None = None) -> KeepwellError:
        """Return what the server said as an error of ours."""
        said = _read_problem(answer.read(_BLOCK) if data is None else data)
        status = answer.status
        if status in _KINDS and said.message:
            kind = errors.Conflict if said.code == "in_progress" else _KINDS[status]
            return kind(said.message, code=said.code or None, where=said.where)
        if status == 401 and not self._token:
            return Closed(
                f"{self._address} wants a token: make one there with 'keepwell token new' and set KEEPWELL_TOKEN"
            )
        if status in (401, 403):
            sentence = f"{self._address} does not let us in: {said.message or 'the token is not good'}"
            return Closed(sentence, denied=said.message if status == 403 else "")
        told = answer.getheader("retry-after")
        wait = float(told) if told is not None and told.strip().isdigit() else None
        return Away(f"{self._address} answered {status}: {said.message or answer.reason}", told=wait, tell=status < 500)


def owner_at(owner: str) -> str:
    """Return the address of a run or a logged model in the API."""
    return f"/api/{'logged-models' if owner.startswith('m-') else 'runs'}/{quote(owner, safe='')}"


def artifact_at(owner: str, path: str) -> str:
    """Return the address of an artifact in the API."""
    return f"{owner_at(owner)}/artifacts/{'/'.join(quote(s, safe='') for s in path.split('/'))}"


def check_address(uri: str) -> str:
    """Return `scheme://host[:port]` of a server's address.

    Raises:
        InvalidInput: it is no http or https address, or holds credentials.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise InvalidInput("The address of a server is http(s)://host:port.", where="uri") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("The address of a server is http(s)://host:port.", where="uri")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("Give the token as KEEPWELL_TOKEN, not in the address.", where="uri")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidInput("The address of a server is http(s)://host:port, without a path.", where="uri")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def _read_problem(data: bytes) -> _Said:
    try:
        return msgspec.json.decode(data, type=_Problem).error
    except msgspec.DecodeError:
        return _Said()


def blocks_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes, block by block."""
    return iter(lambda: file.read(_BLOCK), b"")
