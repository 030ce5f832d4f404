"""Page tokens: where a listing goes on, signed, so that only what this server gave to this caller comes back."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TypeVar

import msgspec

from keepwell.core.errors import InvalidInput

T = TypeVar("T")
_MAC = 16


class Cursors:
    """Makes and reads page tokens under one key.

    A token is base64url of 16 bytes of HMAC-SHA256 over the scope (listing, filters, caller) and the value, followed
    by the value in MessagePack.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, value: object, scope: str) -> str:
        """Return the token that says a listing goes on after `value`."""
        packed = msgspec.msgpack.encode(value)
        return base64.urlsafe_b64encode(self._mac(packed, scope) + packed).rstrip(b"=").decode()

    def read(self, token: str, scope: str, kind: type[T]) -> T:
        """Return the value of a token.

        Raises:
            InvalidInput: the token was not made for this listing, these filters and this caller.
        """
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            raw = b""
        packed = raw[_MAC:]
        if len(raw) <= _MAC or not hmac.compare_digest(raw[:_MAC], self._mac(packed, scope)):
            raise InvalidInput(
                "This page token does not belong to this listing; start from its first page.", where="cursor"
            )
        return msgspec.msgpack.decode(packed, type=kind)

    def _mac(self, packed: bytes, scope: str) -> bytes:
        return hmac.new(self._key, scope.encode() + b"\0" + packed, hashlib.sha256).digest()[:_MAC]


def load_cursors(home: Path) -> Cursors:
    """Return the page tokens of an installation; its key is made on first use and readable by its owner only."""
    folder = home / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "pages.key"
    if not file.exists():
        _make_key(folder, file)
    return Cursors(file.read_bytes())


def _make_key(folder: Path, file: Path) -> None:
    """Write a key whole or not at all; of several processes at once, one key wins."""
    draft = folder / f".pages-{secrets.token_hex(8)}"
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "wb") as out:
        out.write(secrets.token_bytes(32))
        out.flush()
        os.fsync(out.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
