"""Experiments as people log them, made up but through the real services: sweeps with curves, pictures, tables.

`seeded_experiments` fills a house with what every page about runs has something of; `many_runs` with so many runs that
a table of them has to be quick.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from keepwell.core.clock import SimulatedClock
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.core.lazy import pl
from keepwell.core.points import batch_of
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.models import registry
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Code, DatasetInput, Input, Run

ACTOR = "person:mia"
COMMITS = ("3f2a91c07b5de64418aa02c95be1d7f6e0c4b832", "b81f0a7d22c94e6f0d5a3b9c1e7786f2d0a4c519")
HTML = """<!doctype html><meta charset="utf-8"><title>Report</title>
<style>body{font:16px sans-serif;margin:24px}</style>
<h1>Confusions</h1><p id="said">drawn by a script:</p><script>
let reached = "nothing";
try { reached = parent.document.title; } catch (error) { reached = "refused"; }
let cookie = "refused";
try { cookie = document.cookie; } catch (error) { cookie = "refused"; }
fetch("/api/runs").then(() => "answered", () => "refused").then((api) => {
  document.getElementById("said").textContent = `page ${reached}, cookie ${cookie}, api ${api}`;
});
</script>"""
"""A report that tries to reach the page around it, and says what came of it."""


MLMODEL = """artifact_path: model
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.9}
  sklearn: {pickled_model: model.skops, serialization_format: skops, sklearn_version: 1.7.1}
signature:
  inputs: '[{"type": "double", "name": "pixel_0", "required": true}, {"type": "long", "name": "pixel_1"}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
