"""What a client records, as values in the order in which it did: the body of `POST /api/log`, and of the SDK's spool.

A batch names its session (one process of one client) and numbers its operations by the records of that session's
spool. A session's operations are applied in that order and once: the store keeps the number up to which it applied
them, in the transaction that applied them, so a batch that is sent again changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.tracking.model import Code

MEDIA = "application/vnd.keepwell.log"
MOST_OPS = 10_000
Text = Annotated[str, msgspec.Meta(max_length=1000)]


class _Op(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One operation."""


class Start(_Op, frozen=True, tag="start"):
    """A run begins, or is taken up again.

    Attributes:
        run: its id, made by the client.
        name: what it is called.
        experiment: the name of its experiment, made when it is not there; None: as the parent's, else `Default`.
        experiment_id: the experiment by its number, instead.
        kind: what sort of work it is.
        parent: the run it is a part of.
        model: the model it works for.
        user: who ran it, as the machine calls them.
        at: when, milliseconds since the epoch.
        code: version of the code.
        environment: digest of the environment's description.
        machine: where it runs.
        changes: digest of the patch that makes the commit what ran; among the batch's or an earlier one's `blobs`.
        params: first parameters.
        tags: first tags.
        resume: the run is there already and goes on.
        again: said by a forked process of a run that its parent began, as its own batches may come first; of a run that
            is there, it says nothing new.
    """

    run: Text
    name: Text = ""
    experiment: Text | None = None
    experiment_id: int | None = None
    kind: Text = "train"
    parent: Text | None = None
    model: Text | None = None
    user: Text | None = None
    at: int | None = None
    code: Code = Code()
    environment: Text | None = None
    machine: dict[str, Any] = {}
    changes: Text | None = None
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    resume: bool = False
    again: bool = False


class ModelPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A point that a run measured of a logged model, perhaps on a dataset."""

    model: Text
    name: Text
    value: float
    step: int
    at: int
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Log(_Op, frozen=True, tag="log"):
    """Points, params and tags of a run.

    Attributes:
        run: its id.
        points: a batch as `core.points` packs it; empty: none.
        params: parameters.
        tags: tags; what was there under the name is replaced.
        without: tags that are taken away, before the others are set.
        models: points of logged models.
    """

    run: Text
    points: bytes = b""
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    without: list[str] = []
    models: list[ModelPoint] = []


class Dataset(_Op, frozen=True):
    """Data that a run read.

    Attributes:
        name: what it is called.
        digest: of its content.
        source_type: what kind of place it came from.
        source: the place, credentials masked.
        schema: columns and types, as JSON text.
        profile: counts, as JSON text.
        context: what it was read for, such as `training`.
        version: id of the dataset version in Keepwell (`dsv_...`).
    """

    name: Text
    digest: Text
    source_type: Text = "local"
    source: str = ""
    schema: str | None = None
    profile: str | None = None
    context: Text | None = None
    version: Text | None = None


class Inputs(_Op, frozen=True, tag="inputs"):
    """What a run read."""

    run: Text
    datasets: list[Dataset] = []
    models: list[str] = []


class Put(_Op, frozen=True, tag="put"):
    """A small artifact with its bytes; larger ones are uploaded.

    Attributes:
        run: its id.
        path: of the artifact.
        data: the bytes.
        model: the logged model of the run whose artifact it is; None: the run's own.
    """

    run: Text
    path: Text
    data: bytes
    model: Text | None = None

    @property
    def owner(self) -> str:
        """Whose artifact it is."""
        return self.model or self.run


class Model(_Op, frozen=True, tag="model"):
    """A run logs a model, whose files follow: a logged model, which is pending until it is `Ready`.

    Attributes:
        run: the run's id.
        model: its own id, made by the client: `m-` and 32 hex digits.
        name: what it is called.
        model_type: a word of whoever logs it.
        params: texts; the run's own parameters are added.
        tags: texts.
        step: of the run.
    """

    run: Text
    model: Text
    name: Text
    model_type: Text | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    step: int = 0


class Ready(_Op, frozen=True, tag="ready"):
    """All files of a logged model were sent.

    Attributes:
        run: the run's id.
        model: its own.
        files: how many files it has; with fewer in the store, it is failed.
    """

    run: Text
    model: Text
    files: int = 0


class Finish(_Op, frozen=True, tag="finish"):
    """A run ends.

    Attributes:
        run: its id.
        status: finished, failed or interrupted.
        at: when, milliseconds since the epoch; None: when the record arrives.
        error: why it failed.
        orphan: said by `keepwell sync` of a run whose process died; one that has ended since is left as it is.
    """

    run: Text
    status: Text = "finished"
    at: int | None = None
    error: str | None = None
    orphan: bool = False


Op = Start | Log | Inputs | Put | Model | Ready | Finish


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Operations of one session, in order.

    Attributes:
        session: `ses_...`.
        ops: number and operation; the numbers only grow.
        blobs: bytes that starts of this and of later batches name by their digest: environments, patches.
    """

    session: Text
    ops: list[tuple[int, Op]]
    blobs: list[bytes] = []


class Refused(msgspec.Struct, frozen=True):
    """An operation that can never be done; it is passed over."""

    seq: int
    code: str
    message: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a batch: the session's number up to which everything is stored or refused."""

    upto: int
    refused: list[Refused] = []


_encoder = msgspec.msgpack.Encoder()
_batch = msgspec.msgpack.Decoder(Batch)
_op: msgspec.msgpack.Decoder[Op] = msgspec.msgpack.Decoder(Op)


def pack(value: Batch | Op) -> bytes:
    """Return a batch or an operation as bytes."""
    return _encoder.encode(value)


def unpack(data: bytes | memoryview) -> Batch:
    """Return the batch that `pack` wrote.

    Raises:
        InvalidInput: the bytes are no batch, it has too many operations, or their numbers do not grow.
    """
    try:
        batch = _batch.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"The body is not a batch of operations: {str(error)[:300]}.", where="body") from None
    if len(batch.ops) > MOST_OPS:
        raise InvalidInput(f"A batch has at most {MOST_OPS:,} operations.", where="ops")
    last = -1
    for seq, _ in batch.ops:
        if not last < seq < 1 << 62:
            raise InvalidInput("The numbers of a batch's operations must grow.", where="ops")
        last = seq
    return batch


def unpack_op(data: bytes) -> Op:
    """Return the operation that `pack` wrote.

    Raises:
        InvalidInput: the bytes are none.
    """
    try:
        return _op.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"This is no recorded operation: {str(error)[:300]}.") from None
