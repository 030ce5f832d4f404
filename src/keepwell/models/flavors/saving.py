"""Save a model: its files, and the MLmodel file that tells what they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepwell.core.errors import Conflict, InvalidInput
from keepwell.models.flavors import examples, known, mlmodel, places, requirements
from keepwell.models.flavors.model import Context, Written
from keepwell.models.signatures import Signature

FACTS = ("artifact_path", "model_id", "run_id", "utc_time_created", "model_uuid", "mlflow_version", "metadata")


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved model.

    Attributes:
        folder: where it is.
        files: path within the folder and size of every file, sorted.
        flavors: the formats it can be read in.
        signature: what it takes and gives.
        facts: what was found out when it was saved, such as whether its ONNX form holds.
    """

    folder: Path
    files: tuple[tuple[str, int], ...]
    flavors: tuple[str, ...]
    signature: Signature | None
    facts: Mapping[str, Any]


def save(
    model: Any,
    folder: Path | str,
    *,
    signature: Signature | None = None,
    input_example: Any = None,
    flavor: str | None = None,
    code: Mapping[str, Any] | None = None,
    onnx_rows: Any = None,
    facts: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Saved:
    """Save a model into a new folder, in the format of its library, as an MLmodel folder.

    Args:
        model: what to save.
        folder: where; it must not be there, or be empty.
        signature: what it takes and gives, from `signatures.infer`.
        input_example: a few rows, kept as JSON.
        flavor: the format's key; by default the one that is for the model's class.
        code: for a module of PyTorch, the arguments of its class as plain values.
        onnx_rows: real rows; a scikit-learn model is converted to ONNX as well, and kept in both forms when the two
            answer alike on these rows. The verdict is kept in any case.
        facts: of `FACTS`: where the model is logged, and the caller's own `metadata`.
        options: of the format: `predict` (scikit-learn: the method), `model_format` (XGBoost), `form="pt2"` (PyTorch).

    Raises:
        InvalidInput: the model cannot be kept, or an argument cannot be used.
        NotInstalled: the format's library is missing.
        Conflict: the folder is not empty.
    """
    place = Path(folder)
    chosen = known.flavor(flavor) if flavor is not None else known.of_model(model)
    requirements.demand(chosen.needs, f"The format {chosen.name!r}")
    unknown = set(facts or {}) - set(FACTS)
    if unknown:
        raise InvalidInput(f"A model has no fact {sorted(unknown)[0][:60]!r}.", where="facts")
    made = _make(place)
    try:
        written = chosen.save(model, Context(place, input_example, code or {}, options or {}))
        flavors = {chosen.name: dict(written.conf)}
        found = dict(written.facts)
        packages = list(written.packages)
        if onnx_rows is not None:
            flavors, found, packages = _onnx(model, place, onnx_rows, flavors, found, packages)
        _describe(place, flavors, written, packages, signature, input_example, {**(facts or {})}, found)
    except BaseException:
        _unmake(place, made)
        raise
    return Saved(place, tuple(places.files(place)), tuple(flavors), signature, found)


def _describe(
    place: Path,
    flavors: dict[str, dict[str, Any]],
    written: Written,
    packages: list[str],
    signature: Signature | None,
    example: Any,
    facts: dict[str, Any],
    found: Mapping[str, Any],
) -> None:
    texts = dict(requirements.texts(tuple(packages)))
    about: dict[str, Any] = dict(facts)
    if written.loader is not None:
        flavors["python_function"] = _python_function(written)
    if signature is not None:
        about["signature"] = signature.to_dict()
    if example is not None:
        about["saved_input_example_info"], more = examples.texts(example)
        texts |= more
    if found:
        about["keepwell"] = dict(found)
    texts[mlmodel.NAME] = mlmodel.text({**about, "flavors": flavors})
    for name, text in texts.items():
        _write(f"{place}/{name}", text.encode("utf-8", "surrogatepass"))


def _write(place: str, data: bytes) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
    finally:
        os.close(handle)


def _python_function(written: Written) -> dict[str, Any]:
    import platform

    data = (
        {} if written.data is None else {"data" if written.loader != "mlflow.sklearn" else "model_path": written.data}
    )
    return {
        **data,
        **written.function,
        "loader_module": written.loader,
        "python_version": platform.python_version(),
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
    }


def _onnx(
    model: Any,
    place: Path,
    rows: Any,
    flavors: dict[str, dict[str, Any]],
    found: dict[str, Any],
    packages: list[str],
) -> tuple[dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """Convert a scikit-learn model to ONNX, judge it on rows, and keep the form when it holds."""
    from keepwell.models.flavors import onnx, parity

    requirements.demand((("skl2onnx", "keepwell[models]"), *onnx.Onnx().needs), "The ONNX form")
    try:
        data, verdict = parity.to_onnx(model, rows)
    except InvalidInput as error:
        return flavors, {**found, "onnx": {"holds": False, "reason": error.message}}, packages
    if not verdict["holds"]:
        return flavors, {**found, "onnx": verdict}, packages
    (place / onnx.FILE).write_bytes(data)
    return {**flavors, "onnx": onnx.about()[0]}, {**found, "onnx": verdict}, [*packages, "onnx", "onnxruntime"]


def _make(place: Path) -> bool:
    try:
        place.mkdir(parents=True)
    except FileExistsError:
        if not place.is_dir() or any(place.iterdir()):
            raise Conflict(f"The folder {place.name!r} is not empty; save into a new one.", where="folder") from None
        return False
    return True


def _unmake(place: Path, made: bool) -> None:
    """Leave nothing half-saved behind."""
    if made:
        shutil.rmtree(place, ignore_errors=True)
        return
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
