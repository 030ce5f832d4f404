"""What the page of a fleet shows: one row a segment, counted, filtered, sorted, in pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from keepwell.core.clock import from_iso
from keepwell.models.model import MemberStanding
from keepwell.monitoring.model import Incident
from keepwell.monitoring.overview import Pooled
from keepwell.server.ui.charts import Mark
from keepwell.server.ui.words import SIGNS, Tone, metric, metric_name, plural, segment_words

RANK: dict[str, int] = {"bad": 0, "watch": 1, "unknown": 2, "ok": 3, "none": 4}
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
        words: (tone, word) of what it is in, worst first; `none` is no ill.
        error: the leading metric over the newest windows; `baseline` the baseline's.
        volume: sum of |actual| over those windows; 1 without any.
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
    words: tuple[tuple[Tone, str], ...]
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
    members: Sequence[MemberStanding],
    errors: Iterable[Pooled],
    signals: Iterable[tuple[str, str, str, float | None]],
    incidents: Iterable[Incident],
    judged: frozenset[str] | None,
) -> list[Row]:
    """Return one row a segment, by segment.

    Args:
        members: the registry's.
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
    return [_row(member, found, pooled, judged) for member in members]


def counts_of(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many rows have each colour, worst first."""
    counted = Counter(row.tone for row in rows)
    return {tone: counted.get(tone, 0) for tone in ("bad", "watch", "unknown", "ok")}


def words_of(rows: Iterable[Row]) -> list[tuple[str, str, int]]:
    """Return (tone, word, count) of what segments are in, worst and most first; one segment may be in several."""
    counted = Counter(said for row in rows for said in row.words)
    found = [(tone, word, count) for (tone, word), count in counted.items()]
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
        and (not word or any(said == word for _, said in row.words))
        and all(part in row.key.casefold() for part in parts)
    ]
    chosen.sort(key=_KEYS.get(sort, _worst))
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(max(1, page), pages)
    return Listed(chosen[(page - 1) * PAGE : page * PAGE], len(chosen), page, pages)


def said_of(row: Row, name: str) -> str:
    """Return what a tile says on hover: the segment, its state in words, its error."""
    words = ", ".join(word for tone, word in row.words if tone != "none") or "well"
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


def marks_of(told: Iterable[tuple[datetime, str, str, int]], start: datetime) -> list[Mark]:
    """Return marks on the time axis, oldest first: what happened in one week of one kind is one.

    Args:
        told: (moment, kind, text, count).
        start: weeks are counted from here.
    """
    weeks: dict[tuple[int, str], list[tuple[datetime, str, int]]] = {}
    for at, kind, text, count in told:
        weeks.setdefault(((at - start).days // 7, kind), []).append((at, text, count))
    found = []
    for (_, kind), ones in sorted(weeks.items()):
        counted = f"{kind} {plural(sum(count for *_, count in ones), 'version')}"
        said = "; ".join(text for _, text, _ in ones if text) or counted
        found.append(Mark(min(at for at, *_ in ones).timestamp(), kind, said))
    return found


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
    ("watch", "without champion"),
    ("none", "with a held challenger"),
    ("bad", "incident"),
    ("unknown", "not judged yet"),
)


def _row(
    member: MemberStanding,
    signals: Mapping[str, list[tuple[Tone, str]]],
    pooled: Mapping[str, Pooled],
    judged: frozenset[str] | None,
) -> Row:
    key = member.segment
    said = list(signals.get(key, ()))
    if member.champion_id is None:
        said.append(_OWN[0])
    elif member.version_id != member.champion_id and member.state == "held":
        said.append(_OWN[1])
    if judged is not None and key not in judged:
        said.append(_OWN[3])
    if len(said) > 1:
        said.sort(key=lambda one: RANK[one[0]])
    error = pooled.get(key)
    return Row(
        key,
        said[0][0] if said and said[0][0] != "none" else "ok",
        tuple(dict.fromkeys(said)),
        error.value if error is not None else None,
        error.baseline if error is not None else None,
        error.volume if error is not None else 1.0,
        error.n if error is not None else 0,
        member.champion_id,
        member.champion_number,
        member.trained_at,
        member.champion_since,
        member.version_id,
        member.number,
        member.state,
        member.reason,
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
