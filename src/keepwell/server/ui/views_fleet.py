"""What the page of a fleet shows: one row a segment, counted, filtered, sorted, in pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from keepwell.core.clock import from_iso
from keepwell.models.model import FleetColumns
from keepwell.monitoring.model import Incident
from keepwell.monitoring.overview import Pooled
from keepwell.server.ui.words import SIGNS, Tone, metric, metric_name, plural, segment_words

RANK: dict[str, int] = {"bad": 0, "watch": 1, "unknown": 2, "ok": 3}
WORDS: dict[tuple[str, str], tuple[Tone, str]] = {
    ("guard", "bad"): ("bad", "doing harm"),
    ("performance", "bad"): ("bad", "decaying"),
    ("staleness", "bad"): ("watch", "stale"),
    ("drift", "bad"): ("watch", "drifting"),
    ("performance", "unknown"): ("unknown", "too few outcomes"),
}
"""Kind and state of a signal to its colour and word on the map and in the table."""
SORTS = ("worst", "error", "age", "volume", "segment", "version")
PAGE = 50


class Row(NamedTuple):
    """One segment of a fleet.

    Attributes:
        key: of the segment.
        tone: its worst state.
        words: what it is in, worst first.
        error: the leading metric over the newest windows; `baseline` the baseline's.
        volume: sum of |actual| over those windows, or what the training knows of its size.
        n: rows with an outcome.
        champion_id: what answers, or None: the fallback does.
        champion_number: its number.
        trained_at: when what answers (or the newest version) was trained, as text.
        since: from when the champion answers, as text.
        latest_id: the newest version.
        number: its number.
        state: its state.
        reason: why.
    """

    key: str
    tone: Tone
    words: tuple[str, ...]
    error: float | None
    baseline: float | None
    volume: float
    n: int
    champion_id: str | None
    champion_number: int | None
    trained_at: str
    since: str | None
    latest_id: str
    number: int
    state: str
    reason: str | None

    @property
    def challenged(self) -> bool:
        """Whether a newer version wants to answer."""
        return self.champion_id != self.latest_id and self.state in ("registered", "held")

    @property
    def trained(self) -> datetime:
        """When what answers was trained."""
        return from_iso(self.trained_at)

    @property
    def answers_since(self) -> datetime | None:
        """From when the champion answers."""
        return from_iso(self.since) if self.since else None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of rows.

    Attributes:
        rows: of this page.
        total: how many match.
        page: its number, from 1.
        pages: how many pages there are.
    """

    rows: Sequence[Row]
    total: int
    page: int
    pages: int


def rows_of(
    columns: FleetColumns,
    errors: Iterable[Pooled],
    signals: Iterable[tuple[str, str, str, float | None]],
    incidents: Iterable[Incident],
    judged: frozenset[str] | None,
) -> list[Row]:
    """Return one row a segment, by segment.

    Args:
        columns: the registry's.
        errors: pooled by segment over the newest windows.
        signals: (kind, segment, state, value) of those that are not ok.
        incidents: open ones of the fleet.
        judged: segments whose performance was judged; None: all of them.
    """
    found: dict[str, list[tuple[Tone, str]]] = {}
    for kind, segment, state, _ in signals:
        said = WORDS.get((kind, state))
        if said is not None:
            found.setdefault(segment, []).append(said)
    for incident in incidents:
        for segment in incident.segments:
            found.setdefault(segment, []).append((incident.severity, "incident"))
    pooled = {one.key: one for one in errors}
    return [_row(columns, place, found, pooled, judged) for place in range(len(columns.segment))]


