"""A plain Python function: kept as its importable name and its source, never as bytes that run.

Loading imports it, so the policy must name its module; when its source is no longer what it was, it is refused.
MLflow's clients load the folder as a model from code: a few lines that import the function.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepwell.core.errors import Conflict, Damaged, InvalidInput
from keepwell.models.flavors import code, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written

SOURCE = "function_source.py"
SCRIPT = "model_code.py"
MAX_SOURCE = 4 << 20


class Function:
    """Functions of an importable module."""

    name = "keepwell_function"
    needs: tuple[tuple[str, str], ...] = ()

    def claims(self, model: object) -> bool:
        """Tell whether it is a function."""
        return inspect.isfunction(model)

    def save(self, model: Any, context: Context) -> Written:
        """Write the function's name and the source of its module."""
        reference = code.address(model)
        text = code.source(model)
        module, name = reference.split(":")
        (context.folder / SOURCE).write_text(text, encoding="utf-8")
        with_params = len(inspect.signature(model).parameters) > 1
        conf = {
            "function": reference,
            "source": SOURCE,
            "source_digest": code.digest(text),
            "params": with_params,
        }
        (context.folder / SCRIPT).write_text(_script(module, name, with_params), encoding="utf-8")
        more = {"model_code_path": SCRIPT}
        return Written(conf, None, "mlflow.pyfunc.loaders.code_model", tuple(context.options.get("packages", ())), more)

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say that it names code; its recorded source must be what its digest says."""
        reference = code.check(conf.get("function"))
        recorded = places.read(places.inside(folder, conf.get("source", SOURCE)), MAX_SOURCE)
        if code.digest(recorded.decode("utf-8", "replace")) != conf.get("source_digest"):
            raise Damaged("The recorded source of the function is not what its digest says.")
        return Judged("code", str(conf.get("source", SOURCE)), f"it is the function {reference}", (reference,))

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Import the function, and compare its source with what was recorded."""
        found = code.find(conf.get("function"), policy)
        if not inspect.isfunction(found):
            raise InvalidInput(f"{conf.get('function')} is no function of a module.", where="function")
        if code.digest(code.source(found)) != conf.get("source_digest"):
            raise Conflict(
                f"The source of {conf.get('function')} has changed since the model was saved; "
                f"use the code it was saved with ({SOURCE} in the model's folder), or save it anew.",
                code="code_changed",
            )
        return found

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Call the function with the data, and with the params where there are some."""
        return model(data, **params) if params else model(data)


def _script(module: str, name: str, with_params: bool) -> str:
    top = name.split(".")[0]
    call = f"{name}(model_input, **(params or {{}}))" if with_params else f"{name}(model_input)"
    return (
        f"# Lets MLflow's clients use the function {json.dumps(f'{module}:{name}')}.\n"
        f"import mlflow\nfrom {module} import {top}\n\n\n"
        "class Model(mlflow.pyfunc.PythonModel):\n"
        f"    def predict(self, context, model_input, params=None):\n        return {call}\n\n\n"
        "mlflow.models.set_model(Model())\n"
    )
