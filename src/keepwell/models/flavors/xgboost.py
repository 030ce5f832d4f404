"""XGBoost: boosters and estimators in its own UBJSON or JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepwell.core.errors import Damaged, Denied, InvalidInput
from keepwell.models.flavors import content, frames, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written

CLASSES = {
    "xgboost.core.Booster": "Booster",
    "xgboost.sklearn.XGBModel": "XGBModel",
    "xgboost.sklearn.XGBClassifier": "XGBClassifier",
    "xgboost.sklearn.XGBRegressor": "XGBRegressor",
    "xgboost.sklearn.XGBRanker": "XGBRanker",
    "xgboost.sklearn.XGBRFClassifier": "XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor": "XGBRFRegressor",
}
"""The classes that a folder may name; nothing else is looked up."""


class XGBoost:
    """Boosters and estimators of XGBoost."""

    name = "xgboost"
    needs = (("xgboost", "keepwell[xgboost]"),)

    def claims(self, model: object) -> bool:
        """Tell whether it is one of XGBoost's own classes."""
        return f"{type(model).__module__}.{type(model).__name__}" in CLASSES

    def save(self, model: Any, context: Context) -> Written:
        """Write the model in UBJSON, or in JSON when asked."""
        import xgboost

        form = str(context.options.get("model_format", "ubj"))
        if form not in ("ubj", "json"):
            raise InvalidInput("XGBoost models are kept as 'ubj' or 'json'.", where="model_format")
        name = f"model.{form}"
        model.save_model(os.fspath(context.folder / name))
        conf = {
            "xgb_version": xgboost.__version__,
            "data": name,
            "model_class": f"{type(model).__module__}.{type(model).__name__}",
            "model_format": form,
            "code": None,
        }
        packages = ("xgboost",) if isinstance(model, xgboost.Booster) else ("xgboost", "scikit-learn")
        return Written(conf, name, "mlflow.xgboost", packages)

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say whether it is XGBoost's JSON or UBJSON, and of a known class."""
        name = str(conf.get("data"))
        kind = content.kind_of(places.inside(folder, name))
        if str(conf.get("model_class", "xgboost.core.Booster")) not in CLASSES:
            raise Denied("This folder names a class that is none of XGBoost's own.", where="model_class")
        if kind in ("json", "ubj"):
            return Judged("safe", name)
        if kind in ("pickle", "compressed"):
            return Judged("unsafe", name, f"{name} is a pickle")
        raise Damaged(f"{name} is neither UBJSON nor JSON; save the model anew with XGBoost 2 or newer.")

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the booster or the estimator."""
        import xgboost

        place = places.inside(folder, conf.get("data"))
        if content.kind_of(place) not in ("json", "ubj"):
            raise Denied("XGBoost models are loaded from UBJSON and JSON only.", where="policy")
        model = getattr(xgboost, CLASSES[str(conf.get("model_class", "xgboost.core.Booster"))])()
        try:
            model.load_model(os.fspath(place))
        except (xgboost.core.XGBoostError, ValueError, TypeError, KeyError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise Damaged(f"XGBoost cannot read {place.name}: {first[:200]}") from error
        return model

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return what the booster or estimator predicts."""
        import xgboost

        unknown = set(params) - {"output_margin", "iteration_range", "pred_leaf", "pred_contribs"}
        if unknown:
            raise InvalidInput(f"XGBoost knows no {sorted(unknown)[0][:40]!r} at a prediction.", where="params")
        booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
        rows = frames.matrix(data, booster.feature_names)
        if not isinstance(model, xgboost.Booster):
            return model.predict(rows, **params)
        return model.predict(xgboost.DMatrix(rows, feature_names=booster.feature_names), **params)