def counts_of(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many rows have each colour, worst first."""
    counted = Counter(row.tone for row in rows)
    return {tone: counted.get(tone, 0) for tone in ("bad", "watch", "unknown", "ok")}


def words_of(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    """Return (tone, word, count) of what segments are in, worst and most first; one segment may be in several."""
    tones = {word: tone for tone, word in (*WORDS.values(), *_OWN)}
    counted = Counter(word for row in rows for word in row.words)
    found = [(tones.get(word, "watch"), word, count) for word, count in counted.items()]
    return sorted(found, key=lambda one: (RANK[one[0]], -one[2], one[1]))


def listed(
    rows: Sequence[Row], *, q: str = "", state: str = "", word: str = "", sort: str = "worst", page: int = 1
) -> Listed:
    """Return one page of the rows that match, sorted.

    Args:
        rows: all of them.
        q: parts that the key must hold, apart by spaces, in either case.
        state: a colour.
        word: a word of state, such as `stale`.
        sort: one of `SORTS`; the largest, oldest and worst first.
        page: from 1; the last one when there are fewer.
    """
    parts = q.casefold().split()
    chosen = [
        row
        for row in rows
        if (not state or row.tone == state)
        and (not word or word in row.words)
        and all(part in row.key.casefold() for part in parts)
    ]
    chosen.sort(key=_KEYS.get(sort, _worst))
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(max(1, page), pages)
    return Listed(chosen[(page - 1) * PAGE : page * PAGE], len(chosen), page, pages)


def said_of(row: Row, name: str) -> str:
    """Return what a tile says on hover: the segment, its state in words, its error."""
    words = ", ".join(row.words) or "well"
    error = f"{metric_name(name)} {metric(row.error, name)}" if row.error is not None else "no outcomes yet"
    answering = f"v{row.champion_number}" if row.champion_number is not None else "the fallback answers"
    return f"{segment_words(row.key)}: {SIGNS[row.tone]} {words}; {error}; {answering}"


def answer_of(rows: Sequence[Row], noun: str = "model") -> tuple[str, str]:
    """Return the number and the words of the page's first sentence."""
    counts = counts_of(rows)
    ill = counts["bad"] + counts["watch"]
    whole = plural(len(rows), noun)
    if ill:
        return f"{ill:,} of {whole}", "is not well" if ill == 1 else "are not well"
    if counts["unknown"]:
        return f"{counts['unknown']:,} of {whole}", "cannot be judged yet" if counts["ok"] else "not judged yet"
    return (f"All {whole}" if len(rows) > 1 else "The model"), ("are well" if len(rows) > 1 else "is well")


def weights_of(facts: Iterable[Mapping[str, object]]) -> list[tuple[str, float]]:
    """Return the mean weight of each candidate over members whose facts tell their weights, largest first."""
    total: dict[str, float] = {}
    count = 0
    for one in facts:
        weights = one.get("weights")
        if isinstance(weights, Mapping):
            count += 1
            for name, value in weights.items():
                if isinstance(value, int | float):
                    total[str(name)] = total.get(str(name), 0.0) + float(value)
    return sorted(((name, value / count) for name, value in total.items()), key=lambda one: -one[1]) if count else []


_OWN: tuple[tuple[Tone, str], ...] = (
    ("watch", "fallback answers"),
    ("watch", "challenger held"),
    ("bad", "incident"),
    ("unknown", "not judged yet"),
)


def _row(
    columns: FleetColumns,
    place: int,
    signals: Mapping[str, list[tuple[Tone, str]]],
    pooled: Mapping[str, Pooled],
    judged: frozenset[str] | None,
) -> Row:
    key = columns.segment[place]
    champion, latest, state = columns.champion_id[place], columns.version_id[place], columns.state[place]
    said = list(signals.get(key, ()))
    if champion is None:
        said.append(_OWN[0])
    elif latest != champion and state == "held":
        said.append(_OWN[1])
    if judged is not None and key not in judged:
        said.append(_OWN[3])
    if len(said) > 1:
        said.sort(key=lambda one: RANK[one[0]])
    error = pooled.get(key)
    facts = columns.facts[place]
    size = error.volume if error is not None else facts.get("volume") or facts.get("rows") or 1.0
    return Row(
        key,
        said[0][0] if said else "ok",
        tuple(dict.fromkeys(word for _, word in said)),
        error.value if error is not None else None,
        error.baseline if error is not None else None,
        float(size) if isinstance(size, int | float) else 1.0,
        error.n if error is not None else 0,
        champion,
        columns.champion_number[place],
        columns.champion_trained_at[place] or columns.trained_at[place],
        columns.champion_since[place],
        latest,
        columns.number[place],
        state,
        columns.reason[place],
    )


def _worst(row: Row) -> tuple[int, float, str]:
    return RANK[row.tone], -(row.error if row.error is not None else -1.0), row.key


_KEYS = {
    "worst": _worst,
    "error": lambda row: (-(row.error if row.error is not None else -1.0), row.key),
    "age": lambda row: (row.trained_at, row.key),
    "volume": lambda row: (-row.volume, row.key),
    "segment": lambda row: row.key,
    "version": lambda row: (-(row.champion_number or 0), row.key),
}
