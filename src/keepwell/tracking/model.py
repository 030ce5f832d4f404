"""Values of tracking: experiments, runs, points, inputs and outputs, artifacts, logged models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Status = Literal["running", "scheduled", "finished", "failed", "interrupted"]
Lifecycle = Literal["active", "deleted"]
View = Literal["active", "deleted", "all"]
Mark = Literal["NaN", "Infinity", "-Infinity", "unknown"]
"""What stands for a metric that is no finite number. It is text, so that no comparison takes it for a good value."""

ENDED = ("finished", "failed", "interrupted")
DEFAULT = 0
"""The id of the experiment that always is there."""
DEFAULT_NAME = "Default"


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs.

    Attributes:
        id: a whole number; 0 is the one that always is there. Never given again.
        name: unique among all experiments, deleted ones included.
        lifecycle: active or deleted.
        tags: free labels.
        created_at: ISO 8601, UTC.
        updated_at: ISO 8601, UTC; when it was last renamed, deleted or restored.
    """

    id: int
    name: str
    lifecycle: Lifecycle
    tags: dict[str, str]
    created_at: str
    updated_at: str


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something a run read.

    Attributes:
        kind: what it is: `dataset`, `model` (a logged model), `file`.
        name: the name under which it is known, such as the dataset's.
        id: its id, such as a dataset version's (`dsv_...`) or a logged model's (`m-...`), where it has one.
        digest: digest of its content or manifest; of a logged dataset whatever its library calls its digest.
        source_type: of a logged dataset: the sort of its source.
        source: where it came from, as text.
        schema: its schema, as text.
        profile: its profile, as text.
        tags: labels of this use of it, such as `mlflow.data.context`.
    """

    kind: str
    name: str
    id: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read, as a client logs it; one of a name and digest is kept once an experiment."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that runs of an experiment read."""

    experiment: int
    name: str
    digest: str | None
    context: str | None


class Output(msgspec.Struct, frozen=True):
    """A logged model that a run made, at a step."""

    model: str
    step: int = 0


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the code that ran.

    Attributes:
        commit: the Git commit, 40 or 64 hex digits; None outside a repository.
        dirty: whether the work tree differed from the commit; None when that is not known.
        diff: digest of the difference (tracked changes and untracked files); None when clean or not known.
        remote: the repository's address, with credentials masked.
        source: outside a repository, the digest of the folder's source files.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str | None = None
    remote: str | None = None
    source: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded execution.

    Attributes:
        id: `run_...`; ids sort by the time they were made.
        name: what it is called, for a person.
        kind: what sort of work it was: `train`, `score`, `backtest`, ...
        status: running, scheduled, finished, failed or interrupted.
        model: the model it worked for.
        parent: the run it is a part of.
        params: parameters, JSON values; values that look like secrets are masked. Clients of other protocols see the
            JSON text of those that are not text: `rules.text_of`.
        metrics: latest value of each metric: finite numbers, or a `Mark` where there is none.
        tags: free labels.
        inputs: what it read.
        artifacts: path to digest of what it made.
        code: version of the code.
        environment: digest of the environment's description, see `tracking.machine`.
        machine: where it ran.
        actor: who started it.
        started_at: ISO 8601, UTC, to the millisecond.
        finished_at: ISO 8601, UTC, to the millisecond; None while it runs.
        error: why it failed, in a sentence.
        experiment: the experiment it is in.
        user: who ran it, as the client says.
        lifecycle: active or deleted.
        deleted_at: when it was deleted.
        outputs: logged models that it made.
    """

    id: str
    name: str
    kind: str
    status: Status
    model: str | None
    parent: str | None
    params: dict[str, Any]
    metrics: dict[str, float | Mark]
    tags: dict[str, str]
    inputs: list[Input]
    artifacts: dict[str, str]
    code: Code
    environment: str | None
    machine: dict[str, Any]
    actor: str
    started_at: str
    finished_at: str | None
    error: str | None
    experiment: int = DEFAULT
    user: str | None = None
    lifecycle: Lifecycle = "active"
    deleted_at: str | None = None
    outputs: list[Output] = []


class Point(msgspec.Struct, frozen=True):
    """A value of a metric at a step and a moment (milliseconds since 1970)."""

    name: str
    value: float
    step: int = 0
    at: int = 0


class Latest(msgspec.Struct, frozen=True):
    """The latest value of a metric: that of the largest step, then moment, then value.

    Attributes:
        name: the metric.
        value: a finite number, or the mark of what is none.
        step: its step.
        at: its moment, milliseconds since 1970.
    """

    name: str
    value: float | Mark
    step: int
    at: int


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one metric of one run, in columns of equal length; each point is there once.

    Attributes:
        steps: int64.
        ats: int64, milliseconds since 1970.
        values: float64, NaN and infinities included.
    """

    steps: NDArray[np.int64]
    ats: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


class Columns(msgspec.Struct, frozen=True):
    """The names that runs use, sorted: what a table can show and a filter can name."""

    metrics: list[str]
    params: list[str]
    tags: list[str]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file (or, in a listing, a folder) that a run or logged model made.

    Attributes:
        path: its path, segments joined by `/`.
        digest: digest of its bytes; None for a folder.
        size: bytes; None for a folder, or when that is not known.
        at: when it was logged, ISO 8601; None for a folder.
        is_dir: whether it is a folder.
    """

    path: str
    digest: str | None = None
    size: int | None = None
    at: str | None = None
    is_dir: bool = False


ModelStatus = Literal["pending", "ready", "failed"]


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a logged model, measured by a run, perhaps on a dataset."""

    name: str
    value: float | Mark
    step: int
    at: int
    run: str | None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a run logged: files, params, tags and metrics, not yet registered under a name.

    Attributes:
        id: `m-` and 32 hex digits.
        experiment: the experiment it is in.
        name: what it is called.
        model_type: a word of whoever logged it.
        status: pending, ready or failed.
        run: the run that made it.
        params: text by name.
        tags: text by name.
        metrics: what was measured of it.
        lifecycle: active or deleted.
        created_at: ISO 8601.
        updated_at: ISO 8601.
    """

    id: str
    experiment: int
    name: str
    model_type: str | None
    status: ModelStatus
    run: str | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[ModelMetric]
    lifecycle: Lifecycle
    created_at: str
    updated_at: str
