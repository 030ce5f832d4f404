"""Search in a store of 1,000,000 runs with 10 metrics, 10 params and 3 tags each, which this builds first.

That takes minutes and gigabytes, so it runs only when it is named: `./run bench million`, or with another number of
runs after a colon: `./run bench million:200000`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.tracking import searches

NAMED_ONLY = True
RUNS = 1_000_000


def rows(count: int = RUNS) -> Iterator[dict[str, object]]:
    """Build the store and measure searches in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield from searches(Path(folder), count, 20.0)
