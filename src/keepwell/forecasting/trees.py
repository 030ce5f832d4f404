"""The learner `lightgbm`: boosted trees on the logarithm of the target's ratio to the series' size, by absolute error.

On logarithms effects multiply, as those of price and season do.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keepwell.core.errors import NotInstalled
from keepwell.forecasting.features import Examples
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.parallel import largest_first
from keepwell.forecasting.scaling import levels_of, log_target, recode, weights_of

_SMALL = 20_000


def fit(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int) -> list[dict[str, Any]]:
    """Fit one booster for each part; deterministic for a seed.

    Raises:
        NotInstalled: LightGBM is missing.
    """
    return largest_first(lambda part: _fit_one(part, seed), parts, [len(part) for part in parts])


def predict(state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example.

    Raises:
        NotInstalled: LightGBM is missing.
    """
    if not state["text"]:
        return np.full(len(examples), float(state["constant"]))
    lightgbm = library()
    booster = lightgbm.Booster(model_str=zlib.decompress(state["text"]).decode())
    logarithms = booster.predict(_matrix(examples, state["kinds"]), num_threads=1)
    return np.asarray(np.exp(logarithms))


def _fit_one(part: Examples, seed: int) -> dict[str, Any]:
    lightgbm = library()
    kinds = levels_of(part)
    constant = float(np.median(part.ratio)) if len(part) else 1.0
    if len(part) < 40:
        return {"text": b"", "kinds": kinds, "constant": constant}
    matrix = _matrix(part, kinds)
    data = lightgbm.Dataset(
        matrix,
        log_target(part),
        weight=weights_of(part) * len(part),
        categorical_feature=list(range(part.x.shape[1], matrix.shape[1])),
        params={"max_bin": 63, "verbosity": -1, "min_data_in_bin": 5},
        free_raw_data=True,
    )
    booster = lightgbm.train(_settings(len(part), seed), data, num_boost_round=_rounds(len(part)))
    return {"text": zlib.compress(booster.model_to_string().encode(), 1), "kinds": kinds, "constant": constant}


def _settings(rows: int, seed: int) -> dict[str, Any]:
    large = rows > _SMALL
    return {
        "objective": "l1",
        "learning_rate": 0.08,
        "num_leaves": 31 if large else 12,
        "min_data_in_leaf": max(10, min(60, rows // 100)),
        "feature_fraction": 0.4,
        "lambda_l2": 1.0,
        "cat_smooth": 20.0,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _rounds(rows: int) -> int:
    return 240 if rows > _SMALL else 60


def _matrix(examples: Examples, kinds: Mapping[str, Sequence[str]]) -> np.ndarray:
    columns = [examples.x]
    names = list(examples.kinds)
    columns.extend(
        recode(examples.cats[:, names.index(name)], examples.kinds[name], values)[:, None].astype(np.float32)
        for name, values in kinds.items()
    )
    return np.concatenate(columns, axis=1)


def library() -> Any:
    """Return LightGBM.

    Raises:
        NotInstalled: it is missing.
    """
    try:
        import lightgbm
    except ImportError:
        raise NotInstalled(
            "The candidate 'lightgbm' needs an extra that is not installed: pip install 'keepwell[forecast]'."
        ) from None
    return lightgbm
