"""Moving in from MLflow again, interrupted, from stores that are broken or hostile, and by command."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.flows.moving_stores import (
    KINDS,
    MODEL,
    START,
    STORES,
    content,
    copied,
    opened,
    serving,
    told,
)

from keepwell.core import failpoints
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, Denied, InvalidInput, NotFound, NotSupported, Unauthenticated, Unavailable
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.moving.carry import carry, find, open_source
from keepwell.flows.moving.http_client import HttpClient
from keepwell.flows.moving.names import RUN_TAG
from keepwell.flows.moving.report import Notes, Report
from keepwell.flows.moving.server import ServerSource
from keepwell.models import registry
from keepwell.settings import MlflowAccess, read_mlflow_access
from keepwell.testing.killing import in_child
from keepwell.tracking import service as tracking

ME = "person:test"
pytestmark = pytest.mark.sqlite_only
PRICES = "prices/weekly: été"


def moved(kit: Kit, where: Path | str, **options: Any) -> Report:
    notes = Notes()
    with closing(open_source(str(where), notes, MlflowAccess())) as source:
        return carry(kit, source, ME, notes, **options)


def run_named(kit: Kit, name: str) -> Any:
    with kit.read() as tx:
        [found] = tracking.search_runs(tx, [e.id for e in tracking.search_experiments(tx, view="all")],
                                       f"attributes.run_name = '{name}'", "all")  # fmt: skip
    return found


def test_all_ways_lead_to_the_same(tmp_path: Path, kit: Kit) -> None:
    from keepwell.testing.walks import house

    found = []
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        other, notes = house(tmp_path / kind / "home"), Notes()
        with opened(kind, tmp_path / kind, notes) as source:
            carry(other, source, ME, notes)
        found.append(content(other))
        other.db.engine.dispose()
    assert found[0] == found[1] == found[2]


# ------------------------------------------------------------------------------------------------------- once and again


@pytest.mark.parametrize("kind", KINDS)
def test_again_changes_nothing(kit: Kit, tmp_path: Path, kind: str) -> None:
    notes = Notes()
    with opened(kind, tmp_path, notes) as source:
        carry(kit, source, ME, notes)
        before, entries = content(kit), told(kit)
        for recheck in (False, True):
            again = carry(kit, source, ME, notes, recheck=recheck)
            assert (again.counts.runs, again.counts.files if not recheck else 0, again.counts.versions) == (0, 0, 0)
            assert content(kit) == before
    after = told(kit)
    assert after.pop("import.finished") == 3 and entries.pop("import.finished") == 1
    assert {kind: after[kind] for kind in entries if kind != "run.amended"} == {
        kind: count for kind, count in entries.items() if kind != "run.amended"
    }


def test_what_is_new_is_added(kit: Kit, tmp_path: Path) -> None:
    root = copied("folder", tmp_path)
    moved(kit, root)
    [child] = [f.parent for f in root.rglob("meta.yaml") if "run_name: child" in f.read_text()]
    with (child / "metrics" / "loss").open("a") as file:
        file.write(f"{START + 60} 0.125 2\n")
    (child / "tags" / "late").write_text("yes")
    (child / "params").mkdir(exist_ok=True)
    (child / "params" / "depth").write_text("7")
    (child / "artifacts").mkdir(exist_ok=True)
    (child / "artifacts" / "late.txt").write_text("late")
    meta = (child / "meta.yaml").read_text().replace("status: 4", "status: 3")
    (child / "meta.yaml").write_text(meta)
    other = child.parent / ("ab" * 16)
    shutil.copytree(child, other)
    (other / "meta.yaml").write_text(meta.replace(child.name, other.name).replace("name: child", "name: second"))
    again = moved(kit, root)
    assert (again.counts.runs, again.counts.changed, again.counts.unchanged) == (1, 1, 5)
    found = content(kit)["runs"]
    assert (
        found["child"]["metrics"]["loss"][-1] == (2, START + 60, 0.125) and len(found["child"]["metrics"]["loss"]) == 3
    )
    assert found["child"]["tags"]["late"] == "yes" and found["child"]["params"] == {"depth": "7"}
    assert found["child"]["status"] == "finished" and found["child"]["files"] == {"late.txt": b"late"}
    assert found["second"]["parent"] == "grid" and found["second"]["files"] == {"late.txt": b"late"}
    assert fsck(kit) == []


def test_the_same_store_by_another_address_doubles_nothing(kit: Kit, tmp_path: Path) -> None:
    moved(kit, copied("folder", tmp_path))
    before = content(kit)
    (tmp_path / "elsewhere").mkdir()
    again = moved(kit, copied("folder", tmp_path / "elsewhere"))
    assert (again.counts.experiments, again.counts.runs, again.counts.models, again.counts.versions) == (1, 0, 0, 0)
    after = content(kit)
    [extra] = set(after["experiments"]) - set(before["experiments"])
    assert extra.startswith("gone (deleted")
    assert (after["runs"], after["models"], after["logged"]) == (before["runs"], before["models"], before["logged"])


def test_another_model_of_the_same_name_is_left_alone(kit: Kit, tmp_path: Path) -> None:
    digest = kit.blobs.put(b"[]")
    with kit.write() as tx:
        registry.create_model(tx, kit.call(ME), MODEL, "Ours.")
        registry.create_version(tx, kit.call(ME), MODEL, registry.Origin(manifest=digest, size=2))
    report = moved(kit, copied("folder", tmp_path))
    with kit.read() as tx:
        assert registry.registered_model(tx, MODEL).description == "Ours."
        assert registry.registered_model(tx, f"{MODEL} 2").description == "Prices."
        assert registry.by_alias(tx, f"{MODEL} 2", "shadow").number == 4
    assert (f"{MODEL} 2") in {one.here for one in report.renamed}


def test_what_was_deleted_here_stays_deleted(kit: Kit, tmp_path: Path) -> None:
    root = copied("folder", tmp_path)
    moved(kit, root)
    with kit.write() as tx:
        tracking.delete_run(tx, kit.call(ME), run_named(kit, "child").id)
        registry.delete_version(tx, kit.call(ME), MODEL, 4)
        number = tracking.experiment_by_name(tx, "Default").id
    report = moved(kit, root, recheck=True)
    assert run_named(kit, "child").lifecycle == "deleted" and number == 0
    assert content(kit)["models"][MODEL][3] is None
    said = {one.kind: one.why for one in report.not_carried}
    assert "deleted here since" in said["run"]


def test_old_ids_are_found(kit: Kit, tmp_path: Path) -> None:
    root = copied("folder", tmp_path)
    moved(kit, root)
    [theirs] = [f.parent.name for f in root.rglob("meta.yaml") if "run_name: grid" in f.read_text()]
    grid = run_named(kit, "grid")
    with kit.read() as tx:
        assert find(tx, theirs).ours == grid.id
        assert [run.id for run in tracking.search_runs(tx, [grid.experiment], f"tags.`{RUN_TAG}` = '{theirs}'")] == [
            grid.id
        ]
        assert find(tx, "nothing") is None


# ------------------------------------------------------------------------------------------------------------ killed


POINTS = ("moving.experiment_made", "moving.file_stored", "moving.run_filled", "moving.run_written",
          "moving.parents_settled", "moving.model_written", "moving.registered_written", "moving.version_written",
          "moving.aliases_written", "moving.experiment_deleted", "db.before_commit", "db.after_commit")  # fmt: skip


def _carried_until(home: Path, store: Path, points: str) -> int:
    from keepwell.testing.walks import house

    failpoints.arm(points)
    return moved(house(home), store).counts.runs


def test_killed_anywhere_and_run_again_it_ends_where_it_should(tmp_path: Path) -> None:
    """Dies by SIGKILL at the first and a later reaching of each point; `fsck` is clean, and again completes it."""
    from keepwell.testing.walks import house

    store = copied("folder", tmp_path)
    whole = house(tmp_path / "whole")
    moved(whole, store)
    wanted, entries = content(whole), told(whole)
    for point in POINTS:
        for nth in (1, 4):
            home = tmp_path / f"{point}{nth}"
            status, _, said = in_child(tmp_path, lambda: _carried_until(home, store, f"{point}:kill@{nth}"))  # noqa: B023
            if status == 0 and nth > 1:
                continue  # it is reached fewer times
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, nth, said[-500:])
            kit = house(home, seed=9)
            assert fsck(kit) == [], (point, nth)
            moved(kit, store)
            assert content(kit) == wanted, (point, nth)
            assert told(kit) == entries, (point, nth)
            assert fsck(kit) == [], (point, nth)
            kit.db.engine.dispose()


# ------------------------------------------------------------------------------------------------------- bad folders


def test_links_and_what_lies_outside_are_never_read(kit: Kit, tmp_path: Path) -> None:
    root = copied("folder", tmp_path)
    canary = tmp_path / "canary.txt"
    canary.write_text("canary-5b1e")
    [grid] = [f.parent for f in root.rglob("meta.yaml") if "run_name: grid" in f.read_text()]
    (grid / "artifacts" / "link.txt").symlink_to(canary)
    (grid / "artifacts" / "out").symlink_to(tmp_path)
    (grid / "params" / "secret").symlink_to(canary)
    os.mkfifo(grid / "artifacts" / "pipe")
    for uri in ("file:///etc", "../..", "file:///srv/mlflow/store/mlruns/../../../../../etc", str(tmp_path)):
        [meta] = root.glob("models/*/version-5/meta.yaml")
        lines = [
            line for line in meta.read_text().splitlines() if not line.startswith(("source:", "storage_location:"))
        ]
        meta.write_text("\n".join([*lines, f"source: {uri}", f"storage_location: {uri}"]) + "\n")
        report = moved(kit, root, recheck=True)
        lost = {(one.kind, one.name.rsplit("/", 1)[-1]) for one in report.not_carried}
        assert {("artifact", "link.txt"), ("artifact", "out"), ("artifact", "pipe"), ("version", "5")} <= lost
    everything = b"".join(file.read_bytes() for file in (kit.home / "blobs").rglob("*") if file.is_file())
    assert b"canary-5b1e" not in everything
    assert "secret" not in run_named(kit, "grid").params
    assert fsck(kit) == []


HOSTILE = {
    "a tag that makes an object": "!!python/object/apply:os.system ['touch marker']\n",
    "no mapping": "- 1\n- 2\n",
    "no YAML": "a: [1, {\n",
    "nothing": "",
    "not text": b"\xff\xfe\x00",
    "aliases in aliases": "a: &a [x, x]\nb: &b [*a, *a]\nname: *b\nexperiment_id: *b\n",
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_record_is_reported_and_the_others_arrive(kit: Kit, tmp_path: Path, case: str) -> None:
    root = copied("folder", tmp_path)
    text = HOSTILE[case]
    data = text if isinstance(text, bytes) else text.encode()
    [run] = [f for f in root.rglob("meta.yaml") if "run_name: killed" in f.read_text()]
    run.write_bytes(data)
    (root / "999").mkdir()
    (root / "999" / "meta.yaml").write_bytes(data)
    (root / "models" / "broken").mkdir()
    (root / "models" / "broken" / "meta.yaml").write_bytes(data)
    report = moved(kit, root)
    assert {"run", "experiment", "registered model"} <= {one.kind for one in report.not_carried} or case in (
        "aliases in aliases",
    )
    assert report.counts.versions == 3 and report.counts.runs >= 6
    assert not Path("marker").exists() and not (root / "marker").exists()
    assert fsck(kit) == []


def test_names_that_are_refused_here_are_spelled_or_reported(kit: Kit, tmp_path: Path) -> None:
    root = copied("folder", tmp_path)
    [grid] = [f.parent for f in root.rglob("meta.yaml") if "run_name: grid" in f.read_text()]
    for name in ("a:b?.txt", "A.txt", "a.txt", "trailing. "):
        (grid / "artifacts" / name).write_text(name)
    (grid / "tags" / "long").write_text("x" * 200_000)
    (grid / "metrics" / "bad").write_text("no point\n17 x 1\n")
    report = moved(kit, root)
    files = content(kit)["runs"]["grid"]["files"]
    assert files["a_b_.txt"] == b"a:b?.txt" and files["trailing"] == b"trailing. "
    assert ("A.txt" in files) != ("a.txt" in files)
    said = {(one.kind, one.name.rpartition("/")[2]) for one in report.not_carried}
    assert ("param or tag", "long") in said and ("point", "bad") in said
    assert ("artifact", "a.txt") in said or any("a.txt" in name for kind, name in said if kind == "artifact")


# --------------------------------------------------------------------------------------------------------- databases


def test_databases_of_older_versions_are_read(kit: Kit, tmp_path: Path) -> None:
    file = copied("database", tmp_path)
    with sqlite3.connect(file) as old:
        newer = "logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics", "inputs"
        for table in (*newer, "input_tags", "datasets", "registered_model_aliases", "experiment_tags", "trace_info"):
            old.execute(f"DROP TABLE {table}")
        old.execute("ALTER TABLE runs DROP COLUMN deleted_time")
        old.execute("ALTER TABLE runs RENAME COLUMN name TO old_name")
        old.execute("ALTER TABLE model_versions DROP COLUMN storage_location")
    old.close()
    report = moved(kit, file)
    assert (report.counts.runs, report.counts.points, report.counts.models) == (7, 32, 2)
    assert run_named(kit, "grid").params["lr"] == "0.1"
    assert content(kit)["models"][MODEL][0][:2] == (1, "First.")


def test_artifacts_may_lie_in_another_folder(kit: Kit, tmp_path: Path) -> None:
    file = copied("database", tmp_path)
    (tmp_path / "mlartifacts").rename(tmp_path / "moved")
    notes = Notes()
    with closing(open_source(str(file), notes, MlflowAccess(), tmp_path / "moved")) as source:
        assert carry(kit, source, ME, notes).counts.files == 8


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("postgresql://u:p@h/db", NotSupported, "mlflow server"),
        ("mysql+pymysql://u:p@h/db", NotSupported, "mlflow server"),
        ("s3://bucket/mlruns", InvalidInput, "Name a server"),
        ("databricks", NotFound, "no file or folder"),
        ("{tmp}/nothing", NotFound, "no file or folder"),
        ("{tmp}", InvalidInput, "neither"),
        ("{tmp}/text.db", InvalidInput, "no SQLite database"),
        ("{tmp}/other.db", InvalidInput, "none of MLflow's"),
        ("http://", InvalidInput, "http"),
        ("http://user:secret@127.0.0.1:1/", InvalidInput, "MLFLOW_TRACKING_USERNAME"),
        ("http://127.0.0.1:99999/", InvalidInput, "port"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, where: str, error: type[Exception], says: str
) -> None:
    (tmp_path / "text.db").write_text("hello")
    with sqlite3.connect(tmp_path / "other.db") as made:
        made.execute("CREATE TABLE t (a)")
    made.close()
    with pytest.raises(error, match=says) as told_:
        open_source(where.format(tmp=tmp_path), Notes(), MlflowAccess())
    assert "secret" not in str(told_.value)


# ----------------------------------------------------------------------------------------------------------- servers


@contextmanager
def asking(address: str, notes: Notes | None = None, access: MlflowAccess | None = None) -> Iterator[ServerSource]:
    client = HttpClient(address, access or MlflowAccess(), pause=0.01)
    with closing(ServerSource(client, notes or Notes())) as source:
        yield source


def test_credentials_are_sent_as_mlflows_clients_send_them(kit: Kit) -> None:
    with serving() as server:
        for access, header in (
            (MlflowAccess(token="t0ken"), "Bearer t0ken"),
            (MlflowAccess(username="ada", password="pa:ss"), "Basic YWRhOnBhOnNz"),
            (MlflowAccess(), None),
        ):
            with asking(server.address, access=access) as source:
                list(source.experiments())
            headers = {name.lower(): value for name, value in server.asked[-1][1].items()}
            assert headers.get("authorization") == header
    environment = {"MLFLOW_TRACKING_TOKEN": "a", "MLFLOW_TRACKING_INSECURE_TLS": "true"}
    assert read_mlflow_access(environment) == MlflowAccess(token="a", insecure=True)
    assert "pa:ss" not in repr(MlflowAccess(username="ada", password="pa:ss"))


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [(401, Unauthenticated, "MLFLOW_TRACKING_TOKEN"), (403, Denied, "does not let"), (302, Conflict, "elsewhere"),
     (418, NotFound, "418"), (200, InvalidInput, "no JSON")],
)  # fmt: skip
def test_a_server_that_refuses(status: int, error: type[Exception], says: str) -> None:
    with serving() as server, asking(server.address) as source, pytest.raises(error, match=says):
        server.failing["POST /api/2.0/mlflow/experiments/search"] = [(status, "<html>")] * 9
        list(source.experiments())
    assert len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again(kit: Kit) -> None:
    with serving() as server:
        server.failing = {
            "POST /api/2.0/mlflow/runs/search": [(503, ""), (429, '{"message": "slow down"}'), (502, "")],
            "GET /api/2.0/mlflow/metrics/get-history": [(500, ""), (504, "")],
        }
        notes = Notes()
        with asking(server.address, notes) as source:
            report = carry(kit, source, ME, notes)
    assert (report.counts.runs, report.counts.points) == (7, 32)


def test_a_server_that_is_away_says_so_and_again_goes_on(kit: Kit) -> None:
    with serving() as server:
        gone = server.address
        files = [asked for asked in server.said if "/artifacts/1/" in asked]
        server.cut = {files[2]: 5}
        notes = Notes()
        with asking(server.address, notes) as source:
            with pytest.raises(Unavailable, match="run the same command again"):
                carry(kit, source, ME, notes)
            assert fsck(kit) == []
            report = carry(kit, source, ME, notes)
        assert content(kit)["runs"]["grid"]["files"].keys() == {
            "notes.txt", "plots/deep/curve.csv", "naïve file (1).txt", "old_model/MLmodel", "old_model/weights.bin",
        }  # fmt: skip
        assert report.counts.runs + report.counts.unchanged == 7
    with asking(gone) as source, pytest.raises(Unavailable, match="again"):
        list(source.experiments())


def test_a_server_does_not_choose_where_files_go(kit: Kit) -> None:
    with serving() as server:
        [listing] = [a for a in server.said if "artifacts?path=1" in a and "plots" in server.said[a][1]]
        hostile = '{"files": [{"path": "../../out.txt", "file_size": 1}, {"path": "..", "is_dir": true}, ' \
                  '{"path": "/etc/passwd", "file_size": 1}, {"path": "a\\u0000b", "file_size": 1}]}'  # fmt: skip
        server.said[listing] = [200, hostile]
        notes = Notes()
        with asking(server.address, notes) as source:
            carry(kit, source, ME, notes)
    assert content(kit)["runs"]["grid"]["files"] == {}
    assert not any(
        "passwd" in asked or "out.txt" in asked for asked, _ in server.asked if "/artifacts/1/" in asked
    ) or ("artifact" in {one.kind for one in notes.lost})
    assert fsck(kit) == []


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_tells_writes_a_report_and_finds_old_ids(tmp_path: Path) -> None:
    import json

    store = copied("folder", tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "keepwell", "import", *words, "--home", str(tmp_path / "home")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("mlflow", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "7 runs" in done.stdout and "None of its files is there" in done.stdout and "Report: " in done.stdout
    again = json.loads(run("mlflow", str(store), "--json", "--report", str(tmp_path / "report.json")).stdout)
    assert again["counts"]["runs"] == 0 and again["counts"]["unchanged"] == 6
    assert json.loads((tmp_path / "report.json").read_text()) == again
    digest = digest_bytes((tmp_path / "report.json").read_bytes())
    listed = [sys.executable, "-m", "keepwell", "audit", "list", "--kind", "import.finished", "--json", "--home"]
    assert (
        digest in subprocess.run([*listed, str(tmp_path / "home")], capture_output=True, text=True, check=True).stdout
    )
    theirs = next(f.parent.name for f in store.rglob("meta.yaml") if "run_name: grid" in f.read_text())
    assert run("find", theirs).stdout.startswith("run_")
    missing = run("find", "nothing")
    assert missing.returncode == 3 and "Traceback" not in missing.stderr
    assert run("mlflow", str(tmp_path / "no")).returncode == 3


def test_the_stores_say_nothing_of_the_machine_they_were_made_on() -> None:
    for file in STORES.rglob("*"):
        if file.is_file() and file.suffix != ".py":
            assert b"/home/" not in file.read_bytes() and b"/root" not in file.read_bytes()
