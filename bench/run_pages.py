"""The table of 100,000 runs, and 20 runs of 10,000 points side by side: a real server, a real Chromium.

Where Chromium is not installed the pages are asked for without one, and the rows say so.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.server import api
from keepwell.settings import read_settings
from keepwell.testing.experiments import seeded_experiments
from keepwell.testing.runs import fill

RUNS, COMPARED, POINTS = 100_000, 20, 10_000
PAINT = """() => new Promise((done) => { const look = () => {
  const found = performance.getEntriesByName("first-contentful-paint")[0];
  if (found) done(found.startTime); else requestAnimationFrame(look); }; look(); })"""
SLIDE = """async () => {
  const slide = document.querySelector("input[name=smooth]"), took = [];
  for (let step = 0; step < 40; step += 1) {
    slide.value = step / 41;
    const start = performance.now();
    slide.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => { setTimeout(done, 0); }));
    took.push(performance.now() - start);
  }
  return took.sort((a, b) => a - b)[20];
}"""
HOVER = """() => { window.gaps = []; let last = performance.now(); const tick = () => {
  const now = performance.now(); window.gaps.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick); }"""
assert api


def rows() -> Iterator[dict[str, object]]:
    """Build both stores, serve them, look at them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "many"
        fill(open_house(read_settings(str(home), {})), RUNS)
        with _serving(home) as base, _browser() as tab:
            for word, path in (("", "/runs"), (", sorted by a metric", "/runs?sort=-metrics.metric3"),
                               (", filtered", "/runs?filter=metrics.metric1+%3C+0.5+AND+params.param2+%3D+%277%27"),
                               (", page 1,000", "/runs?page=1000")):  # fmt: skip
                yield _row(f"table of {RUNS:,} runs{word}, first paint", _paint(tab, base + path), 0.5)
            yield _row(
                f"{RUNS:,} runs grouped by a param, first paint", _paint(tab, base + "/runs?group=params.param1"), 1
            )
        home = Path(folder) / "compared"
        clock = SimulatedClock(datetime.now(UTC) - timedelta(days=1))
        made = seeded_experiments(open_house(read_settings(str(home), {}), clock=clock), sweep=COMPARED, points=POINTS)
        with _serving(home) as base, _browser() as tab:
            page = f"{base}/compare?runs={','.join(made.sweep)}"
            yield _row(f"{COMPARED} runs of {POINTS:,} points compared, first paint", _paint(tab, page), 0.5)
            if tab is not None:
                yield from _smoothness(tab, page)


def _smoothness(tab: Any, page: str) -> Iterator[dict[str, object]]:
    tab.goto(page)
    tab.wait_for_selector(".curve-box .u-over")
    tab.wait_for_timeout(1_500)
    yield _row("smoothing them anew, a frame (median)", tab.evaluate(SLIDE) / 1000, 0.05)
    box = tab.locator(".u-over").first.bounding_box()
    tab.evaluate(HOVER)
    for step in range(80):
        tab.mouse.move(box["x"] + 5 + 2 * step, box["y"] + 40 + step)
    frames = sorted(tab.evaluate("window.gaps"))
    yield _row("the pointer moving over them, a frame (95 %)", frames[int(0.95 * len(frames))] / 1000, 0.05)


def _paint(tab: Any, address: str) -> float:
    """Return the seconds to the first contentful paint, the median of seven looks after two."""
    if tab is None:
        return _answer(address)
    told = []
    for _ in range(9):
        tab.goto(address)
        told.append(tab.evaluate(PAINT) / 1000)
    return statistics.median(told[2:])


def _answer(address: str) -> float:
    told = []
    for _ in range(9):
        started = time.perf_counter()
        with urllib.request.urlopen(address) as answer:
            answer.read()
        told.append(time.perf_counter() - started)
    return statistics.median(told[2:])


@contextmanager
def _serving(home: Path) -> Iterator[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}
    process = subprocess.Popen(
        [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0", "--auth", "none"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=kept,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield next(found[0] for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def _browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        browser.close()


def _row(walk: str, ours: float, bar: float) -> dict[str, object]:
    return {
        "walk": walk, "limit_name": "bar of the issue", "limit": bar, "ours": ours, "unit": "s", "ratio": ours / bar,
        "bar": bar, "ok": ours <= bar,
    }  # fmt: skip
