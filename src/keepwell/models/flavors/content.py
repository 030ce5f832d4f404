"""What a file is, by its first bytes and its inner structure and never by its name; and zip archives read with care.

Every format is recognized positively: what is nothing known is refused, not tried (an allow list needs no scanner that
could be fooled).
"""

from __future__ import annotations

import ast
import io
import math
import pickletools
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from keepwell.core.errors import Damaged

Kind = Literal[
    "pickle", "compressed", "tar", "zip", "skops", "torch", "pt2", "keras", "npz", "npy", "hdf5", "safetensors", "json",
    "lightgbm", "ubj", "text", "empty", "other",
]  # fmt: skip
HEAD = 4096
MAX_MEMBERS = 20_000
MAX_UNPACKED = 64 << 30
MAX_RATIO = 1000
_MARKS: tuple[tuple[Kind, int, bytes], ...] = (
    ("hdf5", 0, b"\x89HDF\r\n\x1a\n"), ("npy", 0, b"\x93NUMPY"), ("tar", 257, b"ustar"), ("lightgbm", 0, b"tree\n"),
    ("lightgbm", 0, b"tree\r\n"),
)  # fmt: skip
_NAMED = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*\Z")
_PLAIN_ARRAY = re.compile(
    rb"\{'descr': '[<>|=]?[biufc?][0-9]{0,2}', 'fortran_order': (?:True|False), 'shape': \(([0-9, ]*)\), \} *\n"
)
_STORED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x9c",
               b"\x78\xda", b"\x78\x5e", b"\x5d\x00\x00")  # fmt: skip


def kind_of(place: Path) -> Kind:
    """Return what a file is.

    Raises:
        Damaged: it is an archive that cannot be read whole.
    """
    with place.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0, io.SEEK_END)
        size = file.tell()
    if head.startswith(b"PK"):
        return _kind_of_zip(place)
    return kind_of_bytes(head, size)


def is_zip(place: Path) -> bool:
    """Tell whether a file begins as a zip archive does."""
    with place.open("rb", buffering=0) as file:
        return file.read(2) == b"PK"


def kind_of_bytes(head: bytes, size: int) -> Kind:
    """Return what bytes are that are no zip archive, from their beginning."""
    if not head:
        return "empty"
    found: Kind | None = next((kind for kind, at, mark in _MARKS if head[at : at + len(mark)] == mark), None)
    if found is not None:
        return found
    if len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= min(size - 8, 100 << 20):
        return "safetensors"
    if is_pickle(head, size):
        return "pickle"
    return "compressed" if head.startswith(_COMPRESSED) else _kind_of_text(head)


def is_pickle(head: bytes, size: int) -> bool:
    """Tell whether bytes are a pickle of any protocol: one that names a function, or one that is read to its end."""
    if len(head) >= 2 and head[0] == 0x80 and head[1] <= 5:
        return True
    at = 0
    try:
        for opcode, argument, place in pickletools.genops(head):
            at = place or 0
            if opcode.name in ("GLOBAL", "INST") and _NAMED.match(str(argument)):
                return True
            if opcode.name == "STOP":
                return 0 < at == size - 1
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, struct.error, OverflowError):
        return False
    return False


