"""`keepwell decisions` and `keepwell incidents` on a house with two ticks and an incident."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keepwell.cli import main
from keepwell.db import write
from keepwell.flows.kit import Kit
from keepwell.loop import service
from keepwell.loop.decide import decide
from keepwell.loop.model import with_columns
from keepwell.monitoring.model import Incident
from keepwell.monitoring.service import open_incident

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def keepwell(kit: Kit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["keepwell", *arguments, "--home", str(kit.home)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def ticked(kit: Kit, fleets: Any) -> Kit:
    for week in range(2):
        now = fleets.now + timedelta(weeks=week)
        state = with_columns(fleets.well(), performance=[1, 2 - week, 1], scored_slot=now)
        with write(kit.db) as tx:
            service.record_tick(tx, kit.call("loop:demand"), state, now, decide(fleets.charter(), state, now))
    return kit


@pytest.fixture
def incident(kit: Kit) -> Incident:
    with write(kit.db) as tx:
        return open_incident(
            tx,
            kit.call("service:test"),
            kind="data",
            model=None,
            subject="arrival:arr_1",
            title="The file of week 30 is in another unit",
            severity="bad",
            datasets=["sales"],
            facts={"failed": 168},
            cause="arrival:arr_1",
        )


def test_decisions_are_listed_shown_and_explained(ticked: Kit, keepwell: Run) -> None:
    code, out, _ = keepwell("decisions", "list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert [r["decision"]["kind"] for r in listed] == ["hold", "train", "hold"]
    _, out, _ = keepwell("decisions", "list", "--kind", "train")
    assert "1 of 3" in out
    assert "worse than the charter allows" in out
    _, out, _ = keepwell("decisions", "list", "--before", f"{listed[0]['seq']}.{listed[0]['place']}", "--json")
    assert json.loads(out) == listed[1:]
    code, out, _ = keepwell("decisions", "show", listed[1]["tick"])
    assert code == 0
    assert "train: b" in out
    assert "clause: monitor.performance" in out
    assert "all but b" in out
    _, out, _ = keepwell("decisions", "show", "demand", "--json")
    assert json.loads(out)["number"] == 2
    code, out, _ = keepwell("decisions", "why", "demand", "b")
    assert code == 0
    assert out.index("hold") < out.index("train")
    assert "what would change it" in out
    _, out, _ = keepwell("decisions", "why", "demand", "b", "--actions", "--json")
    assert [r["decision"]["kind"] for r in json.loads(out)] == ["train"]
    _, out, _ = keepwell("decisions", "why", "demand", "a", "--actions")
    assert "held in every tick" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list", "--kind", "explode"), 2),
        (("list", "--before", "x"), 2),
        (("list", "--limit", "0"), 2),
        (("show", "tick_nope"), 3),
        (("show", "nothing"), 3),
        (("why", "nothing", "a"), 3),
        (("why", "demand", "zz"), 3),
    ],
)
def test_a_wrong_question_gets_one_sentence(ticked: Kit, keepwell: Run, arguments: tuple[str, ...], code: int) -> None:
    found, out, err = keepwell("decisions", *arguments)
    assert (found, out) == (code, "")
    assert err.startswith("keepwell: ")
    assert err.count("\n") == 1


def test_an_empty_house_says_what_to_do(kit: Kit, keepwell: Run) -> None:
    assert "keepwell loop tick" in keepwell("decisions", "list")[1]
    assert "No incident is open" in keepwell("incidents", "list")[1]
    assert json.loads(keepwell("incidents", "list", "--json")[1]) == []


def test_incidents_are_listed_shown_and_closed_on_evidence(incident: Incident, keepwell: Run) -> None:
    assert [i["id"] for i in json.loads(keepwell("incidents", "list", "--dataset", "sales", "--json")[1])] == [
        incident.id
    ]
    assert "another unit" in keepwell("incidents", "list", "--severity", "bad")[1]
    shown = keepwell("incidents", "show", incident.id)[1]
    assert "every segment" in shown
    assert "168" in shown
    assert keepwell("incidents", "close", incident.id, "--reason", "Sent again")[0] == 2
    assert keepwell("incidents", "close", incident.id, "--reason", "Sent again", "--evidence", "nothing")[0] == 2
    code, out, _ = keepwell("incidents", "close", incident.id, "--reason", "Sent again", "--evidence", "arrival=arr_2")
    assert code == 0
    assert "Closed" in out
    assert keepwell("incidents", "close", incident.id, "--reason", "x", "--evidence", "a=b")[0] == 5
    assert "arr_2" in keepwell("incidents", "show", incident.id)[1]
    assert json.loads(keepwell("incidents", "show", incident.id, "--json")[1])["state"] == "closed"
    assert "No incident is open" in keepwell("incidents", "list")[1]
    assert keepwell("incidents", "show", "inc_nope")[0] == 3
