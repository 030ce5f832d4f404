"""The kill loop of `keepwell.testing.killing` over the walks of datasets; run as a script by `test_killing.py`."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from keepwell.datasets import service as datasets
from keepwell.datasets.model import Form
from keepwell.flows.kit import Kit
from keepwell.flows.publish import publish, refer
from keepwell.flows.receive import receive, settle
from keepwell.governance.charters import apply_charter
from keepwell.testing import killing
from keepwell.testing.walks import ACTOR, CHARTER, WALKS, Walk

DAY = date(2026, 1, 5)


def _prepare_refer(kit: Kit, inputs: Path) -> None:
    for number in range(3):
        (inputs / f"{number}.csv").write_text(f"shop,units\na,{number}\n")
    refer(kit, kit.call(ACTOR), "shops", ["0.csv"], inputs)


def _refer(kit: Kit, inputs: Path, key: str) -> object:
    made = refer(kit, kit.call(ACTOR), "shops", ["*.csv"], inputs)
    with kit.read() as tx:
        return [made.number, made.digest, [one.number for one in datasets.versions(tx, "shops")]]


def _scores(number: int) -> pl.DataFrame:
    return pl.DataFrame({"k": ["a", "b"], "t": [number, 1], "v": [0.5, 0.5 * number]})


def _prepare_publish(kit: Kit, inputs: Path) -> None:
    publish(kit, kit.call(ACTOR), "scores", _scores(1), Form(time="t", keys=("k",)), "scoring:1")


def _publish(kit: Kit, inputs: Path, key: str) -> object:
    made = publish(kit, kit.call(ACTOR), "scores", _scores(2), Form(time="t", keys=("k",)), "scoring:2")
    return [made.number, made.digest, made.superseded]


def _prepare_settle(kit: Kit, inputs: Path) -> None:
    (inputs / "arriving").mkdir()
    for number, units in enumerate((1, -1, 2)):
        row = f"{DAY + timedelta(weeks=number)},A,{units}"
        (inputs / f"arriving/{number}.csv").write_text(f"week,stand,units\n{row}\n")
    with kit.write() as tx:
        applied = apply_charter(tx, kit.call(ACTOR), CHARTER, str(inputs))
    receive(kit, applied, ACTOR)


def _settle(kit: Kit, inputs: Path, key: str) -> object:
    """Settling takes no key: an arrival that is settled stays so, and a second time is refused."""
    with kit.read() as tx:
        held = datasets.arrivals(tx, "sales", "quarantined")
    for arrival in held:
        settle(kit, arrival.id, ACTOR, "release", "returns are real")
    with kit.read() as tx:
        return [
            [(a.seq, a.state, a.version) for a in datasets.arrivals(tx, "sales")],
            len(datasets.versions(tx, "sales")),
        ]


WALKS |= {
    "refer": Walk(_prepare_refer, _refer),
    "publish": Walk(_prepare_publish, _publish),
    "settle": Walk(_prepare_settle, _settle),
}

_every = killing.reached


def _but_uploads(log: str) -> list[tuple[str, int]]:
    """The points inside of one upload are the walk `upload`'s; here they would be most of the minute."""
    return [(name, count) for name, count in _every(log) if not name.startswith("upload.")]


if __name__ == "__main__":
    killing.reached = _but_uploads
    sys.exit(killing.main(sys.argv[1:]))
