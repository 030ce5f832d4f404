"""What every runner must do: inherit `RunnerConformance` in a test class and give it a `runner` fixture.

    class TestInProcess(RunnerConformance):
        @pytest.fixture
        def runner(self): return InProcess()

The methods take the runner as `runner` and a folder of their own as `tmp_path`. The functions they run are of this
module, so that a runner in another process finds them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from keepwell.core.errors import InvalidInput
from keepwell.pipelines.commands import base_variables
from keepwell.pipelines.loading import address_of, load_function
from keepwell.pipelines.tasks import Outcome, Program, Runner, Task
from keepwell.pipelines.values import Payload, decode, encode

WAIT = 60.0
"""Seconds that a task of this suite may take before the runner counts as stuck."""


def add(left: int, right: int = 1) -> int:
    """Return a sum."""
    return left + right


def both(text: str) -> tuple[str, bytes]:
    """Return two outputs."""
    return text.upper(), text.encode()


def large(size: int) -> bytes:
    """Return many bytes."""
    return b"x" * size


def talk(words: str) -> None:
    """Write to stdout and stderr."""
    sys.stdout.write(f"out {words}\n")
    sys.stderr.write(f"err {words}\n")


def refuse() -> None:
    """Fail as the house's own functions do."""
    raise InvalidInput("The column 'price' is missing.")


def stumble() -> None:
    """Fail as foreign code does."""
    raise ValueError("negative demand")


def leave() -> None:
    """End the program, as scripts do."""
    sys.exit(3)


def no_data() -> object:
    """Return what cannot be stored."""
    return object()


def typed(items: list[int]) -> int:
    """Return a sum of what must be whole numbers."""
    return sum(items)


def doze(seconds: float) -> str:
    """Take time."""
    time.sleep(seconds)
    return "slept"


def die() -> None:
    """Take the process down."""
    os.kill(os.getpid(), signal.SIGKILL)


def whoami() -> int:
    """Return the process."""
    return os.getpid()


def expect(holds: bool, promise: str) -> None:
    """Fail with the promise that was broken."""
    if not holds:
        raise AssertionError(f"A runner must keep this promise: {promise}")


def run_all(runner: Runner, tasks: list[Task]) -> dict[int, Outcome]:
    """Submit tasks and wait for all of their outcomes."""
    for task in tasks:
        runner.submit(task, None if task.function is None else load_function(task.function))
    found: dict[int, Outcome] = {}
    until = time.monotonic() + WAIT
    while len(found) < len(tasks):
        expect(time.monotonic() < until, "every submitted task comes to an outcome")
        found |= {outcome.id: outcome for outcome in runner.wait(1.0)}
    return found


def task_of(folder: Path, function: Any, number: int = 1, **arguments: object) -> Task:
    """Return a task that calls a function of this module with stored arguments."""
    inputs = {}
    for name, value in arguments.items():
        kind, data = encode(value)
        inputs[name] = Payload(format=kind, data=data)
    return Task(
        id=number,
        step=function.__name__,
        folder=str(folder / str(number)),
        function=address_of(function),
        inputs=inputs,
        outputs=("result",),
    )


def program_of(folder: Path, argv: tuple[str, ...], number: int = 1, **changes: Any) -> Task:
    """Return a task that runs a program."""
    program = Program(argv=argv, files={}, outputs={"out": "out.txt"}, formats={}, variables=base_variables())
    given = {"outputs": ("out",), "program": program, **changes}
    return Task(id=number, step="program", folder=str(folder / str(number)), **given)


