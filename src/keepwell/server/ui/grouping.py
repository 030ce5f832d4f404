"""Runs of a table as groups: read, and named for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keepwell.db import Transaction
from keepwell.server.ui import columns, links
from keepwell.server.ui.views_table import PARENT, Asked, pages
from keepwell.tracking import service as tracking
from keepwell.tracking.grouping import Measure, RunGroup
from keepwell.tracking.model import Experiment

_ATTRIBUTES = {"attributes.status": "status", "attributes.user_id": "user"}
STATUSES = {"running": "RUNNING", "scheduled": "SCHEDULED", "finished": "FINISHED", "failed": "FAILED",
            "interrupted": "KILLED"}  # fmt: skip
"""A run's state as the grammar of searches calls it."""
_HEAD = 200


@dataclass(frozen=True, slots=True)
class Group:
    """One group: what it is called, how many runs it has, their metrics, and the table of its runs."""

    label: str
    href: str
    count: int
    metrics: Mapping[str, Measure]


def grouped(tx: Transaction, asked: Asked, scope: Mapping[int, Experiment]) -> dict[str, Any]:
    """Return what the page needs to show a table of groups.

    Raises:
        InvalidInput: the filter or the grouping cannot be used.
    """
    ids, text = list(scope), columns.as_filter(asked.filter)
    by = _ATTRIBUTES.get(asked.group, asked.group)
    chosen = [one for one in columns.parse_all(asked.columns) if one.kind == "metrics"]
    if not chosen:
        sample = tracking.search_runs(tx, ids, text, asked.view, limit=50)
        chosen = [one for one in columns.usual(sample) if one.kind == "metrics"]
    names = [one.name for one in chosen[: columns.SHOWN_FIRST]]
    start = (asked.page - 1) * asked.limit
    found = tracking.group_runs(tx, ids, by, text, asked.view, names, asked.limit, start)
    named = _names(tx, asked.group, found, scope)
    total = len(found)
    if asked.page > 1 or total == asked.limit:
        total = tracking.count_groups(tx, ids, by, text, asked.view)
    return {
        "groups": [
            Group(named.get(one.value or "", one.value or "not set"), link_of(asked, one.value), one.count, one.metrics)
            for one in found
        ],
        "group_word": asked.group.partition(".")[2].removesuffix("_id") or asked.group,
        "group_metrics": names,
        "where": pages(asked, len(found), total),
    }


def link_of(asked: Asked, value: str | None) -> str:
    """Return the address of the table of a group's runs."""
    plain = replace(asked, group="", page=1)
    if asked.group == "experiment":
        return replace(plain, path=links.experiment(int(value or 0))).link()
    column = columns.Column("tags", PARENT) if asked.group == "parent" else columns.parse(asked.group)
    if column is None:
        return plain.link()
    before = columns.as_filter(asked.filter)
    if value is None:
        clause = f"{column.key} IS NULL"
        return plain.link(filter=f"{before} AND {clause}" if before else clause)
    if len(value) == _HEAD:
        quoted = value.replace("'", "''")
        clause = f"{column.key} LIKE '{quoted}%'"
        return plain.link(filter=f"{before} AND {clause}" if before else clause)
    return plain.link(filter=columns.with_comparison(asked.filter, column, STATUSES.get(value, value)))


def _names(
    tx: Transaction, group: str, found: list[RunGroup], scope: Mapping[int, Experiment]
) -> dict[str, str]:  # fmt: skip
    if group == "experiment":
        return {str(number): one.name for number, one in scope.items()}
    if group == "parent":
        parents = tracking.runs_by_id(tx, [one.value for one in found if one.value is not None])
        return {"": "no parent", **{run.id: run.name for run in parents}}
    return {}
