"""The kill loop: die at every failpoint of a walk, and show that nothing is torn and a retry ends where it should.

    python -m keepwell.testing.killing WALK FOLDER [--thin]

A walk runs once with every failpoint named (`*:log`). Then, for each time a point was reached: a process dies there by
SIGKILL, `fsck` is clean, the same call with the same idempotency key is made again by another process, `fsck` is clean,
and answer and state equal those of the undisturbed run. Prints what was found as JSON; exit code 1 on a violation.
`--thin` tries a point that is reached often at its first and last time only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import select

from keepwell.core import failpoints
from keepwell.db import metadata, read
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.testing.walks import WALKS, Walk, house

KEY = "walk-1"
_RANDOM = frozenset({"hash", "previous", "commitment", "salt", "root", "signature", "peaks"})
"""Columns that differ from run to run: a note's salt is random, and what is hashed after it."""


class Outcome(msgspec.Struct, frozen=True):
    """What one walk under the kill loop showed: the points, in order of reaching, and what was violated."""

    walk: str
    points: list[str]
    violations: list[str]


def reached(log: str) -> list[tuple[str, int]]:
    """Return the failpoints that a log names, each with how many times it had been reached by then."""
    count: dict[str, int] = {}
    found = []
    for line in log.splitlines():
        if line.startswith("failpoint "):
            name = line.removeprefix("failpoint ").strip()
            count[name] = count.get(name, 0) + 1
            found.append((name, count[name]))
    return found


def thinned(points: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the points without those between the first and the last time that each was reached."""
    last = dict(points)
    return [(name, nth) for name, nth in points if nth in (1, last[name])]


def kill_everywhere(name: str, folder: Path, *, thin: bool = False) -> Outcome:
    """Run the kill loop over a walk, in a folder that is empty."""
    walk, base, inputs = WALKS[name], folder / "base", folder / "inputs"
    inputs.mkdir(parents=True)
    _must(folder, lambda: walk.prepare(house(base, seed=7), inputs))
    undisturbed = _copy(base, folder / "undisturbed")
    log = _must(folder, lambda: _act(walk, undisturbed, inputs, "*:log"))[1]
    wanted = _must(folder, lambda: _settled(walk, undisturbed, inputs))[0]
    points, violations = thinned(reached(log)) if thin else reached(log), []
    if not points:
        violations.append(f"{name}: no failpoint was reached")
    for number, (point, nth) in enumerate(points):
        home = _copy(base, folder / f"killed{number}")
        where = f"{name}: killed at {point} the {nth}. time"
        status, _, said = in_child(folder, lambda: _act(walk, home, inputs, f"{point}:kill@{nth}"))  # noqa: B023
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            violations.append(f"{where}: it did not die there: {said[-500:]}")
            continue
        status, found, said = in_child(folder, lambda: _settled(walk, home, inputs))  # noqa: B023
        if status != 0:
            violations.append(f"{where}: the retry failed: {said[-500:]}")
        elif found != wanted:
            violations.append(f"{where}: {_difference(found, wanted)}")
        shutil.rmtree(home)
    return Outcome(name, [f"{point}@{nth}" for point, nth in points], violations)


def picture(kit: Kit) -> dict[str, list[str]]:
    """Return all rows of all tables as text, sorted, without what is random: equal states have equal pictures."""
    found = {}
    with read(kit.db) as tx:
        for table in metadata.sorted_tables:
            columns = [c for c in table.c if c.name not in _RANDOM]
            rows = tx.execute(select(*columns))
            found[table.name] = sorted(json.dumps([repr(value) for value in row]) for row in rows)
    return found


def _act(walk: Walk, home: Path, inputs: Path, points: str) -> object:
    kit = house(home)
    failpoints.arm(points)
    try:
        return walk.act(kit, inputs, KEY)
    finally:
        failpoints.arm("")


def _settled(walk: Walk, home: Path, inputs: Path) -> object:
    """Check, act again with the same key, check again."""
    before = fsck(house(home))
    answer = _act(walk, home, inputs, "")
    again = _act(walk, home, inputs, "")
    kit = house(home)
    facts = {"torn": before, "broken": fsck(kit), "answer": answer, "again": again, "state": picture(kit)}
    return msgspec.to_builtins(facts)


def in_child(folder: Path, work: Callable[[], object]) -> tuple[int, object, str]:
    """Run work in a process of its own; return its wait status, its answer, and what it wrote to stderr."""
    answer, said = folder / "answer.json", folder / "stderr.txt"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 2)
            answer.write_bytes(msgspec.json.encode(work()))
            code = 0
        except BaseException:  # noqa: BLE001  (the child tells its parent, whatever it is)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    data = answer.read_bytes() if answer.exists() else b"null"
    return status, msgspec.json.decode(data), said.read_text(encoding="utf-8", errors="replace")


def _must(folder: Path, work: Callable[[], object]) -> tuple[object, str]:
    status, found, said = in_child(folder, work)
    if status != 0:
        raise RuntimeError(f"The undisturbed run failed:\n{said}")
    return found, said


def _copy(base: Path, to: Path) -> Path:
    shutil.copytree(base, to)
    return to


def _difference(found: object, wanted: object) -> str:
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return f"{found} instead of {wanted}"
    parts = []
    for name in wanted:
        if found.get(name) == wanted[name]:
            continue
        if name == "state":
            one, other = found[name], wanted[name]
            parts += [
                f"{table}: {sorted(set(one[table]) ^ set(other[table]))[:4]}"
                for table in other
                if one[table] != other[table]
            ]
        else:
            parts.append(f"{name}: {found.get(name)} instead of {wanted[name]}")
    return "; ".join(parts)[:2000]


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    if len(arguments) not in (2, 3) or arguments[0] not in WALKS or arguments[2:] not in ([], ["--thin"]):
        sys.stderr.write(f"usage: python -m keepwell.testing.killing {'|'.join(WALKS)} FOLDER [--thin]\n")
        return 2
    outcome = kill_everywhere(arguments[0], Path(arguments[1]), thin=arguments[2:] == ["--thin"])
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
