"""Examine arriving files: read, condition and judge each, before anything is written but content-addressed bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from keepwell.charter.contract import Contract, contract_of, read_contract
from keepwell.charter.model import Data
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.lazy import pl
from keepwell.datasets import service as datasets
from keepwell.datasets.conditioning import Unfit, condition_tracked
from keepwell.datasets.conform import conform
from keepwell.datasets.content import manifest_of, rows_of
from keepwell.datasets.contracts import failed_rows, judge
from keepwell.datasets.expressions import row_expression
from keepwell.datasets.model import (
    Arrival,
    DatasetVersion,
    Entry,
    Finding,
    Form,
    Manifest,
    Part,
    SourceFile,
    Stats,
    Step,
)
from keepwell.datasets.parts import encode, stats_of, told_schema
from keepwell.datasets.reading import format_of, read_bytes, read_table
from keepwell.datasets.sources import natural, read_source, scan
from keepwell.datasets.trial import try_files
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter


@dataclass(frozen=True, slots=True)
class Context:
    """What all files of one call share."""

    model: str
    dataset: str
    data: Data
    folder: Path
    contract: Contract
    form: Form
    watched: tuple[str, ...]
    joined: dict[str, pl.DataFrame]
    joined_files: list[SourceFile]


@dataclass(slots=True)
class State:
    """What the dataset held when the call began, and what this call adds to it."""

    last: DatasetVersion | None
    manifest: Manifest | None
    base: pl.DataFrame | None
    arrived: set[str]
    seq: int
    history: list[Stats]
    schema: dict[str, str]


@dataclass(slots=True)
class Examined:
    """The files of one call, read, conditioned and judged."""

    arrivals: list[tuple[Arrival, Stats | None, Entry | None]] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    """Tables of those that are accepted, in their order."""
    skipped: list[str] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)


def context_of(applied: AppliedCharter) -> Context:
    """Read what the charter names besides the arriving files: its contract, and the tables that are joined.

    Raises:
        InvalidInput: an expression, the contract or a joined table cannot be used.
        NotFound: the contract or a joined table is not there.
    """
    data, folder = applied.charter.data, Path(applied.folder)
    for name, text in data.derive.items():
        row_expression(text, f"data.derive.{name}")
    if data.where is not None:
        row_expression(data.where, "data.where")
    joined, files = {}, []
    for join in data.joins:
        named = sorted(scan([join.source], folder), key=lambda file: natural(file.uri))
        if not named:
            raise NotFound(f"No file matches {join.source!r}.", where="data.joins")
        _refuse_fatal(named)
        joined[join.source] = pl.concat([read_table(file) for file in named], how="diagonal_relaxed")
        files.extend(named)
    contract = _contract(data, folder)
    for name, text in contract.expressions.items():
        row_expression(text, f"contract.expressions.{name}")
    roles = (data.target, *data.known_ahead, *data.observed, *data.static)
    return Context(
        model=applied.charter.model,
        dataset=data.dataset,
        data=data,
        folder=folder,
        contract=contract,
        form=Form(time=data.time, keys=data.keys),
        watched=tuple(dict.fromkeys(roles)),
        joined=joined,
        joined_files=files,
    )


def _refuse_fatal(files: Sequence[SourceFile]) -> None:
    fatal = try_files(files)
    for file in files:
        if file.sha256 in fatal:
            raise InvalidInput(fatal[file.sha256], where=file.uri)


def _contract(data: Data, folder: Path) -> Contract:
    if data.contract is None:
        return Contract()
    if not isinstance(data.contract, str):
        return contract_of(data.contract)
    path = folder / data.contract
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise NotFound(f"The contract {path} cannot be read.", where="data.contract") from error
    return read_contract(text, path.name)


def state_of(kit: Kit, context: Context) -> State:
    """Look up what the dataset holds now.

    Versions that were added as files, as they are, hold nothing in standard form: a charter with a source takes the
    dataset over from them, and its first version has all that the source names.

    Raises:
        Conflict: it holds rows of another form than the charter says, or files that no source of the charter brings.
    """
    with kit.read() as tx:
        last = datasets.latest(tx, context.dataset)
        _, arrived = datasets.seen(tx, context.dataset)
        seq = datasets.last_seq(tx, context.dataset)
        history = datasets.history(tx, context.dataset)
    manifest = manifest_of(kit.blobs, last) if last else None
    if manifest is not None and manifest.form is None:
        if not context.data.source:
            raise Conflict(
                f"The files of {context.dataset} are added by hand, as the charter names no data.source; add another "
                f"version with `keepwell data add {context.dataset} FILES`, or declare a source.",
                where="data.source",
            )
        manifest = None
    if manifest is not None and manifest.form != context.form:
        raise Conflict(
            f"The dataset {context.dataset} holds rows of another time or other keys than the charter says now; "
            "name another dataset in the charter.",
            where="data.dataset",
        )
    base = rows_of(kit.blobs, manifest) if manifest else None
    return State(
        last=last,
        manifest=manifest,
        base=base,
        arrived=arrived,
        seq=seq,
        history=history,
        schema=told_schema(base) if base is not None else {},
    )


def examine(
    kit: Kit, context: Context, state: State, files: Sequence[SourceFile], came: datetime, call: Call
) -> Examined:
    """Read, condition and judge files that never arrived, in their order; what is let in is history for the next.

    Args:
        kit: the opened house.
        context: what the files share.
        state: what the dataset holds; it grows by what is let in.
        files: scanned files.
        came: when they came.
        call: who receives; makes the arrivals' ids.
    """
    done = Examined()
    fresh = [file for file in files if file.sha256 not in state.arrived]
    fatal = try_files(fresh, context.data.format)
    for file in fresh:
        try:
            data = read_source(file)
        except (Conflict, NotFound) as error:
            done.skipped.append(str(error))
            continue
        done.files.append(file)
        state.seq += 1
        blank = Arrival(
            id=call.ids.new("arr"),
            dataset=context.dataset,
            seq=state.seq,
            uri=file.uri,
            digest=file.sha256,
            size=file.size,
            state="quarantined",
            received_at=came,
            model=context.model,
        )
        if file.sha256 in fatal:
            found = _unreadable(kit, blank, data, InvalidInput(fatal[file.sha256], where=Path(file.uri).name))
            done.arrivals.append((found, None, None))
        else:
            done.arrivals.append(_examine_one(kit, context, state, done, file, data, blank))
        failpoints.reach("receive.examined")
    return done


def _examine_one(
    kit: Kit, context: Context, state: State, done: Examined, file: SourceFile, data: bytes, blank: Arrival
) -> tuple[Arrival, Stats | None, Entry | None]:
    name = Path(file.uri).name
    try:
        raw = read_bytes(data, name, format_of(name, context.data.format))
        made = condition_tracked(raw, context.data, context.folder, context.joined.__getitem__)
        frame = conform(made.frame, state.schema)
        verdict = judge(
            context.contract, frame, state.history, form=context.form, received_at=blank.received_at,
            watched=context.watched,
        )  # fmt: skip
    except InvalidInput as error:
        return _unreadable(kit, blank, data, error), None, None
    steps = [Step(what="read", detail=name, rows_in=raw.height, rows_out=raw.height), *made.steps]
    blob = kit.blobs.put(encode(frame))
    failpoints.reach("receive.part_stored")
    part = Part(
        blob=blob, rows=frame.height, seq=blank.seq, arrival=blank.id, source=file, steps=steps,
        joined=context.joined_files,
    )  # fmt: skip
    entry = Entry(
        part=part, form=context.form, patterns=[context.data.source], folder=str(context.folder),
        format=context.data.format,
    )  # fmt: skip
    stats = stats_of(frame, context.form)
    if verdict.kept:
        state.history.append(stats)
        done.frames.append(frame)
        state.schema = {**told_schema(frame), **state.schema}
        return replace(blank, state="accepted", rows=frame.height, part=blob), stats, entry
    failing = failed_rows(frame, verdict)
    held = replace(
        blank,
        rows=frame.height,
        failed=int(verdict.failed.sum()),
        findings=verdict.findings,
        failed_rows=None if failing is None else kit.blobs.put(encode(failing)),
        part=blob,
        kept=kit.blobs.put(data),
    )
    failpoints.reach("receive.quarantine_stored")
    return held, stats, entry


def _unreadable(kit: Kit, blank: Arrival, data: bytes, error: InvalidInput) -> Arrival:
    rows = error.rows if isinstance(error, Unfit) else None
    failed = 0 if rows is None else rows.height
    kept = None
    if rows is not None:
        kept = kit.blobs.put(encode(rows.with_columns(pl.lit(error.message).alias("reason"))))
    finding = Finding("readable" if rows is None else f"form.{error.where}", str(error), failed)
    held = replace(blank, failed=failed, findings=[finding], failed_rows=kept, kept=kit.blobs.put(data))
    failpoints.reach("receive.quarantine_stored")
    return held
