"""The formats there are, in the order in which they are asked; a format's file is imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from keepwell.core.errors import InvalidInput, NotSupported
from keepwell.models.flavors.model import Flavor

KNOWN = {
    "lightgbm": ("keepwell.models.flavors.lightgbm", "LightGBM"),
    "xgboost": ("keepwell.models.flavors.xgboost", "XGBoost"),
    "sklearn": ("keepwell.models.flavors.sklearn", "Sklearn"),
    "tensorflow": ("keepwell.models.flavors.keras", "Keras"),  # before torch: on torch, a model is both
    "pytorch": ("keepwell.models.flavors.torch", "Torch"),
    "onnx": ("keepwell.models.flavors.onnx", "Onnx"),
    "keepwell_function": ("keepwell.models.flavors.function", "Function"),
    "python_function": ("keepwell.models.flavors.pyfunc", "PyFunc"),
}
_KEPT: dict[str, Flavor] = {}


def flavor(name: str) -> Flavor:
    """Return a format by its key.

    Raises:
        NotSupported: there is none of that key.
    """
    if name not in KNOWN:
        there = ", ".join(key for key in KNOWN if key != "python_function")
        raise NotSupported(f"There is no model format {name[:60]!a}; there are {there}.")
    if name not in _KEPT:
        module, kind = KNOWN[name]
        _KEPT[name] = getattr(importlib.import_module(module), kind)()
    return _KEPT[name]


def of_model(model: object) -> Flavor:
    """Return the format that saves a model.

    Raises:
        InvalidInput: none does.
    """
    for name in KNOWN:
        if flavor(name).claims(model):
            return flavor(name)
    kind = type(model)
    raise InvalidInput(
        f"No format keeps a {kind.__module__}.{kind.__qualname__}; "
        "give a model of a known library, an ONNX model, or a function of a module.",
        where="model",
    )


def of_folder(flavors: Mapping[str, Any]) -> tuple[Flavor, Mapping[str, Any]]:
    """Return the format that reads a folder, and its part of the MLmodel file.

    Raises:
        NotSupported: none does.
    """
    for name in KNOWN:
        if name in flavors:
            return flavor(name), flavors[name]
    raise NotSupported(f"The folder is of the formats {', '.join(map(str, flavors))[:200]}, and none is known here.")
