"""How much of anything one request may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the edge; a route may have its own largest body.

    Attributes:
        path: bytes of the path.
        query: bytes of the query.
        headers: bytes of all header lines together.
        header_lines: how many header lines.
        head_seconds: until a request's head is complete.
        body_seconds: until a request's body is complete.
        work_seconds: until a handler has answered.
        request_seconds: for all of it, the reading of the answer too.
        threads: handlers that run at once.
        waiting: requests that may wait for a thread; more are told to come back.
        connections: open at once.
        uploads: bodies that are being stored, and files that are being sent, at once; more wait or come back.
        block_seconds: until the next block of an upload or a download has passed.
        denials_at_once: denied calls that the ledger records without a pause.
        denials_per_minute: denied calls that it records after that; others are counted in the next row.
    """

    path: int = 2_000
    query: int = 8_000
    headers: int = 32 << 10
    header_lines: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    work_seconds: float = 60.0
    request_seconds: float = 120.0
    threads: int = 16
    waiting: int = 128
    connections: int = 1_000
    uploads: int = 64
    block_seconds: float = 30.0
    denials_at_once: int = 60
    denials_per_minute: int = 10
