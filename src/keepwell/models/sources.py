"""Where a version may be registered from, as text: names of things in our own store, and nothing else. Pure.

    runs:/RUN/PATH                                      what a run made
    models:/m-ID            models:/m-ID/PATH           a logged model
    models:/NAME/N  models:/NAME@ALIAS  models:/NAME/STAGE  models:/NAME/latest      a registered version
    mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH     what a run made, as clients of the protocol spell it
    mlflow-artifacts:/EXPERIMENT/models/m-ID/artifacts  a logged model, so spelled

No part is a path of a disk or an address of a host: whatever else comes is refused, in one sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from keepwell.core.errors import InvalidInput

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(?!/)(.*)\Z")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_RUN = re.compile(r"[A-Za-z0-9_]{1,40}\Z")
_LOGGED = re.compile(r"m-[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_EXPERIMENT = re.compile(r"[0-9]{1,18}\Z")
LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class RunSource:
    """Files of a run: all of them, or those below a path."""

    run: str
    path: str


@dataclass(frozen=True, slots=True)
class LoggedSource:
    """Files of a logged model: all of them, or those below a path."""

    model: str
    path: str


@dataclass(frozen=True, slots=True)
class VersionSource:
    """A registered version: by number, else by alias, else the newest of a stage, else the newest."""

    name: str
    number: int | None = None
    alias: str | None = None
    stage: str | None = None


Source = RunSource | LoggedSource | VersionSource


def parse_source(text: object) -> Source:
    """Return what a source names.

    Raises:
        InvalidInput: it is a path, an address, or anything else that is not a name of ours.
    """
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
        _refuse(text)
    if (
        text != text.strip()
        or not text.isprintable()
        or "\\" in text
        or _ESCAPED.search(text)
        or {"?", "#"} & set(text)
    ):
        _refuse(text)
    match = _SCHEME.match(text)
    if match is None:
        _refuse(text)
    parts = match[2].removesuffix("/").split("/")
    if any(part in ("", ".", "..") or part != part.strip() for part in parts):
        _refuse(text)
    match match[1].lower():
        case "runs":
            return _run(text, parts[0], parts[1:])
        case "models":
            return _model(text, parts)
        case "mlflow-artifacts":
            return _artifact(text, parts)
    return _refuse(text)


def _run(text: str, run: str, path: list[str]) -> RunSource:
    if not _RUN.match(run):
        _refuse(text)
    return RunSource(run, "/".join(path))


def _model(text: str, parts: list[str]) -> LoggedSource | VersionSource:
    if _LOGGED.match(parts[0]):
        return LoggedSource(parts[0], "/".join(parts[1:]))
    if len(parts) == 1:
        name, at, alias = parts[0].rpartition("@")
        if not at or not name or not alias:
            _refuse(text)
        return VersionSource(name, alias=alias)
    if len(parts) > 2:
        _refuse(text)
    name, which = parts
    if _NUMBER.match(which):
        return VersionSource(name, number=int(which))
    return VersionSource(name) if which.lower() == "latest" else VersionSource(name, stage=which)


def _artifact(text: str, parts: list[str]) -> Source:
    if not _EXPERIMENT.match(parts[0]):
        _refuse(text)
    match parts[1:]:
        case ["models", model, "artifacts", *path] if _LOGGED.match(model):
            return LoggedSource(model, "/".join(path))
        case [run, "artifacts", *path]:
            return _run(text, run, path)
    return _refuse(text)


def _refuse(text: object) -> NoReturn:
    shown = ascii(text)[:120]
    raise InvalidInput(
        f"Invalid model version source: {shown}. Name what is stored here: runs:/RUN/PATH, models:/NAME/VERSION, "
        "models:/NAME@ALIAS, models:/m-ID or mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH.",
        where="source",
        code="invalid_source",
    )
