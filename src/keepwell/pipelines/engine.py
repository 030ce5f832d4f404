"""Drive a graph to its end: what is ready is looked up, what is not known is run, what was made is recorded."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from keepwell.core.clock import iso
from keepwell.core.digests import digest_parts
from keepwell.core.errors import InvalidInput, KeepwellError, NotFound
from keepwell.db import Database, read
from keepwell.pipelines import store
from keepwell.pipelines.graph import Constant, FromFile, FromParam, FromStep, FromValue, Node, feeds
from keepwell.pipelines.model import WHOLE, Progress, StepRun, StepState, Stored
from keepwell.pipelines.prepare import Preparation, Prepared, key_of
from keepwell.pipelines.record import Recorder
from keepwell.pipelines.shelf import Shelf
from keepwell.pipelines.tasks import Outcome, Runner, Task
from keepwell.pipelines.values import ENDINGS, Payload, split
from keepwell.pipelines.workplace import Workplace, remove


@dataclass(slots=True)
class Job:
    """One thing to be run: a step, or one chunk of a mapped step."""

    node: Node
    part: int
    inputs: dict[str, Stored]
    key: str
    attempts: int = 0
    folder: str = ""
    started_at: str | None = None
    spent: float = 0.0


@dataclass(slots=True)
class Chunks:
    """What has come of the chunks of a mapped step so far."""

    job: Job
    open: int
    made: list[dict[str, Stored]]
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tools:
    """What an execution works with.

    Attributes:
        prepared: the steps made ready, by position.
        known: what this run has made in earlier attempts.
        recent: what the pipeline's last finished run has made, read at once: most of it is wanted again.
    """

    run_id: str
    database: Database
    runner: Runner
    shelf: Shelf
    recorder: Recorder
    workplace: Workplace
    preparation: Preparation
    prepared: Sequence[Prepared]
    values: dict[str, Stored]
    known: store.Made
    recent: store.Made
    cache: bool
    now: datetime
    progress: Callable[[Progress], None] | None


class Execution:
    """One attempt at a graph. When `run` returns nothing is left to do; `counts` and `failures` say how it went."""

    def __init__(self, nodes: Sequence[Node], tools: Tools) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._nodes = nodes
        self._tools = tools
        self._feeds = feeds(nodes)
        self._missing = [len(node.after) for node in nodes]
        self._ready = deque(node for node in nodes if not node.after)
        self._queue: deque[Job] = deque()
        self._running: dict[int, Job] = {}
        self._chunks: dict[int, Chunks] = {}
        self._prepared = tools.prepared
        self._made: dict[int, dict[str, Stored]] = {}
        self._gone: set[int] = set()
        self._lines: dict[int, str] = {}
        self._places: set[tuple[int, int]] = set()
        self._as_before: set[int] = set()
        self._tasks = 0
        self._known = len(nodes)
        self._clock = time.perf_counter()

    def run(self) -> None:
        """Run until every step is done, cached, failed or skipped."""
        while self._ready or self._queue or self._running:
            if self._ready:
                wave = list(self._ready)
                self._ready.clear()
                self._offer([job for node in wave if (job := self._job(node)) is not None])
            while self._queue and len(self._running) < self._tools.runner.slots:
                self._submit(self._queue.popleft())
            if self._running:
                for outcome in self._tools.runner.wait(None):
                    self._settle(self._running.pop(outcome.id), outcome)

    def interrupt(self) -> None:
        """Stop what runs and record it as interrupted."""
        self._tools.runner.cancel()
        for job in self._running.values():
            self._note(job, "interrupted")
        for chunks in self._chunks.values():
            self._note(chunks.job, "interrupted")
        self._running.clear()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._clock

    def flush(self) -> None:
        """Write what is recorded, now."""
        self._tools.recorder.flush()

    def digest(self) -> str:
        """Return a digest of what was made: name, key and outputs of every step, in order."""
        return digest_parts(self._lines[position] for position in sorted(self._lines))

    def is_of_this_graph(self, position: int, part: int) -> bool:
        """Tell whether a step record belongs to this graph: an earlier attempt may have run another one."""
        return (position, part) in self._places or position in self._as_before

    def _job(self, node: Node) -> Job | None:
        inputs: dict[str, Stored] = {}
        try:
            for name, source in node.sources.items():
                match source:
                    case FromStep():
                        inputs[name] = self._made[source.position][source.output]
                    case FromValue():
                        inputs[name] = self._tools.values[source.name]
                    case FromFile():
                        inputs[name] = self._file(node, source)
                    case Constant() | FromParam():
                        pass
        except (NotFound, InvalidInput) as error:
            self._fail(Job(node, WHOLE, inputs, ""), error.message, None)
            return None
        key = key_of(self._prepared[node.position], node.step, inputs)
        if node.step.map_over is not None:
            key = digest_parts([key, "mapped", node.step.map_over, str(node.step.chunk)])
        return Job(node, WHOLE, inputs, key)

    def _file(self, node: Node, source: FromFile) -> Stored:
        path, digest = self._tools.preparation.file(source, node.step.name)
        self._tools.shelf.lend(digest, path)
        return Stored(digest, ENDINGS.get(path.suffix.lower(), "bytes"))

    def _offer(self, jobs: list[Job]) -> None:
        """Take what was made before; queue the rest, a mapped step by its chunks."""
        found = self._look_up(jobs)
        for job in jobs:
            before = found.get(job.key)
            if before is not None:
                self._take(job, before)
            elif job.part == WHOLE and job.node.step.map_over is not None:
                self._divide(job, job.node.step.map_over)
            else:
                self._queue.append(job)

    def _look_up(self, jobs: list[Job]) -> dict[str, StepRun]:
        tools = self._tools
        found = {job.key: tools.known.steps[job.key] for job in jobs if job.key in tools.known.steps}
        if tools.cache:
            wanted = []
            for job in jobs:
                if job.key not in found and job.node.step.cache:
                    if job.key in tools.recent.steps:
                        found[job.key] = tools.recent.steps[job.key]
                    else:
                        wanted.append(job.key)
            if wanted:
                with read(tools.database) as tx:
                    made = store.made_before(tx, wanted)
                tools.recorder.inline |= made.inline
                found |= made.steps
        return {key: one for key, one in found.items() if tools.shelf.is_there(store.stored(one))}

    def _divide(self, job: Job, argument: str) -> None:
        try:
            items = self._items(job, argument)
        except KeepwellError as error:
            self._fail(job, f"Its input {argument!r} cannot be mapped over. {error.message}", None)
            return
        self._chunks[job.node.position] = Chunks(job, len(items), [{} for _ in items])
        self._known += len(items)
        self._note(job, "running")
        prepared = self._prepared[job.node.position]
        parts = []
        for number, data in enumerate(items):
            inputs = {**job.inputs, argument: Stored(self._tools.shelf.put(data), "msgpack")}
            parts.append(Job(job.node, number, inputs, key_of(prepared, job.node.step, inputs)))
        if parts:
            self._offer(parts)
        else:
            self._close_chunks(self._chunks[job.node.position])

    def _items(self, job: Job, argument: str) -> list[bytes]:
        if argument in job.inputs:
            payload = self._tools.shelf.payload(job.inputs[argument])
        else:
            value = self._prepared[job.node.position].constants[argument]
            payload = Payload(format="json", data=msgspec.json.encode(value))
        return split(payload, job.node.step.chunk)

    def _submit(self, job: Job) -> None:
        prepared = self._prepared[job.node.position]
        step = job.node.step
        self._tasks += 1
        job.attempts += 1
        job.folder = self._tools.workplace.task_folder()
        try:
            inputs = {name: self._tools.shelf.payload(stored) for name, stored in job.inputs.items()}
        except KeepwellError as error:
            self._fail(job, error.message, None)
            return
        task = Task(
            id=self._tasks,
            step=step.name,
            folder=job.folder,
            function=prepared.address,
            program=prepared.program,
            inputs=inputs,
            constants={name: value for name, value in prepared.constants.items() if name not in inputs},
            outputs=step.output_names,
            timeout=step.timeout,
        )
        job.started_at = self.moment()
        self._running[task.id] = job
        self._note(job, "running")
        self._tools.runner.submit(task, prepared.function)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        job.spent += outcome.seconds
        log = self._tools.shelf.put(outcome.log) if outcome.log else None
        if outcome.error is not None:
            remove(job.folder)
            if job.attempts <= job.node.step.retries:
                self._queue.appendleft(job)
            else:
                self._fail(job, outcome.error, log)
            return
        made = {name: self._tools.shelf.put_payload(payload) for name, payload in outcome.outputs.items()}
        if prepared_folder(outcome, self._prepared[job.node.position]):
            remove(job.folder)
        self._note(job, "done", made=made, log=log)
        self._close(job, made)

    def _take(self, job: Job, before: StepRun) -> None:
        """Take over what another run, or an earlier attempt of this one, has made."""
        made = store.stored(before)
        if before.run_id == self._tools.run_id and before.part == job.part and before.position == job.node.position:
            if job.part == WHOLE:
                self._as_before.add(job.node.position)
            self._count(job, before.state)
            self._line(job, made)
        else:
            self._note(job, "cached", made=made, before=before)
        self._close(job, made)

    def _close(self, job: Job, made: dict[str, Stored]) -> None:
        if job.part != WHOLE:
            chunks = self._chunks[job.node.position]
            chunks.made[job.part] = made
            chunks.open -= 1
            chunks.seconds += job.spent
            if chunks.open == 0:
                self._close_chunks(chunks)
            return
        self._made[job.node.position] = made
        for follower in self._feeds[job.node.position]:
            self._missing[follower] -= 1
            if self._missing[follower] == 0 and follower not in self._gone:
                self._ready.append(self._nodes[follower])

    def _close_chunks(self, chunks: Chunks) -> None:
        job = chunks.job
        del self._chunks[job.node.position]
        job.spent = chunks.seconds
        if chunks.errors:
            several = f"{len(chunks.errors)} of {len(chunks.made)} chunks failed; the first: "
            self._fail(job, several + chunks.errors[0], None)
            return
        made = {
            name: self._tools.shelf.put_parts([one[name] for one in chunks.made]) for name in job.node.step.output_names
        }
        self._note(job, "done", made=made)
        self._close(job, made)

    def _fail(self, job: Job, error: str, log: str | None) -> None:
        self._note(job, "failed", error=error, log=log)
        if job.part != WHOLE:
            chunks = self._chunks[job.node.position]
            chunks.errors.append(error)
            chunks.open -= 1
            chunks.seconds += job.spent
            if chunks.open == 0:
                self._close_chunks(chunks)
            return
        self.failures.append(f"The step {job.node.step.name!r} failed: {error}")
        self._skip(job.node)

    def _skip(self, failed: Node) -> None:
        """Record everything that waits for a failed step, however far behind it, as skipped."""
        waiting = list(self._feeds[failed.position])
        while waiting:
            position = waiting.pop()
            if position in self._gone:
                continue
            self._gone.add(position)
            reason = f"It waits for {failed.step.name!r}, which failed."
            self._note(Job(self._nodes[position], WHOLE, {}, ""), "skipped", error=reason)
            waiting += self._feeds[position]

    def _note(
        self,
        job: Job,
        state: StepState,
        *,
        made: dict[str, Stored] | None = None,
        log: str | None = None,
        error: str | None = None,
        before: StepRun | None = None,
    ) -> None:
        prepared = self._prepared[job.node.position]
        made = made or {}
        ended = None if state == "running" else self.moment()
        self._tools.recorder.note(
            StepRun(
                run_id=self._tools.run_id,
                position=job.node.position,
                part=job.part,
                name=job.node.step.name,
                state=state,
                key=job.key or None,
                code=prepared.code,
                params=prepared.params,
                environment=prepared.environment,
                inputs={name: stored.digest for name, stored in job.inputs.items()},
                outputs={name: stored.digest for name, stored in made.items()},
                formats={name: stored.format for name, stored in made.items()},
                log=before.log if before else log,
                error=error,
                seconds=before.seconds if before else job.spent,
                attempts=job.attempts,
                source=(before.source or before.run_id) if before else None,
                started_at=job.started_at or ended or self.moment(),
                finished_at=ended,
            )
        )
        if ended is not None:
            self._count(job, state, error)
            self._line(job, made)

    def _count(self, job: Job, state: StepState, error: str | None = None) -> None:
        self.counts[state] += 1
        if self._tools.progress is not None:
            names = tuple(dict.fromkeys(j.node.step.name for j in self._running.values()))
            failed = f"{job.node.step.name}: {error}" if state == "failed" and error else None
            self._tools.progress(
                Progress(self._tools.run_id, dict(self.counts), self._known, names, self.seconds(), failed)
            )

    def _line(self, job: Job, made: dict[str, Stored]) -> None:
        self._places.add((job.node.position, job.part))
        if job.part == WHOLE:
            outputs = " ".join(f"{name}={stored.digest}" for name, stored in sorted(made.items()))
            self._lines[job.node.position] = f"{job.node.step.name} {job.key} {outputs}"

    def moment(self) -> str:
        """Return the present moment by the call's clock."""
        return iso(self._tools.now + timedelta(seconds=self.seconds()))


def prepared_folder(outcome: Outcome, prepared: Prepared) -> bool:
    """Tell whether a task may have left files in its folder."""
    return prepared.program is not None or any(made.path is not None for made in outcome.outputs.values())
