"""Two at a time: independent fits in threads, each on one core.

Threads inside a fit wait for one another at every small step, which costs more than it gains on a busy machine; fits of
different segments need not wait. The libraries release Python's lock while they work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WORKERS = 2
_WORTH_IT = 5_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def largest_first(work: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int]) -> list[Result]:
    """Return `work` of each item, in the items' order; the largest are begun first so that both threads end together.

    Work on few rows is done here and now. What the work raises is raised.
    """
    if len(items) < 2 or sum(sizes) < _WORTH_IT:
        return [work(item) for item in items]
    order = sorted(range(len(items)), key=lambda i: (-sizes[i], i))
    with ThreadPoolExecutor(WORKERS) as threads:
        found = dict(zip(order, threads.map(work, [items[i] for i in order]), strict=True))
    return [found[i] for i in range(len(items))]
