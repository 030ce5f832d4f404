"""A real server process, a real browser: Today, fleets, segments, versions, charters, search; with data and without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import keepwell.server.api
from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.settings import read_settings
from keepwell.testing.fleets import generated_fleet
from keepwell.testing.lived import lived_house

assert keepwell.server.api  # with it come the tables of every capability
CHROMIUM = next(
    (p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")) if p.exists()),
    None,
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = [(390, "light"), (1280, "dark")]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")


@dataclass
class Site:
    """A server that runs, and the addresses of its pages."""

    base: str
    paths: list[str] = field(default_factory=list)


def start(home: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0", "--auth", "none"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return process, found[0]
    raise AssertionError("the server did not say where it is")


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def lived_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("lived")
    clock = SimulatedClock(datetime(2025, 10, 6, 6, tzinfo=UTC))
    kit = open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 3))
    lived_house(kit, clock)
    generated_fleet(kit, 500)
    kit.db.engine.dispose()
    process, base = start(home)
    yield Site(base)
    stop(process)


@pytest.fixture(scope="module")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, base = start(tmp_path_factory.mktemp("empty"))
    yield Site(base)
    stop(process)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-{size[1]}")
def tab(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    yield page
    context.close()


def look(tab: Any, address: str, *, status: int = 200) -> None:
    """Open a page: no complaint, no sideways scroll, one heading, no text below 13 px."""
    answer = tab.goto(address)
    assert answer.status == status, (address, answer.status)
    tab.wait_for_timeout(150)
    complaints = [c for c in tab.complaints if status == 200 or str(status) not in c]
    assert complaints == [], address
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} scrolls sideways"
    assert tab.locator("h1").count() == 1
    small = tab.evaluate(
        """[...document.querySelectorAll("main *, header *")].filter(e => e.checkVisibility() && [...e.childNodes]
        .some(n => n.nodeType === 3 && n.data.trim()) && parseFloat(getComputedStyle(e).fontSize) < 12.9)
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert small == [], address


def test_every_kind_of_page_with_data(tab: Any, lived_site: Site) -> None:
    base = lived_site.base
    fleet = f"{base}/models/weekly-demand"
    for address in (f"{base}/", f"{base}/models", fleet, f"{fleet}/charter", f"{base}/search?q=West"):
        look(tab, address)
    look(tab, fleet)
    assert tab.locator(".map a.tile").count() == 10
    assert tab.locator(".chart canvas").count() == 1
    look(tab, base + tab.locator("#segments td:first-child a").first.get_attribute("href"))
    assert tab.locator(".chart canvas").count() == 2
    look(tab, base + tab.locator('a[href^="/versions/"]').first.get_attribute("href"))
    assert tab.locator(".graph svg .node").count() >= 4
    look(tab, f"{base}/nothing", status=404)


def test_every_kind_of_page_without_data(tab: Any, empty_site: Site) -> None:
    for path in ("/", "/models", "/search", "/search?q=nothing"):
        look(tab, empty_site.base + path)
        assert tab.locator(".empty, .answer").count() >= 1


def test_a_large_map_names_what_is_under_the_pointer(tab: Any, lived_site: Site) -> None:
    look(tab, f"{lived_site.base}/models/generated")
    tab.locator(".map-wrap").scroll_into_view_if_needed()
    box = tab.locator(".map").bounding_box()
    with tab.expect_response(re.compile(r"/map$")):
        tab.mouse.move(box["x"] + 60, box["y"] + 80)
    tab.wait_for_timeout(100)
    tab.mouse.move(box["x"] + 64, box["y"] + 84)
    tab.wait_for_timeout(100)
    assert re.search(r"(North|South|East|West|Centre) · (small|large) · \d{5}", tab.locator(".hover").inner_text())
    tab.mouse.click(box["x"] + 64, box["y"] + 84)
    tab.wait_for_url(re.compile(r"/segment\?key="))
    assert tab.complaints == []


def test_slash_jumps_to_the_search(tab: Any, lived_site: Site) -> None:
    look(tab, f"{lived_site.base}/")
    tab.keyboard.press("/")
    tab.keyboard.type("weekly-demand")
    tab.keyboard.press("Enter")
    tab.wait_for_url(re.compile(r"/models/weekly-demand$"))


def test_pages_work_without_scripts(chromium: Any, lived_site: Site) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{lived_site.base}/models/weekly-demand")
    page.fill("#segments input[name=q]", "West")
    page.select_option("#segments select[name=sort]", "segment")
    page.click("#segments button")
    assert page.locator("#segments tbody tr").count() == 2
    page.locator(".map a.tile").first.click()
    assert "/segment?key=" in page.url
    context.close()
