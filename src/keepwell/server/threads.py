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
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()
        self._pool.submit(_do, work, loop, answered, self._done)
        late = loop.call_later(seconds, _late, answered, seconds)
        try:
            return await answered
        finally:
            late.cancel()

    def later(self, work: Callable[[], object]) -> None:
        """Run work that nobody waits for, however much waits."""
        self._pool.submit(work)

    def _done(self) -> None:
        self._busy -= 1


def _do(
    work: Callable[[], Any], loop: asyncio.AbstractEventLoop, answered: asyncio.Future[Any], done: Callable[[], None]
) -> None:
    try:
        told, error = work(), None
    except BaseException as raised:  # noqa: BLE001  (raised again where the answer is awaited)
        told, error = None, raised if not isinstance(raised, StopIteration) else RuntimeError("StopIteration")
    try:
        loop.call_soon_threadsafe(_tell, answered, told, error, done)
    except RuntimeError:
        return  # the loop has ended: nobody waits


def _tell(answered: asyncio.Future[Any], told: object, error: BaseException | None, done: Callable[[], None]) -> None:
    done()
    if answered.done():
        return  # late: an error of dropped work is nobody's
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(told)


def _late(answered: asyncio.Future[Any], seconds: float) -> None:
    if not answered.done():
        answered.set_exception(
            Unavailable(
                f"This took longer than {seconds:g} s and may still finish; repeat it with the same Idempotency-Key to "
                "learn its outcome.",
                code="deadline",
            )
        )
