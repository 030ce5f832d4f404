"""The verbs: each finds the run that is active here and records in it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from keepwell.client import naming, session
from keepwell.client.run import ActiveRun, on_end
from keepwell.client.user import local_user
from keepwell.client.values import accept_params, accept_tags
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.ids import check_id
from keepwell.settings import read_client_settings
from keepwell.tracking import wire

FLUSH_SECONDS = 60.0


class _Here(threading.local):
    """The runs that this thread has started and not ended, outermost first."""

    def __init__(self) -> None:
        self.stack: list[ActiveRun] = []


_here = _Here()
_open: dict[str, ActiveRun] = {}
"""Every run of this process that has not ended, in the order in which they began."""
_experiment: str | None = None
_failure: list[str] = []


def set_tracking_uri(uri: str, token: str | None = None) -> None:
    """Record to a server (`http(s)://host:port`) or to a home folder from now on.

    Args:
        uri: where to.
        token: what the server lets us in with; KEEPWELL_TOKEN without it.

    Raises:
        InvalidInput: the address cannot be used.
        Conflict: a run is active.
    """
    if _open:
        raise Conflict("End the active runs first: each is recorded in one place.")
    chosen = read_client_settings(uri)
    if chosen.remote:
        from keepwell.client.transports.web import check_address

        check_address(uri)
    session.choose(replace_token(chosen, token))


def get_tracking_uri() -> str:
    """Return where runs are recorded."""
    return session.settings().uri


def set_experiment(name: str) -> None:
    """Put runs that start from now on into an experiment; it is made when it is not there.

    Raises:
        InvalidInput: the name is empty or too long.
    """
    global _experiment
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 500 or not name.isprintable():
        raise InvalidInput("The name of an experiment is 1 to 500 printable characters.", where="name")
    _experiment = name


def start_run(
    name: str | None = None,
    *,
    run_id: str | None = None,
    experiment: str | None = None,
    nested: bool = False,
    parent: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    description: str | None = None,
    kind: str = "train",
    model: str | None = None,
    system_metrics: bool | float = False,
) -> ActiveRun:
    """Begin a run, or take one up again, and make it the active one of this thread.

    Args:
        name: what it is called; without it, two words.
        run_id: a run to go on with.
        experiment: where it belongs; without it: its parent's, `set_experiment`'s, KEEPWELL_EXPERIMENT, `Default`.
        nested: it is a part of the run that is active; without this, an active run is an error.
        parent: id of the run it is a part of, when that is not the active one.
        params: first parameters.
        tags: first tags.
        description: what a person should know of it.
        kind: what sort of work it is.
        model: the model it works for.
        system_metrics: record what the machine does, every 10 seconds or as many as this says.

    Raises:
        Conflict: a run is active in this thread, and `nested` was not said.
        InvalidInput: a name or id cannot be used.
    """
    if _here.stack and not nested and parent is None:
        raise Conflict(
            f"The run {_here.stack[-1].id} is active; end it with keepwell.end_run(), or say nested=True for a part."
        )
    chosen = session.settings()
    if run_id is None and name is None and not nested and not _open:
        run_id = chosen.run
    if run_id is not None:
        return _enter(_resume(check_id(run_id, "run"), params, tags), system_metrics)
    above = parent or (_here.stack[-1].id if nested and _here.stack else None)
    own_parent = next((r for r in _here.stack if r.id == above), None)
    place = experiment or (own_parent.experiment if own_parent else None) or _experiment or chosen.experiment
    made = session.ids().new("run")
    run = ActiveRun(made, name or naming.two_words(made), place, above)
    labels = accept_tags({**(tags or {}), **({"mlflow.note.content": description} if description else {})})
    started = wire.Start(
        run=made,
        name=_checked(run.name),
        experiment=place,
        kind=kind,
        parent=above,
        model=model,
        user=local_user(),
        at=session.milliseconds(),
        params=accept_params(params or {}),
        tags={**_source(), **labels},
    )
    run.begin(started, own_parent)
    return _enter(run, system_metrics)


def active_run() -> ActiveRun | None:
    """Return the active run: the innermost of this thread, else the newest of the process that is not a part of one."""
    stack = _here.stack
    if stack:
        return stack[-1]
    if _open:
        return next((r for r in reversed(_open.values()) if r.parent not in _open), None)
    return None


def end_run(status: str = "finished", error: str | None = None) -> None:
    """End the active run; without one, nothing happens."""
    run = active_run()
    if run is not None:
        run.end(status, error)


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Wait until everything logged so far is stored, at most so long; tell whether it is."""
    begun = session.begun()
    return True if begun is None else begun.flush(seconds)


def log_metric(
    name: str,
    value: object,
    step: int | None = None,
    timestamp: int | None = None,
    *,
    model_id: str | None = None,
) -> None:
    """Record a point of a metric in the active run; see `ActiveRun.log_metric`."""
    stack = _here.stack
    (stack[-1] if stack else _active()).log_metric(name, value, step, timestamp, model_id=model_id)


def log_metrics(
    values: Mapping[str, object],
    step: int | None = None,
    timestamp: int | None = None,
    *,
    model_id: str | None = None,
) -> None:
    """Record points of several metrics at one step and moment."""
    _active().log_metrics(values, step, timestamp, model_id=model_id)


