"""Many clients log at once while the server is killed and restarted: what each was told is stored, is there once.

    python -m keepwell.testing.storm --clients 50 --seconds 300 --kills 10

Prints what happened as JSON, and ends with 1 when a point is missing, is there twice, or a client saw an error.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

CLIENT = """
import sys, time, keepwell
from keepwell.client import session
number, seconds, pause = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
session.EXIT_SECONDS = 60.0
until = time.monotonic() + seconds
slowest = step = 0
keepwell.set_experiment("storm")
with keepwell.start_run(f"client {number}", params={"number": number}) as run:
    while time.monotonic() < until:
        began = time.perf_counter_ns()
        keepwell.log_metric("loss", step * 0.5)
        slowest = max(slowest, time.perf_counter_ns() - began)
        step += 1
        if step % 50 == 0:
            keepwell.log_metrics({"a": step, "b": -step}, step=step)
            keepwell.set_tag("step", str(step))
        if step % 500 == 0:
            large = 20_000 if step % 1000 == 0 else 1  # every second one takes the lane of uploads
            keepwell.log_text(f"step {step}" * large, f"notes/{step}.txt")
        time.sleep(pause)
session.finish(120.0)
print(run.id, step, slowest)
"""


@dataclass(slots=True)
class Report:
    """What happened.

    Attributes:
        clients: how many.
        kills: how often the server was killed.
        points: how many points the clients logged.
        stored: how many are there.
        missing: points that are not there.
        extra: points that nobody logged, or that are there twice.
        wrong: runs whose status, tags or artifacts are not what was said.
        errors: what clients wrote to stderr, each once.
        slowest_us: the longest call of `log_metric`.
    """

    clients: int
    kills: int = 0
    points: int = 0
    stored: int = 0
    missing: int = 0
    extra: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    slowest_us: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every point is there once and no client saw an error."""
        return not (self.missing or self.extra or self.wrong or self.errors) and self.stored == self.points > 0


def storm(
    folder: Path, *, clients: int, seconds: float, kills: int, environment: dict[str, str], seed: int = 1,
    pause: float = 0.01,
) -> Report:  # fmt: skip
    """Run clients against a server that is killed, and count what is stored.

    Args:
        folder: an empty folder.
        clients: how many processes log.
        seconds: for how long.
        kills: how often the server is killed and started again, at random moments.
        environment: the variables of the processes: PATH, PYTHONPATH, KEEPWELL_DATABASE for another database.
        seed: of the moments.
        pause: seconds between two points of a client.
    """
    draw = random.Random(seed)  # noqa: S311  (repeatable on purpose)
    port = _free_port()
    server = _serve(folder, port, environment)
    told = {**environment, "KEEPWELL_TRACKING_URI": f"http://127.0.0.1:{port}", "KEEPWELL_HOME": str(folder / "away")}
    command = [sys.executable, "-c", CLIENT]
    running = [
        subprocess.Popen(  # noqa: S603  (this interpreter)
            [*command, str(n), str(seconds), str(pause)],
            env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(clients)
    ]  # fmt: skip
    report = Report(clients)
    began = time.monotonic()
    for moment in sorted(draw.uniform(0.05, 0.95) * seconds for _ in range(kills)):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        server.kill()
        server.wait()
        report.kills += 1
        time.sleep(draw.uniform(0.0, 1.0))
        server = _serve(folder, port, environment)
    logged: dict[str, int] = {}
    for process in running:
        out, err = process.communicate(timeout=seconds + 600)
        if process.returncode or err:
            report.errors = sorted({*report.errors, f"exit {process.returncode}: {err[-500:]}"})[:20]
        if out.strip():
            run, steps, slowest = out.split()
            logged[run] = int(steps)
            report.slowest_us = max(report.slowest_us, int(slowest) / 1000)
    server.terminate()
    server.wait()
    _count(folder, environment, logged, report)
    left = list((folder / "away" / "spool").glob("ses_*"))
    if left:
        report.wrong.append(f"{len(left)} spools are left")
    return report


def _count(folder: Path, environment: dict[str, str], logged: dict[str, int], report: Report) -> None:
    from keepwell.bootstrap import open_house
    from keepwell.settings import read_settings
    from keepwell.tracking import service

    kit = open_house(read_settings(str(folder / "home"), environment))
    with kit.read() as tx:
        for run, steps in logged.items():
            found = service.run(tx, run)
            wanted = {
                "loss": {(s, s * 0.5) for s in range(steps)},
                "a": {(s, float(s)) for s in range(50, steps + 1, 50)},
                "b": {(s, float(-s)) for s in range(50, steps + 1, 50)},
            }
            for name, points in wanted.items():
                series = service.history(tx, run, name)
                there = list(zip(series.steps.tolist(), series.values.tolist(), strict=True))
                report.points += len(points)
                report.stored += len(there)
                report.missing += len(points - set(there))
                report.extra += len(there) - len(points & set(there))
            notes = {f"notes/{s}.txt" for s in range(500, steps + 1, 500)}
            last = str(steps - steps % 50)
            made = {path for path in found.artifacts if path.startswith("notes/")}
            if found.status != "finished" or made != notes or (
                steps >= 50 and found.tags.get("step") != last
            ):  # fmt: skip
                report.wrong.append(f"{run} is {found.status}, {len(made)} artifacts of {len(notes)}")


def _serve(folder: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(folder / "home"), "--port", str(port),
               "--auth", "none"]  # fmt: skip
    log = (folder / "server.log").open("ab")
    with log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603  (this interpreter)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the storm of the command line."""
    parser = argparse.ArgumentParser(prog="python -m keepwell.testing.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.05)
    given = parser.parse_args(arguments)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    with tempfile.TemporaryDirectory(prefix="keepwell-storm-") as temp:
        report = storm(
            Path(temp),
            clients=given.clients,
            seconds=given.seconds,
            kills=given.kills,
            environment=environment,
            seed=given.seed,
            pause=given.pause,
        )
    sys.stdout.write(json.dumps({**asdict(report), "good": report.good}) + "\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
