"""LightGBM: boosters as its own text; its scikit-learn estimators by skops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.errors import Damaged, InvalidInput
from keepwell.models.flavors import content, frames, places, sklearn
from keepwell.models.flavors.model import Context, Judged, Policy, Written

BOOSTER = "lightgbm.basic.Booster"
FILE = "model.lgb"


class LightGBM:
    """Boosters and estimators of LightGBM."""

    name = "lightgbm"
    needs = (("lightgbm", "keepwell[forecast]"),)

    def claims(self, model: object) -> bool:
        """Tell whether it is a booster or an estimator of LightGBM."""
        return any(
            f"{t.__module__}.{t.__name__}" in (BOOSTER, "lightgbm.sklearn.LGBMModel") for t in type(model).__mro__
        )

    def save(self, model: Any, context: Context) -> Written:
        """Write a booster as text, an estimator by skops."""
        import lightgbm

        conf: dict[str, Any] = {"lgb_version": lightgbm.__version__, "code": None, "data": FILE, "model_class": BOOSTER}
        packages: tuple[str, ...] = ("lightgbm",)
        if isinstance(model, lightgbm.Booster):
            text = model.model_to_string()
            (context.folder / FILE).write_text(text, encoding="utf-8")
            conf |= {"serialization_format": "skops", "skops_trusted_types": None}
        else:
            named = sklearn.dump(model, context)
            kind = type(model)
            conf |= {
                "data": sklearn.FILE,
                "model_class": f"{kind.__module__}.{kind.__name__}",
                "serialization_format": "skops",
                "skops_trusted_types": named,
            }
            packages = ("lightgbm", "scikit-learn", "skops")
        return Written(conf, str(conf["data"]), "mlflow.lightgbm", packages)

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say whether it is LightGBM's text, or a skops file."""
        name = str(conf.get("data", FILE))
        if content.kind_of(places.inside(folder, name)) == "lightgbm":
            return Judged("safe", name)
        return sklearn.judge(folder, name)

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the booster or the estimator."""
        place = places.inside(folder, conf.get("data", FILE))
        if content.kind_of(place) != "lightgbm":
            return sklearn.load(place, policy, str(conf.get("serialization_format")))
        import lightgbm

        try:
            text = place.read_text(encoding="utf-8")
            if "\nend of trees\n" not in text or "\nend of parameters\n" not in text:
                raise ValueError("it is cut short")
            return lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
            raise Damaged(f"LightGBM cannot read {place.name}: {str(error)[:200]}") from error

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return what the booster or estimator predicts."""
        unknown = set(params) - {"raw_score", "start_iteration", "num_iteration", "pred_leaf", "pred_contrib"}
        if unknown:
            raise InvalidInput(f"LightGBM knows no {sorted(unknown)[0][:40]!r} at a prediction.", where="params")
        names = model.feature_name() if callable(getattr(model, "feature_name", None)) else list(model.feature_name_)
        rows = data if getattr(model, "pandas_categorical", None) else frames.matrix(data, names)
        if hasattr(model, "feature_names_in_") and isinstance(rows, np.ndarray) and rows.shape[1] == len(names):
            rows = _named(rows, names)
        return model.predict(rows, **params)


def _named(rows: Any, names: list[str]) -> Any:
    """Return a matrix with its columns' names, for an estimator that was fitted with names and warns without."""
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=names)
