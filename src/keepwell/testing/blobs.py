"""What every blob store must do: inherit `BlobsConformance` in a test class and give it a `blobs` fixture.

    class TestLocal(BlobsConformance):
        @pytest.fixture
        def blobs(self, tmp_path): return LocalBlobs(tmp_path / "blobs")

The methods take the store as `blobs` and need nothing but plain Python to run.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keepwell.blobs import Blobs
from keepwell.core.errors import InvalidInput, KeepwellError, NotFound, Unavailable

SIZES = (0, 1, 2, 4095, 4096, 65_537, (1 << 20) + 1)


def expect(holds: bool, promise: str) -> None:
    """Fail with the promise that was broken."""
    if not holds:
        raise AssertionError(f"A blob store must keep this promise: {promise}")


def expect_error(kind: type[KeepwellError], call: Callable[[], object], promise: str) -> None:
    """Fail with the promise unless the call raises an error of this kind."""
    try:
        call()
    except kind:
        return
    expect(False, promise)


class BlobsConformance:
    """The promises of `keepwell.blobs.model.Blobs`, one a method."""

    def test_bytes_come_back_under_their_sha256(self, blobs: Blobs) -> None:
        """The digest of bytes is their sha256, and the bytes come back, whatever their length."""
        for size in SIZES:
            data = bytes(i * 31 % 251 for i in range(size))
            digest = blobs.put(data)
            expect(digest == "sha256:" + hashlib.sha256(data).hexdigest(), "a digest is the sha256, with its prefix")
            expect(blobs.get(digest) == data, "get returns what was put")
            expect(blobs.path(digest).read_bytes() == data, "path names a file that holds the bytes")
            expect(blobs.has(digest), "has tells of what was put")

    def test_the_same_bytes_are_stored_once(self, blobs: Blobs) -> None:
        """Storing bytes again changes nothing."""
        first, second = blobs.put(b"same"), blobs.put(b"same")
        expect(first == second, "the same bytes have one digest")
        expect(list(blobs.digests()) == [first], "the same bytes are stored once")

    def test_a_file_is_stored_as_its_bytes(self, blobs: Blobs) -> None:
        """A file has the digest of its bytes, and the file itself is left alone."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source"
            for size in SIZES:
                source.write_bytes(b"x" * size)
                expect(blobs.put_file(source) == blobs.put(b"x" * size), "put_file and put agree on the digest")
                expect(source.read_bytes() == b"x" * size, "put_file leaves the file as it was")
            expect_error(NotFound, lambda: blobs.put_file(source.with_name("other")), "a missing file is NotFound")

    def test_bytes_come_in_pieces(self, blobs: Blobs) -> None:
        """Pieces make the blob of their sum, visible only when settled; an aborted writer leaves nothing."""
        for pieces in ((), (b"",), (b"a", b"bc"), (b"x" * ((1 << 20) + 7), b"y")):
            writer = blobs.writer()
            for piece in pieces:
                writer.write(piece)
            whole = b"".join(pieces)
            expect(writer.size == len(whole), "a writer counts")
            before = set(blobs.digests())
            digest = writer.settle()
            expect(digest == "sha256:" + hashlib.sha256(whole).hexdigest(), "settle and put agree on the digest")
            expect(set(blobs.digests()) - before <= {digest} and blobs.get(digest) == whole, "settle stores the sum")
            writer.abort()
            expect(blobs.get(digest) == whole, "abort after settle does nothing")
        dropped = blobs.writer()
        dropped.write(b"dropped")
        dropped.abort()
        expect_error(Unavailable, lambda: dropped.write(b"more"), "an ended writer takes nothing")
        expect_error(Unavailable, dropped.settle, "an ended writer settles nothing")
        expect(not blobs.has("sha256:" + hashlib.sha256(b"dropped").hexdigest()), "what was aborted is not stored")

    def test_what_was_never_stored(self, blobs: Blobs) -> None:
        """What is not there is said to be not there."""
        absent = "sha256:" + "0" * 64
        expect(not blobs.has(absent), "has denies what was never put")
        expect_error(NotFound, lambda: blobs.get(absent), "get of what was never put is NotFound")
        expect_error(NotFound, lambda: blobs.path(absent), "path of what was never put is NotFound")
        expect(list(blobs.digests()) == [], "an empty store lists nothing")

    def test_what_is_no_digest(self, blobs: Blobs) -> None:
        """Only a digest names bytes: no path, no other spelling."""
        good = blobs.put(b"here")
        for text in ("", "here", good.upper(), good[7:], good + "0", good + "\n", "sha256:../../etc/passwd",
                     "sha256:" + "g" * 64, "sha1:" + "0" * 40):  # fmt: skip
            for ask in (blobs.has, blobs.get, blobs.path):
                expect_error(InvalidInput, lambda ask=ask, text=text: ask(text), f"{text!r} is no digest")  # type: ignore[misc]

    def test_digests_lists_all(self, blobs: Blobs) -> None:
        """Every stored digest is listed once."""
        stored = {blobs.put(str(number).encode()) for number in range(300)}
        listed = list(blobs.digests())
        expect(set(listed) == stored and len(listed) == len(stored), "digests lists what is stored, once each")

    def test_many_at_once(self, blobs: Blobs) -> None:
        """Threads that store the same and other bytes at the same time do not disturb one another."""
        data = [b"n%d" % (number % 20) for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            digests = list(pool.map(blobs.put, data))
        expect(all(blobs.get(d) == part for d, part in zip(digests, data, strict=True)), "threads may share a store")
        expect(len(list(blobs.digests())) == 20, "threads that store the same bytes store them once")
