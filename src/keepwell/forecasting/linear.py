"""The learner `lasso`: one sparse linear model a segment, all segments fitted in one descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keepwell.forecasting.features import Examples
from keepwell.forecasting.lasso import descend
from keepwell.forecasting.panel import Floats

PENALTIES = (0.1, 0.03, 0.01, 0.003, 0.001)
_MOST_LEVELS = 12
_CLIP = 6.0


def fit(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int) -> list[dict[str, Any]]:
    """Fit one model for each part; the penalties are chosen on the newest fifth of its rows, or taken from `like`."""
    shapes = [_shape(part) for part in parts]
    if like is None:
        shares = _choose([_problem(p, s, _early(p)) for p, s in zip(parts, shapes, strict=True)],
                         [_problem(p, s, ~_early(p)) for p, s in zip(parts, shapes, strict=True)])  # fmt: skip
    else:
        shares = np.array([state["share"] for state in like])
    problems = [_problem(p, s, np.ones(len(p), bool)) for p, s in zip(parts, shapes, strict=True)]
    gram, target, _ = _standard(problems)
    beta = descend(gram, target, (shares * np.abs(target).max(axis=0))[None, :])[:, 0, :]
    states = []
    for i, (shape, problem) in enumerate(zip(shapes, problems, strict=True)):
        coefficients = beta[: len(problem["mean"]), i] / problem["deviation"]
        used = np.flatnonzero(coefficients)
        states.append(
            {
                **shape,
                "share": float(shares[i]),
                "intercept": float(problem["centre"] - coefficients @ problem["mean"]),
                "used": used.astype(np.int32),
                "coefficients": coefficients[used],
            }
        )
    return states


def predict(state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example."""
    used, coefficients = state["used"], state["coefficients"]
    return np.asarray(state["intercept"] + _design(state, examples, used) @ coefficients)


def _shape(part: Examples) -> dict[str, Any]:
    x = part.x
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, x, 0.0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt(np.maximum(((filled - mean) ** 2 * known).sum(axis=0) / count, 0.0))
    levels = [name for name, values in part.kinds.items() if 1 < len(values) <= _MOST_LEVELS]
    return {
        "fill": mean,
        "low": mean - _CLIP * spread,
        "high": mean + _CLIP * spread,
        "levels": {name: list(part.kinds[name]) for name in levels},
    }


def _design(shape: Mapping[str, Any], examples: Examples, used: np.ndarray | None = None) -> Floats:
    x = examples.x.astype(np.float64)
    x = np.clip(np.where(np.isfinite(x), x, shape["fill"]), shape["low"], shape["high"])
    blocks = [x]
    for name, values in shape["levels"].items():
        codes = examples.cats[:, list(examples.kinds).index(name)]
        now = np.array([(*examples.kinds[name], None)[c] for c in range(-1, len(examples.kinds[name]))], dtype=object)
        blocks.append((now[codes + 1][:, None] == np.array(values, dtype=object)[None, :]).astype(np.float64))
    whole = np.concatenate(blocks, axis=1)
    return whole if used is None else whole[:, used]


def _early(part: Examples) -> np.ndarray:
    return part.when <= np.quantile(part.when, 0.8) if len(part) else np.zeros(0, bool)


def _problem(part: Examples, shape: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    x = _design(shape, part)[rows]
    ratio = np.clip(part.ratio[rows], -1.0, 8.0)
    weight = part.scale[rows]
    total = weight.sum()
    columns = x.shape[1]
    if not len(weight) or total <= 0:
        zero = np.zeros(columns)
        return {"gram": np.zeros((columns, columns)), "target": zero, "mean": zero, "deviation": zero + 1,
                "centre": 1.0, "square": 0.0, "n": 0}  # fmt: skip
    weight = weight / total
    mean = weight @ x
    centre = float(weight @ ratio)
    x = x - mean
    deviation = np.sqrt(weight @ (x * x))
    gram = (x * weight[:, None]).T @ x
    return {
        "gram": gram,
        "target": (x * weight[:, None]).T @ (ratio - centre),
        "mean": mean,
        "deviation": np.where(deviation > 1e-9, deviation, np.inf),
        "centre": centre,
        "square": float(weight @ (ratio - centre) ** 2),
        "n": len(weight),
    }


def _standard(problems: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats, Floats]:
    widest = max(len(p["mean"]) for p in problems)
    gram = np.zeros((widest, widest, len(problems)))
    target = np.zeros((widest, len(problems)))
    deviation = np.full((widest, len(problems)), np.inf)
    for i, p in enumerate(problems):
        n = len(p["mean"])
        gram[:n, :n, i] = p["gram"] / p["deviation"][:, None] / p["deviation"][None, :]
        target[:n, i] = p["target"] / p["deviation"]
        deviation[:n, i] = p["deviation"]
    return gram, target, deviation


def _choose(early: Sequence[Mapping[str, Any]], late: Sequence[Mapping[str, Any]]) -> Floats:
    """Return each problem's penalty, as a share of the one that sets every coefficient to 0, that errs least later."""
    gram, target, deviation = _standard(early)
    most = np.abs(target).max(axis=0)
    alphas = np.array(PENALTIES)[:, None] * most[None, :]
    beta = descend(gram, target, alphas, sweeps=60, tolerance=1e-3)
    shares = np.empty(len(early))
    for i, (old, new) in enumerate(zip(early, late, strict=True)):
        raw = beta[: len(old["mean"]), :, i] / deviation[: len(old["mean"]), i][:, None]
        shift = new["centre"] - old["centre"] - (new["mean"] - old["mean"]) @ raw
        loss = np.einsum("ja,jk,ka->a", raw, new["gram"], raw) - 2 * new["target"] @ raw + new["square"] + shift**2
        shares[i] = PENALTIES[int(np.argmin(loss))] if new["n"] and old["n"] else PENALTIES[1]
    return shares
