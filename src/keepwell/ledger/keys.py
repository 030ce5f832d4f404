"""The signing key: an Ed25519 private key in `<home>/keys/ledger-<id>.key`, readable by its owner only."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keepwell.core.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs checkpoints: its id, its public half (hex), and the private half, which is never shown."""

    key: str
    public: str
    private: Ed25519PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> str:
        """Return the Ed25519 signature of a message, hex."""
        return self.private.sign(message).hex()


def load_or_make_key(home: Path, active: str | None = None) -> SigningKey:
    """Return the signing key of an installation; makes one when there is none and none is asked for by id.

    Processes that come here at the same time get the same key.

    Args:
        home: the installation's folder.
        active: id of the key that the ledger says is in use; None when the ledger has none yet.

    Raises:
        Damaged: the key that is in use is not there, or its file is damaged.
        InvalidInput: the key's file can be read by other users.
    """
    folder = home / "keys"
    if active is None:
        with _locked(folder):
            files = sorted(folder.glob("ledger-*.key"), key=lambda file: file.stat().st_mtime_ns)
            return _read(files[-1]) if files else _make(folder)
    place = folder / f"ledger-{active}.key"
    if not place.is_file():
        raise Damaged(
            f"The ledger's signing key {active} is not in {folder}; put its file back from a backup, or start a "
            "new key with 'keepwell audit rotate --lost', which stays visible in the ledger.",
            code="key_lost",
        )
    return _read(place)


def make_key(home: Path) -> SigningKey:
    """Make another key, beside those that are there."""
    with _locked(home / "keys"):
        return _make(home / "keys")


def discard_key(home: Path, key: SigningKey) -> None:
    """Remove the file of a key that was made and never used."""
    (home / "keys" / f"ledger-{key.key}.key").unlink(missing_ok=True)


def _make(folder: Path) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    made = _named(private)
    temp = folder / f".{made.key}.tmp"
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(private.private_bytes_raw().hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        temp.replace(folder / f"ledger-{made.key}.key")
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    _sync(folder)
    return made


def _read(place: Path) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if place.stat().st_mode & 0o077:
        raise InvalidInput(f"{place} can be read by other users; make it yours alone: chmod 600 {place}", where="keys")
    try:
        found = _named(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(place.read_text(encoding="ascii").strip())))
    except ValueError as error:
        raise Damaged(f"{place} is not a signing key any more; put it back from a backup.") from error
    if place.name != f"ledger-{found.key}.key":
        raise Damaged(f"{place} holds another key than its name says; put it back from a backup.")
    return found


def _named(private: Ed25519PrivateKey) -> SigningKey:
    public = private.public_key().public_bytes_raw()
    return SigningKey(hashlib.sha256(public).hexdigest()[:16], public.hex(), private)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
