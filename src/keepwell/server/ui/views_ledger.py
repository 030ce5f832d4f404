"""What the pages of the ledger show: how far it is signed, and an entry's body as lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keepwell.ledger.model import Checkpoint
from keepwell.server.ui import links
from keepwell.server.ui.words import plural

KINDS = (
    "charter.", "dataset.", "run.", "pipeline.", "models.", "evidence.", "verdicts.", "approval.", "champion.",
    "signals.", "performance.", "incident.", "loop.", "scoring.", "person.", "token.", "session.", "ledger.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One value of an entry's body, under the path that leads to it; its page if it is an id that has one."""

    name: str
    text: str
    href: str | None


MOST = 200
"""So many values of a body are shown; the JSON has all."""


def lines_of(body: Mapping[str, object]) -> list[Line]:
    """Return a body flattened: one line a value."""
    found: list[Line] = []
    _flatten("", body, found)
    return found


def signed_words(size: int, last: Checkpoint | None) -> str:
    """Return how far the ledger is signed."""
    if last is None:
        return "not signed by any checkpoint yet"
    behind = size - last.size
    if behind <= 0:
        return "every one signed by the newest checkpoint"
    return f"the first {last.size:,} signed, {plural(behind, 'entry', 'entries')} since"


def kinds_of(known: Sequence[str]) -> list[str]:
    """Return the families of some kinds, such as `dataset.`, sorted."""
    return sorted({f"{kind.partition('.')[0]}." for kind in known})


def _flatten(name: str, value: object, found: list[Line]) -> None:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten(f"{name}.{key}" if name else str(key), inner, found)
    elif isinstance(value, list | tuple) and value:
        for place, inner in enumerate(value):
            _flatten(f"{name}[{place}]", inner, found)
    else:
        text = "none" if value is None or value in ([], {}) else str(value)
        found.append(Line(name, text, links.of_id(text) if isinstance(value, str) else None))
