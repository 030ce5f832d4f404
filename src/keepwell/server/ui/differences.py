"""What runs differ in: params, tags, metrics, code and data, a line a name and a cell a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keepwell.server.ui import links
from keepwell.server.ui.columns import Cell, number_cell, said, value_cell
from keepwell.server.ui.words import short
from keepwell.tracking.model import Run

_UNTOLD = Cell("")
CHANGES = "uncommitted changes"
PATCH = "code/changes.patch"
"""Where the client keeps how tracked files differed from the commit."""


@dataclass(frozen=True, slots=True)
class Line:
    """One name, what each run says of it, and whether they differ.

    Attributes:
        name: what is compared.
        cells: one a run.
        links: where a cell leads, one a run.
        differ: whether not all cells are alike.
        odd: for each run, whether its cell is not what the first run says.
    """

    name: str
    cells: Sequence[Cell]
    links: Sequence[str | None]
    differ: bool
    odd: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one heading, and how many of them are alike in all runs and left out."""

    title: str
    lines: Sequence[Line]
    alike: int


def sections(runs: Sequence[Run], *, everything: bool) -> list[Section]:
    """Return what the runs say of themselves, by heading; only what differs unless all is wanted."""
    made = [
        ("Code", _code(runs)),
        ("Data", _data(runs)),
        ("Parameters", _named(runs, lambda run: run.params, value_cell)),
        ("Metrics, last values", _named(runs, lambda run: run.metrics, number_cell)),
        ("Tags", _named(runs, lambda run: run.tags, value_cell)),
        ("Environment and machine", _where(runs)),
    ]
    found = []
    for title, lines in made:
        shown = [line for line in lines if everything or line.differ]
        found.append(Section(title, shown, len(lines) - len(shown)))
    return [one for one in found if one.lines or one.alike]


def _line(name: str, cells: Sequence[Cell], hrefs: Sequence[str | None] = ()) -> Line:
    told = [(one.text, one.exact) for one in cells]
    return Line(name, cells, hrefs or [None] * len(cells), len(set(told)) > 1, [one != told[0] for one in told])


def _named(runs: Sequence[Run], of: Callable[[Run], Mapping[str, Any]], cell: Callable[[Any], Cell]) -> list[Line]:
    names = sorted({name for run in runs for name in of(run) if not name.startswith("system/")})
    return [_line(name, [cell(of(run)[name]) if name in of(run) else _UNTOLD for run in runs]) for name in names]


def _code(runs: Sequence[Run]) -> list[Line]:
    rows: list[tuple[str, Callable[[Run], Cell]]] = [
        ("commit", lambda run: _shortened(run.code.commit)),
        ("work tree", lambda run: Cell(_tree(run))),
        (CHANGES, lambda run: _shortened(run.code.diff)),
        ("sources", lambda run: _shortened(run.code.source)),
        ("repository", lambda run: Cell(run.code.remote or "")),
    ]
    patches = [links.with_query(links.run(run.id), tab="artifacts", path=PATCH) if PATCH in run.artifacts else None
               for run in runs]  # fmt: skip
    made = [_line(name, [cell(run) for run in runs], patches if name == CHANGES else ()) for name, cell in rows]
    return [line for line in made if any(one.text for one in line.cells)]


def _tree(run: Run) -> str:
    if run.code.commit is None:
        return ""
    return {None: "not known", True: "changed", False: "clean"}[run.code.dirty]


def _data(runs: Sequence[Run]) -> list[Line]:
    """Return a line a dataset that any of them read, with the version each of them read."""
    names = sorted({one.name for run in runs for one in run.inputs})
    lines = []
    for name in names:
        cells, hrefs = [], []
        for run in runs:
            read = [one for one in run.inputs if one.name == name]
            marks = [one.id or one.digest or "" for one in read]
            cells.append(Cell(", ".join(short(m) if m else "read" for m in marks), ", ".join(marks)))
            hrefs.append(links.of_id(read[0].id) if len(read) == 1 and read[0].id else None)
        lines.append(_line(name, cells, hrefs))
    return lines


def _where(runs: Sequence[Run]) -> list[Line]:
    names = sorted({name for run in runs for name in run.machine})
    rows = [_line(name.replace("_", " "), [Cell(said(run.machine.get(name, ""))) for run in runs]) for name in names]
    environments = [_shortened(run.environment) for run in runs]
    return [_line("environment", environments), *rows] if any(one.text for one in environments) else rows


def _shortened(text: str | None) -> Cell:
    return Cell(short(text), text) if text else _UNTOLD
