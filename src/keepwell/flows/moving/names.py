"""What things that were made elsewhere are called here. Pure.

A name that the grammar here takes is kept as it is. Another one is spelled differently in a way that depends on it
alone, so that carrying it again gives the same name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import InvalidInput
from keepwell.core.ids import derived_id
from keepwell.core.names import check_name
from keepwell.models.registry_rules import check_alias, check_tag_name
from keepwell.tracking.model import Status
from keepwell.tracking.rules import accept_path

RUN_TAG = "mlflow.imported.run_id"
"""Tag of a run that says what its id was where it came from."""
NAME_TAG = "mlflow.imported.name"
"""Tag of an experiment or model that says what it was called where it came from."""
_STATUS: dict[str, Status] = {
    "RUNNING": "running", "SCHEDULED": "scheduled", "FINISHED": "finished", "FAILED": "failed",
    "KILLED": "interrupted",
}  # fmt: skip
_NOT_IN_PATHS = re.compile(r"[^\w .+@=,()\[\]{}#~%&!$'^/-]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9 ._-]+")
_NOT_IN_ALIASES = re.compile(r"[^A-Za-z0-9_-]+")


def run_id(theirs: str, started: int | None) -> str:
    """Return the id that a run gets here: the same whichever way it comes."""
    return derived_id("run", started or 0, f"mlflow run {theirs}")


def status_of(status: str) -> Status:
    """Return the status here; one that is not known is `interrupted`."""
    return _STATUS.get(status, "interrupted")


def label(text: str, most: int = 250) -> str:
    """Return a text for people to read on one line, cut where it is too long."""
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def path_of(theirs: str) -> str:
    """Return the path of an artifact.

    Raises:
        InvalidInput: it cannot be one, nor a similar one.
    """
    try:
        return accept_path(theirs)
    except InvalidInput:
        parts = [part.strip().rstrip(".") for part in _NOT_IN_PATHS.sub("_", theirs).split("/")]
        return accept_path("/".join(parts))


def model_name(theirs: str, taken: Collection[str] = ()) -> str:
    """Return the name of a registered model, which none of those that are `taken` (as `name_key` has them) has."""
    name = _spelled(theirs)
    if name.casefold() not in taken:
        return name
    for number in range(2, 1000):
        other = f"{name[:190].rstrip('. ')} {number}"
        if other.casefold() not in taken:
            return other
    raise InvalidInput(f"There are too many models called {name[:60]!r}.", where="name")


def _spelled(theirs: str) -> str:
    try:
        return check_name(theirs, "model")
    except InvalidInput:
        plain = unicodedata.normalize("NFKD", theirs).encode("ascii", "ignore").decode()
        plain = _NOT_IN_NAMES.sub("-", plain).strip(" .-_")[:180].rstrip(". ")
        known = digest_bytes(theirs.encode()).removeprefix("sha256:")[:8]
        try:
            return check_name(plain, "model")
        except InvalidInput:
            return check_name(f"model {plain} {known}".replace("  ", " "), "model")


def alias_of(theirs: str) -> str:
    """Return an alias.

    Raises:
        InvalidInput: it cannot be one, nor a similar one.
    """
    try:
        return check_alias(theirs)
    except InvalidInput:
        return check_alias(_NOT_IN_ALIASES.sub("-", theirs).strip("-"))


def registry_tags(theirs: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return tags of a model or version, and the names of those that cannot be kept."""
    kept, refused = {}, []
    for name, text in theirs.items():
        try:
            kept[check_tag_name(name)] = text
        except InvalidInput:
            refused.append(name)
    return kept, refused


def run_labels(theirs: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return params or tags of a run, and the names of those that are too long or cannot be read."""
    kept, refused = {}, []
    for name, text in theirs.items():
        if 0 < len(name) <= 250 and name.isprintable() and len(text) <= 100_000:
            kept[name] = text
        else:
            refused.append(name)
    return kept, refused
