"""Arriving files: let in, corrected, held, settled; nothing lost, nothing twice, whatever comes in whatever order."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound, NotInstalled
from keepwell.core.ids import SeededIds
from keepwell.datasets import service as datasets
from keepwell.datasets.content import manifest_of
from keepwell.datasets.model import Arrival, DatasetVersion
from keepwell.datasets.parts import decode
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.publish import refer
from keepwell.flows.receive import Received, receive, settle, waiting
from keepwell.governance.charters import AppliedCharter, apply_charter
from keepwell.ledger.service import entries
from keepwell.monitoring import service as monitoring
from keepwell.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
ME = "person:test"
START = date(2026, 1, 5)
CHARTER: dict[str, Any] = {
    "charter": 1,
    "model": "stands",
    "data": {
        "dataset": "sales",
        "source": "in/*",
        "time": "week",
        "target": "units",
        "keys": ["stand"],
        "contract": {"columns": {"units": {"min": 0, "missing": 0}, "temp": {"missing": 1}}},
    },
}


def applied(kit: Kit, folder: Path, **data: Any) -> AppliedCharter:
    charter = {**CHARTER, "data": {**CHARTER["data"], **data}}
    (folder / "in").mkdir(parents=True, exist_ok=True)
    with kit.write() as tx:
        return apply_charter(tx, kit.call(ME), msgspec.yaml.encode(charter).decode(), str(folder))


def write(folder: Path, name: str, *rows: tuple[object, ...], header: str = "stand,week,units,temp") -> None:
    lines = [header, *(",".join("" if v is None else str(v) for v in row) for row in rows)]
    (folder / "in" / name).write_text("\n".join(lines) + "\n")


def week(number: int, units: float = 5, temp: float = 0.5, stands: str = "ab") -> list[tuple[object, ...]]:
    return [(stand, START + timedelta(weeks=number), units, temp) for stand in stands]


def newest(kit: Kit) -> DatasetVersion:
    with kit.read() as tx:
        found = datasets.latest(tx, "sales")
    assert found is not None
    return found


def rows(kit: Kit) -> list[tuple[object, ...]]:
    with kit.read() as tx:
        return datasets.load(kit.blobs, tx, newest(kit).id).rows()


def kinds(kit: Kit, prefix: str = "dataset.") -> list[str]:
    with kit.read() as tx:
        return [entry.kind for entry in entries(tx, kind=prefix, limit=1000)][::-1]


def test_a_file_is_let_in_once(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    assert [Path(file.uri).name for file in waiting(kit, charter)] == ["1.csv"]
    got = receive(kit, charter, ME)
    assert got.version == newest(kit)
    assert (got.version.number, got.version.rows, got.version.parts) == (1, 2, 1)
    assert got.accepted[0].version == got.version.id
    assert waiting(kit, charter) == []
    assert receive(kit, charter, ME) == Received()
    (tmp_path / "in/copy.csv").write_bytes((tmp_path / "in/1.csv").read_bytes())
    assert receive(kit, charter, ME) == Received()
    assert kinds(kit) == ["dataset.version_added", "dataset.arrival_accepted"]
    assert rows(kit) == [("a", START, 5, 0.5), ("b", START, 5, 0.5)]


def test_a_history_of_many_files_is_one_version_in_one_go(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    for number in range(60):
        write(tmp_path, f"week_{number}.csv", *week(number, units=number))
    got = receive(kit, charter, ME)
    assert len(got.accepted) == 60
    assert (got.version.number, got.version.rows, got.version.parts) == (1, 120, 60)  # type: ignore[union-attr]
    assert [Path(arrival.uri).stem for arrival in got.accepted] == [f"week_{number}" for number in range(60)]
    assert kinds(kit).count("dataset.version_added") == 1
    assert fsck(kit) == []


def test_a_later_row_corrects_and_is_counted(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0), *week(1))
    write(tmp_path, "2.csv", *week(1, units=7, stands="b"), *week(2))
    got = receive(kit, charter, ME)
    assert [arrival.corrections for arrival in got.accepted] == [0, 1]
    assert (newest(kit).rows, newest(kit).superseded) == (6, 1)
    assert ("b", START + timedelta(weeks=1), 7, 0.5) in rows(kit)
    write(tmp_path, "3.csv", *week(0, units=9))
    assert receive(kit, charter, ME).accepted[0].corrections == 2
    assert (newest(kit).rows, newest(kit).superseded) == (6, 3)


def test_a_file_that_changes_in_place_is_a_new_arrival(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    receive(kit, charter, ME)
    write(tmp_path, "1.csv", *week(0, units=8))
    got = receive(kit, charter, ME)
    assert got.accepted[0].corrections == 2
    assert [row[2] for row in rows(kit)] == [8, 8]


def test_a_breach_is_held_with_its_rows_and_an_incident(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    write(tmp_path, "2.csv", *week(1, units=-3, stands="a"), *week(1, stands="b"))
    write(tmp_path, "3.csv", *week(2))
    got = receive(kit, charter, ME, received_at=datetime(2026, 1, 20, tzinfo=UTC))
    assert [arrival.seq for arrival in got.accepted] == [1, 3]
    (held,) = got.quarantined
    assert (held.seq, held.state, held.rows, held.failed) == (2, "quarantined", 2, 1)
    assert held.received_at == datetime(2026, 1, 20, tzinfo=UTC)
    assert [(finding.check, finding.rows) for finding in held.findings] == [("columns.units.min", 1)]
    failing = decode(kit.blobs.path(held.failed_rows or ""))
    assert failing.select("stand", "units", "reason").rows() == [("a", -3, "columns.units.min")]
    assert kit.blobs.get(held.kept or "") == (tmp_path / "in/2.csv").read_bytes()
    with kit.read() as tx:
        (incident,) = monitoring.incidents(tx, state="open")
        assert datasets.arrival(tx, held.id) == held
    assert (incident.id, incident.cause, incident.model) == (held.incident, f"arrival:{held.id}", "stands")
    assert incident.datasets == ("sales",)
    assert "2.csv is in quarantine: 1 rows have a units below 0" in incident.title
    assert "dataset.arrival_quarantined" in kinds(kit)
    assert newest(kit).rows == 4
    assert waiting(kit, charter) == []
    assert fsck(kit) == []


def test_a_changed_unit_is_held_although_nothing_is_declared(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path, contract=None, observed=["temp"])
    for number in range(30):
        write(tmp_path, f"{number:02}.csv", *week(number, temp=0.2 + 0.01 * number, stands="abcdefgh"))
    assert len(receive(kit, charter, ME).accepted) == 30
    write(tmp_path, "30.csv", *week(30, temp=14, stands="abcdefgh"))
    got = receive(kit, charter, ME)
    assert got.version is None
    assert [finding.check for finding in got.quarantined[0].findings] == ["unit.temp"]


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "not UTF-8": (
        "x.csv",
        b"stand,week,units\na,2026-01-05,5\n\xe9,2026-01-05,5\n",
        "x.csv:3: The line holds the byte",
    ),
    "cut": ("x.csv", b"stand,week,units\na,2026-01-05,5\nb,2026", "x.csv:3: The file is cut"),
    "empty": ("x.csv", b"", "The file is empty"),
    "no rows": ("x.csv", b"stand,week,units\n", "holds no rows"),
    "no time": ("x.csv", b"stand,day,units\na,2026-01-05,5\n", "The column 'week' is not there"),
    "bad time": ("x.csv", b"stand,week,units\na,soon,5\n", "is no date or moment; one is 'soon'"),
    "bad number": ("x.csv", b"stand,week,units\na,2026-01-05,many\n", "not a number, such as 'many'"),
    "bad parquet": ("x.parquet", b"PAR1 no", "cannot be read as parquet"),
    "bad json": ("x.jsonl", b'{"stand":', "x.jsonl:1: The line is not JSON"),
    "what is it": ("x.dat", b"?", "no known format"),
}


@pytest.mark.parametrize("case", UNREADABLE, ids=str)
def test_what_cannot_be_read_is_held_and_no_crash(kit: Kit, tmp_path: Path, case: str) -> None:
    name, data, words = UNREADABLE[case]
    charter = applied(kit, tmp_path)
    (tmp_path / "in" / name).write_bytes(data)
    got = receive(kit, charter, ME)
    assert got.version is None
    (held,) = got.quarantined
    assert words in held.findings[0].sentence
    assert "\n" not in held.findings[0].sentence
    assert kit.blobs.get(held.kept or "") == data
    assert held.incident is not None
    assert receive(kit, charter, ME) == Received()
    if held.rows is None:
        with pytest.raises(Conflict, match="could not be read"):
            settle(kit, held.id, ME, "release", "it is good")
    assert settle(kit, held.id, ME, "reject", "it is broken").state == "rejected"
    assert fsck(kit) == []


def test_rows_that_cannot_be_conditioned_are_kept_with_the_reason(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0), ("c", START, "many", 0.5))
    held = receive(kit, charter, ME).quarantined[0]
    failing = decode(kit.blobs.path(held.failed_rows or ""))
    assert failing.select("stand", "units").rows() == [("c", "many")]
    assert "not a number" in failing["reason"][0]


def test_a_number_does_not_become_text(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    write(tmp_path, "2.csv", ("a", START, 5, "warm"), ("b", START, 5, 0.5))
    write(tmp_path, "3.csv", *week(2, temp=None))  # type: ignore[arg-type]
    got = receive(kit, charter, ME)
    assert [Path(a.uri).name for a in got.accepted] == ["1.csv", "3.csv"]
    sentence = got.quarantined[0].findings[0].sentence
    assert "temp came as text; in this dataset it is number; 1 rows are not, such as 'warm'" in sentence
    assert newest(kit).schema["temp"] == "number"


def test_release_lets_in_and_closes_the_incident(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    write(tmp_path, "2.csv", *week(1, units=-1))
    write(tmp_path, "3.csv", *week(1, units=4, stands="a"))
    held = receive(kit, charter, ME).quarantined[0]
    released = settle(kit, held.id, "person:boss", "release", "returns are real")
    assert (released.state, released.settled_by, released.version) == ("released", "person:boss", newest(kit).id)
    assert [part.seq for part in manifest_of(kit.blobs, newest(kit)).parts] == [1, 2, 3]
    assert [row[2] for row in rows(kit)] == [5, 4, 5, -1]  # what came after it stays right
    with kit.read() as tx:
        assert monitoring.incidents(tx, state="open") == []
        assert datasets.arrival(tx, held.id) == released
        noted = entries(tx, kind="dataset.arrival_released")[0]
    assert noted.note == "returns are real"
    assert "returns are real" not in str(noted.body)
    with pytest.raises(Conflict, match="released already"):
        settle(kit, held.id, ME, "reject", "no")
    assert fsck(kit) == []


def test_reject_keeps_bytes_and_record(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    write(tmp_path, "2.csv", *week(1, units=-1))
    held = receive(kit, charter, ME).quarantined[0]
    before = newest(kit)
    rejected = settle(kit, held.id, ME, "reject", "sent by mistake")
    assert (rejected.state, rejected.version, rejected.kept) == ("rejected", None, held.kept)
    assert newest(kit) == before
    (tmp_path / "in/2.csv").unlink()
    assert kit.blobs.get(held.kept or "").startswith(b"stand,week,units")
    assert receive(kit, charter, ME) == Received()


def test_the_first_arrival_ever_can_be_released(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0, units=-1))
    held = receive(kit, charter, ME).quarantined[0]
    settle(kit, held.id, ME, "release", "fine")
    assert (newest(kit).number, newest(kit).rows) == (1, 2)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2001])
def test_settling_needs_a_reason(kit: Kit, tmp_path: Path, reason: str) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0, units=-1))
    held = receive(kit, charter, ME).quarantined[0]
    with pytest.raises(InvalidInput, match="Say why"):
        settle(kit, held.id, ME, "release", reason)
    with pytest.raises(NotFound):
        settle(kit, "arr_nothing", ME, "reject", "why")


def test_a_file_that_is_too_old_or_short_is_held(kit: Kit, tmp_path: Path) -> None:
    contract = {"fresh": "10d", "rows": {"min": 2}}
    charter = applied(kit, tmp_path, contract=contract)
    write(tmp_path, "1.csv", *week(0))
    got = receive(kit, charter, ME, received_at=datetime(2026, 2, 20, tzinfo=UTC))
    assert [finding.check for finding in got.quarantined[0].findings] == ["fresh"]
    write(tmp_path, "2.csv", *week(1, stands="a"))
    got = receive(kit, charter, ME, received_at=datetime(2026, 1, 13, tzinfo=UTC))
    assert [finding.check for finding in got.quarantined[0].findings] == ["rows.min"]


def test_the_charters_own_mistakes_are_errors_and_hold_nothing(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    data = charter.charter.data

    def with_(**parts: Any) -> AppliedCharter:
        return replace(
            charter, charter=msgspec.structs.replace(charter.charter, data=msgspec.structs.replace(data, **parts))
        )

    for wrong, kind, words in (
        (with_(contract="none.yaml"), NotFound, "cannot be read"),
        (with_(contract="../in/1.csv"), NotFound, "cannot be read"),
        (with_(derive={"x": "SUM(units)"}), InvalidInput, "other rows"),
        (with_(where="(("), InvalidInput, "cannot be read"),
        (with_(contract={"expressions": {"x": "(("}}), InvalidInput, "cannot be read"),
        (with_(contract={"nonsense": 1}), InvalidInput, "contract"),
    ):
        with pytest.raises(kind, match=words):
            receive(kit, wrong, ME)
    with kit.read() as tx:
        assert datasets.arrivals(tx) == []
    assert kinds(kit) == []


def test_other_keys_need_another_dataset(kit: Kit, tmp_path: Path) -> None:
    write_charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(0))
    receive(kit, write_charter, ME)
    write(tmp_path, "2.csv", *week(1))
    with pytest.raises(Conflict, match="name another dataset"):
        receive(kit, applied(kit, tmp_path, keys=["stand", "temp"]), ME)


def test_a_charter_takes_over_a_dataset_whose_files_were_added_as_they_are(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(1))
    write(tmp_path, "2.csv", *week(2))
    added = refer(kit, kit.call(ME), "sales", ["in/*"], tmp_path)
    assert len(receive(kit, charter, ME).accepted) == 2
    taken = newest(kit)
    assert (taken.number, taken.parent, taken.rows) == (2, added.id, 4)
    assert len(rows(kit)) == 4
    write(tmp_path, "3.csv", *week(3, units=-1))
    [held] = receive(kit, charter, ME).quarantined
    settle(kit, held.id, ME, "release", "It is a return.")
    assert newest(kit).rows == 6
    with pytest.raises(Conflict, match="fed by a charter"):
        refer(kit, kit.call(ME), "sales", ["in/*"], tmp_path)
    assert fsck(kit) == []


def test_the_first_that_is_taken_over_can_be_one_that_was_held(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    write(tmp_path, "1.csv", *week(1, units=-1))
    refer(kit, kit.call(ME), "sales", ["in/*"], tmp_path)
    [held] = receive(kit, charter, ME).quarantined
    settle(kit, held.id, ME, "release", "It is a return.")
    assert (newest(kit).number, newest(kit).rows) == (2, 2)
    assert fsck(kit) == []


def test_files_added_by_hand_are_not_mixed_with_arrivals(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path, source="")
    write(tmp_path, "1.csv", *week(1))
    write(tmp_path, "2.csv", *week(2))
    refer(kit, kit.call(ME), "sales", ["in/1.csv"], tmp_path)
    with pytest.raises(Conflict, match="keepwell data add sales FILES"):
        receive(kit, charter, ME, ["in/2.csv"])
    assert (newest(kit).number, newest(kit).rows) == (1, 2)


def test_joined_tables_are_recorded_with_the_part(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "stands.csv").write_text("name,size\na,10\nb,20\n")
    charter = applied(kit, tmp_path, joins=[{"source": "stands.csv", "on": {"stand": "name"}}])
    write(tmp_path, "1.csv", *week(0))
    receive(kit, charter, ME)
    part = manifest_of(kit.blobs, newest(kit)).parts[0]
    assert [Path(file.uri).name for file in part.joined] == ["stands.csv"]
    assert [step.what for step in part.steps] == ["read", "join"]
    (tmp_path / "stands.csv").unlink()
    write(tmp_path, "2.csv", *week(1))
    with pytest.raises(NotFound, match=r"stands\.csv"):
        receive(kit, charter, ME)
    assert len(waiting(kit, charter)) == 1


def test_without_the_extra_nothing_is_held(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    charter = applied(kit, tmp_path)
    (tmp_path / "in/1.xlsx").write_bytes(b"x")
    with pytest.raises(NotInstalled, match="excel"):
        receive(kit, charter, ME)
    assert len(waiting(kit, charter)) == 1


def test_a_link_out_of_the_folder_is_refused(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    (tmp_path / "secret.csv").write_text("stand,week,units\ncanary,2026-01-05,1\n")
    (tmp_path / "in/1.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(InvalidInput, match="leads out of the folder"):
        receive(kit, charter, ME)
    assert kinds(kit) == []


def test_named_files_and_files_that_vanish(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path, source="")
    assert waiting(kit, charter) == []
    write(tmp_path, "1.csv", *week(0))
    write(tmp_path, "2.csv", *week(1))
    write(tmp_path, "3.csv", *week(2))
    assert len(receive(kit, charter, ME, files=["in/1.csv", tmp_path / "in/1.csv"]).accepted) == 1
    files = waiting(kit, replace(charter, charter=applied(kit, tmp_path).charter))
    (tmp_path / "in/2.csv").unlink()
    got = receive(kit, charter, ME, files=files)
    assert [Path(a.uri).name for a in got.accepted] == ["3.csv"]
    assert "2.csv can no longer be read" in got.skipped[0]
    with pytest.raises(NotFound):
        receive(kit, charter, ME, files=["in/none.csv"])


def test_hours_grouped_to_days_come_as_days(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path, group=True, where="units >= 0")
    write(tmp_path, "1.csv", *week(0), *week(0, units=7, temp=1.5), *week(0, units=-1))
    receive(kit, charter, ME)
    assert rows(kit) == [("a", START, 12, 1.0), ("b", START, 12, 1.0)]
    steps = {step.what: step for step in manifest_of(kit.blobs, newest(kit)).parts[0].steps}
    assert (steps["where"].touched, steps["group"].rows_out) == (2, 2)


_FILE = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(-1, 4)), min_size=1, max_size=4)


@given(st.lists(_FILE, min_size=1, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_at_once_or_one_by_one_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, int, int]]], releases: list[bool]
) -> None:
    """Files in any grouping give the same rows and held files; what is released counts by when it came."""
    outcomes = []
    for one_by_one in (True, False):
        folder = tmp_path_factory.mktemp("receive")
        clock = SimulatedClock(datetime(2026, 1, 5, tzinfo=UTC))
        kit = open_house(read_settings(str(folder / "home"), {}), clock=clock, ids=SeededIds(clock, 1))
        charter = applied(kit, folder, contract={"columns": {"units": {"min": 0}}})
        held: list[Arrival] = []
        for number, file in enumerate(files):
            write(folder, f"{number}.csv", *((s, START + timedelta(weeks=w), u, 0.5) for s, w, u in file))
            if one_by_one:
                held += receive(kit, charter, ME).quarantined
        held += receive(kit, charter, ME).quarantined
        for arrival, release in zip(held, releases, strict=False):
            settle(kit, arrival.id, ME, "release" if release else "reject", "as drawn")
        with kit.read() as tx:
            last = datasets.latest(tx, "sales")
            arrived = [(a.seq, a.state, a.failed) for a in datasets.arrivals(tx, "sales")]
        outcomes.append(
            (rows(kit) if last else None, arrived, last.digest if last else None, last.superseded if last else 0)
        )
        assert fsck(kit) == []
    assert outcomes[0] == outcomes[1]


def test_processes_at_once_receive_the_same_files_once(kit: Kit, tmp_path: Path) -> None:
    applied(kit, tmp_path)
    for number in range(6):
        write(tmp_path, f"{number}.csv", *week(number))
    command = [sys.executable, "-m", "keepwell", "data", "receive", "stands", "--home", str(kit.home)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 3, said
    assert kinds(kit).count("dataset.version_added") == 1
    assert kinds(kit).count("dataset.arrival_accepted") == 6
    assert fsck(kit) == []


def test_the_bikes_year(kit: Kit, shared_bikes: pl.DataFrame, tmp_path: Path) -> None:
    """Half a year of history and 12 real weeks, one of them in degrees: it alone is held."""
    text = (ROOT / "examples/bikes/charter.yaml").read_text()
    (tmp_path / "arrivals").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("contract.yaml", "data/calendar.csv"):
        (tmp_path / name).write_bytes((ROOT / "examples/bikes" / name).read_bytes())
    with kit.write() as tx:
        charter = apply_charter(tx, kit.call(ME), text, str(tmp_path))
    shared_bikes.filter(pl.col("dteday") < date(2011, 7, 1)).write_csv(tmp_path / "arrivals/000.csv")
    assert len(receive(kit, charter, ME).accepted) == 1
    for number in range(12):
        first = date(2011, 7, 1) + timedelta(weeks=number)
        one = shared_bikes.filter(pl.col("dteday").is_between(first, first + timedelta(6)))
        if number == 8:
            one = one.with_columns(pl.col("temp") * 41)
        one.write_csv(tmp_path / f"arrivals/{number + 1:03}.csv")
        got = receive(kit, charter, ME)
        assert (len(got.accepted), len(got.quarantined)) == ((0, 1) if number == 8 else (1, 0)), got
    with kit.read() as tx:
        last = datasets.latest(tx, "bike-hours")
        assert last is not None
        frame = datasets.load(kit.blobs, tx, last.id)
    assert (last.number, last.superseded) == (12, 0)
    assert frame.columns[:3] == ["hour", "date", "rides"]
    assert frame["part"].unique().sort().to_list() == ["evening", "midday", "morning", "night"]


@pytest.fixture(scope="session")
def shared_bikes() -> pl.DataFrame:
    path = ROOT / "../shared/data/bike_sharing/hour.parquet"
    if not path.is_file():
        pytest.skip(f"the real bike data is not at {path}")
    return pl.read_parquet(path).drop("instant", "holiday", "weekday", "workingday")


def test_a_column_that_was_always_missing_can_become_numbers(kit: Kit, tmp_path: Path) -> None:
    charter = applied(kit, tmp_path)
    for number, temp in enumerate((None, None, 0.5, 7)):
        write(tmp_path, f"{number}.csv", *week(number, temp=temp))  # type: ignore[arg-type]
        assert len(receive(kit, charter, ME).accepted) == 1
    assert newest(kit).schema["temp"] == "number"
    assert [row[3] for row in rows(kit)][:4] == [None, None, 0.5, 7.0]
