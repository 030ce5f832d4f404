"""`python_function` folders of MLflow's clients that no other format here reads: they hold code, as files or a pickle.

They load in a worker only, where the policy allows pickles: code files of the folder are put on that process' path,
and MLflow itself is asked where the folder needs it and it is installed there.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepwell.core.errors import Denied, NotInstalled, NotSupported
from keepwell.models.flavors import places
from keepwell.models.flavors.code import allowed
from keepwell.models.flavors.model import Context, Judged, Policy, Written


class PyFunc:
    """Whatever MLflow can load as `python_function`."""

    name = "python_function"
    needs: tuple[tuple[str, str], ...] = ()

    def claims(self, model: object) -> bool:
        """Save nothing in this format: it keeps models as pickles."""
        return False

    def save(self, model: Any, context: Context) -> Written:
        """Refuse."""
        raise NotSupported("This format keeps models as pickles; save a function of a module, or one of the formats.")

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say what of the folder would run."""
        loader = str(conf.get("loader_module"))[:200]
        model = conf.get("python_model") or conf.get("model_code_path") or conf.get("model_path") or conf.get("data")
        name = Path(str(model)).name if conf.get("model_code_path") else str(model or "MLmodel")
        places.inside(folder, name)
        what = "a pickle" if conf.get("python_model") else "code in the model's folder"
        if not conf.get("python_model") and not conf.get("model_code_path"):
            what = f"loaded by the module {loader}"
        return Judged("unsafe", name, f"{name} is {what}", (loader,))

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return what the folder's loader makes. Only a worker gets here, and only where the policy allows it."""
        if not policy.pickle:
            raise Denied("This folder holds code.", where="policy")
        loader = str(conf.get("loader_module"))
        if conf.get("code"):
            sys.path.insert(0, os.fspath(places.inside(folder, conf["code"])))
        if allowed(loader, ("mlflow",)):
            try:
                import mlflow.pyfunc
            except ImportError:
                raise NotInstalled(f"This folder is loaded by {loader}, and mlflow is not installed.") from None
            return mlflow.pyfunc.load_model(os.fspath(folder))
        data = conf.get("model_path") or conf.get("data")
        place = places.inside(folder, data) if data else folder
        return importlib.import_module(loader)._load_pyfunc(os.fspath(place))

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the model's answer; MLflow's own models are given pandas tables."""
        return model.predict(_pandas(data), **({"params": dict(params)} if params else {}))


def _pandas(data: Any) -> Any:
    """Return a polars table as pandas, where that is installed: what such models were written for."""
    if type(data).__module__.split(".")[0] != "polars":
        return data
    try:
        import pandas
    except ImportError:
        return data
    return pandas.DataFrame(data.to_dict(as_series=False))
