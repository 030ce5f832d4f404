"""Use case that sums runs up by a value they share."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.tracking import groups_store, search_store
from keepwell.tracking.model import View

MOST = 1_000
"""How many groups one page returns at most."""


class Measure(msgspec.Struct, frozen=True):
    """A metric over the runs of a group: how many have it as a finite number, and the mean, least and most of them."""

    count: int
    mean: float
    least: float
    most: float


class RunGroup(msgspec.Struct, frozen=True):
    """Runs that share a value.

    Attributes:
        value: the value as text, its first 200 characters; None for runs that have none.
        count: how many they are.
        metrics: what was asked for, by name; without those that none of them has.
    """

    value: str | None
    count: int
    metrics: dict[str, Measure]


def group_runs(
    tx: Transaction,
    experiments: Sequence[int],
    by: str,
    filter: str | None = "",
    view: View = "active",
    metrics: Sequence[str] = (),
    limit: int = 50,
    offset: int = 0,
) -> list[RunGroup]:
    """Return the runs of a search by a value they share, the largest group first.

    Args:
        tx: a transaction.
        experiments: whose runs.
        by: `params.NAME`, `tags.NAME`, `experiment`, `parent`, `status`, `user` or `model`.
        filter: in the grammar of searches.
        view: active runs, deleted ones, or all.
        metrics: names of metrics that are summed up over each group.
        limit: how many groups at most.
        offset: how many to skip.

    Raises:
        InvalidInput: the filter, the grouping or the limit cannot be used.
    """
    search = search_store.wanted(experiments, filter, view, ())
    counted = groups_store.counts(tx, search, by, check_limit(limit, MOST), offset)
    told: dict[object, dict[str, Measure]] = {value: {} for value, _ in counted}
    if metrics and counted:
        for value, name, runs, mean, least, most in groups_store.measures(tx, search, by, list(told), metrics):
            told[value][name] = Measure(runs, mean, least, most)
    return [RunGroup(None if value is None else str(value), count, told[value]) for value, count in counted]


def count_groups(
    tx: Transaction, experiments: Sequence[int], by: str, filter: str | None = "", view: View = "active"
) -> int:  # fmt: skip
    """Return how many groups `group_runs` finds.

    Raises:
        InvalidInput: the filter or the grouping cannot be used.
    """
    return groups_store.how_many(tx, search_store.wanted(experiments, filter, view, ()), by)
