"""XGBoost: `train`, and with it the scikit-learn classes: params, each evaluation by iteration, importances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepwell.client.autolog import patching
from keepwell.client.autolog.recording import short_params, training
from keepwell.client.models import log_model

NAME = "xgboost"


def wrap() -> None:
    """Wrap `train` where the library and its scikit-learn classes look for it."""
    import xgboost

    for module in (xgboost, getattr(xgboost, "training", None), getattr(xgboost, "sklearn", None)):
        if module is not None and hasattr(module, "train"):
            patching.replace(NAME, module, "train", _recorded)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(params: Any, dtrain: Any, *args: Any, **kwargs: Any) -> Any:
        how = patching.active(NAME)
        if how is None:
            return original(params, dtrain, *args, **kwargs)
        with training(NAME, "xgboost", {}) as done:
            with done.recording() as run:
                run.log_params(short_params(dict(params)))
                rounds = args[0] if args else kwargs.get("num_boost_round")
                if rounds is not None:
                    run.log_params({"num_boost_round": rounds})
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or ()), _callback(done)]
            booster = original(params, dtrain, *args, **kwargs)
            with done.recording() as run:
                _result(run, booster)
            if how.log_models:
                with done.recording() as run:
                    log_model(booster, run=run)
            return booster

    return train


def _callback(done: Any) -> Any:
    """Return a callback of the library's documented class: called after each iteration with its evaluations."""
    from xgboost.callback import TrainingCallback

    class Recorder(TrainingCallback):
        """Records the newest value of each evaluation."""

        def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, list[Any]]]) -> bool:
            """Record, and let the training go on."""
            with done.recording() as run:
                newest = {
                    f"{data}-{metric}": float(values[-1][0] if isinstance(values[-1], tuple) else values[-1])
                    for data, metrics in evals_log.items()
                    for metric, values in metrics.items()
                }
                run.log_metrics(newest, step=epoch)
            return False

    return Recorder()


def _result(run: Any, booster: Any) -> None:
    best = getattr(booster, "best_iteration", None)
    if best is not None:
        run.log_metrics({"best_iteration": best}, step=0)
    run.log_dict(booster.get_score(importance_type="gain"), "feature_importance_gain.json")
