"""Whether a conversion answers as the model it was made of does, on given rows: the verdict that is kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keepwell.core.errors import Damaged, InvalidInput
from keepwell.models.flavors import frames, onnx
from keepwell.models.signatures.tables import as_table

TOLERANCE = 1e-5
MIN_ROWS = 10


def to_onnx(model: Any, rows: Any, tolerance: float = TOLERANCE) -> tuple[bytes, dict[str, Any]]:
    """Convert a scikit-learn model, and compare the two on rows.

    Args:
        model: a fitted estimator or pipeline.
        rows: real rows, at least 10: a table or a matrix.
        tolerance: largest difference of a prediction, relative to the spread of the predictions.

    Returns:
        The ONNX bytes, and the verdict: rows compared, largest difference, share of equal labels, whether it holds.

    Raises:
        InvalidInput: the model cannot be converted, or there are too few rows.
    """
    found: list[tuple[bytes, dict[str, Any]]] = []
    reasons: list[str] = []
    for types in _types(rows):
        try:
            data = _converted(model, types)
            found.append((data, verdict(model, onnx.session(onnx.check(data, "The conversion")), rows, tolerance)))
        except (InvalidInput, Damaged) as error:
            reasons.append(error.message)
            continue
        if found[-1][1]["holds"]:
            return found[-1]
    if not found:
        raise InvalidInput(reasons[-1], where="model")
    return min(found, key=lambda one: (-one[1]["equal"], one[1]["largest"]))


def _converted(model: Any, types: list[tuple[str, Any]]) -> bytes:
    import skl2onnx
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    try:
        made = skl2onnx.to_onnx(model, initial_types=types, options=_options(model))
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, TypeError, ValueError,
            KeyError, IndexError, AttributeError) as error:  # fmt: skip
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidInput(f"This model has no form in ONNX: {first[:200]}", where="model") from error
    data: bytes = made.SerializeToString()
    return data


def verdict(model: Any, session: Any, rows: Any, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Compare a model with its conversion on rows.

    Returns:
        `rows`; `largest`: the largest difference of a number, relative to the spread; `equal`: the share of equal
        labels; `tolerance`; `holds`: every label equal and no number differs by more than the tolerance.

    Raises:
        InvalidInput: there are too few rows.
    """
    table = frames.table(rows)
    count = len(table)
    if count < MIN_ROWS:
        raise InvalidInput(f"Parity is judged on at least {MIN_ROWS} rows; there are {count}.", where="rows")
    answers = session.run(None, onnx.feeds(session, rows))
    use = table if hasattr(model, "feature_names_in_") or not hasattr(table, "columns") else frames.matrix(table)
    wanted = np.asarray(model.predict(use))
    found = np.asarray(answers[0]).reshape(wanted.shape)
    classes = getattr(model, "classes_", None)
    if classes is None:
        largest, equal = difference(wanted, found), 1.0
    else:
        equal = float((wanted.astype(str) == found.astype(str)).mean())
        both = len(answers) > 1 and hasattr(model, "predict_proba")
        largest = difference(np.asarray(model.predict_proba(use)), np.asarray(answers[1])) if both else 0.0
    holds = bool(equal == 1.0 and largest <= tolerance)
    return {"rows": count, "largest": largest, "equal": equal, "tolerance": tolerance, "holds": holds}


def difference(wanted: Any, found: Any) -> float:
    """Return the largest difference of two arrays, relative to the spread of the first; infinity where one is NaN."""
    left, right = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
    if left.shape != right.shape or (np.isnan(left) != np.isnan(right)).any():
        return float("inf")
    gaps = np.abs(left - right)
    spread = float(np.nanmax(left) - np.nanmin(left)) if left.size else 0.0
    return float(np.nanmax(gaps)) / (spread or 1.0) if left.size and not np.isnan(gaps).all() else 0.0


def _types(rows: Any) -> list[list[tuple[str, Any]]]:
    """Return the inputs that a conversion may have, the likeliest first: one matrix of numbers, or a column each."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    kinds: Mapping[str, Any] = {
        "integer": Int64TensorType,
        "long": Int64TensorType,
        "boolean": Int64TensorType,
        "float": FloatTensorType,
        "double": DoubleTensorType,
        "string": StringTensorType,
    }
    table = None if isinstance(rows, np.ndarray) else as_table(rows)
    if table is None:
        width = frames.matrix(rows).shape[1]
        return [[("X", DoubleTensorType([None, width]))], [("X", FloatTensorType([None, width]))]]
    held = {name: table.kind(name) for name in table.names}
    unknown = next((name for name, kind in held.items() if not isinstance(kind, str) or kind not in kinds), None)
    if unknown is not None:
        raise InvalidInput(f"The column {unknown!r} has no form in ONNX.", where="rows")
    apart = [(name, kinds[str(kind)]([None, 1])) for name, kind in held.items()]
    if "string" in held.values():
        return [apart]
    width = len(held)
    return [[("X", DoubleTensorType([None, width]))], [("X", FloatTensorType([None, width]))], apart]


def _options(model: Any) -> dict[Any, Any] | None:
    """Ask for probabilities as one array where the model is a classifier."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else None
