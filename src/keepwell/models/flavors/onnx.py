"""ONNX: run by ONNX Runtime, from bytes; a model whose weights lie in other files is refused (they are paths)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.errors import Damaged, InvalidInput
from keepwell.models.flavors import content, frames, places
from keepwell.models.flavors.model import Context, Judged, Policy, Written
from keepwell.models.signatures.tables import as_table

FILE = "model.onnx"
MAX_BYTES = (2 << 30) - 1
"""A protobuf message cannot be larger; what is, has its weights in other files."""
DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(int32)": "int32",
    "tensor(bool)": "bool", "tensor(float16)": "float16", "tensor(uint8)": "uint8", "tensor(int8)": "int8",
    "tensor(string)": "object",
}  # fmt: skip


class Onnx:
    """Models in ONNX."""

    name = "onnx"
    needs = (("onnx", "keepwell[models]"), ("onnxruntime", "keepwell[models]"))

    def claims(self, model: object) -> bool:
        """Tell whether it is a model in ONNX's protobuf."""
        return type(model).__name__ == "ModelProto" and type(model).__module__.split(".")[0] == "onnx"

    def save(self, model: Any, context: Context) -> Written:
        """Write the model into one file; weights in other files are refused before a path of theirs is opened."""
        data = check(model.SerializeToString(), "This model")
        (context.folder / FILE).write_bytes(data)
        return Written(*about(), packages=("onnx", "onnxruntime"))

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say that it is data; whether it is ONNX is found when it is read."""
        name = str(conf.get("data", FILE))
        kind = content.kind_of(places.inside(folder, name))
        if kind in ("pickle", "compressed"):
            return Judged("unsafe", name, f"{name} is a pickle")
        return Judged("safe", name)

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return an ONNX Runtime session, on the processor."""
        place = places.inside(folder, conf.get("data", FILE))
        return session(check(places.read(place, MAX_BYTES), place.name))

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the outputs by name; of a model with one output, that output."""
        if params:
            raise InvalidInput("ONNX models know no params.", where="params")
        answers = model.run(None, feeds(model, data))
        names = [output.name for output in model.get_outputs()]
        return answers[0] if len(names) == 1 else dict(zip(names, answers, strict=True))


def about() -> tuple[dict[str, Any], str, str]:
    """Return the part of the MLmodel file, the file and the loader of an ONNX model."""
    import onnx

    conf = {
        "onnx_version": onnx.__version__,
        "data": FILE,
        "providers": ["CPUExecutionProvider"],
        "onnx_session_options": None,
        "code": None,
    }
    return conf, FILE, "mlflow.onnx"


def check(data: bytes, what: str) -> bytes:
    """Return the bytes of a model that is whole in itself.

    Raises:
        Damaged: it is not ONNX.
        InvalidInput: weights lie in other files.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{what} is too large for one ONNX file.", where="model")
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, TypeError) as error:
        raise Damaged(f"{what} is not ONNX.") from error
    if not model.graph.node and not model.graph.output:
        raise Damaged(f"{what} is not ONNX: it has no graph.")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise InvalidInput(
                f"{what} keeps weights in other files, which are paths that a model must not name; "
                "save it with all its data in one file.",
                where="model",
            )
    return data


def session(data: bytes) -> Any:
    """Return an ONNX Runtime session of a checked model.

    Raises:
        Damaged: ONNX Runtime cannot use it.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, RuntimeError) as error:
        raise Damaged(f"ONNX Runtime cannot use this model: {str(error).splitlines()[0][:300]}") from error


def feeds(model: Any, data: Any) -> dict[str, Any]:
    """Return the arrays that a session is fed with: one matrix, or an array for each input.

    Raises:
        InvalidInput: an input is missing or of the wrong kind.
    """
    inputs = model.get_inputs()
    if isinstance(data, Mapping) and {i.name for i in inputs} <= set(data):
        return {i.name: _fit(np.asarray(data[i.name]), i) for i in inputs}
    table = None if isinstance(data, np.ndarray) else as_table(data)
    if len(inputs) == 1:
        return {inputs[0].name: _fit(frames.matrix(data) if table is not None else np.asarray(data), inputs[0])}
    if table is None:
        raise InvalidInput(f"The model takes the inputs {', '.join(i.name for i in inputs)} by name.", where="input")
    places_of = {_cleaned(name): name for name in reversed(table.names)}
    absent = [i.name for i in inputs if i.name not in table.names and i.name not in places_of]
    if absent:
        raise InvalidInput(f"The input lacks the column {absent[0]!r}.", where="input")
    chosen = {i: i.name if i.name in table.names else places_of[i.name] for i in inputs}
    return {i.name: _fit(np.asarray(table.column(name)).reshape(-1, 1), i) for i, name in chosen.items()}


def _cleaned(name: str) -> str:
    """Return a column's name as skl2onnx writes it: letters, digits and underscores."""
    return "".join(c if c.isalnum() else "_" for c in name)


def _fit(array: Any, wanted: Any) -> Any:
    dtype = DTYPES.get(wanted.type)
    if dtype is None:
        raise InvalidInput(f"The model's input {wanted.name!r} is of the type {wanted.type}, which is not offered.")
    if dtype != "object" and array.dtype.kind not in "biuf":
        raise InvalidInput(f"The model's input {wanted.name!r} takes numbers.", where="input")
    if len(wanted.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    return array.astype(dtype, copy=False)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of a model: of graphs, of attributes, of graphs within attributes, of functions."""
    import onnx

    waiting: list[Any] = [model.graph, *model.functions, *(t.initialization for t in model.training_info)]
    waiting += [t.algorithm for t in model.training_info]
    while waiting:
        part = waiting.pop()
        if isinstance(part, onnx.GraphProto):
            yield from part.initializer
            for sparse in part.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)
                waiting += [graph for graph in (attribute.g, *attribute.graphs) if graph.node or graph.initializer]
