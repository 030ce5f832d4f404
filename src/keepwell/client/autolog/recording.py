"""What the wrappers share: a run for a training, and values in the form that a run takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from keepwell.client import fluent
from keepwell.client.autolog import patching
from keepwell.client.run import ActiveRun

MOST_PARAM = 500
MOST_PARAMS = 1_000


class Training:
    """One training that is being recorded.

    Attributes:
        run: where it is recorded.
    """

    def __init__(self, run: ActiveRun | None, library: str) -> None:
        self.run = run
        self._library = library

    @contextlib.contextmanager
    def recording(self) -> Iterator[ActiveRun]:
        """Yield the run; what goes wrong in the block is told once and goes no further."""
        with patching.quietly(f"autolog of {self._library}"):
            if self.run is not None:
                yield self.run
                return
        if self.run is None:
            yield _NOWHERE


class _Nowhere:
    """Takes everything and keeps nothing: there is no run, as the spool cannot be used."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


_NOWHERE: Any = _Nowhere()


@contextlib.contextmanager
def training(library: str, name: str, tags: Mapping[str, object]) -> Iterator[Training]:
    """Record a training in the active run, or in one of its own, which ends as the block does."""
    run: ActiveRun | None = None
    own = False
    with patching.quietly(f"autolog of {library}"):
        run = fluent.active_run()
        if run is None:
            run, own = fluent.start_run(name), True
        run.set_tags({"autolog": library, **tags})
    try:
        with patching.nested():
            yield Training(run, library)
    except BaseException as error:
        if own and run is not None:
            with patching.quietly(f"autolog of {library}"):
                if isinstance(error, KeyboardInterrupt):
                    run.end("interrupted", "Interrupted from the keyboard.")
                else:
                    run.end("failed", f"{type(error).__name__}: {error}")
        raise
    if own and run is not None:
        with patching.quietly(f"autolog of {library}"):
            run.end()


def short_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return parameters whose values are short enough to read; objects as their text."""
    found: dict[str, Any] = {}
    for name, value in list(params.items())[:MOST_PARAMS]:
        shown = value if value is None or isinstance(value, bool | int | float | str) else repr(value)
        if isinstance(shown, str) and len(shown) > MOST_PARAM:
            shown = shown[: MOST_PARAM - 3] + "..."
        found[f"{prefix}{name}"[:250]] = shown.replace("\n", " ") if isinstance(shown, str) else shown
    return found


def rows_and_columns(data: Any) -> dict[str, int]:
    """Return the shape of what a model learns from, where it has one."""
    shape = getattr(data, "shape", None)
    if not isinstance(shape, tuple) or not shape:
        return {}
    names = ("rows", "columns")
    return {name: int(size) for name, size in zip(names, shape, strict=False)}
