"""A run that is being recorded: each method appends to this process's spool and returns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from keepwell.client import records, session
from keepwell.client.filing import Filing
from keepwell.client.rules import check_metric, check_step, check_value
from keepwell.client.values import accept_params, accept_tags, check_status, label
from keepwell.core import points
from keepwell.core.errors import InvalidInput, TooLarge
from keepwell.core.secrets import hide_credentials
from keepwell.tracking import wire
from keepwell.tracking.rules import check_logged_model_id

MOST_OP = 2 << 20
_time = session.milliseconds


class ActiveRun(Filing):
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

    def log_metric(
        self,
        name: str,
        value: object,
        step: int | None = None,
        timestamp: int | None = None,
        *,
        model_id: str | None = None,
    ) -> None:
        """Record a point of a metric.

        Args:
            name: of the metric, 1 to 250 printable characters.
            value: a number; NaN and infinities are recorded as what they are.
            step: where in training; without it, one more than the last of that name, from 0.
            timestamp: milliseconds since the epoch; now without it.
            model_id: a logged model that the point was measured of; it gets the point too.

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
        at = _time() if timestamp is None else int(timestamp)
        now.spool.point(self.id, name, step, at, number)
        sender = now.sender
        if not sender.awake:
            sender.wake()
        if model_id is not None:
            self._of_model(model_id, {name: number}, step, at)

    def log_metrics(
        self,
        values: Mapping[str, object],
        step: int | None = None,
        timestamp: int | None = None,
        *,
        model_id: str | None = None,
    ) -> None:
        """Record points of several metrics at one step and moment, in one write."""
        checked = {check_metric(name): check_value(name, value) for name, value in values.items()}
        if not checked:
            return
        with self._mutex:
            if step is None:
                step = 1 + max(self._steps.get(name, -1) for name in checked)
            step = check_step(step)
            self._steps.update(dict.fromkeys(checked, step))
        now = self.here()
        at = _time() if timestamp is None else int(timestamp)
        now.spool.points(self.id, step, at, checked)
        now.wake()
        if model_id is not None:
            self._of_model(model_id, checked, step, at)

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
        now = self.here()
        for start in range(0, len(numbers), 100_000):
            part = slice(start, start + 100_000)
            rows = zip([name] * len(numbers[part]), numbers[part], places[part], moments[part], strict=True)
            now.spool.packed(self.id, points.pack(points.batch_of(rows)))
        now.wake()

    def log_param(self, name: str, value: object) -> None:
        """Record a parameter: any JSON value, else its text. A parameter that is set keeps its value."""
        self.log_params({name: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters. What is called like a secret is recorded as hidden."""
        given = accept_params(params)
        if given:
            self.record(wire.Log(run=self.id, params=given))

    def set_tag(self, name: str, value: object) -> None:
        """Set a tag; one that is set gets the new value."""
        self.set_tags({name: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""
        given = accept_tags(tags)
        if given:
            self.record(wire.Log(run=self.id, tags=given))

    def delete_tag(self, name: str) -> None:
        """Take a tag away."""
        self.record(wire.Log(run=self.id, without=[label(name, "tag")]))

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
        self.record(wire.Inputs(run=self.id, datasets=[found]))

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
        self.record(wire.Finish(run=self.id, status=self.status, at=_time(), error=said))
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
            self.record(begun)
        except InvalidInput:
            self._session.spool.closes(self.id)
            raise

    def renew(self) -> None:
        """Take a new lock in a forked child: a thread that is not there may have held the old one."""
        self._mutex = threading.Lock()

    def here(self) -> session.Session:
        """Return this process's session, which knows the run."""
        now = session.current()
        if now is not self._session:
            self._announce(now)
        return now

    def record(self, op: wire.Op) -> None:
        """Append an operation.

        Raises:
            TooLarge: it is too large for a record.
            InvalidInput: the other side could not read it.
        """
        now = self.here()
        data = wire.pack(op)
        if len(data) > MOST_OP:
            raise TooLarge("This is too large for a value; log it as an artifact.", where=type(op).__name__.lower())
        wire.unpack_op(data)  # what the other side could not read is told here, not later
        now.spool.other(records.KIND_LATE if now.behind.waits(op) else records.KIND_OP, data)
        now.wake()

    def _of_model(self, model_id: str, values: Mapping[str, float], step: int, at: int) -> None:
        """Give a logged model points that were measured of it."""
        model = check_logged_model_id(model_id)
        self.record(wire.Log(run=self.id, models=[wire.ModelPoint(model, n, v, step, at) for n, v in values.items()]))

    def _announce(self, now: session.Session) -> None:
        """Tell a forked process's own session of a run that its parent began: its records may be sent first."""
        self._session = now
        if self._above is not None:
            self._above.here()
        if self._begun is not None and not self._begun.resume:
            self.record(msgspec.structs.replace(self._begun, again=True))


_listeners: list[Any] = []


def on_end(listener: Any) -> None:
    """Call a function with every run that ends."""
    _listeners.append(listener)


def _ended(run: ActiveRun) -> None:
    for listener in _listeners:
        listener(run)
