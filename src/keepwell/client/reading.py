"""The verbs that read: search runs, look one up, follow a metric, fetch artifacts."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from keepwell.client import session, syncing
from keepwell.client.rules import safe_path
from keepwell.client.transports import Away
from keepwell.client.transports.reading import Library, Points, library_of
from keepwell.core.errors import Denied, InvalidInput, KeepwellError, NotInstalled
from keepwell.core.filters import advised
from keepwell.tracking.model import Run, View

if TYPE_CHECKING:
    import polars as pl

SHOWN = 20
MOST_FILES = 100_000
_NOT_WRITTEN = frozenset((".git", "git~1", ".hg", ".svn", ".keepwell"))
MOST_DEPTH = 32
FLUSH_SECONDS = 10.0


class Runs(list[Run]):
    """Runs that a search found, in its order; printed, a line a run."""

    def __repr__(self) -> str:
        lines = [f"{run.id}  {run.status:<11}  {run.name}  {_metrics(run)}".rstrip() for run in self[:SHOWN]]
        more = [f"... and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([f"{len(self):,} {'run' if len(self) == 1 else 'runs'}", *lines, *more])

    def to_polars(self) -> pl.DataFrame:
        """Return a frame: id, name, status, times, and a column a param (`params.x`), metric and tag."""
        from keepwell.core.lazy import pl

        return pl.DataFrame(self._rows(), infer_schema_length=None, strict=False)

    def to_pandas(self) -> Any:
        """Return the frame of `to_polars` as one of pandas.

        Raises:
            NotInstalled: pandas is not there.
        """
        try:
            import pandas as pd
        except ImportError:
            raise NotInstalled("pandas is not installed; use to_polars(), or install pandas.") from None
        return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        rows = [
            {
                "run_id": run.id,
                "name": run.name,
                "experiment": run.experiment,
                "status": run.status,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                **{f"params.{name}": _cell(value) for name, value in run.params.items()},
                **{f"metrics.{name}": _number(value) for name, value in run.metrics.items()},
                **{f"tags.{name}": value for name, value in run.tags.items()},
            }
            for run in self
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return [{name: row.get(name) for name in names} for row in rows]


def search_runs(
    filter: str = "",
    *,
    experiments: Sequence[str | int] | str | None = None,
    order_by: Sequence[str] = (),
    view: View = "active",
    limit: int = 1000,
    offset: int = 0,
) -> Runs:
    """Return the runs that a filter finds, those that this process logs included.

    Args:
        filter: such as `metrics.loss < 0.1 and params.depth = '4' and tags.team = 'a'`.
        experiments: names or numbers of experiments; without them, all.
        order_by: such as `["metrics.loss ASC"]`; newest first without it.
        view: active, deleted or all.
        limit: how many at most, up to 10,000.
        offset: how many to pass over.

    Raises:
        InvalidInput: the filter or the order cannot be read.
        Unavailable: the server is away.
    """
    wanted = [experiments] if isinstance(experiments, str) else experiments
    with _library() as library:
        try:
            return Runs(library.search(wanted, filter, view, order_by, limit, offset))
        except InvalidInput as error:
            raise advised(error) from None


def get_run(run_id: str) -> Run:
    """Return a run with its params, latest metrics, tags, inputs and artifacts.

    Raises:
        NotFound: there is no such run.
        Unavailable: the server is away.
    """
    with _library() as library:
        return library.run(run_id)


def metric_history(run_id: str, name: str) -> Points:
    """Return all points of a metric of a run.

    Raises:
        NotFound: there is no such run.
        Unavailable: the server is away.
    """
    with _library() as library:
        return library.history(run_id, name)


def download_artifacts(run_id: str, artifact_path: str = "", dst_path: str | os.PathLike[str] | None = None) -> Path:
    """Fetch an artifact, or a folder of artifacts, and return where it is now.

    Args:
        run_id: whose.
        artifact_path: which; all of the run's without it.
        dst_path: the folder to put it in; a new temporary one without it.

    Raises:
        NotFound: there is no such run or artifact.
        InvalidInput: the server names a file that no folder should hold.
        Unavailable: the server is away.
    """
    root = Path(dst_path) if dst_path is not None else Path(tempfile.mkdtemp(prefix="keepwell-"))
    root.mkdir(parents=True, exist_ok=True)
    path = artifact_path.strip("/")
    with _library() as library:
        owner, inside = place_of(library, run_id, path)
        above = root
        if owner != run_id:
            above = root / safe_path(path)[0]
            above.mkdir(exist_ok=True)
        fetch_into(library, owner, inside, above)
    return root.joinpath(*safe_path(path)) if path else root


def place_of(library: Library, run_id: str, path: str) -> tuple[str, str]:
    """Return whose artifact `runs:/RUN/PATH` is, and its path there: the run's, else that of a model it logged."""
    if path:
        above = path.rpartition("/")[0]
        if not any(item.path == path for item in library.artifacts(run_id, above)):
            name, _, inside = path.partition("/")
            made = library.models(run_id, name)
            if made:
                return made[0].id, inside
    return run_id, path