"""


@dataclass
class Seeded:
    """What was made: ids of experiments by name, of runs by what they are for."""

    experiments: dict[str, int] = field(default_factory=dict)
    sweep: list[str] = field(default_factory=list)
    parent: str = ""
    failed: str = ""
    running: str = ""
    rich: str = ""
    deleted: str = ""
    logged: str = ""


def seeded_experiments(kit: Kit, *, sweep: int = 12, points: int = 300, seed: int = 11) -> Seeded:
    """Fill a house with experiments and runs.

    Args:
        kit: the house.
        sweep: runs of the sweep.
        points: points of each of its curves.
        seed: of everything made up.
    """
    random = np.random.default_rng(seed)
    made = Seeded()
    with kit.write() as tx:
        call = kit.call(ACTOR)
        asked = "Which learning rate and width read handwritten digits best?\nSmall networks only."
        for name, note in (("digits", asked), ("prices", "Price elasticity by region.")):
            one = tracking.create_experiment(tx, call, name, {"mlflow.note.content": note, "team": "vision"})
            made.experiments[name] = one.id
    with kit.write() as tx:
        made.parent = _start(kit, tx, made, "digits-sweep", {"search": "random"}, {}).id
    for number in range(sweep):
        made.sweep.append(_swept(kit, made, number, points, random))
    with kit.write() as tx:
        tracking.finish_run(tx, kit.call(ACTOR), made.parent, "finished")
    made.rich = made.sweep[0]
    _add_artifacts(kit, made.rich, random)
    with kit.write() as tx:
        failed = _start(
            kit, tx, made, "digits-too-wide", {"lr": 0.5, "width": 4096, "model": "cnn"}, {"stage": "trial"}
        )
        tracking.log_points(
            tx, kit.call(ACTOR), failed.id, batch_of(("train/loss", 2.3 * 1.4**s, s, _at(kit, s)) for s in range(20))
        )
        tracking.log_points(tx, kit.call(ACTOR), failed.id, batch_of([("train/loss", float("nan"), 20, _at(kit, 20))]))
        tracking.finish_run(tx, kit.call(ACTOR), failed.id, "failed", error="The loss is not finite at step 20.")
        gone = _start(kit, tx, made, "digits-scratch", {"lr": 0.1}, {})
        tracking.finish_run(tx, kit.call(ACTOR), gone.id, "finished")
        tracking.delete_run(tx, kit.call(ACTOR), gone.id)
        made.failed, made.deleted = failed.id, gone.id
    made.running = _running(kit, made, random)
    made.logged = _logged_model(kit, made)
    return made


def _start(
    kit: Kit, tx: Transaction, made: Seeded, name: str, params: Mapping[str, object], tags: Mapping[str, str]
) -> Run:
    return tracking.start_run(
        tx, kit.call(ACTOR), name=name, kind="train", params=params, tags={"team": "vision", **tags},
        code=Code(commit=COMMITS[len(made.sweep) % 2], dirty=len(made.sweep) % 3 == 0,
                  diff=digest_bytes(b"%d" % (len(made.sweep) % 5)) if len(made.sweep) % 3 == 0 else None,
                  remote="https://git.example.org/vision/digits.git"),
        inputs=[Input(kind="dataset", name="digits-train", digest=digest_bytes(b"%d" % (len(made.sweep) // 6)))],
        experiment=made.experiments["digits"], user="mia", parent=made.parent or None,
    )  # fmt: skip


def _swept(kit: Kit, made: Seeded, number: int, points: int, random: np.random.Generator) -> str:
    rate = float(10 ** random.uniform(-4, -1))
    width = int(random.choice([32, 64, 128, 256]))
    kind = ("cnn", "mlp", "resnet")[number % 3]
    params = {
        "lr": float(f"{rate:.2g}"),
        "width": width,
        "model": kind,
        "optimizer": "adam",
        "batch": 128,
        "seed": number,
    }
    with kit.write() as tx:
        run = _start(kit, tx, made, f"digits-{kind}-{number + 1:02d}", params, {"stage": "sweep"})
        tracking.log_inputs(tx, kit.call(ACTOR), run.id, datasets=[DatasetInput(
            name="digits-val", digest="5c0ffee5", source_type="http", source="https://data.example.org/digits/val",
            tags={"mlflow.data.context": "validation"})])  # fmt: skip
    curves = dict(_curves(rate, width, points, random))
    with kit.write() as tx:
        tracking.log_points(tx, kit.call(ACTOR), run.id, batch_of(
            (name, float(value), step, _at(kit, step)) for name, values in curves.items()
            for step, value in enumerate(values)
        ))  # fmt: skip
        best = float(max(curves["val/accuracy"]))
        tracking.log_points(
            tx, kit.call(ACTOR), run.id, batch_of([("test/accuracy", best - 0.01, 0, _at(kit, points))])
        )
    _wait(kit, timedelta(seconds=40 + 7 * number))
    with kit.write() as tx:
        tracking.finish_run(tx, kit.call(ACTOR), run.id, "finished")
    return run.id


def _curves(
    rate: float, width: int, points: int, random: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield curves that fall and rise as those of a training do, the better the nearer the rate is to 0.01."""
    steps = np.arange(points)
    fit = 1.0 - 0.18 * abs(np.log10(rate) + 2)
    pace = 4.0 * fit / points
    noise = random.normal(0, 0.05, (3, points))
    loss = 2.3 * np.exp(-pace * steps) * np.exp(noise[0]) + 0.08 / width * 64
    held = loss * 1.1 + 0.05 + 0.1 * steps / points * (width > 128) + 0.02 * noise[1]
    yield "train/loss", loss
    yield "val/loss", np.maximum(held, 0.01)
    yield "val/accuracy", np.clip(0.985 * fit**0.2 * (1 - np.exp(-1.4 * pace * steps)) + 0.004 * noise[2], 0, 1)
    yield "lr", rate * 0.5 * (1 + np.cos(np.pi * steps / points))


def _running(kit: Kit, made: Seeded, random: np.random.Generator) -> str:
    with kit.write() as tx:
        run = _start(kit, tx, made, "digits-overnight", {"lr": 0.01, "width": 256, "model": "resnet"}, {})
        log_more(kit, tx, run.id, 0, 60, random)
    return run.id


def log_more(kit: Kit, tx: Transaction, run: str, start: int, count: int, random: np.random.Generator) -> None:
    """Log further points of a run that is running, of its machine too."""
    points = []
    for step in range(start, start + count):
        at = _at(kit, step)
        points.append(("train/loss", float(2.3 * np.exp(-step / 40) + abs(random.normal(0, 0.03))), step, at))
        points.append(("val/accuracy", float(1 - np.exp(-step / 30) * 0.9), step, at))
        points.append(("system/cpu_utilization_percentage", float(55 + random.normal(0, 9)), step, at))
        points.append(("system/system_memory_usage_percentage", float(40 + step / 10), step, at))
        points.append(("system/disk_usage_megabytes", float(12_000 + step), step, at))
    tracking.log_points(tx, kit.call(ACTOR), run, batch_of(points))


def _logged_model(kit: Kit, made: Seeded) -> str:
    with kit.write() as tx:
        call, run = kit.call(ACTOR), made.sweep[1]
        model = tracking.create_logged_model(
            tx, call, made.experiments["digits"], "reader", model_type="sklearn", run_id=run, params={"width": "64"},
            tags={"team": "vision"},
        )  # fmt: skip
        for path, data in (("MLmodel", MLMODEL.encode()), ("model.skops", b"weights"), ("notes.md", b"# Reader")):
            tracking.put_artifact(tx, call, model.id, path, kit.blobs.put(data), len(data))
        tracking.finalize_logged_model(tx, call, model.id, "ready")
        tracking.log_outputs(tx, call, run, models=[(model.id, 3)])
    return model.id


