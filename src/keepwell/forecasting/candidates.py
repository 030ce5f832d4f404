"""The learners by name: functions that fit many segments at once, and that forecast with what a fit left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from keepwell.core.errors import InvalidInput
from keepwell.forecasting import linear, neural, own, trees
from keepwell.forecasting.features import Examples
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.task import Task

State = dict[str, Any]
Fit = Callable[[Sequence[Examples], Sequence[Mapping[str, Any]] | None, int], list[State]]
Predict = Callable[[Mapping[str, Any], Examples], Floats]


@dataclass(frozen=True, slots=True)
class Learner:
    """A way to forecast.

    Attributes:
        fit: (examples by segment, states of an earlier fit whose choices are kept or None, seed) to states, each a
            tree of numbers, texts, bytes and arrays.
        predict: (state, examples) to forecast ratios.
        library: raises NotInstalled when what fitting needs is missing.
    """

    fit: Fit
    predict: Predict
    library: Callable[[], object] = lambda: None


LEARNERS = {
    "lasso": Learner(linear.fit, linear.predict),
    "neural": Learner(neural.fit, neural.predict, neural.library),
    "lightgbm": Learner(trees.fit, trees.predict, trees.library),
}


def learner_of(name: str, task: Task) -> Learner:
    """Return the learner of a candidate's name.

    Raises:
        InvalidInput: there is none.
    """
    if name in task.forecast.own:
        return Learner(partial(own.fit, name, task), partial(own.predict, name, task))
    if name in LEARNERS:
        return LEARNERS[name]
    there = ", ".join((*LEARNERS, *task.forecast.own))
    raise InvalidInput(f"{name!r} is not a candidate; there are {there}.", where="forecast.candidates")