class RunnerConformance:
    """The promises of `keepwell.pipelines.tasks.Runner`, one a method."""

    def test_a_function_is_called_with_its_inputs_and_constants(self, runner: Runner, tmp_path: Path) -> None:
        """Stored values and plain ones arrive under their names; the result comes back as bytes."""
        first = task_of(tmp_path, add, 1, left=40)
        second = Task(**{**_fields(task_of(tmp_path, add, 2, left=40)), "constants": {"right": 2}})
        found = run_all(runner, [first, second])
        expect(_value(found[1], "result") == 41, "defaults hold where nothing is given")
        expect(_value(found[2], "result") == 42, "constants arrive")
        expect(all(o.error is None and o.seconds >= 0.0 for o in found.values()), "a good task has no error")

    def test_outputs_by_name(self, runner: Runner, tmp_path: Path) -> None:
        """A tuple is split over the outputs in their order."""
        task = Task(**{**_fields(task_of(tmp_path, both, text="a")), "outputs": ("upper", "raw")})
        found = run_all(runner, [task])[1]
        expect(_value(found, "upper") == "A" and _value(found, "raw") == b"a", "a tuple fills the outputs in order")

    def test_large_values(self, runner: Runner, tmp_path: Path) -> None:
        """Values of megabytes come back whole."""
        found = run_all(runner, [task_of(tmp_path, large, size=5_000_000)])[1]
        expect(len(found.outputs["result"].read()) == 5_000_000, "large outputs come back whole")

    def test_what_is_written_is_the_log(self, runner: Runner, tmp_path: Path) -> None:
        """Each task has its own log, of stdout and stderr."""
        found = run_all(runner, [task_of(tmp_path, talk, n, words=f"task {n}") for n in (1, 2, 3)])
        for number, outcome in found.items():
            expect(f"out task {number}\n".encode() in outcome.log, "stdout is in the log")
            expect(f"err task {number}\n".encode() in outcome.log, "stderr is in the log")
            expect(outcome.log.count(b"task") == 2, "a log holds nothing of other tasks")

    def test_failures_are_sentences(self, runner: Runner, tmp_path: Path) -> None:
        """Whatever the code raises or returns fails the task and nothing else."""
        functions = (refuse, stumble, leave, no_data, add)
        tasks = [task_of(tmp_path, f, n) for n, f in enumerate(functions[:-1])] + [task_of(tmp_path, add, 4, left=1)]
        found = run_all(runner, tasks)
        expect(found[0].error == "The column 'price' is missing.", "an error of ours is its message")
        expect("ValueError: negative demand" in str(found[1].error), "another error is its name and message")
        expect(b"Traceback" in found[1].log, "the log holds the traceback of another error")
        expect("SystemExit" in str(found[2].error), "sys.exit fails the task, not the runner")
        expect("cannot be stored" in str(found[3].error), "a result that is no data is refused")
        expect(_value(found[4], "result") == 2, "the next task is not harmed")
        expect(not any(found[n].outputs for n in range(4)), "a failed task has no outputs")

    def test_inputs_are_typed(self, runner: Runner, tmp_path: Path) -> None:
        """An input that is not what the annotation says fails with a sentence that names it."""
        error = run_all(runner, [task_of(tmp_path, typed, items=["one"])])[1].error
        expect(error is not None and "'items'" in error and "int" in error, "wrong types are said")

    def test_time_runs_out(self, runner: Runner, tmp_path: Path) -> None:
        """A task that takes longer than it may is failed; the runner goes on."""
        slow = Task(**{**_fields(task_of(tmp_path, doze, 1, seconds=0.4)), "timeout": 0.1})
        found = run_all(runner, [slow, task_of(tmp_path, add, 2, left=1)])
        expect("timeout" in str(found[1].error), "a task out of time fails")
        expect(_value(found[2], "result") == 2, "another task is not harmed")

    def test_a_program(self, runner: Runner, tmp_path: Path) -> None:
        """A program gets files and leaves files; its folder is its own."""
        program = Program(
            argv=("sort", "-o", "{outputs.out}", "--", "{inputs.rows}"),
            files={},
            outputs={"out": "out.txt"},
            formats={},
            variables=base_variables(),
        )
        rows = {"rows": Payload(format="text", data=b"b\na\n")}
        found = run_all(runner, [program_of(tmp_path, (), program=program, inputs=rows)])[1]
        expect(found.error is None and found.outputs["out"].read() == b"a\nb\n", "outputs are collected")

    def test_a_program_fails(self, runner: Runner, tmp_path: Path) -> None:
        """A status that is not 0 fails the task with the last lines; a missing program or file is said."""
        script = "import sys; print('first'); sys.exit('no such column')"
        found = run_all(
            runner,
            [
                program_of(tmp_path, ("python", "-c", script), 1),
                program_of(tmp_path, ("no-such-program-here",), 2),
                program_of(tmp_path, ("true",), 3),
                program_of(tmp_path, ("sleep", "30"), 4, timeout=0.2),
            ],
        )
        expect("status 1: first | no such column" in str(found[1].error), "the last lines are said")
        expect(b"first\n" in found[1].log, "the log is kept")
        expect("no program" in str(found[2].error), "a missing program is said")
        expect("left no file 'out.txt'" in str(found[3].error), "a missing output is said")
        expect("timeout" in str(found[4].error) and found[4].seconds < 10, "a program out of time is ended")

    def test_cancel(self, runner: Runner, tmp_path: Path) -> None:
        """After a cancel nothing of before comes back, and the runner works on."""
        for number in (1, 2, 3, 4):
            runner.submit(task_of(tmp_path, doze, number, seconds=5.0), doze)
        runner.cancel()
        found = run_all(runner, [task_of(tmp_path, add, 9, left=1)])
        expect(list(found) == [9] and _value(found[9], "result") == 2, "a cancelled task has no outcome")

    def test_close_and_go_on(self, runner: Runner, tmp_path: Path) -> None:
        """A closed runner may be used again."""
        run_all(runner, [task_of(tmp_path, add, 1, left=1)])
        runner.close()
        expect(_value(run_all(runner, [task_of(tmp_path, add, 2, left=2)])[2], "result") == 3, "it can be used again")


class RemoteConformance(RunnerConformance):
    """What a runner whose functions run in other processes must do besides."""

    def test_a_process_that_dies_fails_its_task_only(self, runner: Runner, tmp_path: Path) -> None:
        """The death is said in a sentence, and another process takes its place."""
        tasks = [task_of(tmp_path, die if n == 2 else add, n, **({} if n == 2 else {"left": n})) for n in range(1, 7)]
        for task in tasks:
            runner.submit(task, None)
        found: dict[int, Outcome] = {}
        while len(found) < len(tasks):
            found |= {outcome.id: outcome for outcome in runner.wait(WAIT)}
        expect("SIGKILL" in str(found[2].error), "how it died is said")
        expect(all(_value(found[n], "result") == n + 1 for n in (1, 3, 4, 5, 6)), "other tasks are not harmed")

    def test_processes_are_kept(self, runner: Runner, tmp_path: Path) -> None:
        """There are no more processes than slots, and none is this one."""
        found = run_all(runner, [task_of(tmp_path, whoami, n) for n in range(8)])
        processes = {_value(outcome, "result") for outcome in found.values()}
        expect(len(processes) <= runner.slots and os.getpid() not in processes, "processes are kept for the next task")


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


def _value(outcome: Outcome, name: str) -> Any:
    expect(outcome.error is None, f"a good task succeeds: {outcome.error}")
    return decode(outcome.outputs[name])
