"""Steps of a pipeline beside what they cannot do without: a row of state, a hash and a stored artifact.

CPU seconds (user and system, of this process and its children), which repeat where wall time does not. The database
commits durably (`synchronous=FULL`) in all of them.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from keepwell.bootstrap import open_house
from keepwell.flows.kit import Kit
from keepwell.pipelines import Pipeline, Step, renamed, step
from keepwell.pipelines.model import PipelineRun
from keepwell.pipelines.runners import InProcess
from keepwell.pipelines.service import run_pipeline
from keepwell.settings import read_settings

STEPS = 300
WAYS = 200
FILES = 60
ARTIFACT = 4_096
LARGE = 65_536
REPEATS = 3


def rows() -> Iterator[dict[str, object]]:
    limit = best(limit_of_a_step) / STEPS * 1e3
    yield row("step, recorded with lineage, small values", limit, best(chain) / STEPS * 1e3, 0.6)
    yield row("step, recorded with lineage, 4 KiB artifacts", limit, best(chain_of_artifacts) / STEPS * 1e3, 0.6)
    yield row("step with a 64 KiB artifact, a file of its own", limit, best(chain_of_files) / FILES * 1e3, None)
    yield row("cached re-run of a step", limit, best(cached_chain) / STEPS * 1e3, 0.2)
    yield row("200-way fan-out, a chunk", limit, best(fan_out) / WAYS * 1e3, 0.6)
    yield row("200-way fan-out, cached, a chunk", limit, best(cached_fan_out) / WAYS * 1e3, 0.2)


def row(walk: str, limit: float, ours: float, bar: float | None) -> dict[str, object]:
    return {
        "walk": walk,
        "limit_name": "SQLite state + sha256 + artifact",
        "limit": limit,
        "ours": ours,
        "unit": "ms",
        "ratio": ours / limit,
        "bar": bar,
        "ok": None if bar is None else ours <= bar,
    }


def best(walk: Callable[[Path], float]) -> float:
    """Return the least CPU seconds of some repetitions, each in a fresh folder."""
    found = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(walk(Path(folder)))
    return min(found)


def cpu() -> float:
    """Return the CPU seconds that this process and its ended children have used."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def limit_of_a_step(folder: Path) -> float:
    """One durable row of state a step, its artifact hashed and written: no lineage, no cache, no recovery."""
    database = sqlite3.connect(folder / "limit.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        database.execute(f"PRAGMA {pragma}").close()
    database.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, name TEXT, state TEXT, digest TEXT)")
    started = cpu()
    for number in range(STEPS):
        data = number.to_bytes(4, "big") * (ARTIFACT // 4)
        digest = hashlib.sha256(data).hexdigest()
        (folder / digest).write_bytes(data)
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO steps VALUES (?, ?, 'done', ?)", (number, f"step {number}", digest))
        database.execute("COMMIT")
    spent = cpu() - started
    database.close()
    return spent


@step
def first(seed: int) -> int:
    return seed


@step
def following(before: int) -> int:
    return before + 1


@step
def artifact(before: bytes) -> bytes:
    return hashlib.sha256(before).digest() * (ARTIFACT // 32)


@step
def begin(seed: int) -> bytes:
    return bytes([seed % 256]) * ARTIFACT


@step
def items(seed: int) -> list[int]:
    return list(range(seed, seed + WAYS))


@step(map_over="items", chunk=1)
def each(items: list[int]) -> list[int]:
    return [item * 2 for item in items]


@step
def begin_large(seed: int) -> bytes:
    return bytes([seed]) * LARGE


@step
def following_large(before: bytes) -> bytes:
    return hashlib.sha256(before).digest() * (LARGE // 32)


def in_a_row(start: Step, then: Step, length: int = STEPS) -> Pipeline:
    steps = [start]
    for number in range(length - 1):
        steps.append(renamed(then, f"step {number}", before=steps[-1].name))
    return Pipeline("row", tuple(steps), {"seed": 1})


FAN = Pipeline("fan", (items, each), {"seed": 1})


def chain(folder: Path) -> float:
    return spent(house(folder), in_a_row(first, following))


def chain_of_artifacts(folder: Path) -> float:
    return spent(house(folder), in_a_row(begin, artifact))


def chain_of_files(folder: Path) -> float:
    return spent(house(folder), in_a_row(begin_large, following_large, FILES))


def cached_chain(folder: Path) -> float:
    kit, pipeline = house(folder), in_a_row(begin, artifact)
    run(kit, pipeline)
    return spent(kit, pipeline, expected="cached")


def fan_out(folder: Path) -> float:
    return spent(house(folder), FAN)


def cached_fan_out(folder: Path) -> float:
    """The chunks are found one by one: the list has grown, so the step as a whole is not known."""
    kit = house(folder)
    run(kit, FAN)
    grown = Pipeline("fan", (Step(**{**vars(items), "does": more}), each), {"seed": 1})
    return spent(kit, grown, expected="cached")


def more(seed: int) -> list[int]:
    return list(range(seed, seed + WAYS + 1))


def spent(kit: Kit, pipeline: Pipeline, expected: str = "done") -> float:
    os.sync()
    started = cpu()
    found = run(kit, pipeline)
    seconds = cpu() - started
    assert found.state == "finished" and found.counts.get(expected, 0) >= min(pipeline_size(pipeline), WAYS), found
    return seconds


def pipeline_size(pipeline: Pipeline) -> int:
    return WAYS if pipeline.name == "fan" else len(pipeline.steps)


def run(kit: Kit, pipeline: Pipeline) -> PipelineRun:
    return run_pipeline(kit.db, kit.blobs, kit.call("service:bench"), pipeline, runner=InProcess(), home=kit.home)


def house(folder: Path) -> Kit:
    return open_house(read_settings(str(folder / "home"), {}))
