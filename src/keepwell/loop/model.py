"""What the loop knows when it decides: one snapshot, as columns over the segments of a fleet.

What is not known says so: every enumeration has `UNKNOWN` as 0, text that is not known is None, a moment that is not
known is NaT, a count that is not known is -1. `unknown_state` is the snapshot of which nothing is known; an observer
fills in what it can read, and leaves the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from keepwell.core.clock import as_utc
from keepwell.core.errors import InvalidInput
from keepwell.monitoring.model import Incident

Codes: TypeAlias = npt.NDArray[np.uint8]
"""One member of an enumeration a segment."""
Texts: TypeAlias = npt.NDArray[np.object_]
"""One text or None a segment."""
Moments: TypeAlias = npt.NDArray[np.datetime64]
"""One moment a segment, in UTC, microseconds; NaT is not known or never."""
Counts: TypeAlias = npt.NDArray[np.int64]
"""One count a segment; -1 is not known."""


class Known(IntEnum):
    """Whether something is so."""

    UNKNOWN = 0
    NO = 1
    YES = 2


class Health(IntEnum):
    """What a signal says."""

    UNKNOWN = 0
    OK = 1
    BAD = 2


class Gates(IntEnum):
    """What a version's gates say; undecided is judged, but without the data to tell."""

    UNKNOWN = 0
    PASSED = 1
    FAILED = 2
    UNDECIDED = 3


class Compared(IntEnum):
    """A challenger beside the champion, on the same weeks; `SAME` cannot be told apart."""

    UNKNOWN = 0
    BETTER = 1
    WORSE = 2
    SAME = 3


class Approval(IntEnum):
    """Where the approval of a person stands."""

    UNKNOWN = 0
    NOT_ASKED = 1
    ASKED = 2
    GIVEN = 3
    REFUSED = 4
    EXPIRED = 5


class Training(IntEnum):
    """Where the last training of a segment stands."""

    UNKNOWN = 0
    NEVER = 1
    RUNNING = 2
    FINISHED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Arriving:
    """A file that arrived and is not settled.

    Attributes:
        id: its id or name.
        contract: `FAILED` when it was judged and breaches its contract; `UNKNOWN` when it waits to be conditioned.
        reason: what it breaches.
    """

    id: str
    contract: Gates = Gates.UNKNOWN
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Evidence that an open incident is over.

    Attributes:
        incident: its id.
        reason: what shows it, in words.
        facts: the ids that show it; never empty.
    """

    incident: str
    reason: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A snapshot of one fleet. Arrays have one place a segment, in the order of `segments`.

    Attributes:
        model: the fleet's name.
        charter: digest of the charter that is applied.
        segments: the fleet's members, each once.
        champion: whether a version answers in production, and which: `champion_id`.
        champion_since: when it was promoted, or rolled back to.
        can_answer: whether that version's bytes load and answer; `failed_over`: whether a fallback answers for it.
        guard: harm done by the champion since it was promoted.
        previous_id: what answered before the champion; `previous`: whether there was one.
        challenger: whether a newer version wants to answer, and which: `challenger_id`.
        gates: the challenger's verdict, with `gates_reason` in words when it failed or is undecided.
        compared: the challenger beside the champion.
        held_windows: windows for which the challenger has been held.
        reached: index of the last environment in which the challenger answers; -1 none, -2 not known.
        approval: of the challenger for the environments that want one; `approval_id` is the asked one.
        training: where the segment's last training stands; `trained_at` when it started; `trained_data` and
            `trained_code` what it learned from and with; `training_id` its run.
        train_approval: of a training, where the charter wants a person for it.
        wanted: a person asked for a training.
        performance, staleness, drift: the newest signals.
        signals_id: the recording of signals that they are from.
        data_latest: the dataset's newest version; `code_latest` the digest of the code that would train.
        freshness, quality: of the dataset.
        incidents: open ones that are the fleet's or touch its data; None is not known.
        recoveries: evidence that some of them are over.
        arrivals: files that are not settled; None is not known.
        conditioning: whether arrivals are being conditioned right now; `scoring` whether the fleet is being scored.
        scored_slot: the newest moment of the schedule that the fleet was scored for; None is never or not known,
            which `scored` tells apart.
        alerted: causes that someone was told of in the tick before and that stood then.
    """

    model: str
    charter: str
    segments: tuple[str, ...]

    champion: Codes
    champion_id: Texts
    champion_since: Moments
    can_answer: Codes
    failed_over: Codes
    guard: Codes
    previous: Codes
    previous_id: Texts

    challenger: Codes
    challenger_id: Texts
    gates: Codes
    gates_reason: Texts
    compared: Codes
    held_windows: Counts
    reached: Counts
    approval: Codes
    approval_id: Texts

    training: Codes
    training_id: Texts
    trained_at: Moments
    trained_data: Texts
    trained_code: Texts
    train_approval: Codes
    wanted: Codes

    performance: Codes
    staleness: Codes
    drift: Codes
    signals_id: str | None

    data_latest: str | None
    code_latest: str | None
    freshness: Health
    quality: Health
    incidents: tuple[Incident, ...] | None
    recoveries: tuple[Recovery, ...]
    arrivals: tuple[Arriving, ...] | None
    conditioning: Known
    scoring: Known
    scored: Known
    scored_slot: datetime | None
    alerted: frozenset[str]


