"""Pages of experiments, runs, comparisons and the registry in a real browser, served by a real process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.flows.kit import Kit
from keepwell.server import api
from keepwell.settings import read_settings
from keepwell.testing.experiments import ACTOR, Seeded, log_more, seeded_experiments, seeded_registry
from keepwell.tracking import service as tracking

assert api  # with it come the tables of every capability
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no page is opened in it.")

SIDEWAYS = """[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest(".table, .graph, pre")).slice(0, 5).map((e) => `${e.tagName}.${e.className}`)"""
SMALL = """[...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() && [...e.childNodes].some(
  (n) => n.nodeType === 3 && n.textContent.trim()) && parseFloat(getComputedStyle(e).fontSize) < 12.9
  && !e.closest("svg, .u-wrap")).slice(0, 5).map((e) => `${e.tagName}.${e.className} ${e.textContent.slice(0, 30)}`)"""


@dataclass
class Site:
    """A house that tests look into, and where its server answers."""

    kit: Kit
    base: str
    made: Seeded


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
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("tracked")
    clock = SimulatedClock(datetime.now(UTC) - timedelta(days=20))
    kit = open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 5))
    made = seeded_experiments(kit, sweep=6, points=120)
    seeded_registry(kit, made.sweep[:3])
    with serving(home) as base:
        yield Site(kit, base, made)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("empty")) as base:
        yield base


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, width: int = 1280, scheme: Any = "light", *, scripts: bool = True, strict: bool = True
) -> Iterator[Page]:
    """A window in which nothing may be said on the console, and no request may fail."""
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda answer: wrong.append(f"{answer.status} {answer.url}") if answer.status > 399 else None)
    yield page
    context.close()
    assert not wrong or not strict


def addresses(made: Seeded) -> list[str]:
    few, run = ",".join([*made.sweep[:4], made.failed]), f"/runs/{made.rich}"
    return [
        "/runs", "/runs?filter=metrics.%60val%2Floss%60+%3C+9&sort=-metrics.val%2Floss", "/runs?group=params.model",
        "/runs?group=parent", "/runs?view=deleted", "/runs?filter=nothing", "/experiments",
        f"/experiments/{made.experiments['digits']}", f"/experiments/{made.experiments['prices']}", "/trainings",
        f"/compare?runs={few}", f"/compare?runs={few}&tab=relations", f"/compare?runs={few}&tab=differences",
        f"/compare?runs={few}&tab=differences&all=true", "/compare", run, f"{run}?tab=charts", f"{run}?tab=artifacts",
        f"{run}?tab=artifacts&path=figures%2Fconfusion.png", f"{run}?tab=artifacts&path=tables%2Fscores.csv",
        f"{run}?tab=artifacts&path=tables%2Fscores.parquet", f"{run}?tab=artifacts&path=tables%2Fwrong.json",
        f"{run}?tab=artifacts&path=train.log", f"{run}?tab=artifacts&path=model",
        f"{run}?tab=artifacts&path=config.json",
        f"{run}?tab=artifacts&path=model%2Fweights.bin", f"/runs/{made.parent}", f"/runs/{made.failed}",
        f"/runs/{made.deleted}", f"/runs/{made.running}", f"/runs/{made.running}?tab=system", "/models",
        "/models/digits-reader", "/models/digits-reader/registry", "/models/digits-reader/versions/2",
        "/search?q=digits", f"/logged-models/{made.logged}", f"/logged-models/{made.logged}?path=MLmodel",
        f"/runs/{made.sweep[1]}",
    ]  # fmt: skip


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_page_fits_and_is_quiet(chromium: Browser, site: Site, width: int, scheme: str) -> None:
    with opened(chromium, width, scheme) as page:
        for path in addresses(site.made):
            page.goto(site.base + path)
            assert page.locator("h1").count() == 1, path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, page.evaluate(SIDEWAYS))
            assert not page.evaluate(SMALL), (path, page.evaluate(SMALL))


@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_says_the_same_without_scripts(chromium: Browser, site: Site, width: int) -> None:
    with opened(chromium, width, scripts=False) as page:
        for path in addresses(site.made):
            page.goto(site.base + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, page.evaluate(SIDEWAYS))
        page.goto(f"{site.base}/compare?runs={','.join(site.made.sweep[:3])}&smooth=0.6&logy=true")
        assert page.locator(".curve svg path").count() >= 9
        page.goto(f"{site.base}/runs/{site.made.rich}")
        assert page.locator(".curve svg path").count() >= 3


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_of_an_empty_house_say_what_to_do(chromium: Browser, empty: str, width: int) -> None:
    with opened(chromium, width) as page:
        for path, says in (("/runs", "Nothing has run yet"), ("/trainings", "Nothing has run yet"),
                           ("/compare", "No run is chosen"), ("/models", "No model is here yet"),
                           ("/", "Log a first run")):  # fmt: skip
            page.goto(empty + path)
            assert says in page.locator(".empty h2").first.inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_filter_is_completed_while_it_is_typed(chromium: Browser, site: Site) -> None:
    with opened(chromium) as page:
        page.goto(f"{site.base}/runs")
        box = page.locator("input[data-complete]")
        box.click()
        offers = page.locator(".complete li")
        expect(offers.first).to_contain_text("metrics.")
        box.press_sequentially("metrics.val/l")
        expect(offers.first).to_contain_text("metrics.val/loss")
        box.press("ArrowDown")
        box.press("Enter")
        assert box.input_value() == "metrics.`val/loss` "
        expect(offers).to_have_count(6)
        box.press_sequentially("< 9 ")
        expect(offers.first).to_contain_text("AND")
        box.press("ArrowDown")
        box.press("Tab")
        box.press_sequentially("status")
        expect(offers.first).to_contain_text("attributes.status")
        offers.first.click()
        box.press_sequentially("= 'FIN")
        offers.first.click()
        assert box.input_value() == "metrics.`val/loss` < 9 AND attributes.status = 'FINISHED' "
        box.press("Escape")
        box.press("Enter")
        page.wait_for_url("**/runs?*")
        assert page.locator("table.runs tbody tr").count() == 6


def test_a_filter_that_is_none_says_so_beside_what_was_typed(chromium: Browser, site: Site) -> None:
    with opened(chromium, strict=False) as page:
        answer = page.goto(f"{site.base}/runs?filter=metrics.loss+%3D%3D%3D+1")
        assert answer is not None and answer.status == 400
        assert "not understood" in page.locator(".problem-note").inner_text()
        assert page.locator("input[data-complete]").input_value() == "metrics.loss === 1"


def test_runs_are_chosen_and_compared(chromium: Browser, site: Site) -> None:
    with opened(chromium) as page:
        page.goto(f"{site.base}/runs?filter=digits-")
        compare = page.get_by_role("button", name="Compare")
        assert compare.is_disabled()
        boxes = page.locator("tbody input[name=run]")
        boxes.nth(2).check()
        boxes.nth(4).click(modifiers=["Shift"])
        expect(page.locator("[data-count]")).to_have_text("3 chosen")
        compare.click()
        page.wait_for_url("**/compare?*")
        expect(page.locator(".curve-box .u-over").first).to_be_visible()
        assert page.locator(".run-keys li").count() == 3
        page.locator("input[name=smooth]").fill("0.8")
        page.locator("input[name=logy]").check()
        page.wait_for_url("**smooth=0.8**")
        assert "logy=true" in page.url
        over = page.locator(".curve-box .u-over").first
        over.scroll_into_view_if_needed()
        over.hover()
        expect(page.locator(".curve-tip:not([hidden]) strong").first).to_be_visible()


def test_columns_are_chosen_sorted_and_tagged_without_scripts(chromium: Browser, site: Site) -> None:
    with opened(chromium, scripts=False) as page:
        page.goto(f"{site.base}/experiments/{site.made.experiments['digits']}?filter=digits-")
        page.locator("summary", has_text="Columns").click()
        while page.locator(".menu-groups input:checked").count():
            page.locator(".menu-groups input:checked").first.uncheck()
        page.get_by_role("checkbox", name="val/loss").check()
        page.get_by_role("checkbox", name="width").check()
        page.get_by_role("button", name="Show these").click()
        assert "columns=metrics.val" in page.url and "filter=digits-" in page.url
        page.locator("thead a", has_text="val/loss").click()
        shown = page.locator("table.runs tbody tr td:nth-child(6)").all_inner_texts()
        known = [float(text) for text in shown if text]
        assert known == sorted(known, reverse=True) and len(known) == 6
        page.locator("tbody input[name=run]").first.check()
        page.locator(".picked summary").click()
        page.locator(".picked input[name=tag]").fill("looked")
        page.locator(".picked input[name=value]").fill("yes")
        page.get_by_role("button", name="Set it").click()
        page.goto(f"{site.base}/runs?filter=tags.looked+%3D+%27yes%27")
        assert page.locator("tbody tr").count() == 1


def test_a_run_is_noted_deleted_and_restored_without_scripts(chromium: Browser, site: Site) -> None:
    run = f"{site.base}/runs/{site.made.sweep[-1]}"
    with opened(chromium, 390, scripts=False) as page:
        page.goto(run)
        page.locator("summary", has_text="Edit").click()
        page.get_by_label("Note").fill("Wide is not better.\nSecond line.")
        page.get_by_role("button", name="Save").click()
        assert "Wide is not better." in page.locator("main").inner_text()
        page.locator("summary", has_text="Edit").click()
        page.get_by_role("button", name="Delete").click()
        assert "Deleted" in page.locator(".answer").inner_text()
        page.locator("summary", has_text="Edit").click()
        page.get_by_role("button", name="Restore").click()
        assert "Finished" in page.locator(".answer").inner_text()


def test_a_running_run_is_followed_without_a_reload(chromium: Browser, site: Site) -> None:
    random = np.random.default_rng(1)
    with site.kit.write() as tx:
        run = tracking.start_run(
            tx, site.kit.call(ACTOR), name="followed", experiment=site.made.experiments["digits"]
        ).id
        log_more(site.kit, tx, run, 0, 5, random)
    with opened(chromium) as page, opened(chromium) as other:
        for tab, path in ((page, f"/runs/{run}"), (other, f"/compare?runs={run},{site.made.rich}")):
            tab.goto(site.base + path)
            tab.evaluate("window.still = true")
            expect(tab.locator(".curve-box .u-over").first).to_be_visible()
        value = page.locator(".figure[data-value$='val/accuracy']")
        before = value.inner_text()
        with site.kit.write() as tx:
            log_more(site.kit, tx, run, 5, 40, random)
        expect(value).not_to_have_text(before)
        with site.kit.write() as tx:
            tracking.finish_run(tx, site.kit.call(ACTOR), run, "finished")
        expect(page.locator(".answer")).to_contain_text("Finished")
        expect(other.locator(".answer")).not_to_contain_text("running")
        assert page.evaluate("window.still") and other.evaluate("window.still")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(3_000)
        assert not [url for url in asked if "/live" in url]


def test_a_page_that_nobody_looks_at_does_not_ask(chromium: Browser, site: Site) -> None:
    with opened(chromium) as page:
        page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => true })")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site.base}/runs/{site.made.running}")
        page.wait_for_timeout(4_000)
        assert not [url for url in asked if "/live" in url]


def test_a_document_of_a_run_reaches_nothing(chromium: Browser, site: Site) -> None:
    """G07."""
    with opened(chromium, strict=False) as page:
        page.goto(f"{site.base}/runs/{site.made.rich}?tab=artifacts&path=report.html")
        said = page.frame_locator(".look iframe").locator("#said")
        expect(said).to_have_text("page refused, cookie refused, api refused")
        assert page.title().startswith("digits-")
        with page.expect_download() as saved:
            page.evaluate("location.href = document.querySelector('.look iframe').src")
        assert saved.value.suggested_filename == "report.html"
        page.goto(f"{site.base}/runs/{site.made.rich}?tab=artifacts&path=figures%2Fcurve.svg")
        assert page.evaluate("document.querySelector('.look img').naturalWidth") == 320


def test_an_alias_and_a_stage_move_without_scripts(chromium: Browser, site: Site) -> None:
    with opened(chromium, scripts=False) as page:
        page.goto(f"{site.base}/models/digits-reader")
        assert page.locator(".lane").count() >= 3
        page.locator("summary", has_text="Set an alias").click()
        page.locator("details input[name=alias]").fill("spare")
        page.get_by_label("Names version").select_option("1")
        page.get_by_role("button", name="Set it").first.click()
        assert "@spare" in page.locator("main").inner_text()
        page.goto(f"{site.base}/models/digits-reader/versions/1")
        assert "@spare" in page.locator(".answer").inner_text()
        assert "pixel_0" in page.locator("main").inner_text()
        page.locator("summary", has_text="Edit").click()
        page.get_by_label("Stage").select_option("Production")
        page.get_by_role("button", name="Set the stage").click()
        assert "Production" in page.locator(".answer").inner_text()


@pytest.mark.parametrize("kind", ["run", "experiment", "model", "version", "logged"])
def test_links_that_mlflow_prints_lead_to_our_pages(chromium: Browser, site: Site, kind: str) -> None:
    made, digits = site.made, site.made.experiments["digits"]
    there = {
        "run": (f"/#/experiments/{digits}/runs/{made.rich}", f"/runs/{made.rich}"),
        "experiment": (f"/#/experiments/{digits}", f"/experiments/{digits}"),
        "model": ("/#/models/digits-reader", "/models/digits-reader/registry"),
        "version": ("/#/models/digits-reader/versions/2", "/models/digits-reader/versions/2"),
        "logged": (f"/#/experiments/{digits}/models/{made.logged}", f"/logged-models/{made.logged}"),
    }[kind]
    with opened(chromium) as page:
        page.goto(site.base + there[0])
        page.wait_for_url(site.base + there[1])


def test_a_keyboard_reaches_a_run_and_its_focus_is_seen(chromium: Browser, site: Site) -> None:
    with opened(chromium) as page:
        page.goto(f"{site.base}/runs")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('td.name') !== null"):
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/run_*")
