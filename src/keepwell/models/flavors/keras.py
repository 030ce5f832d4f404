"""Keras: `.keras` files in safe mode, where Keras is installed.

A configuration may name any class of any module, and could switch safe mode off before it is checked: only Keras' own
layers are let through here, before Keras sees the file. HDF5 files (`.h5`) and SavedModel folders hold code and load
only in a worker, where the policy allows it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keepwell import settings
from keepwell.core.errors import Damaged, Denied, InvalidInput
from keepwell.models.flavors import content, frames, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written

FILE = "model.keras"
FORBIDDEN = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TextVectorization",
                       "StringLookup", "IntegerLookup", "IndexLookup"})  # fmt: skip
"""Layers of Keras' own that run code or read files that the configuration names."""
_MODULES = frozenset({
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.optimizers", "keras.losses",
    "keras.metrics",
})  # fmt: skip
_BACKENDS = ("tensorflow", "torch", "jax")
"""What Keras computes with, in its own order."""
_CLASSES = frozenset({"Sequential", "Functional", "Model", "DTypePolicy"})
"""What `keras` and `keras.src.models` themselves may be asked for."""


class Keras:
    """Models of Keras 3."""

    name = "tensorflow"
    needs = (("keras", "keras"),)

    def claims(self, model: object) -> bool:
        """Tell whether it is a model of Keras."""
        return any(t.__module__.startswith("keras.") and t.__name__ == "Model" for t in type(model).__mro__)

    def save(self, model: Any, context: Context) -> Written:
        """Write a `.keras` file; layers that would not be loaded again are refused now."""
        keras = _keras()
        data = context.folder / "data"
        data.mkdir()
        model.save(os.fspath(data / FILE))
        check(data / FILE)
        (data / "save_format.txt").write_text("keras", encoding="utf-8")
        (data / "keras_module.txt").write_text("keras", encoding="utf-8")
        conf = {
            "data": "data",
            "model_type": "keras",
            "keras_version": keras.__version__,
            "save_format": "keras",
            "code": None,
        }
        return Written(conf, "data", "mlflow.tensorflow", ("keras", "tensorflow"))

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say whether it is a `.keras` file of Keras' own layers."""
        name = f"{conf.get('data', 'data')}/{FILE}"
        if not ((folder / name).exists() or (folder / name).is_symlink()):
            return Judged(
                "unsafe", str(conf.get("data", "data")), "it is a SavedModel or HDF5 file, which can hold code"
            )
        place = places.inside(folder, name)
        if content.kind_of(place) != "keras":
            return Judged("unsafe", name, f"{name} is no .keras archive")
        check(place)
        return Judged("safe", name)

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the model, loaded in safe mode."""
        keras = _keras()
        place = places.inside(folder, f"{conf.get('data', 'data')}/{FILE}")
        check(place)
        return keras.models.load_model(os.fspath(place), safe_mode=True, compile=False)

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the model's answer as numpy."""
        if params:
            raise InvalidInput("Keras models know no params.", where="params")
        if isinstance(data, Mapping) and all(isinstance(v, np.ndarray) for v in data.values()):
            given: Any = dict(data)
        else:
            given = frames.matrix(data).astype("float32")
        return np.asarray(_keras().ops.convert_to_numpy(model(given)))


def _keras() -> Any:
    """Return Keras, on its own default where that is installed, else on the first other library that is."""
    if "keras" not in sys.modules:
        there = next((name for name in _BACKENDS if importlib.util.find_spec(name) is not None), None)
        if there is not None:
            settings.default_variable("KERAS_BACKEND", there)
    return importlib.import_module("keras")


def check(place: Path) -> None:
    """Let a `.keras` file pass whose configuration names Keras' own layers only.

    Raises:
        Damaged: the archive is not whole.
        Denied: it names anything else.
    """
    with content.Archive(place) as archive:
        content.check_arrays(archive, place.name)
        try:
            config = json.loads(archive.read("config.json"))
        except (ValueError, RecursionError):
            raise Damaged("The Keras file has no readable configuration.") from None
        extra = [name for name in archive.sizes if name.startswith("assets/")]
    if extra:
        raise Denied("This Keras file brings files for its layers, which are not read.", where="policy")
    for node in _nodes(config):
        _check(node)


def _check(node: Mapping[str, Any]) -> None:
    if "class_name" not in node and "registered_name" not in node:
        return
    name, module = str(node.get("class_name")), node.get("module")
    registered = node.get("registered_name")
    if module is None:
        known = name in ("__keras_tensor__", "__tuple__", "__ellipsis__", "__slice__", "__bytes__", "__numpy__")
    else:
        of_keras = module == "keras" or str(module).startswith("keras.src.models.")
        known = module in _MODULES or (of_keras and name in _CLASSES)
    if not known or name in FORBIDDEN or registered not in (None, name):
        raise Denied(f"This Keras file names {str(module)[:60]}.{name[:60]}, which is no plain layer.", where="policy")
    if isinstance(node.get("config"), str) and "." in node["config"]:
        raise Denied(f"This Keras file names the function {node['config'][:80]!a}.", where="policy")


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
