from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.events import Event
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger import append
from keepwell.ledger.checkpoints import checkpoint, held
from keepwell.ledger.export import export
from keepwell.ledger.keys import load_or_make_key

ACTOR = "person:ann"


def fill(kit: Kit, count: int, *, noted: bool = True) -> None:
    """Append `count` events, every fifth with a note, a second apart."""
    for number in range(count):
        assert isinstance(kit.clock, SimulatedClock)
        kit.clock.advance(timedelta(seconds=1))
        note = f"because of {number} \u00fc\u2028" if noted and number % 5 == 0 else None
        body = {
            "number": number,
            "share": number / 7,
            "name": f"n\u00e4me {number}",
            "deep": {"b": [1, None, True], "a": ""},
        }
        with write(kit.db) as tx:
            append(tx, kit.call(ACTOR), Event("thing.made", f"thing:{number}", body, note=note))


@dataclass(frozen=True)
class Exported:
    """An export of 60 entries (a checkpoint over 21, 42 and 60) and a held checkpoint over the first 42."""

    folder: Path
    held: Path

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / "entries.jsonl").read_bytes().split(b"\n") if line]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    from datetime import UTC, datetime

    from keepwell.bootstrap import open_house
    from keepwell.core.ids import SeededIds
    from keepwell.settings import read_settings

    base = tmp_path_factory.mktemp("ledger")
    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    kit = open_house(read_settings(str(base / "home"), {}), clock=clock, ids=SeededIds(clock, 1))
    fill(kit, 20)
    checkpoint(kit.db, kit.home, kit.call(ACTOR))
    fill(kit, 21)
    kept = checkpoint(kit.db, kit.home, kit.call(ACTOR))
    with read(kit.db) as tx:
        (base / "held.json").write_text(json.dumps(held(tx, kept)))
    fill(kit, 18)
    export(kit.db, base / "export", load_or_make_key(kit.home), kit.call(ACTOR))
    return Exported(base / "export", base / "held.json")


@pytest.fixture
def exported(template: Exported, tmp_path: Path) -> Exported:
    shutil.copytree(template.folder, tmp_path / "export")
    shutil.copy(template.held, tmp_path / "held.json")
    return Exported(tmp_path / "export", tmp_path / "held.json")


@pytest.fixture
def filled(kit: Kit) -> Callable[..., None]:
    return lambda count, **options: fill(kit, count, **options)
