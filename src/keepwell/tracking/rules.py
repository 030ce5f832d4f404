"""What a run accepts. Pure."""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from keepwell.core.clock import LATEST_MS, to_ms
from keepwell.core.digests import canonical_json, check_digest
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.names import check_name
from keepwell.core.points import Batch, rank
from keepwell.core.secrets import HIDDEN, hide_credentials, names_secret
from keepwell.tracking.model import ENDED, DatasetInput, Input, Mark, Point, Status

LIMIT = 10_000
"""How many params, metrics, tags, inputs or artifacts one call gives at most (of each)."""
LONGEST_VALUE = 100_000
"""Characters of a parameter's or tag's value."""
LARGEST = sys.float_info.max
_STATUSES = ("running", "scheduled", *ENDED)
_SEGMENT = re.compile(r"[\w .+@=,()\[\]{}#~%&!$'^-]+\Z")
_MODEL_NAME = re.compile(r"[^/:.%\"']{1,250}\Z")


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
        if len(value) > LONGEST_VALUE or not _is_proper(value):
            raise InvalidInput(
                f"The tag {name!r} is proper text of at most {LONGEST_VALUE:,} characters.", where="tags"
            )
    return {_label(name, "tag"): str(mask(name, value)) for name, value in tags.items()}


def _is_proper(text: str) -> bool:
    """Tell whether a text can be stored: it holds no half of a character, and no NUL, which PostgreSQL has none of."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


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


def check_finish(run_id: str, now: str, status: Status) -> None:
    """Refuse to end a run that has ended, or to end it as running.

    Args:
        run_id: the run.
        now: the status it has.
        status: the status it is to get.

    Raises:
        Conflict: the run is not running.
        InvalidInput: the status is not one a run ends with.
    """
    if status not in ENDED:
        raise InvalidInput("A run ends as finished, failed or interrupted.", where="status")
    if now in ENDED:
        raise Conflict(f"The run {run_id} has {now} already; start a new one.")


def check_status(status: str) -> str:
    """Return a run's status when it is one.

    Raises:
        InvalidInput: it is none.
    """
    if status not in _STATUSES:
        raise InvalidInput(f"A run's status is one of {', '.join(_STATUSES)}.", where="status")
    return status


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


def check_run_name(name: object) -> str:
    """Return the name of a run: 1 to 250 printable characters, for people to read, without credentials in addresses."""
    return hide_credentials(_label(name, "run"))[:250]


def check_experiment_name(name: object) -> str:
    """Return the name of an experiment: 1 to 500 printable characters, no credentials in an address."""
    if not isinstance(name, str) or not 0 < len(name) <= 500 or not name.isprintable():
        raise InvalidInput("The name of an experiment is 1 to 500 printable characters.", where="name")
    if hide_credentials(name) != name:
        raise InvalidInput("The name of an experiment holds credentials; leave them away.", where="name")
    return name


def check_model_name(name: object) -> str:
    """Return the name of a logged model: 1 to 250 characters without `/ : . % " '`."""
    if not isinstance(name, str) or not _MODEL_NAME.match(name) or not name.isprintable():
        raise InvalidInput(
            f"Invalid model name ({name!r}) provided. Model name must be a non-empty string and cannot contain the "
            "following characters: ('/', ':', '.', '%', '\"', \"'\")",
            where="name",
        )
    return name


def check_ms(moment: datetime | int) -> int:
    """Return a moment as milliseconds since 1970, from 1970 to 9999.

    Raises:
        InvalidInput: it lies elsewhere.
    """
    found = to_ms(moment) if isinstance(moment, datetime) else moment
    if not 0 <= found <= LATEST_MS:
        raise InvalidInput("A moment lies in the years 1970 to 9999.", where="time")
    return found


def text_of(value: object) -> tuple[str, bool]:
    """Return a parameter's value as text, and whether that is the JSON of a value that is no text."""
    if isinstance(value, str):
        return value, False
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "), allow_nan=False), True


def accept_param_texts(params: Mapping[str, object]) -> dict[str, tuple[str, bool]]:
    """Return accepted parameters as text each, with whether it is JSON.

    Raises:
        InvalidInput: see `accept_params`; or a value is too long.
    """
    return texts_of(accept_params(params))


def texts_of(accepted: Mapping[str, object]) -> dict[str, tuple[str, bool]]:
    """Return parameters that were accepted as text each, with whether it is JSON."""
    return {name: _bounded_text(text_of(value), name) for name, value in accepted.items()}


def _bounded_text(text: tuple[str, bool], name: str) -> tuple[str, bool]:
    if len(text[0]) > LONGEST_VALUE or not _is_proper(text[0]):
        said = f"The value of {name!r} is proper text of at most {LONGEST_VALUE:,} characters, and none is NUL."
        raise InvalidInput(said, where="params")
    return text


