"""The verbs of models: log one, register it, load it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepwell.client import fluent, session, syncing
from keepwell.client.reading import write_safely
from keepwell.client.rules import safe_path
from keepwell.client.transports.shelf import Shelf, shelf_of
from keepwell.core.errors import KeepwellError, Unavailable
from keepwell.models.registry_model import RegisteredVersion
from keepwell.models.sources import RunSource, VersionSource, parse_source

if TYPE_CHECKING:
    from keepwell.client.run import ActiveRun
    from keepwell.models.flavors import Loaded, Policy
    from keepwell.models.signatures import Signature

REGISTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that was logged.

    Attributes:
        run_id: by which run.
        path: the folder of its files among the run's artifacts.
        uri: what `load_model` and `register_model` take: `runs:/ID/path`.
        flavors: the formats it can be read in.
        signature: what it takes and gives.
        version: as which version it was registered, when that was asked for.
    """

    run_id: str
    path: str
    uri: str
    flavors: tuple[str, ...]
    signature: Signature | None
    version: RegisteredVersion | None = None


def log_model(
    model: Any,
    name: str = "model",
    *,
    signature: Signature | None = None,
    input_example: Any = None,
    flavor: str | None = None,
    code: Mapping[str, Any] | None = None,
    registered_model_name: str | None = None,
    aliases: Sequence[str] = (),
    run: ActiveRun | None = None,
) -> ModelInfo:
    """Record a model in the active run, in the format of its library.

    Args:
        model: of scikit-learn, LightGBM, XGBoost, PyTorch, Keras, ONNX, or a function.
        name: the folder of its files among the run's artifacts.
        signature: what it takes and gives; inferred from the example without it.
        input_example: a few rows.
        flavor: the format; by default the one for the model's class.
        code: for a module of PyTorch, the arguments of its class.
        registered_model_name: also register it as the next version of this model, which waits for the server.
        aliases: of the version.
        run: where to record it; the active run without it.

    Raises:
        InvalidInput: the model cannot be kept in a format that loads without running its bytes.
        NotInstalled: the format's library is missing.
        Unavailable: it was to be registered, and the server is away.
    """
    from keepwell.models.flavors import save

    safe_path(name)
    here = run or fluent.active_run() or fluent.start_run()
    with tempfile.TemporaryDirectory(prefix="keepwell-model-") as temp:
        saved = save(
            model,
            Path(temp) / "model",
            signature=signature if signature is not None else _inferred(model, input_example),
            input_example=input_example,
            flavor=flavor,
            code=code,
            facts={"artifact_path": name, "run_id": here.id},
        )
        here.log_artifacts(saved.folder, name)
    uri = f"runs:/{here.id}/{name}"
    version = register_model(uri, registered_model_name, aliases=aliases) if registered_model_name else None
    return ModelInfo(here.id, name, uri, saved.flavors, saved.signature, version)


def register_model(
    model_uri: str,
    name: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    aliases: Sequence[str] = (),
) -> RegisteredVersion:
    """Register what was logged as the next version of a model; a model that is not there is made.

    Args:
        model_uri: `runs:/ID/path`, `models:/NAME/N`, `models:/NAME@alias` or `models:/m-...`.
        name: of the model.
        description: what a person should know of the version.
        tags: of the version.
        aliases: that name it from now on.

    Raises:
        InvalidInput: the source names nothing of the store.
        NotFound: there is no such run or version.
        Conflict: a charter decides over this model's aliases.
        Unavailable: the server is away; what was logged before waits in the spool.
    """
    source = parse_source(model_uri)
    if not fluent.flush(REGISTER_SECONDS):
        raise Unavailable("What was logged has not reached the server; it waits in the spool. Register it later.")
    run_id = source.run if isinstance(source, RunSource) else None
    with _shelf() as shelf:
        return shelf.register(name, model_uri, run_id, description, tags or {}, aliases)


def load_model(model_uri: str | Path, *, policy: Policy | None = None, flavor: str | None = None) -> Loaded:
    """Load a model that was logged or registered, or from a folder of this machine.

    Args:
        model_uri: `runs:/ID/path`, `models:/NAME/N`, `models:/NAME@alias`, `models:/NAME/latest`, `models:/m-...`, or a
            folder.
        policy: what its files may do; without it nothing that can run code is loaded.
        flavor: which of its formats.

    Raises:
        Denied: loading it would run code, and the policy does not allow that.
        NotFound: there is no such run, version or folder.
        Unavailable: the server is away.
    """
    from keepwell.models.flavors import SAFE, load

    return load(fetch_model(model_uri), policy or SAFE, flavor=flavor)


def fetch_model(model_uri: str | Path) -> Path:
    """Return a folder that holds a model's files, fetched when it has to be; it is gone when the process ends.

    Raises:
        NotFound: there is no such run, version or folder.
        InvalidInput: the name is none of those that `load_model` takes.
    """
    if isinstance(model_uri, Path) or ":/" not in model_uri:
        return Path(model_uri)
    source = parse_source(model_uri)
    folder = _temporary()
    if not isinstance(source, VersionSource):
        fluent.flush(REGISTER_SECONDS)
        with _shelf() as shelf:
            for path in shelf.source_files(str(model_uri)):
                write_safely(folder, path, functools.partial(shelf.fetch_source, str(model_uri), path))
        return folder
    with _shelf() as shelf:
        version = shelf.find(source)
        for path in shelf.files(version):
            write_safely(folder, path, functools.partial(shelf.fetch, version, path))
    return folder


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="keepwell-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _inferred(model: Any, example: Any) -> Signature | None:
    """Return the signature that an example shows, with the answers where the model gives any."""
    if example is None:
        return None
    from keepwell.models.signatures import infer

    answers = None
    if hasattr(model, "predict"):
        with contextlib.suppress(Exception):
            answers = model.predict(example)
    return infer(example, answers)


@contextlib.contextmanager
def _shelf() -> Iterator[Shelf]:
    transport = syncing.transport_to(session.settings())
    try:
        yield shelf_of(transport)
    finally:
        with contextlib.suppress(KeepwellError):
            transport.close()
