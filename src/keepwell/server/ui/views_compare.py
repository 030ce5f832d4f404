"""What the page shows that compares runs: which, their colours, what they have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from keepwell.server.ui import links
from keepwell.server.ui.charts import Bar
from keepwell.server.ui.columns import Column, leading, number_cell
from keepwell.server.ui.words import plural
from keepwell.tracking.model import Run

MOST = 50
"""So many runs are compared at once."""
DRAWN_AT_ONCE = 3
"""So many charts are drawn by the server at once; scripts draw the others as they come into sight."""
SYSTEM = "system/"


def metric_names(runs: Sequence[Run], *, text: str = "", system: bool = False) -> list[str]:
    """Return the metrics of some runs, those that most of them have and that tell most first.

    Args:
        runs: whose metrics.
        text: a part of their name.
        system: those of machines, and only those.
    """
    counts: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            if name.startswith(SYSTEM) == system and text.casefold() in name.casefold():
                counts[name] = counts.get(name, 0) + 1
    order = {name: place for place, name in enumerate(leading(counts))}
    return sorted(counts, key=lambda name: (-counts[name], order.get(name, 0), name))


def labels(runs: Sequence[Run]) -> list[str]:
    """Return what runs are called, with the end of their ids where two are called the same."""
    names = [run.name for run in runs]
    return [f"{run.name} …{run.id[-4:]}" if names.count(run.name) > 1 else run.name for run in runs]


def answer_of(runs: Sequence[Run]) -> str:
    """Return what the page says first: how many runs, of how many experiments, how many of them still run."""
    experiments = len({run.experiment for run in runs})
    running = sum(run.status == "running" for run in runs)
    said = plural(len(runs), "run") + ("" if experiments < 2 else f" of {plural(experiments, 'experiment')}")
    return said + (f"; {running} still running." if running else ".")


def bars_of(runs: Sequence[Run], named: Sequence[str], metric: str) -> list[Bar]:
    """Return a bar a run that has the metric, the greatest first."""
    known = [
        (float(value), label, run)
        for run, label in zip(runs, named, strict=True)
        if isinstance(value := run.metrics.get(metric), int | float)
    ]
    known.sort(key=lambda one: -one[0])
    return [Bar(label, value, number_cell(value).text, href=links.run(run.id)) for value, label, run in known]


def chosen_axis(text: str, found: Sequence[Column]) -> Column | None:
    """Return the column that a query names, or None."""
    return next((one for one in found if one.text == text), None)


def comparable(runs: Sequence[Run]) -> list[Column]:
    """Return everything that runs could be placed by, metrics first."""
    names = [Column("metrics", name) for name in metric_names(runs)]
    return names + [Column("params", name) for name in sorted({name for run in runs for name in run.params})]