def changed_params(
    there: Mapping[str, str], given: Mapping[str, tuple[str, bool]], run_id: str
) -> dict[str, tuple[str, bool]]:
    """Return those of the given parameters that are new.

    Raises:
        InvalidInput: one is there with another value: a parameter is written once.
    """
    changed = [
        {"key": name, "old_value": there[name], "new_value": text}
        for name, (text, _) in given.items()
        if name in there and there[name] != text
    ]
    if changed:
        raise InvalidInput(
            f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{run_id}'.",
            code="param_changed",
            where="params",
        )
    return {name: value for name, value in given.items() if name not in there}


class Newest(NamedTuple):
    """The latest point of a metric as it is stored; two compare by their first four fields."""

    step: int
    at: int
    rank: float
    is_nan: bool
    value: float

    @property
    def order(self) -> tuple[int, int, float, bool]:
        """What says which of two is later."""
        return self[:4]

    @property
    def stored(self) -> tuple[float | None, Mark | None]:
        """The number and the mark that are stored."""
        return (None, "NaN") if self.is_nan else (self.rank, mark_of(self.value))


def newest(batch: Batch) -> dict[str, Newest]:
    """Return the latest point of each metric of a batch: the largest step, then moment, then value.

    NaN stands at 0, an infinity at the largest number of its sign (MLflow's rule); of NaN and 0 NaN is the later.
    """
    best: list[tuple[int, int, float] | None] = [None] * len(batch.names)
    for place, step, at, value in zip(batch.index, batch.steps, batch.ats, batch.values, strict=True):
        old = best[place]
        if old is None or step > old[0] or (step == old[0] and (at > old[1] or (at == old[1] and _above(value, old)))):
            best[place] = (step, at, value)
    return {
        name: Newest(found[0], found[1], rank(found[2]) + 0.0, found[2] != found[2], found[2])
        for name, found in zip(batch.names, best, strict=True)
        if found is not None
    }


def _above(value: float, old: tuple[int, int, float]) -> bool:
    other = old[2]
    return (rank(value), math.isnan(value)) > (rank(other), math.isnan(other))


def accept_datasets(datasets: Sequence[DatasetInput]) -> list[DatasetInput]:
    """Return the datasets that a client logs, the first of each name and digest, their secrets hidden.

    Raises:
        InvalidInput: a name or digest is empty or too long.
    """
    found: dict[tuple[str, str], DatasetInput] = {}
    for one in datasets:
        if not 0 < len(one.name) <= 500 or not 0 < len(one.digest) <= 100:
            raise InvalidInput(
                "A dataset has a name of 1 to 500 and a digest of 1 to 100 characters.", where="datasets"
            )
        texts = [text or "" for text in (one.name, one.digest, one.source_type, one.source, one.schema, one.profile)]
        tags = accept_tags(one.tags)
        if not all(map(_is_proper, texts)):
            raise InvalidInput("The description of a dataset is no proper text.", where="datasets")
        if any(len(text) > 1 << 24 for text in texts):
            raise InvalidInput("The description of a dataset is longer than 16 MiB.", where="datasets")
        plain = {what: text and hide_credentials(text) for what, text in (("name", one.name), ("source", one.source),
                 ("schema", one.schema), ("profile", one.profile))}  # fmt: skip
        found.setdefault((one.name, one.digest), msgspec.structs.replace(one, tags=tags, **plain))
    return list(found.values())


def accept_path(path: object, *, empty: bool = False) -> str:
    """Return the path of an artifact: segments joined by `/`, at most 500 characters.

    A segment is made of letters, digits, spaces and `_ - . + @ = , ( ) [ ] { } # ~ % & ! $ ' ^`, is not `.` or `..`,
    and does not end with a dot or space.

    Raises:
        InvalidInput: it is not such a path.
    """
    if empty and path == "":
        return ""
    if not isinstance(path, str) or not 0 < len(path) <= 500:
        raise InvalidInput("The path of an artifact has 1 to 500 characters.", where="path")
    for segment in path.split("/"):
        if not _SEGMENT.match(_without_marks(segment)) or segment != segment.strip() or segment.endswith("."):
            raise InvalidInput(
                "Invalid path: segments joined by '/', of letters, digits, spaces and common signs, none of them '..'.",
                where="path",
            )
    return path


def _without_marks(segment: str) -> str:
    """Return a name without combining marks, which belong to the letters before them."""
    return "".join(sign for sign in segment if unicodedata.category(sign)[0] != "M")


def fold_path(path: str) -> str:
    """Return the form under which a path is unique."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def accept_model_points(points: Sequence[tuple[str, str | None, str | None, Point]]) -> None:
    """Check points of logged models: (model, dataset's name, dataset's digest, point).

    Raises:
        InvalidInput: a metric's name cannot be used.
    """
    for _, _, _, point in points:
        _label(point.name, "metric")


def check_logged_model_id(text: object) -> str:
    """Return the id of a logged model when it is one: `m-` and 32 hex digits."""
    if not isinstance(text, str) or not re.fullmatch(r"m-[0-9a-f]{32}", text):
        raise InvalidInput("The id of a logged model is 'm-' and 32 hex digits.", where="model_id")
    return text
