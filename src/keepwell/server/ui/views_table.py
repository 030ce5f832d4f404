"""The table of runs as a page shows it: what it asks for, its lines, its groups, its links. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from keepwell.core.filters import LIST_OPS, NULL_OPS, NUMERIC_OPS, TEXT_OPS
from keepwell.server.ui import columns, links
from keepwell.server.ui.columns import Column
from keepwell.tracking.model import Columns, Run, View

NOTE = "mlflow.note.content"
"""The tag that holds what people wrote about a run or an experiment, as MLflow's clients call it."""
PARENT = "mlflow.parentRunId"

HINTS = {
    "=": "is", "!=": "is not", "<": "is less than", "<=": "at most", ">": "is more than", ">=": "at least",
    "LIKE": "matches, % is anything", "ILIKE": "matches in any case, % is anything", "IN": "is one of ('a', 'b')",
    "NOT IN": "is none of ('a', 'b')", "IS NULL": "is not set", "IS NOT NULL": "is set",
}  # fmt: skip
ENTITIES = (
    ("metrics", "a number: metrics.loss < 0.1"),
    ("params", "a text: params.optimizer = 'adam'"),
    ("tags", "a text: tags.team LIKE 'vis%'"),
    ("attributes", "status, run_name, start_time, ..."),
)


def completions(found: Columns) -> dict[str, Any]:
    """Return what the filter's completion knows: names in use, and the operators of the grammar."""
    return {
        "entities": ENTITIES,
        "names": {
            "metrics": found.metrics,
            "params": found.params,
            "tags": found.tags,
            "attributes": ["status", "run_name", "start_time", "end_time", "user_id", "run_id"],
        },
        "operators": {
            "metrics": NUMERIC_OPS,
            "params": TEXT_OPS + NULL_OPS,
            "tags": TEXT_OPS + NULL_OPS,
            "attributes": (*TEXT_OPS, *NUMERIC_OPS[2:], *LIST_OPS),
        },
        "hints": HINTS,
        "status": ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"],
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """What a table was asked for, as its address holds it.

    Attributes:
        path: the page: all runs, or one experiment.
        filter: in the grammar, or plain words for the name.
        sort: a column, `-` before it for downwards.
        columns: that were chosen; empty: the usual ones.
        group: a column whose values are the lines.
        view: `active`, `deleted` or `all`.
        page: from 1.
        limit: lines a page.
    """

    path: str
    filter: str = ""
    sort: str = ""
    columns: str = ""
    group: str = ""
    view: View = "active"
    page: int = 1
    limit: int = 50

    def fields(self) -> dict[str, object]:
        """Return what differs from the usual, for addresses and hidden fields."""
        usual = Asked(self.path)
        names = ("filter", "sort", "columns", "group", "view", "page", "limit")
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(usual, name)}

    def link(self, **changes: object) -> str:
        """Return the address of this table with changes; another question starts on its first page."""
        kept = self.fields()
        if changes and "page" not in changes:
            kept.pop("page", None)
        return links.with_query(self.path, **{**kept, **changes})


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a column: its label, the address that sorts by it, how it is sorted now, whether it is of numbers."""

    column: Column
    label: str
    href: str
    sorted: str | None
    numeric: bool


def headers(asked: Asked, shown: Sequence[Column], runs: Sequence[Run]) -> list[Header]:
    """Return the heads of the chosen columns."""
    made = []
    for one in shown:
        told = [columns.cell(run, one) for run in runs]
        numeric = one.kind == "metrics" or (
            any(cell.text for cell in told) and all(cell.numeric for cell in told if cell.text)
        )
        made.append(header(asked, one, numeric=numeric))
    return made


def header(asked: Asked, one: Column, *, numeric: bool = False) -> Header:
    """Return the head of one column."""
    now = columns.order_of(asked.sort)
    state = ("descending" if now[1] else "ascending") if now is not None and now[0] == one else None
    return Header(one, one.label, asked.link(sort=columns.toggled(one, asked.sort)), state, numeric)


WORDS = {"metrics": "Metrics, last values", "params": "Parameters", "tags": "Tags", "attributes": "Run"}


def spans(shown: Sequence[Column]) -> list[tuple[str, int]]:
    """Return over how many columns each heading of a kind stands, in the order of the columns."""
    return [(WORDS[kind], len(list(some))) for kind, some in groupby(shown, lambda one: one.kind)]


@dataclass(frozen=True, slots=True)
class Pages:
    """Where a listing is: how many there are, which of them these are, and the ways to the others."""

    total: int
    first: int
    last: int
    before: str | None
    after: str | None


def pages(asked: Asked, shown: int, total: int) -> Pages:
    """Return where this page of a table is."""
    start = (asked.page - 1) * asked.limit
    return Pages(
        total=total,
        first=start + 1 if shown else 0,
        last=start + shown,
        before=asked.link(page=asked.page - 1 if asked.page > 2 else "") if asked.page > 1 else None,
        after=asked.link(page=asked.page + 1) if start + shown < total else None,
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a menu of columns: the column, whether it is shown."""

    column: Column
    chosen: bool


def choices(found: Columns, shown: Sequence[Column]) -> dict[str, list[Choice]]:
    """Return the menu of columns, by heading; what clients write for machines is left out unless it was chosen."""
    kept = set(shown)

    def of(kind: columns.Kind, names: Sequence[str]) -> list[Choice]:
        made = [Column(kind, name) for name in names]
        return [Choice(one, one in kept) for one in made if one in kept or not columns.HIDDEN_TAGS.match(one.name)]

    return {
        "Metrics": of("metrics", found.metrics),
        "Parameters": of("params", found.params),
        "Tags": of("tags", found.tags),
        "Run": of("attributes", ["user_id", "end_time", "run_id"]),
    }


def groupings(found: Columns, *, whole: bool) -> list[tuple[str, str]]:
    """Return what runs can be grouped by: its written form, and its word.

    Args:
        found: names in use.
        whole: runs of several experiments are shown.
    """
    made = [("experiment", "experiment")] if whole else []
    made += [("parent", "parent run"), ("attributes.status", "state"), ("attributes.user_id", "user")]
    made += [(f"params.{name}", f"parameter {name}") for name in found.params]
    return made + [(f"tags.{name}", f"tag {name}") for name in found.tags if not columns.HIDDEN_TAGS.match(name)]


def rows_of(runs: Sequence[Run], shown: Sequence[Column]) -> list[tuple[Run, list[columns.Cell]]]:
    """Return each run with its cells."""
    return [(run, [columns.cell(run, one) for one in shown]) for run in runs]


def note_of(tags: Mapping[str, str]) -> str:
    """Return what people wrote about it."""
    return tags.get(NOTE, "")


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags for people: without what clients write for machines."""
    return {name: value for name, value in tags.items() if not columns.HIDDEN_TAGS.match(name)}
