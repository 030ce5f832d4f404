"""`keepwell runs`: filter, order, compare, delete, restore, download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import keepwell
from keepwell.cli import cli, main
from keepwell.core.errors import InvalidInput, NotFound


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)], catch_exceptions=False)


@pytest.fixture
def two(home: Path) -> list[str]:
    """Two finished runs of one experiment."""
    keepwell.set_experiment("trees")
    made = []
    for depth in (3, 5):
        with keepwell.start_run(f"d{depth}", params={"depth": depth, "rate": 0.1}) as one:
            keepwell.log_metric("loss", 1 / depth)
            keepwell.log_text(f"depth {depth}", "notes/a.txt")
        made.append(one.id)
    assert keepwell.flush(30)
    return made


def test_runs_are_searched_and_ordered(home: Path, two: list[str]) -> None:
    def names(*words: str) -> list[str]:
        return [one["name"] for one in json.loads(run(home, "runs", "list", "--json", *words).stdout)]

    assert names("--order", "metrics.loss ASC") == ["d5", "d3"]
    assert names("--filter", "params.depth = '3'", "--experiment", "trees") == ["d3"]
    assert names("--filter", "metrics.loss > 5") == []
    assert "d3" in run(home, "runs", "list", "--experiment", "trees").stdout
    with pytest.raises(InvalidInput):
        run(home, "runs", "list", "--filter", "loss >")
    with pytest.raises(InvalidInput, match=r"Invalid attribute key 'loss'.* Write it like metrics.loss"):
        run(home, "runs", "list", "--filter", "loss > 3")
    with pytest.raises(InvalidInput, match=r"Write it like metrics.loss ASC"):
        keepwell.search_runs(order_by=["loss up"])
    told = repr(keepwell.search_runs(order_by=["metrics.loss ASC"])).splitlines()
    assert told[0] == "2 runs" and told[1].endswith("finished     d5  loss=0.2")
    with pytest.raises(NotFound):
        run(home, "runs", "list", "--experiment", "nowhere")
    with pytest.raises(InvalidInput):
        run(home, "runs", "list", "--filter", "metrics.loss > 0", "--model", "m")
    assert names("--filter", "metrics.loss > 0", "--status", "finished", "--limit", "5") == ["d5", "d3"]
    assert names("--filter", "metrics.loss > 0", "--status", "failed") == []


def test_runs_are_compared_by_what_differs(home: Path, two: list[str]) -> None:
    told = json.loads(run(home, "runs", "compare", *two, "--json").stdout)
    assert told["runs"] == two and told["values"]["param depth"] == [3, 5]
    assert "param rate" not in told["values"] and "metric loss" in told["values"]
    assert "param rate" in run(home, "runs", "compare", *two, "--all").stdout
    with pytest.raises(InvalidInput):
        run(home, "runs", "compare", two[0])


def test_runs_are_deleted_and_restored(home: Path, two: list[str]) -> None:
    assert "1 run is deleted" in run(home, "runs", "delete", two[0]).stdout
    listed = json.loads(run(home, "runs", "list", "--deleted", "--json").stdout)
    assert [one["id"] for one in listed] == [two[0]]
    assert "deleted" in run(home, "runs", "show", two[0]).stdout
    assert json.loads(run(home, "runs", "restore", two[0], "--json").stdout) == {"restored": [two[0]]}
    assert json.loads(run(home, "runs", "list", "--deleted", "--json").stdout) == []


def test_artifacts_are_downloaded(home: Path, two: list[str], tmp_path: Path) -> None:
    assert "1 file in" in run(home, "runs", "download", two[1], str(tmp_path / "out")).stdout
    assert (tmp_path / "out/notes/a.txt").read_text() == "depth 5"
    told = run(home, "runs", "download", two[1], str(tmp_path / "two"), "--path", "notes/a.txt", "--json")
    assert json.loads(told.stdout)["files"] == 1 and (tmp_path / "two/notes/a.txt").is_file()


def test_commands_look_where_the_sdk_logs(home: Path, two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPWELL_TRACKING_URI", str(home))
    told = CliRunner().invoke(cli, ["runs", "list", "--json"], catch_exceptions=False)
    assert [one["id"] for one in json.loads(told.stdout)] == two[::-1]


def test_sync_refuses_an_address_that_is_none(home: Path) -> None:
    with pytest.raises(InvalidInput, match="--url"):
        run(home, "sync", "--url", "nowhere")
    assert not Path("nowhere").exists()


def test_the_list_of_commands_cuts_no_sentence() -> None:
    for name in ("runs", "model", "token", "gc"):
        told = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).stdout
        assert "..." not in told.partition("Commands:")[2], name


def test_a_command_on_this_machine_says_that_the_sdk_logs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPWELL_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("KEEPWELL_HOME", str(tmp_path))
    told = CliRunner().invoke(cli, ["model", "list", "--json"], catch_exceptions=False)
    assert json.loads(told.stdout) == [] and "not http://127.0.0.1:9" in told.stderr
    assert CliRunner().invoke(cli, ["model", "list", "--home", str(tmp_path)]).stderr == ""


def test_places_that_cannot_be_used_are_one_sentence(
    home: Path, two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for words, code in ((["list", "--home", str(file / "x")], 7), (["list", "--home", str(file)], 7),
                        (["download", two[0], str(file / "x"), "--home", str(home)], 1)):  # fmt: skip
        monkeypatch.setattr("sys.argv", ["keepwell", "runs", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr().err
        assert ended.value.code == code and told.count("\n") == 1 and "cannot be used" in told, told