def fetch_into(library: Library, run_id: str, path: str, root: Path) -> int:
    """Fetch an artifact or a folder of them into a folder, and return how many files it were.

    Whatever the other side calls its files, nothing is written outside of `root`, and nothing through a link in it.
    """
    if path:
        above = path.rpartition("/")[0]
        safe_path(path)
        listed = {item.path: item for item in library.artifacts(run_id, above)}
        if path not in listed or not listed[path].is_dir:
            _fetch(library, run_id, path, root)
            return 1
    return _folder(library, run_id, path, root, 0, 0)


def steps_of(run_id: str) -> dict[str, int]:
    """Return the last step of each metric of a run; nothing, and a word, when the server is away.

    Raises:
        NotFound: there is no such run.
    """
    try:
        with _library() as library:
            return {latest.name: latest.step for latest in library.latest(run_id)}
    except Away as error:
        session.tell(f"{error.message}; steps of {run_id} that are not given are counted from 0")
        return {}


def _folder(library: Library, run_id: str, folder: str, root: Path, depth: int, count: int) -> int:
    if depth > MOST_DEPTH:
        raise InvalidInput("The folders of these artifacts are nested too deeply.", where="path")
    for item in library.artifacts(run_id, folder):
        safe_path(item.path)
        if (folder and not item.path.startswith(f"{folder}/")) or item.path == folder:
            raise InvalidInput(f"The server lists {item.path[:80]!a} where it is not.", where="path")
        if item.is_dir:
            count = _folder(library, run_id, item.path, root, depth + 1, count)
        else:
            _fetch(library, run_id, item.path, root)
            count += 1
        if count > MOST_FILES:
            raise InvalidInput(f"These are more than {MOST_FILES:,} files.", where="path")
    return count


def _fetch(library: Library, run_id: str, path: str, root: Path) -> None:
    write_safely(root, path, lambda file: library.fetch(run_id, path, file))


def write_safely(root: Path, path: str, write: Callable[[IO[bytes]], None]) -> None:
    """Write one file below a folder: into a new one beside its place, then into its place.

    Raises:
        InvalidInput: the path leads elsewhere, or into what a repository keeps of itself (hooks are programs).
        Denied: a folder on the way is a link.
    """
    *folders, name = safe_path(path)
    if any(segment.casefold() in _NOT_WRITTEN for segment in (*folders, name)):
        raise InvalidInput(f"{path[:80]!a} is not written: it would be a part of a repository.", where="path")
    here = root
    for folder in folders:
        here = here / folder
        if here.is_symlink():
            raise Denied(f"{here} is a link; nothing is written through it.", where="path")
        here.mkdir(exist_ok=True)
    handle, temp = tempfile.mkstemp(prefix=".keepwell-", dir=here)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(temp).replace(here / name)
    except BaseException:
        Path(temp).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _library() -> Iterator[Library]:
    """Yield what answers questions; what this process logged is sent first, in a bounded time."""
    begun = session.begun()
    if begun is not None and begun.sender.left:
        begun.flush(FLUSH_SECONDS)
    transport = syncing.transport_to(session.settings())
    try:
        yield library_of(transport)
    finally:
        with contextlib.suppress(KeepwellError):
            transport.close()


def _metrics(run: Run) -> str:
    first = [(name, value) for name, value in run.metrics.items() if not name.startswith("system/")][:4]
    return ", ".join(f"{name}={value if isinstance(value, str) else format(value, '.4g')}" for name, value in first)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else str(value)


def _number(value: float | str) -> float | None:
    return value if isinstance(value, float | int) else {"NaN": float("nan"), "Infinity": float("inf"),
                                                       "-Infinity": float("-inf")}.get(value)  # fmt: skip
