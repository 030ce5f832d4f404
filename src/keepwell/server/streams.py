"""Bodies that are too large to be held: stored block by block while they come, sent block by block from their file."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive, Scope, Send

from keepwell.core.errors import InvalidInput, TooLarge, Unavailable
from keepwell.server.answers import Part
from keepwell.server.guard import Edge
from keepwell.server.routing import Upload

BLOCK = 1 << 20
RESERVE = 64 << 20
"""Bytes of the disk that uploads leave free, so that deleting and rolling back still work."""


def told_size(headers: Mapping[str, str], most: int) -> int:
    """Return how many bytes the caller says the body has; 0 when they do not.

    Raises:
        TooLarge: more than the route takes.
    """
    told = headers.get("content-length", "0")
    if not told.isdigit() or len(told) > 15 or int(told) > most:
        raise TooLarge(f"The body may have up to {most} bytes.", where="body")
    return int(told)


async def store_body(edge: Edge, scope: Scope, receive: Receive, most: int) -> Upload:
    """Store a body while it comes; nothing of it stays when it does not come whole.

    Raises:
        TooLarge: it is larger than the route takes.
        InvalidInput: it came too slowly, or not whole.
        Unavailable: the disk is full or failing, or too much is being stored.
    """
    blobs, transfers, seconds = edge.house.kit.blobs, edge.transfers, edge.limits.block_seconds
    told = told_size(scope["keepwell.headers"], most)
    if told + RESERVE > blobs.free_bytes():
        raise Unavailable("The disk that holds the artifacts is full; nothing was stored. Free some space.")
    writer = await transfers.run(blobs.writer, seconds)
    try:
        async for block in _blocks(edge, scope, receive, most):
            await transfers.run(functools.partial(writer.write, block), seconds)
        digest = await transfers.run(writer.settle, edge.limits.work_seconds)
    except BaseException:
        transfers.later(writer.abort)
        raise
    return Upload(digest, writer.size)


async def send_part(edge: Edge, scope: Scope, send: Send, part: Part) -> None:
    """Send a part of a file, as quickly as the caller reads it."""
    transfers, seconds = edge.transfers, edge.limits.block_seconds
    if part.size == 0:
        await send({"type": "http.response.body", "body": b""})
        return
    file = await transfers.run(lambda: part.file.open("rb"), seconds)
    try:
        file.seek(part.start)
        left = part.size
        while left:
            _go_on(edge, scope)
            block = await transfers.run(functools.partial(file.read, min(left, BLOCK)), seconds)
            left -= len(block)
            if not block:
                raise OSError("a stored file is shorter than it was")
            await send({"type": "http.response.body", "body": block, "more_body": left > 0})
    finally:
        file.close()


async def _blocks(edge: Edge, scope: Scope, receive: Receive, most: int) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    held, size, more = 0, 0, True
    while more:
        _go_on(edge, scope)
        try:
            async with asyncio.timeout(edge.limits.block_seconds):
                while more and held < BLOCK:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise InvalidInput("The connection closed before the body was complete.", where="body")
                    parts.append(message.get("body", b""))
                    held += len(parts[-1])
                    more = message.get("more_body", False)
        except TimeoutError:
            raise InvalidInput("The body came too slowly.", code="slow_body", where="body") from None
        size += held
        if size > most:
            raise TooLarge(f"The body may have up to {most} bytes.", where="body")
        yield b"".join(parts)
        parts, held = [], 0


def _go_on(edge: Edge, scope: Scope) -> None:
    """Give the request its time again: a block has passed."""
    now = asyncio.get_running_loop().time()
    scope["keepwell.deadline"].reschedule(now + edge.limits.request_seconds)
