"""Where handlers run: a few threads, a bounded queue before them, and a deadline for each piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from keepwell.core.errors import Unavailable

T = TypeVar("T")


class Threads:
    """Runs synchronous work for the event loop."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="keepwell-http")
        self._most = threads + waiting
        self._busy = 0

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Run work in a thread and return its answer. Work that is late goes on, and its answer is dropped.

        Raises:
            Unavailable: too much is waiting, or the work took longer than `seconds`.
        """
        if self._busy >= self._most:
            raise Unavailable("The server has too much to do at the moment; try again in a few seconds.", code="busy")
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        done, _ = await asyncio.wait((future,), timeout=seconds)
        if not done:
            raise Unavailable(
                f"This took longer than {seconds:g} s and may still finish; repeat it with the same Idempotency-Key to "
                "learn its outcome.",
                code="deadline",
            )
        return future.result()

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._busy -= 1
        if not future.cancelled():
            future.exception()  # an error of dropped work is nobody's; reading it keeps asyncio quiet
