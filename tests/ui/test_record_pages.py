"""Pages of data, runs, decisions, scorings and the ledger, asked in process: of a lived house, and of an empty one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.datasets import service as datasets
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.monitoring import service as monitoring
from keepwell.server.app import make_app
from keepwell.server.limits import Limits
from keepwell.server.ui import LOOK, ROUTES
from keepwell.settings import read_settings
from keepwell.testing.lived import SEGMENTS, Lived, lived_house

HOST = "127.0.0.1:8400"
EMPTY = {
    "/data": "Bring in the first data",
    "/incidents": "There was never an incident",
    "/runs": "Nothing has run yet",
    "/decisions": "The loop has not run yet",
    "/scorings": "No forecasts yet",
}


@dataclass
class Browser:
    """Asks the app as a page's reader, with the origin that a form of ours sends."""

    kit: Kit
    app: Any

    def get(self, path: str) -> httpx2.Response:
        return self._ask("GET", path)

    def post(self, path: str, **form: str) -> httpx2.Response:
        return self._ask("POST", path, data=form, headers={"origin": f"http://{HOST}"})

    def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"host": HOST, "accept": "text/html", **options.pop("headers", {})}

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, path, headers=headers, **options)

        return anyio.run(go)


def house(home: Path) -> tuple[Kit, SimulatedClock]:
    clock = SimulatedClock(datetime(2025, 10, 6, 6, tzinfo=UTC))
    return open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, 4)), clock


def browser(kit: Kit) -> Browser:
    with kit.write() as tx:
        identity.ensure_owner(tx, kit.call("person:ada"))
    app = make_app(
        kit, auth="none", host="127.0.0.1", port=8400, pages=ROUTES, look=LOOK, limits=Limits(threads=2),
        log=io.StringIO(),
    )  # fmt: skip
    return Browser(kit, app)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Browser, Lived]:
    """A house that tests only look at."""
    kit, clock = house(tmp_path_factory.mktemp("lived"))
    return browser(kit), lived_house(kit, clock)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return browser(house(tmp_path_factory.mktemp("empty"))[0])


class Links(HTMLParser):
    """Collects the links of a page, and refuses what the policy or the house forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.headings = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        assert "style" not in given, f"<{tag}> has an inline style"
        assert not any(name.startswith("on") for name in given), f"<{tag}> has an inline handler"
        self.headings += tag == "h1"
        if tag == "a" and (href := given.get("href")):
            self.found.append(href)
        if tag == "script" and "src" not in given:
            assert given.get("type") == "application/json"


def links_of(text: str) -> list[str]:
    parser = Links()
    parser.feed(text)
    assert parser.headings == 1
    return parser.found


def shown(text: str) -> str:
    """Return the words of a page's main part."""
    main = re.sub(r"<script.*?</script>", "", text[text.index("<main") :], flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", main)))


OURS = re.compile(
    r"/(data|dataset-versions|arrivals|incidents|runs|pipeline-runs|decisions|scorings|ledger)(?=[/?#]|\Z)"
)


def test_every_link_of_every_page_leads_somewhere(lived: tuple[Browser, Lived]) -> None:
    asker, _ = lived
    waiting, seen = ["/data", "/incidents", "/runs", "/decisions", "/scorings", "/ledger"], set[str]()
    kinds: dict[str, int] = {}
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"(_[0-9a-z]{26}|/[0-9]+(?=\Z|\?)|=[^&]+)", "*", path)
        if path in seen or kinds.get(kind, 0) >= 4:
            continue
        seen.add(path)
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = asker.get(path)
        assert answer.status_code == 200, path
        if "text/html" not in answer.headers["content-type"]:
            continue
        words = shown(answer.text)
        assert not re.search(r"\b(None|nan|NaN|undefined)\b|Undefined|&(amp|lt);|\{\{|\}\}", words), (path, words)
        for link in links_of(answer.text):
            if link.startswith("/api/") or OURS.match(link):
                waiting.append(link.partition("#")[0])
    assert len(kinds) > 25


@pytest.mark.parametrize(("path", "words"), EMPTY.items())
def test_an_empty_house_says_what_to_do(empty: Browser, path: str, words: str) -> None:
    answer = empty.get(path)
    assert answer.status_code == 200
    assert words in shown(answer.text)
    assert "keepwell" in answer.text[answer.text.index("<main") :] or path == "/incidents"
    links_of(answer.text)


