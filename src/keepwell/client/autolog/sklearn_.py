"""scikit-learn: `fit` of everything that predicts, with what it was told, how well it fits, and what a search found."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keepwell.client.autolog import patching
from keepwell.client.autolog.recording import rows_and_columns, short_params, training
from keepwell.client.models import log_model

NAME = "sklearn"
_FITS = ("fit", "fit_predict", "fit_transform")
_ELSEWHERE = ("lightgbm.", "xgboost.")
"""Modules whose estimators are recorded by their own library's wrapper."""


def wrap() -> None:
    """Wrap `fit` of every estimator there is, and of each class that is made later."""
    from sklearn.base import BaseEstimator

    for estimator in _below(BaseEstimator):
        _wrap_class(estimator)
    original = BaseEstimator.__init_subclass__.__func__

    def made(cls: type, /, **options: Any) -> None:
        original(cls, **options)
        if patching.chosen.get(NAME) is not None:
            _wrap_class(cls)

    made.__keepwell__ = True  # type: ignore[attr-defined]
    patching.put(NAME, BaseEstimator, "__init_subclass__", classmethod(made))


def _below(base: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [base]
    while waiting:
        new: set[type] = set(type.__subclasses__(waiting.pop())) - seen
        seen |= new
        waiting.extend(new)
        yield from new


def _wrap_class(found: type) -> None:
    if found.__module__.startswith(_ELSEWHERE):
        return
    for name in _FITS:
        own = vars(found).get(name)
        if inspect.isfunction(own) and not getattr(own, "__keepwell__", False):
            patching.replace(NAME, found, name, _recorded)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        how = patching.active(NAME)
        if how is None or not _predicts(self):
            return original(self, *args, **kwargs)
        tags = {"estimator_name": type(self).__name__, "estimator_class": _full_name(self)}
        with training(NAME, type(self).__name__, tags) as done:
            data, target = _data(original, self, args, kwargs)
            with done.recording() as run:
                run.log_params(short_params(self.get_params(deep=True)))
                run.log_params({f"data_{name}": size for name, size in rows_and_columns(data).items()})
            result = original(self, *args, **kwargs)
            with done.recording() as run:
                run.log_metrics(_fit_metrics(self, data, target), step=0)
            with done.recording() as run:
                _search(run, self)
            if how.log_models:
                with done.recording() as run:
                    log_model(self, run=run, input_example=_example(data))
            return result

    return fit


def _predicts(estimator: Any) -> bool:
    """Tell whether an estimator predicts; one that only transforms is a part of something else.

    One that hands over to a model which it fits first (stacking) has no `predict` before.
    """
    from sklearn.base import is_classifier, is_regressor

    try:
        if hasattr(estimator, "predict") or hasattr(estimator, "fit_predict"):
            return True
        return hasattr(type(estimator), "predict") and (is_classifier(estimator) or is_regressor(estimator))
    except Exception:  # noqa: BLE001  (an estimator's own property)
        return False


def _data(original: Callable[..., Any], self: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return what is learned from and what is to be learned, whatever way they were handed over."""
    try:
        given = inspect.signature(original).bind(self, *args, **kwargs).arguments
    except (TypeError, ValueError):
        return None, None
    return given.get("X"), given.get("y", given.get("Y"))


def _full_name(estimator: Any) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def _fit_metrics(model: Any, data: Any, target: Any) -> dict[str, float]:
    """Return how well a model fits what it learned from, under the names that MLflow's clients use."""
    if data is None or target is None:
        return {}
    from sklearn import metrics
    from sklearn.base import is_classifier, is_regressor

    if is_regressor(model):
        predicted = model.predict(data)
        error = float(metrics.mean_squared_error(target, predicted))
        return {
            "training_mean_squared_error": error,
            "training_root_mean_squared_error": error**0.5,
            "training_mean_absolute_error": float(metrics.mean_absolute_error(target, predicted)),
            "training_r2_score": float(metrics.r2_score(target, predicted)),
        }
    if not is_classifier(model):
        return {}
    predicted = model.predict(data)
    options = {"average": "weighted", "zero_division": 0}
    found = {
        "training_accuracy_score": float(metrics.accuracy_score(target, predicted)),
        "training_precision_score": float(metrics.precision_score(target, predicted, **options)),
        "training_recall_score": float(metrics.recall_score(target, predicted, **options)),
        "training_f1_score": float(metrics.f1_score(target, predicted, **options)),
    }
    if hasattr(model, "predict_proba"):
        chances = model.predict_proba(data)
        found["training_log_loss"] = float(metrics.log_loss(target, chances, labels=model.classes_))
        if len(model.classes_) == 2:
            found["training_roc_auc"] = float(metrics.roc_auc_score(target, chances[:, 1]))
    return found


def _search(run: Any, model: Any) -> None:
    """Record what a search over parameters found."""
    results = getattr(model, "cv_results_", None)
    if not isinstance(results, Mapping):
        return
    run.log_params(short_params(getattr(model, "best_params_", {}), prefix="best_"))
    best = getattr(model, "best_score_", None)
    if best is not None:
        run.log_metric("best_cv_score", best, step=0)
    run.log_table({name: [_cell(v) for v in column] for name, column in results.items()}, "cv_results.json")


def _cell(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float | str) else str(value)


def _example(data: Any) -> Any:
    try:
        return data.head(3) if hasattr(data, "head") else data[:3]
    except Exception:  # noqa: BLE001  (whatever a user's table is)
        return None
