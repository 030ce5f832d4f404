"""The registry on the command line: listings with --json and pages, and refusals in one sentence."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from keepwell.bootstrap import open_house
from keepwell.cli import cli
from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, KeepwellError, NotFound
from keepwell.core.ids import SeededIds
from keepwell.settings import read_settings
from keepwell.testing import fleets


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house with a fleet of forty, of which some are champions, and one that wants approvals."""
    folder = tmp_path_factory.mktemp("cli") / "home"
    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    kit = open_house(read_settings(str(folder), {}), clock=clock, ids=SeededIds(clock, 1))
    fleets.generated_fleet(kit, 40, versions=2)
    fleets.applied_charter(kit, "careful", "loop:c", "{prod: [owner]}")
    from keepwell.flows.certify import register_and_gate
    from keepwell.flows.promote import ask
    from keepwell.governance.charters import current_charter

    with kit.read() as tx:
        applied = current_charter(tx, "careful")
    done = register_and_gate(kit, applied, fleets.members(3, 3), fleets.lineage(kit), "loop:c")
    ask(kit, applied, "prod", list(done.versions.values()), "loop:c")
    return folder


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)])


def read(home: Path, *words: str) -> object:
    found = run(home, *words, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.output)


def refused(home: Path, *words: str) -> KeepwellError:
    found = run(home, *words)
    assert isinstance(found.exception, KeepwellError), found.output
    message = found.exception.message
    assert "\n" not in message
    assert message.endswith(".")
    return found.exception


def test_lists(home: Path) -> None:
    assert [(m["name"], m["members"], m["versions"]) for m in read(home, "model", "list")] == [
        ("careful", 3, 3), ("generated", 40, 80),
    ]  # fmt: skip
    page = read(home, "fleet", "list", "--limit", "1")
    assert [f["fleet"] for f in page] == ["careful"]
    assert "generated" in run(home, "fleet", "list").output
    assert "generated" in run(home, "model", "list", "--after", "careful").output
    shown = read(home, "fleet", "show", "generated")
    assert shown["members"] == 40
    assert sum(shown["states"].values()) == 40
    assert "members; newest versions:" in run(home, "fleet", "show", "generated").output


def test_members_in_pages(home: Path) -> None:
    seen: list[str] = []
    after: list[str] = []
    for _ in range(4):
        page = read(home, "fleet", "members", "generated", "--limit", "15", *after)
        seen += [m["segment"] for m in page["members"]]
        if page["after"] is None:
            break
        after = ["--after", page["after"]]
    assert len(seen) == len(set(seen)) == 40
    assert "More: --after" in run(home, "fleet", "members", "generated", "--worst", "wmape", "--limit", "3").output


def test_searches(home: Path) -> None:
    found = read(home, "fleet", "search", "generated", "South", "large", "v2")
    assert found["total"] == 4
    assert all("region=South" in m["segment"] for m in found["members"])
    assert "0 members match." in run(home, "fleet", "search", "generated", "nowhere").output
    assert read(home, "fleet", "search", "generated", "region=South", "--worst", "mape", "--environment", "test")


def test_versions_history_and_trace(home: Path) -> None:
    page = read(home, "model", "versions", "GENERATED", "--state", "promoted", "--limit", "2")
    version = page["versions"][0]
    assert version["state"] == "promoted"
    assert "More: --after" in run(home, "model", "versions", "generated", "--limit", "2").output
    name = f"generated/{version['segment']}/v{version['number']}"
    assert read(home, "model", "show", name)["version"]["id"] == version["id"]
    assert "wmape <= 0.30" in run(home, "model", "show", version["id"]).output
    history = read(home, "model", "history", "generated", "--segment", version["segment"], "--environment", "prod")
    assert history[0]["version_id"] == version["id"]
    assert version["segment"] in run(home, "model", "history", "generated", "--limit", "500").output
    traced = read(home, "model", "trace", name)
    assert traced["version"]["id"] == version["id"]
    assert "missing: The run run_" in run(home, "model", "trace", name).output