class Archive:
    """A zip archive that every reader reads the same way, or a refusal.

    Refused are: members with a path that leads out, twice the same name, encryption or unknown flags, other packings
    than stored and deflated, headers of a member that say something else than the archive's directory, sizes beyond
    reason. The checksum of each member is compared when it is read.
    """

    def __init__(self, place: Path | bytes) -> None:
        self._name = "The archive" if isinstance(place, bytes) else place.name
        try:
            self._file = zipfile.ZipFile(io.BytesIO(place) if isinstance(place, bytes) else place)
        except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError) as error:
            raise Damaged(f"{self._name} is a damaged archive: {error}.") from error
        try:
            self.sizes = self._checked()
        except Damaged:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """Return a member's bytes; the checksum is compared.

        Raises:
            Damaged: it is not there or not whole.
        """
        try:
            return self._file.read(name)
        except (
            zipfile.BadZipFile,
            KeyError,
            EOFError,
            OSError,
            zlib.error,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise Damaged(f"{self._name} is a damaged archive: {error}.") from error

    def head(self, name: str) -> bytes:
        """Return the first bytes of a member."""
        try:
            with self._file.open(name) as member:
                return member.read(HEAD)
        except (
            zipfile.BadZipFile,
            KeyError,
            EOFError,
            OSError,
            zlib.error,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise Damaged(f"{self._name} is a damaged archive: {error}.") from error

    def _checked(self) -> dict[str, int]:
        members = self._file.infolist()
        if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
            raise Damaged(f"{self._name} holds too much for an archive of a model.")
        sizes: dict[str, int] = {}
        for member in members:
            self._check(member)
            if member.filename in sizes:
                raise Damaged(f"{self._name} has two members {member.filename[:80]!a}.")
            sizes[member.filename] = member.file_size
        return sizes

    def _check(self, member: zipfile.ZipInfo) -> None:
        parts = member.filename.split("/")
        shown = ascii(member.filename[:80])
        if member.filename.startswith("/") or "\\" in member.filename or ".." in parts or "\0" in member.orig_filename:
            raise Damaged(f"{self._name} has a member {shown}, which leads out of it.")
        if member.flag_bits & ~0x080E or member.compress_type not in _STORED:
            raise Damaged(f"{self._name} has a member {shown} that is encrypted or packed in an unknown way.")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1024):
            raise Damaged(f"{self._name} has a member {shown} that unpacks to far more than it is.")
        if self._file.fp is None:
            return
        self._file.fp.seek(member.header_offset)
        local = self._file.fp.read(30)
        if len(local) < 30 or local[:4] != b"PK\x03\x04":
            raise Damaged(f"{self._name} has no member {shown} where it says.")
        flags, packing = struct.unpack_from("<HH", local, 6)
        name = self._file.fp.read(struct.unpack_from("<H", local, 26)[0])
        if flags != member.flag_bits or packing != member.compress_type or name != _raw_name(member):
            raise Damaged(f"{self._name} says two things of its member {shown}.")


def holds_objects(data: bytes, size: int) -> bool:
    """Tell whether an npy file holds Python objects, which are kept as a pickle; its shape must fit its size.

    Args:
        data: its first bytes.
        size: of all of it.

    Raises:
        Damaged: it is not such a file, or its shape says more than it holds.
    """
    plain = _PLAIN_ARRAY.match(data, 10)
    if plain is not None and data[:8] == b"\x93NUMPY\x01\x00":
        return _fits(math.prod(int(part) for part in plain[1].split(b",") if part.strip()), size)
    try:
        long = data[6] >= 2
        length = struct.unpack_from("<I" if long else "<H", data, 8)[0]
        start = 12 if long else 10
        if data[:6] != b"\x93NUMPY" or length > 64 << 10 or len(data) < start + length:
            raise ValueError
        header = ast.literal_eval(data[start : start + length].decode("latin-1"))
        descr, shape = header["descr"], header["shape"]
        items = 1
        for length_of in shape:
            if type(length_of) is not int or length_of < 0:
                raise ValueError
            items *= length_of
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, struct.error, RecursionError, MemoryError):
        raise Damaged("An array of the model has no readable header.") from None
    return _fits(items, size) or _of_objects(descr)


def _fits(items: int, size: int) -> bool:
    """Refuse an array that says it has more items than its file has bytes; return False."""
    if items > size:
        raise Damaged(f"An array of the model says it has {items:,} items; its file has {size:,} bytes.")
    return False


def _of_objects(descr: object) -> bool:
    if isinstance(descr, list | tuple):
        return any(_of_objects(part) for part in descr)
    return isinstance(descr, str) and descr.lstrip("<>|=").startswith("O")


def check_arrays(archive: Archive, packed: str) -> None:
    """Refuse an archive whose arrays hold objects, or say they are larger than they are.

    Args:
        archive: the archive.
        packed: what it is called in the refusal.

    Raises:
        Damaged: as said.
    """
    for name, size in archive.sizes.items():
        head = archive.head(name)
        if head[:6] == b"\x93NUMPY" and holds_objects(head, size):
            raise Damaged(f"{packed} holds an array of objects, which is a pickle.")


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    return member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437")


def _kind_of_zip(place: Path) -> Kind:
    with Archive(place) as archive:
        names = list(archive.sizes)
        last = {name.rsplit("/", 1)[-1] for name in names}
        if "schema.json" in archive.sizes:
            return "skops"
        if any(is_pickle(archive.head(n), archive.sizes[n]) for n in names if n.endswith((".pkl", ".pickle", ".p"))):
            return "torch"
        if "archive_format" in last and any("/models/" in f"/{name}" for name in names):
            return "pt2"
        if {"config.json", "metadata.json"} <= set(names):
            return "keras"
        if names and all(archive.head(name)[:6] == b"\x93NUMPY" for name in names):
            return "npz"
    return "zip"


def _kind_of_text(head: bytes) -> Kind:
    start = head.lstrip(b" \t\r\n")[:1]
    if start in (b"{", b"["):
        rest = head.lstrip(b" \t\r\n")[1:2]
        if start == b"{" and rest in (b"L", b"U", b"i", b"I", b"l") and b"\0" in head[:64]:
            return "ubj"
        return "json"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return "other"
    return "other" if b"\0" in head else "text"
