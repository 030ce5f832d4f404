"""Values of tracking: a run, what went in, what came out, and the code and machine that did it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Status = Literal["running", "finished", "failed", "interrupted"]
Mark = Literal["NaN", "Infinity", "-Infinity", "unknown"]
"""What stands for a metric that is no finite number. It is text, so that no comparison takes it for a good value."""


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something a run read.

    Attributes:
        kind: what it is: `dataset`, `model`, `file`.
        name: the name under which it is known, such as the dataset's.
        id: its id, such as a dataset version's (`dsv_...`), where it has one.
        digest: digest of its content or manifest.
    """

    kind: str
    name: str
    id: str | None = None
    digest: str | None = None


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
        status: running, finished, failed or interrupted.
        model: the model it worked for.
        parent: the run it is a part of.
        params: parameters, JSON values; values that look like secrets are masked.
        metrics: final metrics: finite numbers, or a `Mark` where there is none.
        tags: free labels.
        inputs: what it read.
        artifacts: name to digest of what it made.
        code: version of the code.
        environment: digest of the environment's description, see `tracking.machine`.
        machine: where it ran.
        actor: who started it.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC; None while it runs.
        error: why it failed, in a sentence.
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