def test_what_needs_a_person_comes_first(lived: tuple[Browser, Lived]) -> None:
    asker, made = lived
    assert "1 of 2 datasets needs you : shipments (1 file in quarantine, 1 open incident)" in shown(
        asker.get("/data").text
    )
    text = shown(asker.get("/data/shipments").text)
    assert "1 file in quarantine until a person decides" in text
    assert text.index("Release into the data") < text.index("Contract ") < text.index("Columns of")
    assert "2 of 13" in text
    assert "rules never breached" in text
    assert f"/arrivals/{made.quarantined}" in asker.get("/data/shipments").text


def test_an_arrival_shows_the_rows_that_failed_and_why(lived: tuple[Browser, Lived]) -> None:
    asker, made = lived
    text = shown(asker.get(f"/arrivals/{made.quarantined}").text)
    assert "30 of 30 rows failed" in text
    assert "columns.units.max" in text
    assert "Has the unit changed?" in text
    assert text.index("Decide") < text.index("What is wrong") < text.index("Rows that failed")


def test_a_training_names_its_pipeline_and_the_pipeline_its_training(lived: tuple[Browser, Lived]) -> None:
    asker, made = lived
    for run, piped in zip(made.runs, made.pipeline_runs, strict=True):
        assert f'href="/pipeline-runs/{piped}"' in asker.get(f"/runs/{run}").text
        assert f'href="/runs/{run}"' in asker.get(f"/pipeline-runs/{piped}").text
    text = shown(asker.get(f"/pipeline-runs/{made.pipeline_runs[-1]}").text)
    assert "Failed" in text
    assert "2 of 7 steps came from the cache" in text
    assert "made by an earlier run" in text
    log = shown(asker.get(f"/pipeline-runs/{made.pipeline_runs[0]}/steps/fit_models?part=0").text)
    assert "fitted 2 segments" in log
    assert asker.get(f"/pipeline-runs/{made.pipeline_runs[0]}/steps/fit_models?part=99").status_code == 404


def test_the_training_dashboard_counts_runs_fits_causes_and_failures(lived: tuple[Browser, Lived]) -> None:
    text = shown(lived[0].get("/trainings").text)
    assert "3 trainings fitted 20 models in the last 16 weeks; 1 did not finish" in text
    assert "Steps taken from cache" in text
    assert re.search("no model.{0,20}10 fits", text)
    assert "No run matches" in shown(lived[0].get("/trainings?status=interrupted").text)


def test_a_decision_says_its_sentence_clause_facts_and_what_would_change_it(lived: tuple[Browser, Lived]) -> None:
    asker, made = lived
    text = shown(asker.get(f"/decisions/{made.ticks[6]}").text)
    assert "Its forecasts are worse than the charter allows" in text
    assert "by monitor.performance" in text
    assert "Rests on signals" in text
    assert "What would change it:" in text
    only = shown(asker.get("/decisions?kind=train&model=weekly-demand").text)
    assert "Retrained" in only
    assert "Held" not in only.replace("Held back", "")
    assert asker.get("/decisions?kind=nonsense").status_code == 400


def test_why_a_segment_retrained_or_held(lived: tuple[Browser, Lived]) -> None:
    asker, _ = lived
    path = f"/decisions?model=weekly-demand&segment={SEGMENTS[0].replace(',', '%2C').replace('=', '%3D')}"
    text = shown(asker.get(path).text)
    assert "was retrained, promoted or held" in text
    assert "Retrained" in text
    assert "Held" in text
    acted = shown(asker.get(f"{path}&kind=actions").text)
    assert "Held" not in acted
    assert "Nothing to explain" in shown(asker.get("/decisions?model=weekly-demand&segment=nowhere").text)


def test_a_scoring_shows_who_answered_and_what_happened(lived: tuple[Browser, Lived]) -> None:
    asker, made = lived
    text = shown(asker.get(f"/scorings/{made.scorings[1]}").text)
    assert "27 by the champion, 3 by the baseline" in text
    assert re.search(r"WMAPE \S+ % , baseline \S+ % on 30 rows with an outcome", text)
    one = asker.get(f"/scorings/{made.scorings[1]}?segment={SEGMENTS[2].replace(',', '%2C').replace('=', '%3D')}")
    assert "on 3 rows with an outcome" in shown(one.text)
    assert "No outcome has come yet" in shown(asker.get(f"/scorings/{made.scorings[-1]}").text)