def seeded_registry(kit: Kit, runs: Sequence[str], name: str = "digits-reader") -> None:
    """Register a version of a model from each of some runs; aliases and stages move from one to the next."""
    with kit.write() as tx:
        registry.create_model(tx, kit.call(ACTOR), name, "Reads handwritten digits.", {"team": "vision"})
    for place, run in enumerate(runs):
        files = [["MLmodel", kit.blobs.put(MLMODEL.encode()), len(MLMODEL)]]
        manifest = canonical_json([*files, ["model.skops", kit.blobs.put(run.encode()), len(run)]])
        _wait(kit, timedelta(days=3))
        with kit.write() as tx:
            call = kit.call(ACTOR)
            origin = registry.Origin(manifest=kit.blobs.put(manifest), size=len(manifest), source=f"runs:/{run}/model",
                                     run_id=run)  # fmt: skip
            made = registry.create_version(tx, call, name, origin, description=f"From the sweep, number {place + 1}.",
                                           tags={"validated": str(place % 2 == 0).lower()})  # fmt: skip
            registry.transition_stage(tx, call, name, made.number, "Staging")
            registry.set_alias(tx, call, name, "candidate", made.number)
        _wait(kit, timedelta(days=2))
        with kit.write() as tx:
            if place % 2 == 0:
                registry.transition_stage(tx, kit.call(ACTOR), name, made.number, "Production", archive_existing=True)
                registry.set_alias(tx, kit.call("person:ada"), name, "best", made.number)


def _add_artifacts(kit: Kit, run: str, random: np.random.Generator) -> None:
    frame = pl.DataFrame({
        "label": [f"digit {n % 10}" for n in range(1_000)], "score": random.uniform(0, 1, 1_000).round(4),
        "correct": random.uniform(0, 1, 1_000) > 0.1,
    })  # fmt: skip
    packed = io.BytesIO()
    frame.write_parquet(packed)
    rows = {"columns": ["image", "label", "predicted"], "data": [[n, n % 10, (n + n // 7) % 10] for n in range(40)]}
    files = {
        "figures/confusion.png": picture(random), "figures/curve.svg": SVG, "report.html": HTML.encode(),
        "tables/scores.csv": frame.write_csv().encode(), "tables/scores.parquet": packed.getvalue(),
        "tables/wrong.json": json.dumps(rows).encode(), "config.json": b'{"width": 64, "layers": [1, 2, 3]}',
        "code/changes.patch": b"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-width = 32\n+width = 64\n",
        "train.log": "\n".join(f"step {n}: loss {2.3 * 0.99**n:.4f}" for n in range(5_000)).encode(),
        "model/MLmodel": b"artifact_path: model\nflavors:\n  python_function:\n    loader_module: digits\n",
        "model/weights.bin": bytes(range(256)) * 64, "notes.md": b"# Notes\n\nBetter with *less* width.\n",
    }  # fmt: skip
    with kit.write() as tx:
        for path, data in files.items():
            tracking.put_artifact(tx, kit.call(ACTOR), run, path, kit.blobs.put(data), len(data))


SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 120" width="320" height="120">
<rect width="320" height="120" fill="white"/><path d="M10 110 C80 20 160 15 310 12" stroke="steelblue" fill="none"
stroke-width="3"/><script>document.documentElement.setAttribute("data-ran", "yes")</script></svg>"""


def picture(random: np.random.Generator, size: int = 10, scale: int = 36) -> bytes:
    """Return a confusion matrix as a PNG."""
    counts = random.uniform(0, 0.12, (size, size)) + np.eye(size) * 0.85
    shade = np.kron(counts, np.ones((scale, scale)))
    blue = np.stack([255 * (1 - 0.85 * shade), 255 * (1 - 0.65 * shade), 255 * (1 - 0.2 * shade)], axis=-1)
    pixels = np.clip(blue, 0, 255).astype(np.uint8)
    raw = b"".join(b"\x00" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size * scale, size * scale, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _at(kit: Kit, step: int) -> int:
    return int(kit.clock.now().timestamp() * 1000) + 250 * step


def _wait(kit: Kit, span: timedelta) -> None:
    if isinstance(kit.clock, SimulatedClock):
        kit.clock.advance(span)
