"""A finding: what is wrong in a text that a person wrote, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from keepwell.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        line: line of the file, from 1; None when the text as a whole is meant.
        clause: the place in the charter, such as `data.time` or `gates[1]`.
        wrong: a sentence that says what is wrong.
        right: a sentence that says what would be right.
        severity: an `error` stops; a `warning` may be meant.
    """

    line: int | None
    clause: str
    wrong: str
    right: str
    severity: Literal["error", "warning"] = "error"

    def show(self, name: str) -> str:
        """Return `name:line: clause: what is wrong. What would be right.`, on one line."""
        place = name if self.line is None else f"{name}:{self.line}"
        level = "" if self.severity == "error" else "warning: "
        clause = f"{self.clause}: " if self.clause else ""
        return f"{place}: {level}{clause}{self.wrong} {self.right}"


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that stop."""
    return [f for f in findings if f.severity == "error"]


def refuse(findings: Sequence[Finding], name: str) -> InvalidInput:
    """Return the error that says the first of some findings, and how many more there are."""
    stopping = errors(findings)
    first = stopping[0]
    clause = f"{first.clause}: " if first.clause else ""
    more = f" ({len(stopping) - 1} more: run `keepwell charter check`.)" if len(stopping) > 1 else ""
    where = name if first.line is None else f"{name}:{first.line}"
    return InvalidInput(f"{clause}{first.wrong} {first.right}{more}", where=where)


def nearest(word: str, known: Iterable[str], everything: str = "Known are") -> str:
    """Return `Did you mean ...?`, or the list of what is known when nothing is near."""
    names = list(known)
    folded = {n.casefold(): n for n in names}
    close = difflib.get_close_matches(word[:200].casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {folded[close[0]]!r}?"
    return f"{everything} {listed(names)}."


def listed(names: Iterable[str]) -> str:
    """Return names as a person lists them: `a, b and c`."""
    all_names = list(names)
    if len(all_names) < 2:
        return "".join(all_names)
    return f"{', '.join(all_names[:-1])} and {all_names[-1]}"


def shown(value: object) -> str:
    """Return a value as it can be shown in one line: quoted, printable, not long."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
