"""Record trainings of scikit-learn, LightGBM, XGBoost and PyTorch without another line: `keepwell.autolog()`.

Each library's file names the functions that are wrapped; a wrapper runs the library's own function whatever happens in
ours, and `keepwell.autolog(disable=True)` puts the originals back. A library that is imported later is wrapped then.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence

from keepwell.client.autolog import patching
from keepwell.core.errors import InvalidInput

LIBRARIES: dict[str, str] = {"sklearn": "sklearn", "lightgbm": "lightgbm", "xgboost": "xgboost", "torch": "torch"}
"""A library, and the module whose import makes it be there."""

_lock = threading.Lock()


def autolog(
    libraries: Sequence[str] | str | None = None,
    *,
    disable: bool = False,
    log_models: bool = False,
    every_n_steps: int = 1,
) -> None:
    """Record what the training functions of libraries do: params, metrics by iteration, results, and how it ended.

    A training inside an active run is recorded there; one outside gets a run of its own, which ends with it.

    Args:
        libraries: of `sklearn`, `lightgbm`, `xgboost`, `torch`; all of them without it.
        disable: stop, and put the libraries' own functions back.
        log_models: record the trained model too, in a format that loads without running its bytes.
        every_n_steps: of a PyTorch optimizer's steps, record the loss of each so many.

    Raises:
        InvalidInput: a library is not one of those.
    """
    wanted = [libraries] if isinstance(libraries, str) else list(libraries or LIBRARIES)
    for name in wanted:
        if name not in LIBRARIES:
            raise InvalidInput(f"autolog knows {', '.join(LIBRARIES)}, not {name!r}.", where="libraries")
    if every_n_steps < 1:
        raise InvalidInput("every_n_steps is at least 1.", where="every_n_steps")
    with _lock:
        for name in wanted:
            patching.restore(name)
            patching.forget_import(LIBRARIES[name])
            if not disable:
                patching.chosen[name] = patching.Chosen(log_models=log_models, every=every_n_steps)
                _when_there(name)


def _when_there(name: str) -> None:
    module = LIBRARIES[name]
    if (
        module in sys.modules
        and getattr(getattr(sys.modules[module], "__spec__", None), "_initializing", False) is False
    ):
        _wrap(name)
    else:
        patching.on_import(module, lambda: _wrap(name))


def _wrap(name: str) -> None:
    with patching.quietly(f"autolog of {name}"):
        importlib.import_module(f"keepwell.client.autolog.{name}_").wrap()
