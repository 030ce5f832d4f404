"""What a store of MLflow holds, as values, and what a reader of one promises. Readers are used in one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from keepwell.core.points import PointRow

Lifecycle = Literal["active", "deleted"]
Lost = Callable[[str, str, str], None]
"""Told of what cannot be carried: its kind, its name there, and why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where files of something lie.

    Attributes:
        kind: what owns them.
        id: of the run or logged model; `NAME/NUMBER` of a version.
        uri: the address that the store wrote down.
        experiment: of the owner, where it has one.
    """

    kind: Literal["run", "model", "version"]
    id: str
    uri: str
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file below a place. `size` is None where it is not known."""

    path: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment."""

    id: str
    name: str
    lifecycle: Lifecycle = "active"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that a run read."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A run without its histories. Times are milliseconds since 1970; `latest` is value, step and time by metric."""

    id: str
    experiment: str
    name: str
    status: str
    started: int | None
    ended: int | None
    lifecycle: Lifecycle = "active"
    user: str | None = None
    uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    latest: Mapping[str, tuple[float, int, int]] = field(default_factory=dict)
    datasets: Sequence[Dataset] = ()
    models_in: Sequence[str] = ()
    models_out: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of a logged model."""

    run: str
    name: str
    value: float
    step: int
    at: int
    dataset_name: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A logged model."""

    id: str
    experiment: str
    name: str
    status: str
    model_type: str | None = None
    run: str | None = None
    uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[Measured] = ()
    lifecycle: Lifecycle = "active"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model. `source` is as it was written, `uri` where its files lie."""

    number: int
    source: str = ""
    uri: str = ""
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    stage: str = "None"
    status: str = "READY"
    run: str | None = None
    run_link: str | None = None
    model: str | None = None
    user: str | None = None
    created: int | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered model with the versions that are not deleted, by number."""

    name: str
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: Sequence[Version] = ()


class Files(Protocol):
    """The files of a store."""

    def list(self, place: Place) -> Iterable[File]:
        """Return every file below a place, by path.

        Raises:
            NotFound: there is no such place, or it cannot be reached from here.
        """

    def read(self, place: Place, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces.

        Raises:
            NotFound: it is gone, or may not be read.
        """


class Source(Protocol):
    """A store of MLflow."""

    @property
    def address(self) -> str:
        """What names it to a person, without credentials."""

    @property
    def files(self) -> Files:
        """Its files."""

    def experiments(self) -> Iterable[Experiment]:
        """Return all experiments, deleted ones too."""

    def runs(self, experiment: Experiment) -> Iterable[Run]:
        """Return the runs of an experiment, deleted ones too."""

    def whole(self, run: Run) -> Run:
        """Return a run with what a list of runs may leave away."""

    def history(self, run: Run, metrics: Sequence[str]) -> Iterable[PointRow]:
        """Return every point of some metrics."""

    def models(self, experiment: Experiment) -> Iterable[Model]:
        """Return the logged models of an experiment."""

    def registered(self) -> Iterable[Registered]:
        """Return the registered models."""

    def others(self) -> Mapping[str, int]:
        """Return how many there are of things that Keepwell does not have, by name."""

    def close(self) -> None:
        """Let go of files and connections."""
