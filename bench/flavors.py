"""Save and load a small scikit-learn model beside what skops alone takes; one row through the loaded model.

CPU milliseconds of this process, the median of many, with imports done. The peer that is named in the design measured
23 ms to save (2.6 s when it finds out the requirements) and 3.9 ms to load.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keepwell.models.flavors import Policy, load, save
from keepwell.models.signatures import infer

TIMES = 100


def rows() -> Iterator[dict[str, object]]:
    x = np.random.default_rng(1).random((200, 6))
    model = make_pipeline(StandardScaler(), Ridge()).fit(x, x[:, 0])
    signature = infer(x, model.predict(x))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(model, folder / "first", signature=signature, input_example=x[:2])
        loaded = load(folder / "first")
        loaded.predict(x[:1])
        limit = median(lambda n: skops.io.dump(model, folder / "limit.skops"))
        ours = median(lambda n: save(model, folder / f"s{n}", signature=signature, input_example=x[:2]))
        yield row("save a small model, signature and example", "skops.io.dump", limit, ours, 3.0)
        limit = median(lambda n: skops.io.load(folder / "limit.skops"))
        yield row("load it, judged and checked", "skops.io.load", limit, median(lambda n: load(folder / "first")), 1.5)
        limit = median(lambda n: model.predict(x[:1]))
        yield row("one row, signature enforced", "model.predict", limit, median(lambda n: loaded.predict(x[:1])), None)
        with load(folder / "first", Policy(worker=True)) as there:
            there.predict(x[:1])
            ours = median(lambda n: there.predict(x[:1]), time.perf_counter)
        yield row("one row in a process of its own, wall time", "model.predict", limit, ours, None)


def median(does: Callable[[int], Any], clock: Callable[[], float] = time.process_time) -> float:
    """Return the median of many calls in milliseconds."""
    found = []
    for number in range(TIMES):
        started = clock()
        does(number)
        found.append(clock() - started)
    return statistics.median(found) * 1e3


def row(walk: str, limit_name: str, limit: float, ours: float, bar: float | None) -> dict[str, object]:
    return {
        "walk": walk,
        "limit_name": limit_name,
        "limit": limit,
        "ours": ours,
        "unit": "ms",
        "ratio": ours / limit,
        "bar": bar,
        "ok": None if bar is None else ours <= bar,
    }
