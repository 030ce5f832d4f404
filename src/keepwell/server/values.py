"""What handlers answer with beside JSON, and what they are handed of an upload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Html:
    """A page."""

    text: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class File:
    """Bytes. With `name` the browser saves them under it and never shows them.

    Attributes:
        data: the bytes.
        media: media type; for bytes that users gave, always with a `name`.
        name: file name to save under.
        cache: seconds for which the browser may keep it; 0: ask again each time (by ETag).
    """

    data: bytes
    media: str = "application/octet-stream"
    name: str | None = None
    cache: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that was stored while it came: the digest and size of its bytes in the blob store."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """The bytes of a file of ours, sent block by block; the browser saves them and never shows them.

    Attributes:
        file: the verified file that the blob store named.
        digest: of its bytes; the answer's ETag.
        name: file name to save under.
        media: media type.
        show: let a browser show it where it stands: only for a media type of `SHOWN`, which runs nothing.
    """

    file: Path
    digest: str
    name: str
    media: str = "application/octet-stream"
    show: bool = False


SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain; charset=utf-8"})
"""What a browser may show of a user's bytes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that its handler has written already."""

    data: bytes
    media: str = "application/json"
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """Bytes that users gave, for a picture or a frame on a page of ours; asked for in any other way they are saved.

    Whatever is in them runs in an origin of its own, without network, and cannot be framed by others.

    Attributes:
        data: the bytes.
        media: what a browser shall take them for.
        name: file name to save under.
    """

    data: bytes
    media: str
    name: str


@dataclass(frozen=True, slots=True)
class SeeOther:
    """Go to another page of ours with GET: the answer to a form.

    Attributes:
        location: a path on this server, starting with one `/`.
        session: the secret of a new browser session; an empty text ends the session; None leaves it.
    """

    location: str
    session: str | None = None