def log_points(
    name: str,
    values: Iterable[object],
    steps: Iterable[int] | None = None,
    timestamps: Iterable[int] | None = None,
) -> None:
    """Record many points of a metric at once, such as a whole curve."""
    _active().log_points(name, values, steps, timestamps)


def log_param(name: str, value: object) -> None:
    """Record a parameter: any JSON value, else its text. A parameter that is set keeps its value."""
    _active().log_param(name, value)


def log_params(params: Mapping[str, object]) -> None:
    """Record parameters. What is called like a secret is recorded as hidden."""
    _active().log_params(params)


def set_tag(name: str, value: object) -> None:
    """Set a tag of the active run."""
    _active().set_tag(name, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run."""
    _active().set_tags(tags)


def delete_tag(name: str) -> None:
    """Take a tag of the active run away."""
    _active().delete_tag(name)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Record a file, or the files of a folder, as they are now."""
    _active().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Record the files of a folder and of the folders in it."""
    _active().log_artifacts(local_dir, artifact_path)


def log_text(text: str, artifact_file: str) -> None:
    """Record a text as an artifact."""
    _active().log_text(text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str) -> None:
    """Record a value as JSON, or as YAML when the file's name ends so."""
    _active().log_dict(dictionary, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Record a Matplotlib or Plotly figure."""
    _active().log_figure(figure, artifact_file, save_kwargs=save_kwargs)


def log_image(image: Any, artifact_file: str | None = None, *, key: str | None = None, step: int | None = None) -> None:
    """Record an image: a PIL image or an array; with `key` as one of a row of them, by step."""
    _active().log_image(image, artifact_file, key=key, step=step)


def log_table(data: Any, artifact_file: str) -> None:
    """Record a table as JSON, CSV or Parquet, as the file's name ends."""
    _active().log_table(data, artifact_file)


def log_input(
    data: Any,
    *,
    name: str | None = None,
    context: str | None = None,
    source: str | None = None,
    version: str | None = None,
) -> None:
    """Record which data the active run read; see `ActiveRun.log_input`."""
    _active().log_input(data, name=name, context=context, source=source, version=version)


def replace_token(chosen: Any, token: str | None) -> Any:
    """Return settings with another token."""
    from dataclasses import replace

    return replace(chosen, token=token) if token else chosen


def _active() -> ActiveRun:
    """Return the active run; begin one when there is none."""
    return active_run() or start_run()


def _enter(run: ActiveRun, system_metrics: bool | float) -> ActiveRun:
    _here.stack.append(run)
    _open[run.id] = run
    if system_metrics:
        from keepwell.client.system_metrics import watch

        run.before_end(watch(run, 10.0 if system_metrics is True else float(system_metrics)))
    return run


def _resume(run_id: str, params: Mapping[str, object] | None, tags: Mapping[str, object] | None) -> ActiveRun:
    from keepwell.client.reading import steps_of

    if run_id in _open:
        raise Conflict(f"The run {run_id} is active already.")
    run = ActiveRun(run_id, run_id, None, None)
    run.continues_at(steps_of(run_id))
    begun = wire.Start(
        run=run_id,
        at=session.milliseconds(),
        params=accept_params(params or {}),
        tags=accept_tags(tags or {}),
        resume=True,
    )
    run.begin(begun, None)
    return run


def _source() -> dict[str, str]:
    """Return tags that say what program ran; other clients of the store show them."""
    script = sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "interactive"
    return {
        "mlflow.source.name": os.path.basename(script)[:250] if script != "interactive" else script,  # noqa: PTH119
        "mlflow.source.type": "NOTEBOOK" if "ipykernel" in sys.modules else "LOCAL",
    }


def _checked(name: str) -> str:
    if not 0 < len(name) <= 250 or not name.isprintable():
        raise InvalidInput("The name of a run is 1 to 250 printable characters.", where="name")
    return name


def _left(run: ActiveRun) -> None:
    """Take a run that ended from the active ones."""
    _open.pop(run.id, None)
    if run in _here.stack:
        _here.stack.remove(run)
    else:
        _here.stack[:] = [r for r in _here.stack if r.status == "running"]


def _end_all() -> None:
    """End what the program did not end, before its session ends."""
    for run in reversed(list(_open.values())):
        if _failure:
            run.end("failed", _failure[-1])
        else:
            run.end()


def _notice(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Remember what ended the program, so that its runs say so."""
    _failure.append(f"{kind.__name__}: {error}"[:2000])
    _before(kind, error, traceback)


def _forked() -> None:
    """The parent's runs stay active in a child, which may log to them; it does not end them."""
    _failure.clear()
    for run in _open.values():
        run.renew()


_before = sys.excepthook
sys.excepthook = _notice
on_end(_left)
atexit.register(_end_all)
os.register_at_fork(after_in_child=_forked)

__all__: Sequence[str] = [
    "active_run", "delete_tag", "end_run", "flush", "get_tracking_uri", "log_artifact", "log_artifacts", "log_dict",
    "log_figure", "log_image", "log_input", "log_metric", "log_metrics", "log_param", "log_params", "log_points",
    "log_table", "log_text", "set_experiment", "set_tag", "set_tags", "set_tracking_uri", "start_run",
]  # fmt: skip
