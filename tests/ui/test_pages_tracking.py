"""Pages of experiments, runs and the registry, asked in process: what is refused, what is escaped, who may what."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.core.points import batch_of
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.settings import read_settings
from keepwell.testing.experiments import ACTOR, Seeded, seeded_experiments, seeded_registry
from keepwell.tracking import service as tracking

NASTY = '</script><img src=x onerror=alert(1)> "quoted" `back` \' 🚲'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kit, Seeded]:
    clock = SimulatedClock(datetime(2026, 3, 2, 6, tzinfo=UTC))
    home = str(tmp_path_factory.mktemp("tracked"))
    kit = open_house(read_settings(home, {}), clock=clock, ids=SeededIds(clock, 3))
    made = seeded_experiments(kit, sweep=4, points=40)
    seeded_registry(kit, made.sweep[:2])
    clock.advance(timedelta(hours=1))
    return kit, made


@pytest.fixture
def pages(house: tuple[Kit, Seeded], pages_of: Any) -> Any:
    return pages_of(house[0])


@pytest.fixture
def made(house: tuple[Kit, Seeded]) -> Seeded:
    return house[1]


def test_a_table_says_how_many_there_are_and_goes_on(pages: Any, made: Seeded) -> None:
    text = pages.words("/runs?limit=3")
    assert "7 runs in 3 experiments; 1 running now." in text
    assert "1 to 3 of 7" in text
    seen: list[str] = []
    path: str | None = "/runs?limit=3"
    while path:
        page = pages.page(path)
        seen += re.findall(r'name="run" value="(run_\w+)"', page)
        after = re.search(r'href="([^"]+)" rel="next"', page)
        path = unescape(after[1]) if after else None
    assert len(seen) == len(set(seen)) == 7
    assert made.deleted not in seen


@pytest.mark.parametrize(
    "path", ["/runs", "/experiments", "/experiments/1", "/models/digits-reader", "/models/digits-reader/versions/1"]
)
def test_a_page_has_its_json_beside_it(pages: Any, path: str) -> None:
    found = re.search(r'<footer>\s*<a href="([^"]+)">This page as JSON', pages.page(path))
    assert found is not None
    assert pages.get(unescape(found[1])).json()


@pytest.mark.parametrize("filter_", ["metrics.loss >", "nonsense.x = 1", "attributes.nothing = 'x'", "metrics.a = 'b'"])
def test_a_filter_that_is_none_is_told_and_kept(pages: Any, filter_: str) -> None:
    answer = pages.get("/runs", params={"filter": filter_})
    assert answer.status_code == 400
    assert "not understood" in answer.text
    assert filter_ in unescape(answer.text)


@pytest.mark.parametrize(
    "path",
    ["/runs?sort=-metrics.nothing", "/runs?sort=nonsense", "/runs?columns=metrics.nothing,tags.x,rubbish",
     "/runs?page=99", "/runs?group=params.nothing", "/compare?runs=run_00000000000000000000000000",
     "/compare?tab=relations", "/compare?tab=differences"],
)  # fmt: skip
def test_what_is_asked_for_and_is_not_there_breaks_nothing(pages: Any, path: str) -> None:
    assert pages.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("/runs?page=0", 400), ("/runs?view=gone", 400), ("/runs?group=metrics.loss", 400), ("/experiments/99", 404),
     ("/experiments/x", 400), ("/curves?runs=run_x&names=a", 200), ("/compare?smooth=1", 400), ("/models/nothing", 404),
     ("/models/digits-reader/versions/99", 404), ("/models/digits-reader/versions/x", 400),
     ("/logged-models/m-00000000000000000000000000000000", 404)],
)  # fmt: skip
def test_addresses_that_are_none(pages: Any, path: str, status: int) -> None:
    assert pages.get(path).status_code == status


def test_a_run_tells_the_size_of_what_it_made(pages: Any, made: Seeded) -> None:
    words = pages.words(f"/runs/{made.rich}")
    assert re.search(r"Artifacts .*?\.\w+ \d[\d.,]* k?B", words)


def test_too_many_runs_are_not_compared(pages: Any) -> None:
    ids = ",".join(f"run_{n:026d}" for n in range(51))
    assert pages.get(f"/compare?runs={ids}").status_code == 400
    assert pages.form("/runs/compare").status_code == 400


def test_a_form_goes_nowhere_else(pages: Any, made: Seeded) -> None:
    """G09."""
    for back in ("//evil", "/\\evil", "https://evil", "/runs//evil?x", "/runsx"):
        answer = pages.form("/runs/tag", run=made.sweep[0], tag="a", value="b", back=back)
        assert answer.status_code == 400, back
    answer = pages.form("/runs/tag", run=made.sweep[0], tag="a", value="b", back="/runs?filter=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?filter=x")


def test_who_may_only_read_sees_no_form_and_posts_none(pages: Any, house: tuple[Kit, Seeded], made: Seeded) -> None:
    kit = house[0]
    with kit.write() as tx:
        token = identity.new_token(tx, kit.call("person:ada"), "person:ada", "reader", read_only=True).secret
    headers = {"authorization": f"Bearer {token}"}
    for path in ("/runs", f"/runs/{made.rich}", "/experiments", "/models/digits-reader/registry",
                 "/models/digits-reader/versions/1"):  # fmt: skip
        text = pages.ask("GET", path, signed_in=False, headers=headers).text
        forms = set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', text))
        assert forms <= {"/runs/columns", "/runs/tag", "/sign-out"}, path
        assert "Delete" not in text and 'formaction="/runs/keeping"' not in text, path
    for path, body in (("/runs/tag", f"run={made.rich}&tag=a"), ("/runs/keeping", f"run={made.rich}&do=delete"),
                       (f"/runs/{made.rich}", "do=save"), ("/experiments", "name=x"),
                       ("/models/digits-reader/registry", "do=describe"),
                       ("/models/digits-reader/registry/deletion", "name=digits-reader")):  # fmt: skip
        answer = pages.ask("POST", path, signed_in=False, content=body,
                           headers={**headers, "content-type": "application/x-www-form-urlencoded"})  # fmt: skip
        assert answer.status_code == 403, path


def test_names_that_would_break_a_page_do_not(pages: Any, house: tuple[Kit, Seeded]) -> None:
    """G13."""
    kit = house[0]
    with kit.write() as tx:
        call = kit.call(ACTOR)
        experiment = tracking.create_experiment(tx, call, NASTY[:100], {"mlflow.note.content": NASTY}).id
        run = tracking.start_run(
            tx, call, name=NASTY, experiment=experiment, params={NASTY: NASTY}, tags={NASTY: NASTY}, user=NASTY
        )
        other = tracking.start_run(tx, call, name="plain", experiment=experiment, params={NASTY: "2"})
        tracking.log_points(tx, call, run.id, batch_of([("a/b", 1.0, 1, 1_000), ("a/b", 2.0, 2, 2_000)]))
        tracking.put_artifact(tx, call, run.id, "a b (c)/ü.csv", kit.blobs.put(b"a,b\n<b>,2\n"), 10)
    for path in (
        "/runs", f"/experiments/{experiment}", "/experiments", f"/runs/{run.id}", f"/runs/{run.id}?tab=charts",
        f"/runs/{run.id}?tab=artifacts&path=a%20b%20(c)%2F%C3%BC.csv", f"/compare?runs={run.id},{other.id}",
        f"/compare?runs={run.id},{other.id}&tab=relations", f"/compare?runs={run.id},{other.id}&tab=differences",
        f"/experiments/{experiment}?group=params.{NASTY}".replace("'", "%27").replace("`", "%60").replace(" ", "+"),
        "/search?q=plain",
    ):  # fmt: skip
        text = pages.get(path).text
        assert "<img src=x" not in text, path
        assert "<b>," not in text
    menu = pages.page(f"/experiments/{experiment}")
    columns = re.findall(r'name="column" value="([^"]+)"', menu)
    chosen = next(unescape(one) for one in columns if one.startswith("params."))
    answer = pages.ask(
        "POST", "/runs/columns", content=urlencode({"path": f"/experiments/{experiment}", "column": chosen}),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert pages.get(answer.headers["location"]).status_code == 200
    assert NASTY in unescape(pages.get(answer.headers["location"]).text)


def test_files_are_saved_whole_and_shown_only_when_they_may_be(pages: Any, made: Seeded) -> None:
    """G07."""
    run = f"/runs/{made.rich}"
    for name in ("report.html", "figures/curve.svg", "model/weights.bin", "train.log"):
        answer = pages.get(f"{run}/saved", params={"path": name})
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    framed = pages.get(f"{run}/shown", params={"path": "report.html"}, headers={"sec-fetch-dest": "iframe"})
    assert framed.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    alone = pages.get(f"{run}/shown", params={"path": "report.html"}, headers={"sec-fetch-dest": "document"})
    assert alone.headers["content-disposition"].startswith("attachment")
    assert pages.get(f"{run}/shown", params={"path": "train.log"}).status_code == 400
    for path in ("../x", "/etc/passwd", "nothing.png", "figures", "a\\b.png", "figures/../report.html"):
        assert pages.get(f"{run}/shown", params={"path": path}).status_code in (400, 404), path
        assert pages.get(f"{run}/saved", params={"path": path}).status_code in (400, 404), path
        assert pages.get(run, params={"tab": "artifacts", "path": path}).status_code in (200, 400, 404), path


def test_a_patch_is_shown_by_what_it_adds_and_takes(pages: Any, made: Seeded) -> None:
    text = pages.page(f"/runs/{made.rich}?tab=artifacts&path=code%2Fchanges.patch")
    assert '<span class="added">+width = 64</span>' in text
    assert '<span class="gone">-width = 32</span>' in text
    assert "what changed" in pages.words(f"/runs/{made.rich}")


def test_live_tells_only_what_is_new(pages: Any, house: tuple[Kit, Seeded], made: Seeded) -> None:
    kit = house[0]
    first = pages.get(f"/live?runs={made.running}").json()
    assert first["running"] and first["values"]
    again = pages.get(f"/live?runs={made.running}&after={first['mark']}").json()
    assert again == {"mark": first["mark"], "running": True, "turned": False, "values": []}
    with kit.write() as tx:
        tracking.log_points(tx, kit.call(ACTOR), made.running, batch_of([("train/loss", 0.5, 900, 9_000)]))
    third = pages.get(f"/live?runs={made.running}&after={first['mark']}").json()
    assert not third["turned"]
    assert {"run": made.running, "name": "train/loss", "text": "0.5", "exact": "0.5", "step": 900} in third["values"]
    curves = pages.get(f"/curves?runs={made.running},{made.rich}&names=train%252Floss&points=20").json()["curves"]
    assert [one["run"] for one in curves["train/loss"]] == [made.running, made.rich]
    assert all(len(one["steps"]) <= 20 for one in curves["train/loss"])
    assert curves["train/loss"][0]["steps"][-1] == 900


def test_a_registered_model_is_described_and_its_version_deleted_by_name(pages: Any) -> None:
    path = "/models/digits-reader/registry"
    assert pages.form(path, do="describe", description="Reads <digits>.").status_code == 303
    assert "Reads <digits>." in pages.words(path)
    assert pages.form(path, do="alias", alias="champion", number="1").status_code == 303
    assert "@champion is v1" in pages.words(path)
    assert pages.form(path, do="alias", alias="", number="1").status_code == 400
    assert pages.form(path + "/deletion", name="digits").status_code == 400
    assert pages.form("/models/digits-reader/versions/2/deletion", name="v2").status_code == 303
    assert pages.get("/models/digits-reader/versions/2").status_code == 404
    assert "1 version" in pages.words(path)
