"""What a run accepts. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keepwell.core.digests import canonical_json, check_digest
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.names import check_name
from keepwell.core.secrets import HIDDEN, hide_credentials, names_secret
from keepwell.tracking.model import Input, Mark, Run, Status

LIMIT = 10_000
"""How many params, metrics, tags, inputs or artifacts one run has at most (of each)."""


def mark_of(value: float | None) -> Mark | None:
    """Return the mark that stands for a value that is no finite number, or None for a finite one."""
    if value is None:
        return "unknown"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None


def mask(name: str, value: object) -> object:
    """Return a value as it may be stored: hidden when its name says it is a secret, URLs without credentials."""
    if names_secret(name) and value not in (None, ""):
        return HIDDEN
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, Mapping):
        return {str(k): mask(str(k), v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [mask(name, v) for v in value]
    return value


def accept_params(params: Mapping[str, object]) -> dict[str, object]:
    """Return parameters as they are stored.

    Raises:
        InvalidInput: a name is not text, a value is not JSON (NaN included), or there are too many.
    """
    accepted = {_label(name, "parameter"): mask(name, value) for name, value in _bounded(params, "parameters").items()}
    canonical_json(accepted)
    return accepted


def accept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as they are stored.

    Raises:
        InvalidInput: a tag is not text.
    """
    for name, value in _bounded(tags, "tags").items():
        if not isinstance(value, str):
            raise InvalidInput(f"The tag {name!r} must be text.", where="tags")
    return {_label(name, "tag"): str(mask(name, value)) for name, value in tags.items()}


def accept_metrics(metrics: Mapping[str, float | None]) -> dict[str, float | Mark]:
    """Return metrics as they are stored: a finite number, or the mark of what is none.

    Raises:
        InvalidInput: a value is not a number.
    """
    accepted: dict[str, float | Mark] = {}
    for name, value in _bounded(metrics, "metrics").items():
        if value is not None and (isinstance(value, bool) or not hasattr(value, "__float__")):
            raise InvalidInput(f"The metric {name!r} must be a number.", where="metrics")
        number = None if value is None else float(value)
        accepted[_label(name, "metric")] = mark_of(number) or float(number or 0.0)
    return accepted


def accept_artifacts(artifacts: Mapping[str, str]) -> dict[str, str]:
    """Return artifacts as they are stored.

    Raises:
        InvalidInput: a value is not a digest.
    """
    return {_label(name, "artifact"): check_digest(d) for name, d in _bounded(artifacts, "artifacts").items()}


def accept_inputs(inputs: Sequence[Input]) -> list[Input]:
    """Return inputs as they are stored.

    Raises:
        InvalidInput: there are too many, or a digest is none.
    """
    if len(inputs) > LIMIT:
        raise InvalidInput(f"A run has at most {LIMIT} inputs.", where="inputs")
    for one in inputs:
        if one.digest is not None:
            check_digest(one.digest)
    return list(inputs)


def check_finish(run: Run, status: Status) -> None:
    """Refuse to end a run that has ended, or to end it as running.

    Raises:
        Conflict: the run is not running.
        InvalidInput: the status is not one a run ends with.
    """
    if status not in ("finished", "failed", "interrupted"):
        raise InvalidInput("A run ends as finished, failed or interrupted.", where="status")
    if run.status != "running":
        raise Conflict(f"The run {run.id} has {run.status} already; start a new one.")


def check_kind(kind: str) -> str:
    """Return the kind of a run when it is a name."""
    return check_name(kind, "kind of run")


def _bounded(values: Mapping[str, object], what: str) -> Mapping[str, object]:
    if len(values) > LIMIT:
        raise InvalidInput(f"A run has at most {LIMIT} {what}.", where=what)
    return values


def _label(name: object, what: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 250 or not name.isprintable():
        raise InvalidInput(f"The name of a {what} is 1 to 250 printable characters.", where=what)
    return name
