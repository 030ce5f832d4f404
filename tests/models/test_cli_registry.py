"""The registry by name and number on the command line, gc and the feed beside it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepwell.bootstrap import open_house
from keepwell.cli import cli
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.settings import read_settings
from keepwell.tracking import service as tracking


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def source(home: Path) -> str:
    """What a run logged."""
    kit = open_house(read_settings(str(home), {}))
    with kit.write() as tx:
        call = kit.call("person:ann")
        run = tracking.start_run(tx, call, name="fit").id
        tracking.put_artifact(tx, call, run, "model/MLmodel", kit.blobs.put(b"flavors: {}"), 11)
    return f"runs:/{run}/model"


def say(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)])


def told(home: Path, *words: str) -> object:
    found = say(home, *words, "--json")
    assert found.exit_code == 0, (found.output, found.exception)
    return json.loads(found.output)


def test_a_version_is_registered_labelled_found_and_deleted(home: Path, source: str) -> None:
    assert told(home, "model", "create", "iris", "--description", "petals", "--tag", "team=x")["name"] == "iris"
    made = told(home, "model", "register", "iris", source, "--alias", "best", "--tag", "a=b", "--key", "k")
    assert told(home, "model", "register", "iris", source, "--alias", "best", "--tag", "a=b", "--key", "k") == made
    assert (made["number"], made["aliases"], made["tags"]) == (1, ["best"], {"a": "b"})
    assert told(home, "model", "register", "rose", source)["number"] == 1, "a model that is not there is made"
    assert [f["path"] for f in told(home, "model", "files", "iris/v1")] == ["MLmodel"]
    told(home, "model", "alias", "iris/v1", "prod")
    told(home, "model", "tag", "iris", "team=y")
    told(home, "model", "tag", "iris/v1", "ok=yes")
    told(home, "model", "describe", "iris/v1", "the first")
    told(home, "model", "stage", "iris/v1", "staging")
    info = told(home, "model", "info", "iris")
    assert (info["tags"], info["aliases"], info["latest"][0]["stage"]) == (
        {"team": "y"},
        {"best": 1, "prod": 1},
        "Staging",
    )
    assert info["latest"][0]["description"] == "the first"
    assert [m["name"] for m in told(home, "model", "search", "tags.team = 'y'")] == ["iris"]
    assert [v["model"] for v in told(home, "model", "search", "tags.ok = 'yes'", "--versions")] == ["iris"]
    assert {s["lane"] for s in told(home, "model", "timeline", "iris")} == {"best", "prod", "Staging"}
    assert told(home, "model", "unalias", "iris", "prod") == {"was_there": True}
    assert told(home, "model", "untag", "iris/v1", "ok") == {"was_there": True}
    assert told(home, "model", "delete", "iris/v1") == {"versions": 1}
    told(home, "model", "restore", "iris/v1")
    assert told(home, "model", "rename", "iris", "Iris")["name"] == "Iris"
    assert told(home, "model", "delete", "iris", "--yes") == {"versions": 1}
    assert [m["name"] for m in told(home, "model", "search")] == ["rose"]
    for words in (("info", "rose"), ("search",), ("search", "--versions"), ("timeline", "rose"), ("files", "rose/v1")):
        assert say(home, "model", *words).exit_code == 0


def test_a_whole_model_is_not_deleted_without_a_word(home: Path, source: str) -> None:
    told(home, "model", "register", "iris", source)
    assert say(home, "model", "delete", "iris").exit_code == 1
    assert told(home, "model", "info", "iris")["name"] == "iris"


def test_what_cannot_be_meant_is_refused(home: Path, source: str) -> None:
    told(home, "model", "register", "iris", source)
    for error, words in (
        (InvalidInput, ("register", "iris", "file:///etc/")),
        (InvalidInput, ("alias", "iris", "best")),
        (InvalidInput, ("alias", "iris/v1", "v1")),
        (InvalidInput, ("tag", "iris", "team")),
        (InvalidInput, ("search", "owner = 'x'")),
        (NotFound, ("info", "rose")),
        (NotFound, ("stage", "iris/v7", "Staging")),
        (Conflict, ("create", "IRIS")),
    ):
        assert isinstance(say(home, "model", *words).exception, error), words


def test_a_copy_in_another_installation_has_the_bytes_and_says_where_they_came_from(
    home: Path, source: str, tmp_path: Path
) -> None:
    told(home, "model", "register", "iris", source, "--description", "d", "--tag", "a=b")
    other = tmp_path / "other"
    made = told(home, "model", "copy", "iris/v1", "iris-prod", "--to", str(other), "--alias", "blue")
    assert told(home, "model", "copy", "iris/v1", "iris-prod", "--to", str(other), "--alias", "blue") == made
    assert (made["number"], made["source"], made["tags"], made["aliases"]) == (
        1,
        "models:/iris/1",
        {"a": "b"},
        ["blue"],
    )
    assert made["run_id"] is None and made["run_link"] == "run:" + source.split("/")[1]
    assert [f["path"] for f in told(other, "model", "files", "iris-prod/v1")] == ["MLmodel"]
    assert told(other, "fsck")["clean"] is True
    here = told(home, "model", "copy", "iris/v1", "rose")
    assert (here["run_id"], here["number"]) == (source.split("/")[1], 1)
    assert say(other, "model", "trace", "iris-prod/v1").exit_code == 0
    nowhere = say(home, "model", "copy", "iris/v1", "rose", "--to", str(tmp_path / "typo" / "other"))
    assert isinstance(nowhere.exception, NotFound) and not (tmp_path / "typo").exists()


def test_a_version_without_a_charter_is_shown_as_that(home: Path, source: str) -> None:
    told(home, "model", "register", "iris", source)
    shown, traced = say(home, "model", "show", "iris/v1").output, say(home, "model", "trace", "iris/v1").output
    assert "has no charter" in shown and "fleet gate" not in shown and "data until" not in shown
    assert "has no charter" in traced
    assert say(home, "model", "list").output.splitlines()[1].endswith("Z")


def test_gc_plans_runs_and_reports(home: Path, source: str) -> None:
    told(home, "model", "register", "iris", source)
    kit = open_house(read_settings(str(home), {}))
    digest = kit.blobs.put(b"nobody's")
    old = time.time() - 48 * 3600
    os.utime(home / "blobs" / digest[7:9] / digest[9:], (old, old))
    assert told(home, "gc", "plan")["blobs"] == 1
    assert say(home, "gc", "plan").output.count(digest) == 1
    assert told(home, "gc", "run", "--key", "k")["blobs"] == 1
    assert told(home, "gc", "run", "--key", "k")["blobs"] == 1
    assert not kit.blobs.has(digest)
    assert [e["kind"] for e in told(home, "gc", "report")] == ["gc.freed", "gc.condemned"]
    assert "Removed 0 files" in say(home, "gc", "run").output
    assert say(home, "gc", "report").exit_code == 0
    assert isinstance(say(home, "gc", "run", "--grace", "30m").exception, InvalidInput)
    assert isinstance(say(home, "gc", "run", "--retention", "soon").exception, InvalidInput)


def test_the_feed_goes_on_from_any_point(home: Path, source: str) -> None:
    told(home, "model", "register", "iris", source, "--alias", "best")
    first = told(home, "changes", "--subject", "model:iris", "--limit", "2")
    assert [e["kind"] for e in first["items"]] == ["model.created", "model.batch_registered"]
    rest = told(home, "changes", "--after", str(first["after"]), "--kind", "model.")
    assert [e["kind"] for e in rest["items"]] == ["model.alias_set"]
    assert told(home, "changes", "--after", str(rest["after"]))["items"] == []
    assert "model.alias_set" in say(home, "changes").output
    assert isinstance(say(home, "changes", "--after", "-1").exception, InvalidInput)
