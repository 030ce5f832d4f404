"""LightGBM: `train`, and with it the scikit-learn classes: params, each evaluation by iteration, importances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepwell.client.autolog import patching
from keepwell.client.autolog.recording import short_params, training
from keepwell.client.models import log_model

NAME = "lightgbm"


def wrap() -> None:
    """Wrap `train` where the library and its scikit-learn classes look for it."""
    import lightgbm

    for module in (lightgbm, lightgbm.engine, getattr(lightgbm, "sklearn", None)):
        if module is not None and hasattr(module, "train"):
            patching.replace(NAME, module, "train", _recorded)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(params: Any, train_set: Any, *args: Any, **kwargs: Any) -> Any:
        how = patching.active(NAME)
        if how is None:
            return original(params, train_set, *args, **kwargs)
        with training(NAME, "lightgbm", {}) as done:
            with done.recording() as run:
                run.log_params(short_params(dict(params)))
                if "num_boost_round" in kwargs:
                    run.log_params({"num_boost_round": kwargs["num_boost_round"]})
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), _callback(done)]
            booster = original(params, train_set, *args, **kwargs)
            with done.recording() as run:
                _result(run, booster)
            if how.log_models:
                with done.recording() as run:
                    log_model(booster, run=run)
            return booster

    return train


def _callback(done: Any) -> Callable[[Any], None]:
    """Return a callback of the library's documented form: called after each iteration with its evaluations."""

    def after(env: Any) -> None:
        if env.evaluation_result_list:
            with done.recording() as run:
                values = {f"{item[0]}-{item[1]}": float(item[2]) for item in env.evaluation_result_list}
                run.log_metrics(values, step=env.iteration)

    after.order = 25  # type: ignore[attr-defined]  # after early stopping has looked at the same values
    return after


def _result(run: Any, booster: Any) -> None:
    run.log_metrics({"num_trees": booster.num_trees()}, step=0)
    if getattr(booster, "best_iteration", 0) > 0:
        run.log_metrics({"best_iteration": booster.best_iteration}, step=0)
    names = booster.feature_name()
    gains = booster.feature_importance(importance_type="gain").tolist()
    run.log_dict(dict(zip(names, gains, strict=True)), "feature_importance_gain.json")
