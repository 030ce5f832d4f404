"""A day with MLflow's own client: run by MLflow's interpreter against a server; prints one line of JSON a check.

    python day       # MLFLOW_TRACKING_URI and the client's other variables are set

A check is a function whose name starts with `check_`; its module's checks run in the order in which they stand, as
later ones look at what earlier ones made. A check that fails does not stop the day.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import time
import traceback
import warnings
from pathlib import Path

MODULES = ("recording", "reading", "searching", "searching_more", "files", "training", "logged", "registering",
           "versions", "refusing")  # fmt: skip


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    out = sys.stdout
    sys.stdout = sys.stderr
    for module in MODULES:
        try:
            checks = [c for n, c in vars(importlib.import_module(module)).items() if n.startswith("check_")]
        except Exception:  # noqa: BLE001
            tell(out, module, "import", traceback.format_exc(), 0.0)
            continue
        for check in checks:
            started, problem = time.monotonic(), None
            try:
                check()
            except Exception:  # noqa: BLE001
                problem = traceback.format_exc(limit=-4)[-2_000:]
            tell(out, module, check.__name__.removeprefix("check_"), problem, time.monotonic() - started)


def tell(out: object, module: str, name: str, problem: str | None, seconds: float) -> None:
    line = {"name": f"{module}.{name}", "ok": problem is None, "problem": problem, "seconds": round(seconds, 3)}
    print(json.dumps(line), file=out, flush=True)  # type: ignore[call-overload]


main()
