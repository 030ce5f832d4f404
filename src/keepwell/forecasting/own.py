"""Own models: a function of the user's, in a file beside the charter, as one more candidate.

    def ridge(rows, state=None):
        if state is None:                      # fit: return what is needed later, as numbers, texts and arrays
            return {"coefficients": ...}
        return rows.x @ state["coefficients"]  # forecast: one ratio a row

`rows` are `keepwell.forecasting.features.Examples`: columns `x` with their `names` (NaN where unknown), categories
`cats` into the values of `kinds`, the series' size `scale`, and for fitting the `ratio` of target to size. What it
returns when it fits is kept in the model's artifact, so a version stays what it was; the digest of the file is kept
too, and a changed file asks for training again.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.forecasting.features import Examples
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.task import Task

Function = Callable[..., Any]


def fit(
    name: str, task: Task, parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int
) -> list[dict[str, Any]]:
    """Fit the user's function on each part.

    Raises:
        InvalidInput: the function is not there, or does not return a dict of plain values.
    """
    function, digest = load(name, task)
    states = []
    for part in parts:
        state = function(part)
        if not isinstance(state, dict):
            raise InvalidInput(
                f"{task.forecast.own[name]} returned {type(state).__name__} when fitting; return a dict of numbers, "
                "texts and arrays.",
                where=f"forecast.own.{name}",
            )
        states.append({"digest": digest, "state": state})
    return states


def predict(name: str, task: Task, state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example.

    Raises:
        Conflict: the file has changed since the model was fitted.
        InvalidInput: the function did not return one finite number a row.
    """
    function, digest = load(name, task)
    if digest != state["digest"]:
        raise Conflict(f"{task.forecast.own[name]} has changed since this model was trained; train it again.")
    ratio = np.asarray(function(examples, state["state"]), dtype=np.float64)
    if ratio.shape != (len(examples),) or not np.isfinite(ratio).all():
        raise InvalidInput(
            f"{task.forecast.own[name]} must return one finite number for each of {len(examples)} rows.",
            where=f"forecast.own.{name}",
        )
    return ratio


def load(name: str, task: Task) -> tuple[Function, str]:
    """Import an own model's function, and return it with the digest of its file.

    Raises:
        InvalidInput: the file or the function is not there, or lies outside the charter's folder.
    """
    where = f"forecast.own.{name}"
    file, _, attribute = task.forecast.own[name].rpartition(":")
    if not file or not attribute.isidentifier():
        raise InvalidInput(f"{task.forecast.own[name]!r} should read file.py:function.", where=where)
    folder = (task.folder or Path()).resolve()
    path = (folder / file).resolve()
    if not path.is_relative_to(folder):
        raise InvalidInput(f"{file} lies outside the charter's folder.", where=where)
    if not path.is_file():
        raise InvalidInput(f"There is no file {file} beside the charter.", where=where)
    source = path.read_bytes()
    digest = digest_bytes(source)
    spec = importlib.util.spec_from_file_location(f"keepwell_own_{digest[7:19]}", path)
    assert spec is not None and spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InvalidInput(f"{file} has no function {attribute}.", where=where)
    return function, digest
