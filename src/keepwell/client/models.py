"""The verbs of models: log one, register it, load it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepwell.client import fluent, session, syncing
from keepwell.client.filing import files_of
from keepwell.client.reading import place_of, write_safely
from keepwell.client.rules import check_step
from keepwell.client.transports import Transport
from keepwell.client.transports.governing import policy_at
from keepwell.client.transports.reading import Library, library_of
from keepwell.client.transports.shelf import Shelf, shelf_of
from keepwell.client.values import accept_params, accept_tags
from keepwell.core.errors import InvalidInput, KeepwellError, NotFound, Unavailable
from keepwell.models.registry_model import RegisteredVersion
from keepwell.models.sources import LoggedSource, RunSource, VersionSource, parse_source
from keepwell.tracking import wire
from keepwell.tracking.model import LoggedModel
from keepwell.tracking.rules import check_model_name, text_of

if TYPE_CHECKING:
    from keepwell.client.run import ActiveRun
    from keepwell.models.flavors import Loaded, Policy
    from keepwell.models.signatures import Signature

REGISTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that was logged.

    Attributes:
        model_id: its id, `m-...`.
        name: what it is called; `runs:/RUN/NAME` names it too.
        run_id: by which run.
        uri: what `load_model` and `register_model` take: `models:/m-...`.
        flavors: the formats it can be read in.
        signature: what it takes and gives.
        version: as which version it was registered, when that was asked for.
    """

    model_id: str
    name: str
    run_id: str
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
    model_type: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    step: int = 0,
    run: ActiveRun | None = None,
) -> ModelInfo:
    """Record a model in the active run, in the format of its library: a logged model, an output of that run.

    Metrics are measured of it with `log_metric(..., model_id=)`. Clients of MLflow see it as one of theirs.

    Args:
        model: of scikit-learn, LightGBM, XGBoost, PyTorch, Keras, ONNX, or a function.
        name: what it is called: 1 to 250 characters without `/ : . % " '`.
        signature: what it takes and gives; inferred from the example without it.
        input_example: a few rows.
        flavor: the format; by default the one for the model's class.
        code: for a module of PyTorch, the arguments of its class.
        registered_model_name: also register it as the next version of this model, which waits for the server.
        aliases: of the version.
        model_type: a word for what it is, such as `classifier`.
        params: its parameters, as texts; those of the run are added.
        tags: its tags.
        step: of the run, such as the epoch that it comes from.
        run: where to record it; the active run without it.

    Raises:
        InvalidInput: the model cannot be kept in a format that loads without running its bytes.
        NotInstalled: the format's library is missing.
        Unavailable: it was to be registered, and the server is away.
    """
    from keepwell.models.flavors import save

    check_model_name(name)
    here = run or fluent.active_run() or fluent.start_run()
    model_id = f"m-{sha256(session.ids().new('model').encode()).hexdigest()[:32]}"
    with tempfile.TemporaryDirectory(prefix="keepwell-model-") as temp:
        saved = save(
            model,
            Path(temp) / "model",
            signature=signature if signature is not None else _inferred(model, input_example),
            input_example=input_example,
            flavor=flavor,
            code=code,
            facts={"artifact_path": name, "run_id": here.id, "model_id": model_id},
        )
        begun = wire.Model(
            run=here.id,
            model=model_id,
            name=name,
            model_type=model_type,
            params={key: text_of(value)[0] for key, value in accept_params(params or {}).items()},
            tags=accept_tags(tags or {}),
            step=check_step(step),
        )
        here.record(begun)
        found = list(files_of(saved.folder))
        for file, path in found:
            here.log_file(file, path, model=model_id)
        here.record(wire.Ready(run=here.id, model=model_id, files=len(found)))
    uri = f"models:/{model_id}"
    version = register_model(uri, registered_model_name, aliases=aliases) if registered_model_name else None
    return ModelInfo(model_id, name, here.id, uri, saved.flavors, saved.signature, version)


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
        model_uri: `runs:/RUN/NAME`, `models:/m-...`, `models:/NAME/N` or `models:/NAME@alias`.
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


def load_model(
    model_uri: str | Path, *, environment: str | None = None, policy: Policy | None = None, flavor: str | None = None
) -> Loaded:
    """Load a model that was logged or registered, or from a folder of this machine.

    Args:
        model_uri: `runs:/RUN/NAME`, `models:/m-...`, `models:/NAME/N`, `models:/NAME@alias`, `models:/NAME/latest`, or
            a folder.
        environment: its policy, as `keepwell policy show` tells it, says what the files may do. A load that runs code
            is recorded in the ledger before it happens.
        policy: what the files may do, said by you instead; without both nothing that can run code is loaded.
        flavor: which of its formats.

    Raises:
        Denied: loading it would run code, and the policy does not allow that.
        NotFound: there is no such run, model, version or folder.
        InvalidInput: the name is none of those, or both an environment and a policy are given.
        Unavailable: the server is away, or not all of the model's files are there yet.
    """
    from keepwell.models.flavors import SAFE, load

    if environment is not None and policy is not None:
        raise InvalidInput("Name an environment or give a policy, not both.", where="environment")
    folder, known_as = fetch_model(model_uri)
    if environment is None:
        return load(folder, policy or SAFE, flavor=flavor)
    with _transport() as transport:
        return load(folder, policy_at(transport, environment, known_as), flavor=flavor)


def fetch_model(model_uri: str | Path) -> tuple[Path, str | None]:
    """Return a folder that holds a model's files, and the name or id that the model is known by.

    The files are fetched when they have to be; they are gone when the process ends.

    Raises:
        NotFound: there is no such run, model, version or folder.
        InvalidInput: the name is none of those that `load_model` takes.
        Unavailable: the server is away, or not all of the model's files are there yet.
    """
    if isinstance(model_uri, Path) or ":/" not in model_uri:
        if not Path(model_uri).is_dir():
            raise NotFound(
                f"There is no folder {str(model_uri)[:200]!a}; a registered model is models:/NAME/1 or"
                " models:/NAME@alias, one that a run logged is runs:/ID/model."
            )
        return Path(model_uri), None
    source = parse_source(model_uri)
    fluent.flush(REGISTER_SECONDS)
    folder = _temporary()
    if isinstance(source, VersionSource):
        with _shelf() as shelf:
            version = shelf.find(source)
            for path in shelf.files(version):
                write_safely(folder, path, functools.partial(shelf.fetch, version, path))
        return folder, version.model
    with _transport() as transport:
        known = _logged(library_of(transport), source)
        shelf = shelf_of(transport)
        for path in shelf.source_files(str(model_uri)):
            write_safely(folder, path, functools.partial(shelf.fetch_source, str(model_uri), path))
    return folder, known


def _logged(library: Library, source: RunSource | LoggedSource) -> str | None:
    """Return the id of the logged model that a source names, whose files must be whole; None where it names a run's."""
    owner = source.model if isinstance(source, LoggedSource) else place_of(library, source.run, source.path)[0]
    if not owner.startswith("m-"):
        return None
    _check_whole(library.logged_model(owner))
    return owner


def _check_whole(model: LoggedModel) -> None:
    if model.status != "ready":
        what = "not all stored yet" if model.status == "pending" else "not all stored"
        raise Unavailable(f"The files of the model {model.name} ({model.id}) are {what}.", code="not_ready")


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
    with _transport() as transport:
        yield shelf_of(transport)


@contextlib.contextmanager
def _transport() -> Iterator[Transport]:
    transport = syncing.transport_to(session.settings())
    try:
        yield transport
    finally:
        with contextlib.suppress(KeepwellError):
            transport.close()