@pytest.mark.parametrize(
    "words",
    [
        ("model", "list"), ("model", "versions", "generated"), ("model", "history", "generated"), ("fleet", "list"),
        ("fleet", "members", "generated"), ("fleet", "members", "generated", "--worst", "wmape"),
        ("fleet", "search", "generated", "South"), ("model", "approvals"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("limit", ["0", "-1", "1000000000"])
def test_limits_that_cannot_be_meant(home: Path, words: tuple[str, ...], limit: str) -> None:
    assert isinstance(refused(home, *words, "--limit", limit), InvalidInput)
    assert isinstance(run(home, *words, "--limit", "many").exception, SystemExit | click.UsageError)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("fleet", "members", "nothing"), NotFound),
        (("fleet", "members", "generated", "--state", "great"), InvalidInput),
        (("fleet", "members", "generated", "--number", "0"), InvalidInput),
        (("fleet", "members", "generated", "--worst", "wmape", "--after", "forged"), InvalidInput),
        (("fleet", "search", "generated", "v1", "v2"), InvalidInput),
        (("model", "versions", "generated", "--after", "../../etc/passwd"), InvalidInput),
        (("model", "show", "ver_1"), InvalidInput),
        (("model", "show", "generated/region=Nowhere/v1"), NotFound),
        (("model", "show", "../../etc/passwd"), NotFound),
        (("model", "trace", "nothing"), NotFound),
        (("model", "promote", "careful/region=North,format=small,store=00000", "--reason", "x"), Conflict),
        (("model", "rollback", "careful", "--segment", "region=X", "--reason", "x"), Conflict),
        (("fleet", "promote", "generated", "nowhere", "--reason", "x"), NotFound),
        (("fleet", "gate", "nothing"), NotFound),
    ],
)
def test_refusals_are_one_sentence(home: Path, words: tuple[str, ...], kind: type[KeepwellError]) -> None:
    assert isinstance(refused(home, *words), kind)


def test_gate_approve_promote_roll_back_and_discard(home: Path) -> None:
    waiting = read(home, "model", "approvals", "careful")
    assert waiting[0]["count"] == 3
    assert "careful" in run(home, "model", "approvals").output
    assert "3 judged" in run(home, "fleet", "gate", "careful").output
    assert len(read(home, "fleet", "gate", "careful")) == 3
    segment = "region=North,format=small,store=00000"
    name = f"careful/{segment}/v1"
    assert "given by owner for prod" in run(home, "model", "approve", name, "--reason", "seen").output
    done = read(home, "fleet", "promote", "careful", "--reason", "approved")
    assert [c["segment"] for c in done["promoted"]] == [segment]
    assert len(done["held"]) == 2
    assert "v1 is champion in prod" in run(home, "model", "promote", name, "--reason", "again", "--key", "k").output
    assert isinstance(refused(home, "model", "discard", name, "--reason", "x"), Conflict)
    assert isinstance(refused(home, "model", "hold", name, "--reason", "\x1b[2J"), InvalidInput)
    assert run(home, "model", "withdraw", name, "--reason", "on second thoughts").output == "1 taken back.\n"
    assert run(home, "model", "ask", name).output.startswith("Asked: apr_")
    assert run(home, "model", "ask", name, "--environment", "test").output == "test wants no approval: promote it.\n"
    other = f"careful/{segment.replace('North', 'South').replace('00000', '00001')}/v1"
    assert run(home, "model", "hold", other, "--reason", "wait").output == "1 held.\n"
    assert read(home, "model", "approve", other, "--refuse")[0]["state"] == "refused"
    assert run(home, "model", "discard", other, "--reason", "no").output == "1 discarded.\n"
    promoted = read(home, "model", "history", "generated", "--environment", "prod", "--limit", "1000")
    replaced = next(c for c in promoted if c["number"] == 2)["segment"]
    back = run(home, "model", "rollback", "generated", "--segment", replaced, "--reason", "harm")
    assert back.output == f"{replaced}: v1 is champion in prod\n"
