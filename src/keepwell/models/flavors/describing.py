"""What a folder with a model says of itself, and what its files are: without loading anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepwell.core.errors import InvalidInput, KeepwellError, NotSupported
from keepwell.models.flavors import content, known, mlmodel, places
from keepwell.models.flavors.model import Verdict
from keepwell.models.signatures import Signature, read_signature

MAX_REQUIREMENTS = 256 << 10


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the folder: path, size, and what it is by its content."""

    path: str
    size: int
    kind: str


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a model without loading it.

    Attributes:
        flavor: the format it is loaded in here; None when none is known.
        flavors: all it says it has.
        verdict: what loading it may do: `safe` (nothing but data), `code` (imports code that it names), `unsafe` (runs
            code that it holds), `refused` (it is not loaded at all).
        reason: why, in words.
        signature: what it takes and gives.
        requirements: the lines of its requirements.
        facts: what was found when it was saved, such as the verdict on its ONNX form.
        about: ids and times that the folder says of itself; not verified.
        has_example: whether an input example is kept.
        parts: its files.
    """

    flavor: str | None
    flavors: tuple[str, ...]
    verdict: Verdict | str
    reason: str
    signature: Signature | None
    requirements: tuple[str, ...]
    facts: Mapping[str, Any]
    about: Mapping[str, Any]
    has_example: bool
    parts: tuple[Part, ...]


def describe(folder: Path | str) -> Description:
    """Return what a folder with a model says and holds.

    Raises:
        NotFound: there is no MLmodel file.
        InvalidInput: it cannot be read.
        Damaged: the folder holds a link or a device.
    """
    place = Path(folder)
    about = mlmodel.read(place)
    flavor, verdict, reason = _judged(place, about["flavors"])
    facts = about.get("keepwell")
    keys = ("mlflow_version", "model_id", "model_uuid", "run_id", "utc_time_created", "artifact_path", "metadata")
    return Description(
        flavor=flavor,
        flavors=tuple(str(name) for name in about["flavors"]),
        verdict=verdict,
        reason=reason,
        signature=_signature(about.get("signature")),
        requirements=_requirements(place),
        facts=facts if isinstance(facts, Mapping) else {},
        about={key: about[key] for key in keys if about.get(key) is not None},
        has_example=bool(about.get("saved_input_example_info")),
        parts=tuple(Part(path, size, _kind(place / path)) for path, size in places.files(place)),
    )


def _judged(place: Path, flavors: Mapping[str, Any]) -> tuple[str | None, str, str]:
    try:
        chosen, conf = known.of_folder(flavors)
    except NotSupported as error:
        return None, "refused", error.message
    try:
        judged = chosen.judge(place, conf)
    except KeepwellError as error:
        return chosen.name, "refused", error.message
    return chosen.name, judged.verdict, judged.reason


def _signature(value: object) -> Signature | None:
    try:
        return read_signature(value)
    except InvalidInput:
        return None


def _kind(place: Path) -> str:
    try:
        return content.kind_of(place)
    except KeepwellError:
        return "damaged"


def _requirements(place: Path) -> tuple[str, ...]:
    try:
        text = places.read(place / "requirements.txt", MAX_REQUIREMENTS).decode("utf-8")
    except (KeepwellError, UnicodeDecodeError):
        return ()
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