CODES: dict[str, type[IntEnum]] = {
    "champion": Known,
    "can_answer": Known,
    "failed_over": Known,
    "guard": Health,
    "previous": Known,
    "challenger": Known,
    "gates": Gates,
    "compared": Compared,
    "approval": Approval,
    "training": Training,
    "train_approval": Approval,
    "wanted": Known,
    "performance": Health,
    "staleness": Health,
    "drift": Health,
}
TEXTS = (
    "champion_id",
    "previous_id",
    "challenger_id",
    "gates_reason",
    "approval_id",
    "training_id",
    "trained_data",
    "trained_code",
)
COUNTS = {"held_windows": -1, "reached": -2}
MOMENTS = ("champion_since", "trained_at")
COLUMNS = (*CODES, *TEXTS, *COUNTS, *MOMENTS)
"""The fields of a state that have one place a segment."""


def unknown_state(model: str, charter: str, segments: Sequence[str]) -> State:
    """Return the state of which nothing is known but who is in the fleet.

    Args:
        model: the fleet's name.
        charter: digest of the applied charter.
        segments: its members.

    Raises:
        InvalidInput: a segment is named twice.
    """
    if len(set(segments)) != len(segments):
        raise InvalidInput("A segment is named twice in the fleet.", where="segments")
    n = len(segments)
    columns: dict[str, Any] = {name: np.zeros(n, np.uint8) for name in CODES}
    columns |= {name: np.full(n, None, np.object_) for name in TEXTS}
    columns |= {name: np.full(n, value, np.int64) for name, value in COUNTS.items()}
    columns |= {name: np.full(n, np.datetime64("NaT"), "datetime64[us]") for name in MOMENTS}
    return State(
        model=model,
        charter=charter,
        segments=tuple(segments),
        **columns,
        signals_id=None,
        data_latest=None,
        code_latest=None,
        freshness=Health.UNKNOWN,
        quality=Health.UNKNOWN,
        incidents=None,
        recoveries=(),
        arrivals=None,
        conditioning=Known.UNKNOWN,
        scoring=Known.UNKNOWN,
        scored=Known.UNKNOWN,
        scored_slot=None,
        alerted=frozenset(),
    )


def with_columns(state: State, **columns: object) -> State:
    """Return the state with some of its fields replaced; columns are made arrays of the right type.

    Raises:
        InvalidInput: a column does not have one place a segment, or holds a code that its enumeration does not have.
    """
    fixed = {name: _column(name, value, len(state.segments)) if name in COLUMNS else value
             for name, value in columns.items()}  # fmt: skip
    return replace(state, **fixed)  # type: ignore[arg-type]


def take(state: State, rows: npt.NDArray[np.intp]) -> State:
    """Return the state of some of the segments, in the given order; what concerns the whole fleet stays."""
    columns: dict[str, Any] = {name: getattr(state, name)[rows] for name in COLUMNS}
    return replace(state, segments=tuple(state.segments[i] for i in rows.tolist()), **columns)


def ordered(state: State) -> State:
    """Return the state with its segments sorted: what is decided does not hang on their order."""
    names = state.segments
    if all(a < b for a, b in itertools.pairwise(names)):
        return state
    return take(state, np.asarray(sorted(range(len(names)), key=names.__getitem__), np.intp))


def moments(values: Iterable[datetime | None]) -> Moments:
    """Return moments as an array in UTC, None as NaT."""
    return np.asarray(
        [np.datetime64("NaT") if v is None else as_utc(v).replace(tzinfo=None) for v in values], "datetime64[us]"
    )


def moment(value: np.datetime64) -> datetime | None:
    """Return one moment of such an array."""
    found = value.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) else None


def state_digest(state: State) -> str:
    """Return the digest of a state, the same for every order of its segments."""
    total = sha256()
    for field in fields(state):
        total.update(field.name.encode() + b"\0")
        value = getattr(ordered(state), field.name)
        if field.name in TEXTS:
            total.update("\x1f".join("\x1e" if v is None else str(v) for v in value.tolist()).encode())
        elif isinstance(value, np.ndarray):
            total.update(value.tobytes())
        elif isinstance(value, frozenset):
            total.update(repr(sorted(value)).encode())
        elif isinstance(value, tuple):
            total.update(repr(sorted(map(repr, value))).encode())
        else:
            total.update(repr(value).encode())
    return "sha256:" + total.hexdigest()


def _column(name: str, value: object, n: int) -> npt.NDArray[Any]:
    array: npt.NDArray[Any]
    if name in CODES:
        array = np.asarray(value, np.uint8)
        if array.size and int(array.max()) > max(CODES[name]):
            raise InvalidInput(f"The column {name} holds a code that {CODES[name].__name__} does not have.", where=name)
    elif name in TEXTS:
        array = np.asarray(value, np.object_)
    elif name in MOMENTS:
        array = value if isinstance(value, np.ndarray) else moments(value)  # type: ignore[arg-type]
    else:
        array = np.asarray(value, np.int64)
    if array.shape == ():
        array = np.full(n, array[()], array.dtype)
    if array.shape != (n,):
        raise InvalidInput(f"The column {name} must have one place for each of the {n} segments.", where=name)
    return array
