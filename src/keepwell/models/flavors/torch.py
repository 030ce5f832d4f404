"""PyTorch: weights in safetensors beside the name of the class and its arguments; or an exported program (pt2).

A class is imported only where the policy names its module (`torch.nn` is allowed in any case). An exported program is
read by a copy without its pickled parts, and only with operators and expressions that are known to be data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.errors import Damaged, Denied, InvalidInput
from keepwell.models.flavors import code, content, exported, frames, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written

WEIGHTS = "model.safetensors"
PROGRAM = "model.pt2"
OWN = "keepwell_torch"


class Torch:
    """Modules of PyTorch."""

    name = "pytorch"
    needs = (("torch", "keepwell[neural]"),)

    def claims(self, model: object) -> bool:
        """Tell whether it is a module or an exported program."""
        return any(
            (t.__module__, t.__name__) == ("torch.nn.modules.module", "Module")
            or (t.__module__.startswith("torch.export") and t.__name__ == "ExportedProgram")
            for t in type(model).__mro__
        )

    def save(self, model: Any, context: Context) -> Written:
        """Write an exported program where the model is one or `form="pt2"` is asked; safetensors otherwise."""
        import torch

        data = context.folder / "data"
        if not isinstance(model, torch.nn.Module):
            return self._program(model, data)
        if context.options.get("form") == "pt2":
            return self._program(_export(model, context.example), data)
        from safetensors.torch import save_model

        reference = code.address(type(model))
        arguments = dict(context.code)
        _rebuilt(type(model), arguments, model)
        save_model(model, os.fspath(context.folder / WEIGHTS))
        conf = {
            "pytorch_version": torch.__version__,
            "class": reference,
            "arguments": arguments,
            "weights": WEIGHTS,
            "source_digest": code.digest(code.source(type(model))),
            "keepwell_format": "safetensors",
        }
        return Written(conf, WEIGHTS, None, ("torch", "safetensors"))

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say whether it is safetensors, an exported program that is all data, or a pickle."""
        if "class" in conf:
            name = str(conf.get("weights", WEIGHTS))
            kind = content.kind_of(places.inside(folder, name))
            if kind != "safetensors":
                raise Damaged(f"{name} is not safetensors; nothing else is read in its place.")
            reference = code.check(conf["class"])
            return Judged("code", name, f"it is the class {reference}", (reference,))
        name = _program_name(folder, conf)
        kind = content.kind_of(places.inside(folder, name))
        if kind == "pt2":
            exported.check(places.inside(folder, name))
            return Judged("safe", name)
        return Judged(
            "unsafe", name, f"{name} is a pickle ({'TorchScript or torch.save' if kind == 'torch' else kind})"
        )

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the module, ready to predict."""
        import torch

        if "class" in conf:
            return _module(folder, conf, policy)
        place = places.inside(folder, _program_name(folder, conf))
        if content.kind_of(place) == "pt2":
            return exported.load(place)
        if not policy.pickle:
            raise Denied(f"{place.name} is a pickle, which can run code when it is loaded.", where="policy")
        try:
            # in a process of its own, where the environment's policy allows it
            model = torch.load(place, map_location="cpu", weights_only=False)
        except RuntimeError as error:
            raise Damaged(f"torch cannot read {place.name}: {str(error)[:200]}") from error
        return model.eval() if hasattr(model, "eval") else model

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the module's answer as numpy; tables become one matrix of float32."""
        import torch

        if params:
            raise InvalidInput("PyTorch models know no params.", where="params")
        with torch.no_grad():
            if isinstance(data, Mapping) and all(isinstance(v, np.ndarray) for v in data.values()):
                answer = model(**{name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in data.items()})
            else:
                rows = frames.matrix(data) if not isinstance(data, np.ndarray) else data
                given = rows.astype(np.float32, copy=False) if rows.dtype == np.float64 else rows
                answer = model(torch.from_numpy(np.ascontiguousarray(given)))
        return _plain(answer)

    def _program(self, program: Any, data: Path) -> Written:
        import torch

        data.mkdir()
        torch.export.save(program, data / PROGRAM)
        exported.check(data / PROGRAM)
        conf = {
            "model_data": "data",
            "pytorch_version": torch.__version__,
            "serialization_format": "pt2",
            "code": None,
        }
        more = {"pickle_module_name": "mlflow.pytorch.pickle_module", "config": {"device": None}}
        return Written(conf, "data", "mlflow.pytorch", ("torch",), more)


def _program_name(folder: Path, conf: Mapping[str, Any]) -> str:
    data = str(conf.get("model_data", "data"))
    names = {entry.name for entry in places.inside(folder, data).iterdir()}
    return f"{data}/{PROGRAM if PROGRAM in names else 'model.pth'}"


def _module(folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    kind = code.find(conf["class"], policy, builtin=("torch.nn",))
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise Denied(f"{conf['class']} is no module of PyTorch.", where="class")
    arguments = conf.get("arguments") or {}
    if not isinstance(arguments, Mapping):
        raise InvalidInput("The arguments of the model's class are no mapping.", where="arguments")
    try:
        model = kind(**arguments)
        load_model(model, os.fspath(places.inside(folder, conf.get("weights", WEIGHTS))))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise Damaged(f"The weights do not fit {conf['class']}: {str(error).splitlines()[0][:300]}") from error
    return model.eval()


def _rebuilt(kind: type, arguments: Mapping[str, Any], model: Any) -> None:
    """Make sure that the class and its arguments give a module that takes these weights.

    Raises:
        InvalidInput: they do not.
    """
    try:
        json.dumps(arguments, allow_nan=False)
        again = kind(**arguments)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"{kind.__name__} cannot be made from these arguments: {str(error)[:200]}; "
            "give its init arguments as plain values with code={...}, or save an exported program with form='pt2'.",
            where="code",
        ) from None
    here = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if here != {name: tuple(value.shape) for name, value in again.state_dict().items()}:
        raise InvalidInput(
            f"{kind.__name__} made from these arguments has other weights; give its init arguments with code={{...}}.",
            where="code",
        )


def _export(model: Any, example: Any) -> Any:
    import torch

    if example is None:
        raise InvalidInput("An exported program needs an input example of two rows or more.", where="input_example")
    rows = torch.from_numpy(np.ascontiguousarray(frames.matrix(example).astype(np.float32)))
    if len(rows) < 2:
        raise InvalidInput("An exported program needs an input example of two rows or more.", where="input_example")
    return torch.export.export(model.eval(), (rows,), dynamic_shapes=({0: torch.export.Dim("rows")},))


def _plain(answer: Any) -> Any:
    if isinstance(answer, Mapping):
        return {str(name): _plain(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [_plain(value) for value in answer]
    return answer.detach().cpu().numpy() if hasattr(answer, "detach") else answer
