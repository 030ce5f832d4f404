"""The pages of fleets, segments, versions, charters, Today and search, as a browser asks for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from keepwell.flows import promote as promoting
from keepwell.flows.certify import register_and_gate
from keepwell.governance.charters import apply_charter
from keepwell.loop import wishes
from keepwell.models import registry
from keepwell.testing.fleets import applied_charter, generated_fleet, lineage, members
from keepwell.testing.lived import SEGMENTS
from keepwell.tracking import service as tracking

FLEET = "/models/weekly-demand"
WEST = f"{FLEET}/segment?key=region%3DWest%2Cformat%3Dsmall"
SEGMENT = f"{FLEET}/segment?key=region%3DCentre%2Cformat%3Dlarge"


def first_version(pages: Any) -> str:
    return re.search(r'href="(/versions/ver_[0-9a-z]{26})"', pages.page(FLEET))[1]  # type: ignore[index]


# --- an empty house


@pytest.mark.parametrize("path", ["/", "/models"])
def test_an_empty_house_says_what_to_do(empty: Any, path: str) -> None:
    assert "keepwell charter apply charter.yaml" in empty.words(path)


def test_today_without_a_charter_shows_what_was_logged(empty: Any) -> None:
    assert "Log a first run" in empty.words("/") and "MLFLOW_TRACKING_URI=" in empty.words("/")
    with empty.kit.write() as tx:
        call = empty.kit.call("person:ada")
        tracking.start_run(tx, call, name="spring clean")
        registry.create_model(tx, call, "price")
    words = empty.words("/")
    assert "spring clean" in words and "price" in words and "Log a first run" not in words
    assert "keepwell charter apply charter.yaml" in words


def test_browsers_find_a_picture_beside_json(empty: Any) -> None:
    answer = empty.ask("GET", "/favicon.ico", signed_in=False)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/svg+xml"


def test_a_charter_without_versions_says_what_comes(empty: Any) -> None:
    applied_charter(empty.kit, "waiting", "person:ada")
    assert "Nothing is trained yet" in empty.words("/models/waiting")
    assert "not trained yet" in empty.words("/")
    assert "In force" in empty.words("/models/waiting/charter")


def test_what_is_not_there_is_a_page_with_a_next_step(empty: Any) -> None:
    for path in ("/nothing", "/models/none", "/versions/ver_01k7e2ezr0xw3q7ym5vp84ppc3"):
        answer = empty.get(path)
        assert answer.status_code == 404 and "There is nothing here" in answer.text and 'href="/"' in answer.text
    assert (
        empty.get("/models/none", headers={"accept": "application/json"})
        .headers["content-type"]
        .startswith(("text/html", "application/json"))
    )


def test_nobody_looks_without_signing_in(empty: Any) -> None:
    answer = empty.get("/", signed_in=False)
    assert answer.status_code == 401 and "keepwell token link" in unescape(answer.text)
    assert 'name="q"' not in answer.text


def test_a_sign_in_link_has_a_form_and_nothing_is_used_up_by_looking(empty: Any) -> None:
    text = empty.get("/sign-in?code=kwl_x", signed_in=False).text
    assert 'action="/sign-in"' in text and 'value="kwl_x"' in text and "Sign in" in text


def test_the_banner_stands_where_nobody_signs_in(empty: Any, pages_of: Callable[..., Any]) -> None:
    assert "Nobody has to sign in" not in empty.page("/")
    open_house = pages_of(empty.kit, auth="none")
    assert "Nobody has to sign in" in open_house.page("/")
    assert "Nobody has to sign in" in open_house.get("/nothing").text


# --- a lived-in house


@pytest.mark.parametrize("path", ["/", "/models", FLEET, SEGMENT, f"{FLEET}/charter", "/search?q=zzz"])
def test_pages_hold_to_the_policy_and_name_themselves(lived: Any, path: str) -> None:
    text = lived.page(path)
    assert re.search(r"<title>[^<]+ – Keepwell</title>", text) and text.count("<h1>") == 1
    assert not re.search(r"<[^>]+\sstyle=|<[^>]+\son[a-z]+=|javascript:", text)
    assert "None" not in re.sub(r"<script.*?</script>", "", text, flags=re.S).replace("None of", "")


def test_today_says_first_what_needs_someone(lived: Any) -> None:
    words = lived.words("/")
    assert re.search(r"Today \d+ things? needs? you : .*open incident", words)
    assert words.index("incident weekly-demand") < words.index("Fleets and models Fleet or model")
    assert "is in quarantine" in words


def test_the_registry_page_of_a_fleet_names_its_segments(lived: Any) -> None:
    words = lived.words(f"{FLEET}/registry")
    assert "each segment has versions of its own" in words and "No version is registered yet" not in words
    assert re.search(r" · \S+, champion in prod", words)


def test_a_fleet_is_a_map_and_a_list_worst_first(lived: Any) -> None:
    text, words = lived.page(FLEET), lived.words(FLEET)
    assert text.count('class="tile"') == len(SEGMENTS)
    assert re.search(r"weekly-demand \d of 10 models are not well ?: 3 decaying", words)
    assert "charter 20.0" in words.replace("\u202f", " ") and 'id="trend"' in text
    tones = re.findall(r'<tr class="(bad|watch|unknown|ok)">', text)
    assert len(tones) == 10 and tones == sorted(tones, key=["bad", "watch", "unknown", "ok"].index)


@pytest.mark.parametrize(
    ("query", "count"),
    [("?q=region%3DCentre", 2), ("?state=bad", 3), ("?word=decaying&sort=error", 3), ("?q=x+y+z", 0)],
)
def test_the_list_is_filtered_on_the_server(lived: Any, query: str, count: int) -> None:
    assert len(re.findall(r'<tr class="(?:bad|watch|unknown|ok)">', lived.page(FLEET + query))) == count


@pytest.mark.parametrize("query", ["?sort=cleverest", "?page=0", "?page=x", "?state=red", "?what=1", "?q=" + "x" * 300])
def test_a_query_that_means_nothing_is_refused_in_a_sentence(lived: Any, query: str) -> None:
    answer = lived.get(FLEET + query)
    assert answer.status_code == 400 and "<h1>That does not work as asked</h1>" in answer.text


def test_the_map_names_its_tiles_as_json(lived: Any) -> None:
    named = lived.get(f"{FLEET}/map").json()
    assert sorted(key for group in named for key in group["keys"]) == sorted(SEGMENTS)
    assert all("WMAPE" in said for group in named for said in group["said"])


def test_a_segment_shows_forecasts_beside_what_happened(lived: Any) -> None:
    text, words = lived.page(SEGMENT), lived.words(SEGMENT)
    assert 'id="outcomes"' in text and '"actual"' in text and 'id="trend"' in text
    assert "monitor.performance.wmape" in words and "Who answered when" in words and "v2" in words
    assert lived.get(f"{FLEET}/segment?key=region%3DMoon").status_code == 404


def test_a_training_of_a_segment_is_asked_for(lived: Any) -> None:
    assert "Ask for a training" in lived.words(SEGMENT)
    key = "region=Centre,format=large"
    answer = lived.form(f"{FLEET}/segment", key=key, reason="The shop was rebuilt.")
    assert answer.status_code == 303 and answer.headers["location"] == SEGMENT
    assert "A person asked for a training" in lived.words(SEGMENT)
    with lived.kit.write() as tx:
        [made] = wishes.wishes(tx, "weekly-demand")
        wishes.withdraw(tx, lived.kit.call(made.actor), made.id)
    assert (made.segments, made.reason) == ((key,), "The shop was rebuilt.")
    assert "Ask for a training" in lived.words(SEGMENT)


def test_a_version_shows_gates_evidence_and_lineage(lived: Any) -> None:
    path = first_version(lived)
    text, words = lived.page(path), lived.words(path)
    assert "wmape <= 0.30" in words and "passed all" in words and "promotion=yes" in words
    assert 'id="lineage"' in text and "shipments@" in words and "In the ledger" in words
    api = lived.get(f"/api{path}/lineage")
    assert api.status_code == 200 and f'href="/api{path}/lineage"' in text


def test_a_charter_is_explained_and_its_changes_are_shown(empty: Any) -> None:
    applied = applied_charter(empty.kit, "demand", "person:ada")
    changed = applied.text.replace("wmape <= 0.30", "wmape <= 0.25")
    with empty.kit.write() as tx:
        apply_charter(tx, empty.kit.call("person:ada"), changed, str(empty.kit.home))
    text, words = empty.page("/models/demand/charter"), empty.words("/models/demand/charter")
    assert "number 2" in words and "What changed from number 1" in words
    assert 'class="added">+   - wmape &lt;= 0.25' in text and 'class="gone">-   - wmape &lt;= 0.30' in text
    assert "Not in force any more" in empty.words("/models/demand/charter?number=1")
    assert empty.get("/models/demand/charter?number=7").status_code == 404


# --- search


def test_search_goes_to_the_one_thing_that_is_meant(lived: Any) -> None:
    version = first_version(lived)
    for q, where in [("weekly-demand", FLEET), ("shipments", "/data/shipments"), (version[10:], version),
                     ("region%3DWest+format%3Dsmall", WEST)]:  # fmt: skip
        answer = lived.get(f"/search?q={q}")
        assert (answer.status_code, answer.headers.get("location")) == (303, where), q


def test_search_lists_what_may_be_meant_and_says_what_can_be_found(lived: Any) -> None:
    assert lived.words("/search?q=West").count("segment weekly-demand") == 2
    assert "Nothing is called" in lived.words("/search?q=zzz")
    assert "Type the name" in lived.words("/search")
    assert "&lt;script&gt;" in lived.page("/search?q=%3Cscript%3E")


# --- approvals


def test_an_approval_is_given_on_the_page_with_a_reason(empty: Any) -> None:
    kit = empty.kit
    applied = applied_charter(kit, "careful", "loop:careful", approvals="{prod: [owner]}")
    made = register_and_gate(kit, applied, members(6), lineage(kit), "loop:careful")
    passed = made.that("passed")
    promoting.promote_fleet(kit, applied, "test", passed, "loop:careful", "it passed")
    request = promoting.ask(kit, applied, "prod", passed, "loop:careful")
    words = empty.words("/")
    assert "waiting for approval" in words and "may go to prod when you approve" in words
    assert f'action="/approvals/{request}"' in empty.page("/models/careful")
    assert f'action="/approvals/{request}"' in empty.page(f"/versions/{passed[0]}")
    refused = empty.form(f"/approvals/{request}", verdict="given")
    assert refused.status_code == 400 and "waiting for approval" in empty.words("/")
    answer = empty.form(f"/approvals/{request}", verdict="given", reason="Looked at the evidence of all six.")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "waiting for approval" not in empty.words("/")
    assert "ada" in empty.words(f"/versions/{passed[0]}")
    assert empty.form(f"/approvals/{request}", verdict="refused", reason="Again.").status_code == 404


def test_what_users_wrote_is_text_and_never_markup(empty: Any) -> None:
    applied = applied_charter(empty.kit, "sly", "person:ada")
    text = applied.text.replace("A generated fleet.", '"<script>alert(1)</script> & <b>bold</b>"')
    with empty.kit.write() as tx:
        apply_charter(tx, empty.kit.call("person:ada"), text, str(empty.kit.home))
    for path in ("/", "/models", "/models/sly", "/models/sly/charter", "/search?q=bold"):
        answer = empty.get(path)
        assert "<script>alert" not in answer.text and "<b>bold" not in answer.text


# --- size


def test_a_large_fleet_is_paths_and_pages(empty: Any) -> None:
    generated_fleet(empty.kit, 900)
    text = empty.page("/models/generated")
    assert (
        text.count('class="tile"') == 0
        and 'class="hovered"' in text
        and "page 1 of 18" in empty.words("/models/generated")
    )
    assert len(text) < 150_000
    last = empty.page("/models/generated?page=18&sort=segment")
    assert len(re.findall(r"<tr class=", last)) == 50 and 'rel="next"' not in last
