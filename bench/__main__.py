"""`./run bench [NAME ...] [--json FILE]`: measure walks beside their limits and print both, and the ratio.

Every module of this package with a function `rows()` is a benchmark. A row says: walk, limit_name, limit, ours, unit,
ratio (ours / limit, measured in one run), bar (what must be reached, in the unit, or None), ok (True, False, or None
where there is no bar). A module with `NAMED_ONLY` is run only when it is named; `NAME:NUMBER` hands a number to `rows`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import bench


def main() -> int:
    names = [m.name for m in pkgutil.iter_modules(bench.__path__) if not m.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure walks beside their limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(names)} (all by default)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    if unknown := {name.partition(":")[0] for name in arguments.names} - set(names):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    rows: list[dict[str, object]] = []
    print(f"{'walk':<52} {'limit':<34} {'limit':>10} {'ours':>10} {'unit':<6} {'ratio':>7} {'bar':>9}  ok")
    for given in arguments.names or names:
        name, _, number = given.partition(":")
        module = importlib.import_module(f"bench.{name}")
        if getattr(module, "NAMED_ONLY", False) and not arguments.names:
            continue
        for row in module.rows(int(number)) if number else module.rows():
            rows.append({"benchmark": name, **row})
            print(_line(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    missed = [row for row in rows if row["ok"] is False]
    print(f"{len(rows)} walks, {sum(row['ok'] is True for row in rows)} within their bar, {len(missed)} outside")
    return 1 if missed else 0


def _line(row: dict[str, object]) -> str:
    ok = {True: "yes", False: "NO", None: "-"}[row["ok"]]  # type: ignore[index]
    return (
        f"{str(row['walk'])[:52]:<52} {str(row['limit_name'])[:34]:<34} {_number(row['limit']):>10} "
        f"{_number(row['ours']):>10} {row['unit']!s:<6} {_number(row['ratio']):>7} {_number(row['bar']):>9}  {ok}"
    )


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
