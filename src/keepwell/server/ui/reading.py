"""Whole fleets as rows, read once per state of the ledger: filtering and paging ask the database nothing again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keepwell.db import Database, Transaction
from keepwell.governance.charters import AppliedCharter
from keepwell.ledger import service as ledger
from keepwell.models import service as models
from keepwell.monitoring import overview
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Incident
from keepwell.monitoring.overview import Pooled
from keepwell.server.ui import tiles, views_fleet
from keepwell.server.ui.views_fleet import Row

WEIGHED = 200
"""So many newest versions tell the weights of the ensemble."""
CELLS = 120_000
"""So many windows of segments are pooled into the trend: of a larger fleet fewer weeks are shown."""
KEPT = 8
"""So many fleets stay read."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet as its page needs it.

    Attributes:
        applied: its charter.
        rows: one a segment.
        weeks: the leading metric of the whole fleet by window, oldest first.
        metric: the leading metric.
        since: start of the oldest window that errors are pooled over; None without any.
        until: end of the newest.
        incidents: open ones of the fleet.
        weights: mean weight of each candidate in newest versions.
        groups: where the rows are on the map.
    """

    applied: AppliedCharter
    rows: Sequence[Row]
    weeks: Sequence[Pooled]
    metric: str
    since: datetime | None
    until: datetime | None
    incidents: Sequence[Incident]
    weights: Sequence[tuple[str, float]]
    groups: Sequence[tiles.Group]

    @property
    def limit(self) -> float | None:
        """The worst value of the leading metric that the charter allows."""
        return self.applied.charter.monitor.performance.get(self.metric)


class _Kept:
    """The fleets that were read last, each under the house and the ledger's size it was read at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[Database, str], tuple[int, Fleet]] = OrderedDict()

    def get(self, key: tuple[Database, str], size: int) -> Fleet | None:
        """Return a fleet when nothing was recorded since."""
        with self._lock:
            found = self._found.get(key)
            return found[1] if found is not None and found[0] == size else None

    def put(self, key: tuple[Database, str], size: int, fleet: Fleet) -> None:
        """Keep a fleet, and let the oldest go."""
        with self._lock:
            self._found[key] = (size, fleet)
            self._found.move_to_end(key)
            while len(self._found) > KEPT:
                self._found.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._found.clear()


_KEPT = _Kept()


def forget() -> None:
    """Read every fleet anew; for who measures how long that takes."""
    _KEPT.clear()


def read_fleet(database: Database, tx: Transaction, applied: AppliedCharter) -> Fleet:
    """Return a fleet's rows. Every change of governed state grows the ledger: its size tells whether they are old."""
    size = ledger.size(tx)
    key = (database, applied.charter.model)
    found = _KEPT.get(key, size)
    if found is None:
        found = _read(tx, applied)
        _KEPT.put(key, size, found)
    return found


def _read(tx: Transaction, applied: AppliedCharter) -> Fleet:
    charter = applied.charter
    name, metric = charter.model, charter.evaluate.metrics[0]
    members = models.fleet_standing(tx, name, charter.release.environments[-1])
    starts = overview.last_starts(tx, name, charter.monitor.windows)
    errors = overview.by_segment(tx, name, metric, starts[-1]) if starts else []
    incidents = monitoring.incidents(tx, state="open", model=name, limit=1_000)
    rows = views_fleet.rows_of(
        members, errors, overview.signal_states(tx, name, but="ok"), incidents, _judged(tx, name, len(members))
    )
    return Fleet(
        applied=applied,
        rows=rows,
        weeks=[week for week in overview.by_window(tx, name, metric, newest=_weeks(len(members))) if week.complete],
        metric=metric,
        since=starts[-1] if starts else None,
        until=overview.end_of(tx, name, starts[0]) if starts else None,
        incidents=incidents,
        weights=views_fleet.weights_of(v.facts for v in models.versions(tx, name, limit=WEIGHED).versions),
        groups=tiles.layout(rows, tiles.grouping(len(charter.segments), [row.key for row in rows])),
    )


def _weeks(members: int) -> int:
    return min(104, max(8, CELLS // max(1, members)))


def _judged(tx: Transaction, name: str, members: int) -> frozenset[str] | None:
    counts = monitoring.signal_counts(tx, name).get("performance")
    if counts is not None and sum(counts.values()) >= members:
        return None
    return frozenset(one.segment for one in monitoring.signals(tx, name, kind="performance"))
