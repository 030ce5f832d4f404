"""Runs summed up by a value they share, on every database."""

from __future__ import annotations

import pytest

from keepwell.core.errors import InvalidInput
from keepwell.core.points import batch_of
from keepwell.flows.kit import Kit
from keepwell.tracking import service as tracking
from keepwell.tracking.grouping import Measure

ME = "person:mia"


@pytest.fixture
def experiment(kit: Kit) -> int:
    """Six runs: three of model a, two of b, one without."""
    with kit.write() as tx:
        made = tracking.create_experiment(tx, kit.call(ME), "grouped").id
        for number, (model, loss) in enumerate(
            [("a", 1.0), ("a", 3.0), ("a", float("nan")), ("b", 5.0), ("b", 7.0), ("", 9.0)]
        ):
            params = {"model": model} if model else {}
            run = tracking.start_run(
                tx, kit.call(ME), name=f"r{number}", params=params, experiment=made, tags={"odd": str(number % 2)},
                user="mia" if number else None,
            )  # fmt: skip
            tracking.log_points(tx, kit.call(ME), run.id, batch_of([("loss", loss, 1, 1_000)]))
            if number < 2:
                tracking.finish_run(tx, kit.call(ME), run.id, "finished")
    return made


def test_groups_are_counted_and_their_finite_metrics_summed_up(kit: Kit, experiment: int) -> None:
    with kit.read() as tx:
        found = tracking.group_runs(tx, [experiment], "params.model", metrics=["loss", "other"])
        assert [(one.value, one.count) for one in found] == [("a", 3), ("b", 2), (None, 1)]
        assert found[0].metrics == {"loss": Measure(2, 2.0, 1.0, 3.0)}
        assert found[2].metrics == {"loss": Measure(1, 9.0, 9.0, 9.0)}
        assert tracking.count_groups(tx, [experiment], "params.model") == 3
        page = tracking.group_runs(tx, [experiment], "params.model", limit=1, offset=1)
        assert [one.value for one in page] == ["b"]


@pytest.mark.parametrize(
    ("by", "found"),
    [("tags.odd", {"0": 3, "1": 3}), ("status", {"finished": 2, "running": 4}), ("user", {"mia": 5, None: 1}),
     ("parent", {None: 6}), ("experiment", {"1": 6})],
)  # fmt: skip
def test_runs_are_grouped_by_what_they_are(kit: Kit, experiment: int, by: str, found: dict[str | None, int]) -> None:
    with kit.read() as tx:
        told = tracking.group_runs(tx, [experiment], by)
    assert {one.value: one.count for one in told} == found


def test_only_runs_that_a_search_finds_are_grouped(kit: Kit, experiment: int) -> None:
    with kit.read() as tx:
        found = tracking.group_runs(tx, [experiment], "params.model", "metrics.loss > 2", metrics=["loss"])
        assert [(one.value, one.count) for one in found] == [("b", 2), ("a", 1), (None, 1)]
        assert tracking.group_runs(tx, [experiment], "params.model", view="deleted") == []
        assert tracking.group_runs(tx, [], "params.model") == []
        for by in ("metrics.loss", "params.", "name", "params"):
            with pytest.raises(InvalidInput):
                tracking.group_runs(tx, [experiment], by)