def test_the_ledger_is_searched_and_verified(lived: tuple[Browser, Lived]) -> None:
    asker, _ = lived
    found = shown(asker.get("/ledger?kind=incident.").text)
    assert "incident.opened" in found
    assert "run.started" not in found.partition("Checkpoints")[0]
    verified = shown(asker.get("/ledger/verification").text)
    assert "The ledger is as it was written" in verified
    assert asker.get("/ledger/99999").status_code == 404
    assert asker.get("/ledger/x").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/data/nothing", "/dataset-versions/dsv_00000000000000000000000000", "/arrivals/arr_00000000000000000000000000",
        "/incidents/inc_00000000000000000000000000", "/runs/run_00000000000000000000000000",
        "/pipeline-runs/prn_00000000000000000000000000", "/decisions/tick_00000000000000000000000000",
        "/scorings/scr_00000000000000000000000000", "/scorings?model=nothing",
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_on_a_page(empty: Browser, path: str) -> None:
    answer = empty.get(path)
    assert answer.status_code == 404
    assert "<h1>" in answer.text


@pytest.mark.parametrize("path", ["/data/sh%00ipments", "/runs/x", "/arrivals/x", "/data?x=1", "/runs?status=no",
                                  "/ledger?limit=0", "/decisions?cursor=abc", "/scorings?limit=99999"])  # fmt: skip
def test_bad_addresses_are_refused_with_a_page(empty: Browser, path: str) -> None:
    answer = empty.get(path)
    assert answer.status_code in (400, 404, 422)
    assert "text/html" in answer.headers["content-type"]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Lived]]:
    """A house that tests change."""
    kit, clock = house(tmp_path_factory.mktemp("changed"))
    made = lived_house(kit, clock)
    yield browser(kit), made


def test_forms_settle_an_arrival_and_close_its_incident(changed: tuple[Browser, Lived]) -> None:
    asker, made = changed
    path = f"/arrivals/{made.quarantined}"
    assert asker.post(path, verdict="reject", reason="").status_code == 400
    assert asker.post(path, verdict="keep", reason="x").status_code == 400
    answer = asker.post(path, verdict="reject", reason="Sent in pieces.")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    text = shown(asker.get(path).text)
    assert "Rejected" in text
    assert "Sent in pieces." in text
    assert asker.post(path, verdict="release", reason="again").status_code == 409
    with asker.kit.read() as tx:
        assert datasets.arrival(tx, made.quarantined).state == "rejected"
        assert not monitoring.incidents(tx, state="open")


def test_a_form_closes_an_incident_on_evidence_and_signs_a_checkpoint(changed: tuple[Browser, Lived]) -> None:
    asker, _ = changed
    with asker.kit.write() as tx:
        opened = monitoring.open_incident(
            tx, asker.kit.call("person:ada"), kind="freshness", model="weekly-demand", subject="dataset:shipments",
            title="Shipments are late.", severity="watch", facts={"days": 9, "of": ["a", "b"]}, cause="late:shipments",
        )  # fmt: skip
    path = f"/incidents/{opened.id}"
    assert "What shows it" in shown(asker.get(path).text)
    assert asker.post(path, reason="They came.", shown_by="").status_code == 400
    assert asker.post(path, reason="They came.", shown_by="version 12").headers["location"] == path
    text = shown(asker.get(path).text)
    assert "Over : closed" in text
    assert "version 12" in text
    assert asker.post("/ledger/checkpoint").headers["location"] == "/ledger"
    assert "every one signed" in shown(asker.get("/ledger").text)


def test_names_that_would_break_a_page_do_not(changed: tuple[Browser, Lived]) -> None:
    asker, _ = changed
    nasty = '</script><img src=x onerror=alert(1)> "quoted" \u202e 🚲'
    with asker.kit.write() as tx:
        opened = monitoring.open_incident(
            tx, asker.kit.call("person:ada"), kind="data", model=None, subject=f"file:{nasty}", title=nasty,
            severity="bad", facts={nasty: nasty}, cause=nasty, segments=(nasty,),
        )  # fmt: skip
    for path in (f"/incidents/{opened.id}", "/incidents", "/ledger"):
        text = asker.get(path).text
        assert "<img src=x" not in text
        links_of(text)


def test_lists_go_on_page_by_page(lived: tuple[Browser, Lived]) -> None:
    asker, _ = lived
    seen: list[int] = []
    path: str | None = "/ledger?limit=30"
    while path:
        text = asker.get(path).text
        seen += [int(n) for n in re.findall(r'<td class="num"><a href="/ledger/(\d+)"', text)]
        older = re.search(r'href="([^"]+)" rel="next"', text)
        path = unescape(older[1]) if older else None
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 1
    assert len(seen) == len(set(seen)) == seen[0]
