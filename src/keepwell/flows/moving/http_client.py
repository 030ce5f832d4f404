"""Asks a tracking server: JSON and files, with credentials, bounds, deadlines and patience; follows no redirect."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from keepwell.core.errors import Conflict, Denied, InvalidInput, NotFound, Unauthenticated, Unavailable
from keepwell.settings import MlflowAccess

_TIMEOUT = 120.0
_TRIES = 6
_LARGEST_JSON = 1 << 28
_CHUNK = 1 << 20
_AGAIN = (429, 500, 502, 503, 504)


class HttpClient:
    """One server; every thread has a connection of its own.

    Args:
        address: `http(s)://host[:port][/path]`.
        access: credentials and certificates.
        pause: seconds before the second try; each further one waits twice as long.
    """

    def __init__(self, address: str, access: MlflowAccess, pause: float = 0.5) -> None:
        split = urlsplit(address)
        if split.scheme not in ("http", "https") or not split.hostname or split.query or split.fragment:
            raise InvalidInput("Name a server as http(s)://host:port, without query.", where="source")
        if split.username or split.password:
            raise InvalidInput(
                "Keep credentials out of the address: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
                where="source",
            )
        try:
            port = split.port
        except ValueError:
            raise InvalidInput("The port of the server's address is no number.", where="source") from None
        self.address = address.rstrip("/")
        self._secure, self._host, self._port = split.scheme == "https", split.hostname, port
        self._path = quote(split.path.rstrip("/"), safe="/%")
        self._headers = {"accept-encoding": "identity", "user-agent": "keepwell-import", **_credentials(access)}
        self._tls = _tls(access) if self._secure else None
        self._pause = pause
        self._local = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def get(self, path: str, /, **query: str | int | None) -> Any:
        """Return the JSON that a GET answers with."""
        return self._json("GET", path + _query(query), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that a POST answers with."""
        return self._json("POST", path, json.dumps(body).encode())

    def stream(self, path: str, /, **query: str | int | None) -> Iterator[bytes]:
        """Yield what a GET answers with, in pieces.

        Raises:
            NotFound: there is nothing there, or it cannot be read.
            Unavailable: the server cannot be reached, or the answer broke off.
        """
        answer = self._ask("GET", path + _query(query), None)
        length, seen = answer.length, 0
        try:
            while chunk := answer.read(_CHUNK):
                seen += len(chunk)
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Unavailable(f"The answer of {self.address} broke off; run the same command again.") from error
        if length is not None and seen != length:
            self._drop()
            raise Unavailable(f"The answer of {self.address} broke off; run the same command again.")

    def close(self) -> None:
        """Close the connections of all threads; asking again opens new ones."""
        while self._all:
            self._all.pop().close()
        self._local = threading.local()

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        answer = self._ask(method, path, body)
        try:
            data = answer.read(_LARGEST_JSON + 1)
            if len(data) > _LARGEST_JSON:
                self._drop()
                raise Unavailable(f"An answer of {self.address} is larger than 256 MiB.")
            return json.loads(data)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Unavailable(f"The answer of {self.address} broke off; run the same command again.") from error
        except (ValueError, RecursionError):
            raise InvalidInput(f"{self.address} answers {path[:80]} with something that is no JSON: is it MLflow's?",
                               where="source") from None  # fmt: skip

    def _ask(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        wait, problem = self._pause, "it does not answer"
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        for left in range(_TRIES - 1, -1, -1):
            try:
                connection = self._connection()
                connection.request(method, self._path + path, body, headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                problem = str(error) or type(error).__name__
            else:
                if answer.status == 200:
                    return answer
                said = _said(answer)
                if answer.status not in _AGAIN or (answer.status == 500 and left < _TRIES - 2):
                    self._refuse(answer, path, said)
                problem = f"it answers {answer.status}{said and ': ' + said}"
            if left:
                time.sleep(min(wait, 20.0))
                wait *= 2
        raise Unavailable(f"{self.address} cannot be asked: {problem}. Run the same command again to go on.")

    def _refuse(self, answer: http.client.HTTPResponse, path: str, said: str) -> None:
        where, place = self.address, path.partition("?")[0][:120]
        if answer.status == 401:
            raise Unauthenticated(
                f"{where} wants credentials: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD."
            )
        if answer.status == 403:
            raise Denied(f"{where} does not let these credentials read {place}.")
        if 300 <= answer.status < 400:
            to = answer.headers.get("location", "somewhere else")[:200]
            raise Conflict(f"{where} sends {place} on to {to!a}, which is not followed: name that address instead.")
        raise NotFound(f"{where} answers {place} with {answer.status}{said and ': ' + said}")

    def _connection(self) -> http.client.HTTPConnection:
        there: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if there is None:
            there = (
                http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT, context=self._tls)
                if self._secure
                else http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT)
            )
            self._local.connection = there
            self._all.append(there)
        return there

    def _drop(self) -> None:
        there = getattr(self._local, "connection", None)
        if there is not None:
            there.close()
            self._all.remove(there)
            self._local.connection = None


def _said(answer: http.client.HTTPResponse) -> str:
    """Return what an error answer says, on one line; the rest of it is read, so that the connection can go on."""
    try:
        data = answer.read(_CHUNK)
        if not answer.isclosed():
            answer.close()
        message = json.loads(data).get("message", "")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return ""
    return "".join(c if c.isprintable() else " " for c in str(message))[:300]


def _credentials(access: MlflowAccess) -> dict[str, str]:
    if access.token:
        return {"authorization": f"Bearer {_header(access.token, 'MLFLOW_TRACKING_TOKEN')}"}
    if access.username:
        pair = f"{access.username}:{access.password or ''}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _header(text: str, where: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise InvalidInput("A token is printable ASCII on one line.", where=where)
    return text


def _tls(access: MlflowAccess) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.certificates)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"The certificates {access.certificates} cannot be read: {error}.",
                           where="MLFLOW_TRACKING_SERVER_CERT_PATH") from None  # fmt: skip
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _query(query: Mapping[str, str | int | None]) -> str:
    given = {name: str(value) for name, value in query.items() if value is not None}
    return "?" + urlencode(given) if given else ""
