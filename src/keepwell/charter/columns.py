"""The columns that a charter names: one role each, and made by something that the charter or the source has."""

from __future__ import annotations

from collections.abc import Collection

from keepwell.charter.findings import nearest, shown
from keepwell.charter.model import OUTPUT_COLUMNS, Charter
from keepwell.charter.shape import Findings, Path

ROLES = ("keys", "known_ahead", "observed", "static")


def check_columns(into: Findings, charter: Charter, source: Collection[str] | None) -> None:
    """Add what is wrong about columns.

    Args:
        into: where findings go.
        charter: as far as it could be read.
        source: columns of the source and of the joined tables, before renaming; None when they cannot be known.
    """
    _one_role(into, charter)
    _taken(into, charter)
    _movers(into, charter)
    _made(into, charter, source)


def role_columns(charter: Charter) -> list[tuple[Path, str]]:
    """Return every column that has a role, with its clause."""
    data = charter.data
    named: list[tuple[Path, str]] = [(("data", "time"), data.time), (("data", "target"), data.target)]
    for role in ROLES:
        named.extend((("data", role, i), column) for i, column in enumerate(getattr(data, role)))
    return named


def _one_role(into: Findings, charter: Charter) -> None:
    first: dict[str, str] = {}
    for path, column in role_columns(charter):
        role = str(path[1])
        before = first.setdefault(column, role)
        if before != role:
            wrong = f"{shown(column)} is data.{before} already."
            into.add(path, wrong, f"Give it one role: take it out here or of data.{before}.")
    for i, column in enumerate(charter.segments):
        if first.get(column) in ("time", "target", "observed"):
            wrong = f"{shown(column)} is data.{first[column]}: it is not the same for every row of a series."
            into.add(("segments", i), wrong, "Split by columns that stay, such as keys or static ones.")


def _taken(into: Findings, charter: Charter) -> None:
    for path, column in [*role_columns(charter), *((("segments", i), c) for i, c in enumerate(charter.segments))]:
        if column in OUTPUT_COLUMNS and path[:2] in (("data", "time"), ("data", "keys"), ("segments", path[-1])):
            wrong = f"{shown(column)} is a column that forecasts are published with."
            into.add(path, wrong, f"Rename it: `rename: {{{column}: my_{column}}}` in data.")


def _movers(into: Findings, charter: Charter) -> None:
    movers = charter.data.movers
    if movers is None:
        return
    if movers.column in {column for _, column in role_columns(charter)} | set(charter.data.derive):
        wrong = f"{shown(movers.column)} is made by data.movers, and stands for something else too."
        into.add(("data", "movers", "column"), wrong, "Choose another name.")
    elif movers.column not in charter.segments:
        right = f"Add {movers.column} to segments, or remove data.movers."
        into.add(("data", "movers"), f"No segment uses {shown(movers.column)}.", right, warning=True)


def _made(into: Findings, charter: Charter, source: Collection[str] | None) -> None:
    """Columns that are named must be made by something; only a known source can say that they are not."""
    data = charter.data
    if source is not None:
        for old in data.rename:
            if old not in source:
                into.add(("data", "rename", old), f"The source has no column {shown(old)}.",
                         nearest(old, source, "It has"))  # fmt: skip
    made = {*data.rename.values(), *data.derive}
    made |= {column for join in data.joins for column in join.columns}
    if source is not None:
        made |= {column for column in source if column not in data.rename}
        for path, column in [*role_columns(charter), *((("data", "fill", c), c) for c in data.fill)]:
            if column not in made:
                into.add(path, f"The source has no column {shown(column)}, and nothing makes it.",
                         nearest(column, made, "There are"))  # fmt: skip
    if data.movers is not None:
        made.add(data.movers.column)
    known = made | {column for _, column in role_columns(charter)}
    split: list[tuple[Path, str]] = [(("segments", i), c) for i, c in enumerate(charter.segments)]
    split += [(("evaluate", "slices", i), c) for i, c in enumerate(charter.evaluate.slices)]
    for path, column in split:
        if column not in known:
            wrong = f"{shown(column)} has no role, and no rename, derive, join or movers makes it."
            right = nearest(column, known) + " Else give it a role, such as data.static."
            into.add(path, wrong, right, warning=source is None)
