"""Pages of data, runs, decisions, scorings and the ledger in a real browser, served by a real process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.datasets import service as datasets
from keepwell.monitoring import service as monitoring
from keepwell.settings import read_settings
from keepwell.testing.lived import SEGMENTS, Lived, lived_house

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no page is opened in it.")

SIDEWAYS = """[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest(".table, .graph, pre")).slice(0, 5).map((e) => `${e.tagName}.${e.className}`)"""
SMALL = """[...document.querySelectorAll("main *")].filter((e) => e.childNodes.length && [...e.childNodes].some(
  (n) => n.nodeType === 3 && n.textContent.trim()) && parseFloat(getComputedStyle(e).fontSize) < 12
  && !e.closest("svg, .u-wrap")).slice(0, 5).map((e) => `${e.tagName}.${e.className} ${e.textContent.slice(0, 30)}`)"""


@dataclass
class Served:
    """A house, and where its server answers."""

    home: Path
    address: str
    lived: Lived | None = None


@contextmanager
def serving(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0", "--auth", "none"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=kept
    )
    assert process.stdout is not None
    said = ""
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = process.stdout.readline()
            assert line, said
            said += line
        yield found[0]
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("lived")
    clock = SimulatedClock(datetime(2025, 10, 6, 6, tzinfo=UTC))
    made = lived_house(open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 5)), clock)
    with serving(home) as address:
        yield Served(home, address, made)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("empty")
    with serving(home) as address:
        yield Served(home, address)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, width: int, scheme: Any = "light", *, scripts: bool = True) -> Iterator[Page]:
    """A window in which nothing may be said on the console, and no request may fail."""
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = context.new_page()
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("response", lambda answer: wrong.append(f"{answer.status} {answer.url}") if answer.status > 399 else None)
    yield page
    context.close()
    assert not wrong


def addresses(made: Lived) -> list[str]:
    segment = SEGMENTS[0].replace("=", "%3D").replace(",", "%2C")
    return [
        "/data", "/data/shipments", "/data/weekly-demand.forecasts", f"/arrivals/{made.quarantined}", "/incidents",
        "/runs", f"/runs/{made.runs[0]}", f"/runs/{made.runs[-1]}", f"/pipeline-runs/{made.pipeline_runs[0]}",
        f"/pipeline-runs/{made.pipeline_runs[-1]}", f"/pipeline-runs/{made.pipeline_runs[0]}/steps/fit_models?part=0",
        "/decisions", f"/decisions?model=weekly-demand&segment={segment}", f"/decisions/{made.ticks[6]}", "/scorings",
        f"/scorings/{made.scorings[1]}", "/ledger", "/ledger/20", "/ledger/verification",
    ]  # fmt: skip


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_kind_of_page_fits_and_is_quiet(chromium: Browser, lived: Served, width: int, scheme: str) -> None:
    assert lived.lived is not None
    with opened(chromium, width, scheme) as page:
        for path in addresses(lived.lived):
            page.goto(lived.address + path)
            assert page.locator("h1").count() == 1, path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, page.evaluate(SIDEWAYS))
            assert not page.evaluate(SMALL), (path, page.evaluate(SMALL))


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_of_an_empty_house_fit_and_say_what_to_do(chromium: Browser, empty: Served, width: int) -> None:
    with opened(chromium, width) as page:
        for path in ("/data", "/incidents", "/runs", "/decisions", "/scorings", "/ledger", "/ledger/verification"):
            page.goto(empty.address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            said = page.locator("main .empty h2").count() or path.startswith("/ledger")
            assert said, path


def test_graphs_and_charts_are_drawn(chromium: Browser, lived: Served) -> None:
    assert lived.lived is not None
    with opened(chromium, 1280) as page:
        page.goto(f"{lived.address}/pipeline-runs/{lived.lived.pipeline_runs[0]}")
        page.wait_for_selector(".graph svg .node")
        assert page.locator(".graph svg .node").count() == 4
        assert page.locator(".graph svg .edge").count() == 3
        page.goto(f"{lived.address}/scorings/{lived.lived.scorings[1]}")
        page.wait_for_selector(".chart canvas")
        page.mouse.move(*centre(page, ".chart .u-over"))
        assert "forecast" in page.locator(".chart .u-legend").inner_text()


def test_a_keyboard_reaches_the_first_link_of_a_list(chromium: Browser, lived: Served) -> None:
    with opened(chromium, 1280) as page:
        page.goto(f"{lived.address}/ledger")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('table') !== null"):
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        page.wait_for_url("**/ledger/*")


def test_a_person_settles_a_file_without_scripts(chromium: Browser, lived: Served) -> None:
    assert lived.lived is not None
    with opened(chromium, 390, scripts=False) as page:
        page.goto(f"{lived.address}/incidents?state=open")
        page.locator(".rows .what a").first.click()
        page.get_by_role("link", name="Look at the file").click()
        page.get_by_label("Why").fill("Units were sent in single pieces.")
        page.get_by_role("button", name="Reject").click()
        assert "Rejected" in page.locator(".answer").inner_text()
        page.goto(f"{lived.address}/data")
        assert "well" in page.locator(".answer").inner_text()
    with open_house(read_settings(str(lived.home), {})).read() as tx:
        assert datasets.arrival(tx, lived.lived.quarantined).state == "rejected"
        assert not monitoring.incidents(tx, state="open")


def centre(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
