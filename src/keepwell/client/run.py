"""A run that is being recorded: each method appends to this process's spool and returns."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from keepwell.client import media, records, session
from keepwell.client.folding import Staged
from keepwell.client.rules import check_metric, check_step, check_value, safe_path
from keepwell.core import points
from keepwell.core.errors import InvalidInput, NotFound, TooLarge
from keepwell.core.secrets import hide_credentials
from keepwell.tracking import wire
from keepwell.tracking.rules import mask

INLINE_BYTES = 64 << 10
"""Artifacts up to this size travel with the records; larger ones are uploaded."""
MOST_OP = 2 << 20
MOST_FILES = 100_000
_time = session.milliseconds


class ActiveRun:
    """A run of this process.

    Use it as a context manager, so that it ends as failed when the block raises.

    Attributes:
        id: `run_...`, made here: it is known without asking anyone.
        name: what it is called.
        experiment: the name of its experiment; None: `Default`.
        parent: id of the run it is a part of.
        status: what it ended as; running until then.
    """

    def __init__(self, run_id: str, name: str, experiment: str | None, parent: str | None) -> None:
        self.id = run_id
        self.name = name
        self.experiment = experiment
        self.parent = parent
        self.status = "running"
        self.pid = os.getpid()
        self._steps: dict[str, int] = {}
        self._mutex = threading.Lock()
        self._ending: list[Any] = []
        self._begun: wire.Start | None = None
        self._above: ActiveRun | None = None
        self._session: session.Session | None = None

    def __repr__(self) -> str:
        return f"<run {self.id} {self.name!r} {self.status}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
        elif issubclass(kind, KeyboardInterrupt):
            self.end("interrupted", "Interrupted from the keyboard.")
        else:
            self.end("failed", f"{kind.__name__}: {error}")

    def log_metric(self, name: str, value: object, step: int | None = None, timestamp: int | None = None) -> None:
        """Record a point of a metric.

        Args:
            name: of the metric, 1 to 250 printable characters.
            value: a number; NaN and infinities are recorded as what they are.
            step: where in training; without it, one more than the last of that name, from 0.
            timestamp: milliseconds since the epoch; now without it.

        Raises:
            InvalidInput: the name, the value or the step cannot be used.
        """
        number = value if type(value) is float else check_value(name, value)
        steps = self._steps
        last = steps.get(name)
        if last is None:
            check_metric(name)
            last = -1
        if step is None:
            with self._mutex:
                step = steps.get(name, -1) + 1
                steps[name] = step
        else:
            step = steps[name] = step if type(step) is int and -1 << 63 <= step < 1 << 63 else check_step(step)
        now = session.current()
        if now is not self._session:
            self._announce(now)
        now.spool.point(self.id, name, step, _time() if timestamp is None else int(timestamp), number)
        sender = now.sender
        if not sender.awake:
            sender.wake()

    def log_metrics(self, values: Mapping[str, object], step: int | None = None, timestamp: int | None = None) -> None:
        """Record points of several metrics at one step and moment, in one write."""
        checked = {check_metric(name): check_value(name, value) for name, value in values.items()}
        if not checked:
            return
        with self._mutex:
            if step is None:
                step = 1 + max(self._steps.get(name, -1) for name in checked)
            step = check_step(step)
            self._steps.update(dict.fromkeys(checked, step))
        now = self._here()
        now.spool.points(self.id, step, _time() if timestamp is None else int(timestamp), checked)
        _wake(now)

    def log_points(
        self,
        name: str,
        values: Iterable[object],
        steps: Iterable[int] | None = None,
        timestamps: Iterable[int] | None = None,
    ) -> None:
        """Record many points of a metric at once, such as a whole curve.

        Args:
            name: of the metric.
            values: numbers.
            steps: as many whole numbers; counted on without them.
            timestamps: as many moments, milliseconds since the epoch; now without them.

        Raises:
            InvalidInput: something is no number, or the lengths differ.
        """
        check_metric(name)
        numbers = [check_value(name, value) for value in values]
        if not numbers:
            return
        with self._mutex:
            first = self._steps.get(name, -1) + 1
            places = [check_step(s) for s in steps] if steps is not None else range(first, first + len(numbers))
            moments = [int(t) for t in timestamps] if timestamps is not None else [_time()] * len(numbers)
            if not len(numbers) == len(places) == len(moments):
                raise InvalidInput("Values, steps and timestamps must be equally many.", where="steps")
            self._steps[name] = places[-1]
        now = self._here()
        for start in range(0, len(numbers), 100_000):
            part = slice(start, start + 100_000)
            rows = zip([name] * len(numbers[part]), numbers[part], places[part], moments[part], strict=True)
            now.spool.packed(self.id, points.pack(points.batch_of(rows)))
        _wake(now)

    def log_param(self, name: str, value: object) -> None:
        """Record a parameter: any JSON value, else its text. A parameter that is set keeps its value."""
        self.log_params({name: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters. What is called like a secret is recorded as hidden."""
        given = accept_params(params)
        if given:
            self._write(wire.Log(run=self.id, params=given))

    def set_tag(self, name: str, value: object) -> None:
        """Set a tag; one that is set gets the new value."""
        self.set_tags({name: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""
        given = accept_tags(tags)
        if given:
            self._write(wire.Log(run=self.id, tags=given))

    def delete_tag(self, name: str) -> None:
        """Take a tag away."""
        self._write(wire.Log(run=self.id, without=[_label(name, "tag")]))

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Record a file as it is now, or the files of a folder, under the folder `artifact_path` of the artifacts.

        Raises:
            NotFound: there is no such file or folder.
            InvalidInput: its name cannot be an artifact's.
        """
        source = Path(local_path)
        if source.is_dir():
            self.log_artifacts(source, "/".join(filter(None, (artifact_path, source.absolute().name))))
            return
        if not source.is_file():
            raise NotFound(f"There is no file {str(source)!a} to log.", where="local_path")
        self.log_file(source, "/".join(filter(None, (artifact_path, source.name))))

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Record the files of a folder and of the folders in it; links that lead out of it are not followed."""
        root = Path(local_dir)
        if not root.is_dir():
            raise NotFound(f"There is no folder {str(root)!a} to log.", where="local_dir")
        found = [p for p in sorted(root.rglob("*")) if p.is_file() and p.resolve().is_relative_to(root.resolve())]
        if len(found) > MOST_FILES:
            raise InvalidInput(f"A folder of more than {MOST_FILES:,} files is not logged; pack it.", where="local_dir")
        for file in found:
            self.log_file(file, "/".join(filter(None, (artifact_path, file.relative_to(root).as_posix()))))

    def log_file(self, source: Path, path: str) -> None:
        """Record a file under a path of the run's artifacts."""
        safe_path(path)
        size = source.stat().st_size
        if size <= INLINE_BYTES:
            self._write(wire.Put(run=self.id, path=path, data=source.read_bytes()))
            return
        now = self._here()
        try:
            staged = Staged(run=self.id, path=path, name=now.spool.stage(source), size=size)
        except OSError as error:
            session.tell(f"{path} is not recorded: no copy of it could be made ({error.strerror})")
            return
        now.spool.other(records.KIND_FILE, msgspec.msgpack.encode(staged))
        _wake(now)

    def log_bytes(self, data: bytes, artifact_file: str) -> None:
        """Record bytes as an artifact."""
        safe_path(artifact_file)
        if len(data) <= INLINE_BYTES:
            self._write(wire.Put(run=self.id, path=artifact_file, data=data))
            return
        now = self._here()
        try:
            staged = Staged(run=self.id, path=artifact_file, name=now.spool.stage_bytes(data), size=len(data))
        except OSError as error:
            session.tell(f"{artifact_file} is not recorded: no copy of it could be made ({error.strerror})")
            return
        now.spool.other(records.KIND_FILE, msgspec.msgpack.encode(staged))
        _wake(now)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Record a text as an artifact, in UTF-8."""
        self.log_bytes(text.encode("utf-8", "replace"), artifact_file)

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Record a value as JSON, or as YAML when the file's name ends so."""
        self.log_bytes(media.dict_bytes(dictionary, artifact_file), artifact_file)

    def log_figure(self, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
        """Record a Matplotlib or Plotly figure in the format that the file's name ends with."""
        self.log_bytes(media.figure_bytes(figure, artifact_file, save_kwargs), artifact_file)

    def log_image(
        self, image: Any, artifact_file: str | None = None, *, key: str | None = None, step: int | None = None
    ) -> None:
        """Record an image: a PIL image or an array; with `key` as one of a row of them, by step."""
        if (artifact_file is None) == (key is None):
            raise InvalidInput("An image is logged under an artifact_file, or under a key.", where="artifact_file")
        path = artifact_file if artifact_file is not None else f"images/{key}/{check_step(step or 0):08d}.png"
        self.log_bytes(media.image_bytes(image, path), path)

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Record a table as JSON, CSV or Parquet, as the file's name ends."""
        self.log_bytes(media.table_bytes(data, artifact_file), artifact_file)

    def log_input(
        self,
        data: Any,
        *,
        name: str | None = None,
        context: str | None = None,
        source: str | None = None,
        version: str | None = None,
    ) -> None:
        """Record which data the run read: a file or folder, a frame, an array, or a dataset version of Keepwell.

        Args:
            data: a path, a Polars or pandas frame, a numpy array, or the id of a dataset version (`dsv_...`).
            name: what the data is called; the file's name without it.
            context: what it is read for, such as `training`.
            source: where it came from; credentials in it are masked.
            version: the id of the dataset version that it is, where there is one.

        Raises:
            InvalidInput: it is nothing that a digest can be made of.
        """
        from keepwell.client.inputs import describe

        found = describe(data, name=name, context=context, source=source, version=version)
        self._write(wire.Inputs(run=self.id, datasets=[found]))

    def end(self, status: str = "finished", error: str | None = None) -> None:
        """End the run; once. In a forked child, the parent's run goes on.

        Args:
            status: finished, failed or interrupted.
            error: why, when it failed.
        """
        with self._mutex:
            if self.status != "running" or self.pid != os.getpid():
                return
            self.status = check_status(status)
        for stop in self._ending:
            stop()
        said = hide_credentials(error)[:2000] if error else None
        self._write(wire.Finish(run=self.id, status=self.status, at=_time(), error=said))
        session.current().spool.closes(self.id)
        _ended(self)

    def continues_at(self, steps: Mapping[str, int]) -> None:
        """Count steps on from these."""
        self._steps.update(steps)

    def before_end(self, stop: Any) -> None:
        """Call something before the run ends."""
        self._ending.append(stop)

    def begin(self, begun: wire.Start, above: ActiveRun | None) -> None:
        """Append that the run begins, as a part of `above`."""
        self._session, self._begun, self._above = session.current(), begun, above
        self._session.spool.opens(self.id)
        try:
            self._write(begun)
        except InvalidInput:
            self._session.spool.closes(self.id)
            raise

    def renew(self) -> None:
        """Take a new lock in a forked child: a thread that is not there may have held the old one."""
        self._mutex = threading.Lock()

    def _here(self) -> session.Session:
        now = session.current()
        if now is not self._session:
            self._announce(now)
        return now

    def _announce(self, now: session.Session) -> None:
        """Tell a forked process's own session of a run that its parent began: its records may be sent first."""
        self._session = now
        if self._above is not None:
            self._above._here()
        if self._begun is not None and not self._begun.resume:
            self._write(msgspec.structs.replace(self._begun, again=True))

    def _write(self, op: wire.Op) -> None:
        now = self._here()
        data = wire.pack(op)
        if len(data) > MOST_OP:
            raise TooLarge("This is too large for a value; log it as an artifact.", where=type(op).__name__.lower())
        wire.unpack_op(data)  # what the other side could not read is told here, not later
        now.spool.other(records.KIND_OP, data)
        _wake(now)


_listeners: list[Any] = []


def on_end(listener: Any) -> None:
    """Call a function with every run that ends."""
    _listeners.append(listener)


def accept_params(params: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters as they are recorded: JSON values, secrets hidden.

    Raises:
        InvalidInput: a name cannot be used.
    """
    return {_label(name, "parameter"): mask(name, plain(value)) for name, value in params.items()}


def accept_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Return tags as they are recorded: texts, secrets hidden.

    Raises:
        InvalidInput: a name cannot be used.
    """
    return {_label(name, "tag"): str(mask(name, proper(str(value))))[:8000]
            for name, value in tags.items()}  # fmt: skip


def check_status(status: str) -> str:
    """Return a status that a run ends with; other systems' words for them are understood.

    Raises:
        InvalidInput: it is none.
    """
    known = {"killed": "interrupted", "finished": "finished", "failed": "failed", "interrupted": "interrupted"}
    found = known.get(status.lower()) if isinstance(status, str) else None
    if found is None:
        raise InvalidInput("A run ends as finished, failed or interrupted.", where="status")
    return found


def plain(value: object) -> Any:  # noqa: PLR0911  (one line a kind)
    """Return a value as JSON has it; what JSON does not have, as its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return proper(value)
    if isinstance(value, int):
        return value if abs(value) <= 1 << 53 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "size", 2) == 1:
        return plain(value.item())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes) and len(value) <= 1000:
        return [plain(v) for v in value]
    return proper(str(value)[:8000])


def proper(text: str) -> str:
    """Return a text that can be stored: NUL and halves of surrogate pairs replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _label(name: object, what: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 250 or not name.isprintable():
        raise InvalidInput(f"The name of a {what} is 1 to 250 printable characters.", where=what)
    return name


def _wake(now: session.Session) -> None:
    if not now.sender.awake:
        now.sender.wake()


def _ended(run: ActiveRun) -> None:
    for listener in _listeners:
        listener(run)
